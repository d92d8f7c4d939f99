#!/bin/bash
# Says whether MongoDB serves, and makes it a replica set at its first start.
set -e
primary=/tmp/primary

# mongosh takes a second of CPU: once it has said yes, a connection says enough, until the container starts anew.
if [ -e "$primary" ]; then
  exec 3<>/dev/tcp/mongo/27017
  exit
fi

mongosh --quiet --eval "
  try {
    rs.status();
  } catch (error) {
    if (error.codeName !== 'NotYetInitialized') throw error;
    rs.initiate({ _id: 'duet', members: [{ _id: 0, host: 'mongo:27017' }] });
  }
  if (!db.hello().isWritablePrimary) quit(1);
"
touch "$primary"
