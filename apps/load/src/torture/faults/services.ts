import { pause } from '../random.ts';
import {
  allReady,
  CLUSTER,
  childrenOf,
  type Fault,
  proof,
  redisCommand,
  type Stage,
  service,
  until,
  watchGaps,
} from './stage.ts';

const runId = async (stage: Stage) => /run_id:(\w+)/.exec(await redisCommand(stage, 'INFO server'))?.[1];

const redisRestart: Fault = {
  name: 'redis-restart',
  expect:
    'Redis dies and comes back empty. Sends are acknowledged all the time; live events of that moment are lost; nodes subscribe again, register their sockets again and tell clients to sync.',
  shapes: CLUSTER,
  async turn(stage) {
    const redis = service(stage, 'redis');
    const [before, resyncs] = [await runId(stage), stage.tally.resyncs()];
    const gapsTold = await watchGaps(stage, stage.on.nodes);
    stage.note('Redis restarts');
    await redis.kill();
    await redis.start();
    const after = await runId(stage);
    await gapsTold();
    await until('clients are told to sync', () => stage.tally.resyncs() > resyncs);
    await allReady(stage);
    return proof(
      after !== before,
      `run ${before?.slice(0, 6)} became ${after?.slice(0, 6)}, ${stage.tally.resyncs() - resyncs} clients told to sync`,
    );
  },
};

const flush: Fault = {
  name: 'redis-flush',
  expect: 'Redis forgets everything (FLUSHALL). Subscriptions stay; presence is there again with the next beat.',
  shapes: CLUSTER,
  async turn(stage) {
    const size = async () => {
      const keys = Number((await redisCommand(stage, 'DBSIZE')).slice(1));
      return keys > 0 ? keys : undefined;
    };
    // After another fault of Redis there may be nothing yet that it could forget.
    const before = await until('nodes have registered', size);
    stage.note('FLUSHALL');
    const answer = await redisCommand(stage, 'FLUSHALL');
    const keys = await until('nodes register again', size);
    return proof(answer.startsWith('+OK'), `${before} keys forgotten, ${keys} written again`);
  },
};

const gone: Fault = {
  name: 'redis-gone',
  expect:
    'Redis is away for 60 s. Sends are acknowledged all the time; live events reach clients of the same node or come by the next sync; nobody is shown online; limits go on in each node. The gap is told when it is over.',
  shapes: CLUSTER,
  async turn(stage) {
    const redis = service(stage, 'redis');
    const before = stage.tally.acknowledged();
    const gapsTold = await watchGaps(stage, stage.on.nodes);
    stage.note('Redis is stopped');
    await redis.stop();
    await pause(stage.short ? 6_000 : 60_000);
    const meanwhile = stage.tally.acknowledged() - before;
    stage.note('Redis is started');
    await redis.start();
    await gapsTold();
    await allReady(stage);
    return proof(meanwhile > 0, `${meanwhile} messages acknowledged without Redis`);
  },
};

const databaseRestart: Fault = {
  name: 'db-restart',
  expect:
    'The database is stopped, or dies, and comes back. Sends get a retryable answer until then; whatever was acknowledged is there, and nothing that was shown is taken back.',
  shapes: CLUSTER,
  async turn(stage) {
    const mongo = service(stage, 'mongo');
    const [pid, before] = [mongo.pid(), stage.tally.coded('UNAVAILABLE')];
    const how = stage.random.chance(0.5) ? 'stop' : 'kill';
    stage.note(`${how} of the database`);
    await mongo[how]();
    await until('clients are told to try again', () => stage.tally.coded('UNAVAILABLE') > before);
    await mongo.start();
    await allReady(stage);
    const refused = stage.tally.coded('UNAVAILABLE') - before;
    return proof(mongo.pid() !== pid, `${how}: process ${pid} became ${mongo.pid()}, ${refused} answers UNAVAILABLE`);
  },
};

const nginxReload: Fault = {
  name: 'nginx-reload',
  expect: 'nginx reads its configuration again, several times: new workers take over, old ones serve what they have.',
  shapes: CLUSTER,
  async turn(stage) {
    const nginx = service(stage, 'nginx');
    const before = childrenOf(nginx.pid()).split(' ');
    for (let i = 0; i < (stage.short ? 3 : 20); i++) {
      nginx.signal('SIGHUP');
      await pause(300);
    }
    const workers = await until('new workers', () => {
      const now = childrenOf(nginx.pid()).split(' ');
      return now.some((pid) => !before.includes(pid)) ? now : undefined;
    });
    return `workers ${before} became ${workers}`;
  },
};

const nginxKill: Fault = {
  name: 'nginx-kill',
  expect: 'nginx dies with all its connections. Clients come back through the new one and sync.',
  shapes: CLUSTER,
  async turn(stage) {
    const nginx = service(stage, 'nginx');
    const before = stage.tally.disconnects();
    stage.note('kill -9 of nginx');
    await nginx.kill();
    await until('clients notice', () => stage.tally.disconnects() > before);
    await nginx.start();
    return `${stage.tally.disconnects() - before} connections lost`;
  },
};

export const services = [redisRestart, flush, gone, databaseRestart, nginxReload, nginxKill];
