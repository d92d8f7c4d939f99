/** What a deployment is planned for. */
export interface Demand {
  users: number;
  /** Messages a second, at the peak of the day. */
  rate: number;
}

/** What the plan rests on: each can be set by a flag of its name. */
export const assumptions = {
  online: { value: 0.1, what: 'of the users are connected at the peak', known: 'assumed' },
  perDay: { value: 20, what: 'messages of a user a day; gives the rate where none is named', known: 'assumed' },
  peak: { value: 3, what: 'times the mean rate of the day is its peak', known: 'assumed' },
  connects: { value: 2, what: 'times an hour a connected user comes and goes', known: 'assumed' },
  full: { value: 0.5, what: 'of a core, or of a Redis, may be used at the peak', known: 'assumed' },
  nodeSockets: { value: 10_000, what: 'connections that a node is given', known: 'measured' },
  socketKib: { value: 22, what: 'KiB of memory for a connection', known: 'measured' },
  nodeMib: { value: 150, what: 'MiB of memory for a node without connections', known: 'measured' },
  aloneMicros: {
    value: 33.4,
    what: 'µs of CPU for a message on one node with SQLite, encryption at rest in it',
    known: 'measured',
  },
  messageMicros: {
    value: 114,
    what: 'µs of CPU for a message on all nodes of a cluster: 104 measured on four, and 10 for encryption',
    known: 'computed',
  },
  redisMicros: { value: 4.2, what: 'µs of Redis for a message', known: 'measured' },
  comeMicros: { value: 18.2, what: 'µs of Redis for coming, going and being asked for once', known: 'measured' },
  redisBytes: { value: 303, what: 'bytes of Redis for a connection', known: 'measured' },
  messageBytes: { value: 361, what: 'bytes of SQLite for a message of 74 characters', known: 'measured' },
  documentBytes: {
    value: 550,
    what: 'bytes of MongoDB for it: 367 of document, halved on disk, and three index entries',
    known: 'computed',
  },
  replicas: { value: 3, what: 'members of a MongoDB replica set', known: 'assumed' },
  shardRate: { value: 5_000, what: 'messages a second that a MongoDB shard takes', known: 'assumed' },
  shardTib: { value: 4, what: 'TiB that a MongoDB shard holds, on each member', known: 'assumed' },
  years: { value: 3, what: 'years of messages that are kept', known: 'assumed' },
  nginxSockets: {
    value: 32_768,
    what: 'connections of an nginx with 4 workers: each holds 16,384, two for a socket',
    known: 'computed',
  },
  ports: {
    value: 28_232,
    what: 'connections from one nginx to one node: the ports that Linux gives',
    known: 'computed',
  },
} as const;
export type AssumptionName = keyof typeof assumptions;
/** Shares of a whole: no more of it can be meant. */
const SHARES: readonly AssumptionName[] = ['online', 'full'];
/** The largest value that an assumption may have, where there is one. */
export const mostOf = (name: AssumptionName): number | undefined => (SHARES.includes(name) ? 1 : undefined);
export type Assumptions = Record<AssumptionName, number>;

export const defaults = Object.fromEntries(
  Object.entries(assumptions).map(([name, { value }]) => [name, value]),
) as Assumptions;

const DAY_SECONDS = 86_400;
const TIB = 1024 ** 4;
const MICROS = 1e6;

/** The rate that so many users make. */
export const rateOf = (users: number, given: Assumptions): number => (users * given.perDay * given.peak) / DAY_SECONDS;

/** Messages of a year at such a peak. */
const yearOf = (rate: number, given: Assumptions): number => (rate / given.peak) * DAY_SECONDS * 365;

/** What a deployment can have too little of, and what to turn then. */
export const resources = {
  sockets: { what: 'sockets of a node', knob: 'more nodes' },
  cpu: { what: 'CPU of a node', knob: 'more nodes' },
  nginx: { what: 'connections of nginx', knob: 'more nginx, by DNS or a TCP balancer' },
  ports: { what: 'ports', knob: 'more nodes, or net.ipv4.ip_local_port_range' },
  redis: { what: 'Redis', knob: 'a Redis for each cell of the deployment' },
  writes: { what: 'writes of MongoDB', knob: 'more shards, by conversation' },
  disk: { what: 'disk of MongoDB', knob: 'more shards, by conversation' },
  users: { what: 'the collection of users', knob: 'memory of that primary' },
} as const;
export type Resource = keyof typeof resources;

