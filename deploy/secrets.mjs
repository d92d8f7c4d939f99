// Makes what docker-compose.yml keeps secret, at the first start; what is there already stays as it is. Each volume is for
// one kind of container, and what is in it for that one alone: no node can read what MongoDB's administrator signs in with.
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';

const NODES = '/secret';
const REDIS = '/secret-redis';
const MONGO = '/secret-mongo';
/** This container's user is that of the nodes, its group that of Redis and of MongoDB in their images. */
const OWNER = 0o400;
const GROUP = 0o440;

const password = () => randomBytes(32).toString('hex');
const passwordIn = (file) => new URL(readFileSync(file, 'utf8')).password;

/** Whole or not at all: a crash in between leaves nothing behind that a later start would keep. */
function write(file, { text, mode }) {
  const unfinished = `${file}.new`;
  // Of a start that was broken off: nobody may write to it.
  rmSync(unfinished, { force: true });
  writeFileSync(unfinished, text, { mode });
  renameSync(unfinished, file);
}

function once(file, { text, mode }) {
  if (!existsSync(file)) write(file, { text: text(), mode });
}

once(`${NODES}/jwt`, { text: password, mode: OWNER });
once(`${NODES}/keys`, { text: () => `first:${randomBytes(32).toString('base64')}`, mode: OWNER });
once(`${NODES}/mongodb-uri`, { text: () => `mongodb://duet:${password()}@mongo:27017/duet`, mode: OWNER });
once(`${NODES}/redis-url`, { text: () => `redis://duet:${password()}@redis:6379`, mode: OWNER });

// What Redis' user may do belongs to the version that runs. The file holds no password, but what proves it.
const proof = createHash('sha256')
  .update(passwordIn(`${NODES}/redis-url`))
  .digest('hex');
const users = readFileSync('/etc/users.acl', 'utf8').replace('PASSWORD_SHA256', proof);
write(`${REDIS}/users.acl`, { text: users, mode: GROUP });

write(`${MONGO}/duet`, { text: passwordIn(`${NODES}/mongodb-uri`), mode: GROUP });
once(`${MONGO}/admin`, { text: password, mode: GROUP });
// What members of the replica set know each other by.
once(`${MONGO}/keyfile`, { text: () => randomBytes(384).toString('base64'), mode: GROUP });
