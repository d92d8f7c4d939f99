// Makes this server a replica set of one, and its two users, at the first start; later it changes nothing. For mongosh on
// the same machine: while there is no user, MongoDB lets whoever is there start the replica set and create the first one
// ("localhost exception"). Fails until the server may be used, and is then tried again.
const passwordOf = (user) => fs.readFileSync(`/secret/${user}`, 'utf8');
const ALREADY = 'AlreadyInitialized';
const admin = db.getSiblingDB('admin');

if (!db.hello().setName) {
  try {
    rs.initiate({ _id: 'duet', members: [{ _id: 0, host: 'mongo:27017' }] });
  } catch (error) {
    if (error.codeName !== ALREADY) throw error;
  }
}
if (!db.hello().isWritablePrimary) quit(1);

try {
  admin.auth('admin', passwordOf('admin'));
} catch {
  admin.createUser({ user: 'admin', pwd: passwordOf('admin'), roles: ['root'] });
  admin.auth('admin', passwordOf('admin'));
}

// The nodes: they read and write in one database, and can do nothing else.
const database = db.getSiblingDB('duet');
if (!database.getUser('duet')) {
  database.createUser({
    user: 'duet',
    pwd: passwordOf('duet'),
    roles: [{ role: 'readWrite', db: 'duet' }],
  });
}