/** How many units of a resource a demand takes; above 1 a single one is not enough. */
export interface Pressure {
  resource: Resource;
  units: number;
}

export interface Plan extends Demand {
  sockets: number;
  shape: 'one node, SQLite' | 'nodes, Redis, MongoDB';
  nodes: number;
  nodeMib: number;
  redis: number;
  redisMib: number;
  shards: number;
  /** On one member, for a year. */
  diskTib: number;
  nginx: number;
  /** Connections from one nginx to one node. */
  portsUsed: number;
  /** What it has, the most pressed first. */
  pressures: Pressure[];
}

const upTo = (units: number): number => Math.max(1, Math.ceil(units));

/** Demand over what one unit of each resource bears. */
function unitsOf({ users, rate }: Demand, sockets: number, given: Assumptions): Record<Resource, number> {
  const comings = (sockets * given.connects) / 3_600;
  const yearBytes = yearOf(rate, given) * given.documentBytes;
  const redisCores = (rate * given.redisMicros + comings * given.comeMicros) / MICROS;
  return {
    sockets: sockets / given.nodeSockets,
    cpu: (rate * given.messageMicros) / MICROS / given.full,
    nginx: sockets / given.nginxSockets,
    // Each node has ports of its own for each nginx.
    ports: sockets / upTo(sockets / given.nginxSockets) / given.ports,
    redis: redisCores / given.full,
    writes: rate / given.shardRate,
    disk: (yearBytes * given.years) / TIB / given.shardTib,
    users: (users * 1_000) / (64 * 1024 ** 3),
  };
}

/** What a demand needs. One more than what bears the load, wherever the end of one must not be felt. */
export function plan(demand: Demand, given: Assumptions = defaults): Plan {
  const { users, rate } = demand;
  const sockets = Math.ceil(users * given.online);
  const units = unitsOf(demand, sockets, given);
  const aloneUnits = { sockets: units.sockets, cpu: (rate * given.aloneMicros) / MICROS / given.full };
  const alone = aloneUnits.sockets <= 1 && aloneUnits.cpu <= 1;
  const pressures = (Object.entries(alone ? aloneUnits : units) as [Resource, number][])
    .map(([resource, each]) => ({ resource, units: each }))
    .toSorted((a, b) => b.units - a.units);
  const year = yearOf(rate, given);
  const nodes = upTo(Math.max(units.sockets, units.cpu, units.ports)) + 1;
  const nginx = upTo(units.nginx) + 1;
  const shards = upTo(Math.max(units.writes, units.disk));
  const socketsOf = (count: number) => Math.ceil(sockets / count);
  const shared = { ...demand, sockets, pressures };
  const memory = (held: number) => Math.ceil(given.nodeMib + (held * given.socketKib) / 1024);
  if (alone) {
    const diskTib = (year * given.messageBytes) / TIB;
    const none = { redis: 0, redisMib: 0, shards: 0, nginx: 0, portsUsed: 0 };
    return { ...shared, ...none, shape: 'one node, SQLite', nodes: 1, nodeMib: memory(sockets), diskTib };
  }
  return {
    ...shared,
    shape: 'nodes, Redis, MongoDB',
    nodes,
    // When one of them is gone, the others hold its sockets.
    nodeMib: memory(socketsOf(nodes - 1)),
    redis: upTo(units.redis),
    redisMib: Math.ceil((sockets * given.redisBytes) / 1024 ** 2 / upTo(units.redis)),
    shards,
    diskTib: (year * given.documentBytes) / TIB / shards,
    nginx,
    portsUsed: Math.ceil(socketsOf(nginx - 1) / (nodes - 1)),
  };
}

const number = (value: number, digits = 0): string =>
  value.toLocaleString('en', { maximumFractionDigits: digits, minimumFractionDigits: 0 });
const disk = (tib: number): string => (tib < 1 ? `${number(tib * 1024, 1)} GiB` : `${number(tib, 1)} TiB`);
const rateText = (rate: number): string => number(rate, rate < 10 ? 1 : 0);

