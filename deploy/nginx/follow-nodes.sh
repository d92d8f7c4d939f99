#!/bin/sh
# Runs nginx before the nodes that the name "duet" stands for, and follows them: Docker's DNS lists those that run.
# nginx is told by a reload, which cuts nobody: old workers keep their connections until worker_shutdown_timeout. That
# ends them all at once, so nodes that come or go together have to be one reload, before clients are back.
set -u
nodes=/tmp/nodes.conf
look_every=2 # seconds
settled_after=3 # looks that find the same
finish_within=5 # seconds

# Lists the nodes, sorted so that two lists can be compared. A new one is listed when it is ready; one that was ready
# before stays while it runs, because an overloaded node must not be taken for a dead one.
same=0
look() {
  cp "$nodes.new" "$nodes.before"
  getent ahostsv4 duet | sort -u -k1,1 >"$nodes.running"
  while read -r address _; do
    line="server $address:5000 max_fails=2 fail_timeout=5s;"
    if grep -qsxF "$line" "$nodes" || curl -fs -o /dev/null --max-time 2 "http://$address:5000/ready"; then
      echo "$line"
    fi
  done <"$nodes.running" >"$nodes.new"
  if cmp -s "$nodes.new" "$nodes.before"; then same=$((same + 1)); else same=1; fi
}

# Whether nginx has to be told. No node at all is no news: the last ones may come back. While none of those that nginx
# knows is left nobody is served, so nothing is waited for once every node that runs is ready.
news() {
  [ -s "$nodes.new" ] && ! cmp -s "$nodes.new" "$nodes" || return 1
  [ "$same" -ge "$settled_after" ] && return
  ! grep -qsxFf "$nodes.new" "$nodes" && [ "$(wc -l <"$nodes.new")" = "$(wc -l <"$nodes.running")" ]
}

# `wait` ends when a signal comes, `sleep` alone would not.
pause() {
  sleep "$look_every" &
  wait $!
}

# Requests under way are finished; websockets would go on for ever.
stop() {
  kill -QUIT "$nginx"
  (sleep "$finish_within" && kill -TERM "$nginx") 2>/dev/null &
}

# Nodes may wait for their database for long.
trap 'exit 0' TERM INT QUIT
: >"$nodes.new"
until look && news; do pause; done
cp "$nodes.new" "$nodes"
nginx -g 'daemon off;' &
nginx=$!
trap stop TERM INT QUIT

while kill -0 "$nginx" 2>/dev/null; do
  pause
  look
  if news; then
    cp "$nodes.new" "$nodes"
    kill -HUP "$nginx"
  fi
done
wait "$nginx"
