#!/bin/sh
# Runs nginx before the nodes that the name "duet" stands for, and follows them: Docker's DNS lists those that run.
# nginx is told by a reload, which cuts nobody: old workers keep their connections until worker_shutdown_timeout.
set -u
nodes=/tmp/nodes.conf
finish_within=5 # seconds

# Lists the nodes, sorted so that two lists can be compared. A new one is listed when it is ready; one that was ready
# before stays while it runs, because an overloaded node must not be taken for a dead one.
look() {
  getent ahostsv4 duet | sort -u -k1,1 | while read -r address _; do
    line="server $address:5000 max_fails=2 fail_timeout=5s;"
    if grep -qsxF "$line" "$nodes" || curl -fs -o /dev/null --max-time 2 "http://$address:5000/ready"; then
      echo "$line"
    fi
  done >"$nodes.new"
  # No node at all is no news: the last ones may come back.
  [ -s "$nodes.new" ] && ! cmp -s "$nodes.new" "$nodes"
}

# Requests under way are finished; websockets would go on for ever.
stop() {
  kill -QUIT "$nginx"
  (sleep "$finish_within" && kill -TERM "$nginx") 2>/dev/null &
}

until look; do sleep 1; done
mv "$nodes.new" "$nodes"
nginx -g 'daemon off;' &
nginx=$!
trap stop TERM INT QUIT

# `wait` ends when a signal comes, `sleep` alone would not.
while kill -0 "$nginx" 2>/dev/null; do
  sleep 2 &
  wait $!
  if look; then
    mv "$nodes.new" "$nodes"
    kill -HUP "$nginx"
  fi
done
wait "$nginx"