/** The plan for people: figure, value, and how it is come by. */
export function lines(of: Plan, given: Assumptions): [string, string, string][] {
  const [first] = of.pressures as [Pressure];
  const { what, knob } = resources[first.resource];
  const cluster: [string, string, string][] = [
    ['nginx', number(of.nginx), `one more than bear ${number(of.sockets)} connections`],
    ['ports', `${number(of.portsUsed)} of ${number(given.ports)}`, 'from one nginx to one node'],
    ['Redis', number(of.redis), `${number(of.redisMib)} MiB for presence in each`],
    ['MongoDB shards', number(of.shards), `of ${given.replicas} members each`],
    ['disk a year', disk(of.diskTib), 'on each member'],
  ];
  return [
    ['users', number(of.users), `${number(of.sockets)} connected`],
    ['messages a second', rateText(of.rate), `${number((of.rate / given.peak) * DAY_SECONDS)} a day`],
    ['shape', of.shape, ''],
    ['nodes', number(of.nodes), of.nodes > 1 ? 'of one core, one more than bear the load' : 'of one core'],
    ['memory of a node', `${number(of.nodeMib)} MiB`, 'with all connections it may have to hold'],
    ...(of.nodes > 1 ? cluster : ([['disk a year', disk(of.diskTib), '']] as [string, string, string][])),
    ['what breaks first', what, `${number(first.units, 2)} of one unit; then ${knob}`],
  ];
}

const STEPS = [1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/** How many units of each resource a plan has that bear load: of nodes and nginx, one may be gone. */
function provided({ nodes, nginx, redis, shards }: Plan): Record<Resource, number> {
  const bearing = { nodes: Math.max(1, nodes - 1), nginx: Math.max(1, nginx - 1), shards: Math.max(1, shards) };
  return {
    sockets: bearing.nodes,
    cpu: bearing.nodes,
    nginx: bearing.nginx,
    ports: bearing.nodes,
    redis: Math.max(1, redis),
    writes: bearing.shards,
    disk: bearing.shards,
    users: 1,
  };
}

/** What of the plan before does not bear this demand, the most pressed first. */
function broken(before: Plan | undefined, { pressures }: Plan): string[] {
  if (!before) return [];
  const has = provided(before);
  const times = ({ resource, units }: Pressure) => units / has[resource];
  return pressures
    .filter((pressure) => times(pressure) > 1)
    .toSorted((a, b) => times(b) - times(a))
    .map(({ resource }) => resources[resource].what);
}

const HEAD = [
  ...['users', 'connected', 'messages/s', 'nodes', 'memory of each', 'Redis', 'MongoDB shards'],
  ...['disk a year, each member', 'nginx', 'what breaks on the way here, first first'],
];
const line = (cells: string[]): string => `| ${cells.join(' | ')} |`;
const table = (rows: string[][]): string =>
  rows.flatMap((row, i) => (i === 0 ? [line(row), line(row.map(() => '---'))] : line(row))).join('\n');

/** The worked table of the page, in Markdown: a row for each step from a thousand users to a hundred million. */
export function workedTable(given: Assumptions = defaults): string {
  let before: Plan | undefined;
  const rows = STEPS.map((users) => {
    const of = plan({ users, rate: rateOf(users, given) }, given);
    const breaks = broken(before, of);
    before = of;
    const several = of.nodes > 1;
    return [
      ...[number(users), number(of.sockets), rateText(of.rate), number(of.nodes), `${number(of.nodeMib)} MiB`],
      ...(several ? [number(of.redis), number(of.shards)] : ['none', 'SQLite']),
      ...[disk(of.diskTib), several ? number(of.nginx) : 'none', breaks.join(', ') || 'nothing'],
    ];
  });
  return table([HEAD, ...rows]);
}

/** The table of assumptions of the page, in Markdown. */
export function assumptionTable(): string {
  const rows = Object.entries(assumptions).map(([name, { value, what, known }]) => [
    `\`--${name}\``,
    number(value, 2),
    what,
    known,
  ]);
  return table([['flag', 'value', 'what', 'known'], ...rows]);
}
