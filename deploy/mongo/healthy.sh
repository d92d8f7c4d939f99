#!/bin/bash
# Says whether MongoDB serves, and prepares it at its first start.
set -e
primary=/tmp/primary

# mongosh takes a second of CPU: once it has said yes, a connection says enough, until the container starts anew.
if [ -e "$primary" ]; then
  exec 3<>/dev/tcp/mongo/27017
  exit
fi

mongosh --quiet --norc --file /etc/users.js
touch "$primary"
