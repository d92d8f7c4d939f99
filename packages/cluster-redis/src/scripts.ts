import type { Redis } from 'ioredis';
import { COMMAND_TIMEOUT_MS } from './connections.ts';

/**
 * Each script is one step that no other node can come between. Time is Redis' own, so that nodes whose clocks differ
 * agree; tests pass theirs as ARGV[1].
 *
 * Keys, all below a prefix:
 *   nodes         sorted set: node -> end of its lease
 *   resigned      sorted set: node -> when it has ended its lease itself
 *   node:<node>   set of "user socket"
 *   user:<user>   hash: socket -> node; there while the user has a socket
 *   leaving       sorted set: user without a socket -> from when on the grace runs; there while it does
 *   went          sorted set: user -> when a socket of his went last; there for a while longer
 *   handed:<node> sorted set: user -> when a socket of his went last; there until the node has told of it
 *   limit:<key>   when the bucket will be full again
 */
const NOW = `
local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000 + time[2] / 1000
end
local prefix = ARGV[2]
`;

/** For how long it is known that somebody has gone: a node that was cut off tells of his end once more. */
const REMEMBERED_MS = 600_000;
/** A node counts from when it sent word of an end, Redis from when it came: they may differ by what a command may take. */
const SAME_MS = COMMAND_TIMEOUT_MS;

/** What is said of a user goes by when a socket of his went last, however late Redis has heard of that. */
const WENT = `
local function went(user)
  return tonumber(redis.call('ZSCORE', prefix .. 'went', user))
end
local function has_gone(user, grace)
  local at = went(user)
  return at and at <= now - grace
end
`;

/**
 * The end of sockets: of one, and of what a node has left; with a user's last one the grace begins. It runs from `from` on:
 * where Redis hears late that he went at `at`, others whom it was out of reach of have that long to say that he is with them.
 */
const ENDS = `${NOW}${WENT}
local function end_of(user, at, from)
  -- Not later than now: a clock that was set back must keep nobody here.
  local last = math.max(at, math.min(went(user) or at, now))
  redis.call('ZADD', prefix .. 'went', last, user)
  if redis.call('EXISTS', prefix .. 'user:' .. user) == 0 then
    redis.call('ZADD', prefix .. 'leaving', math.max(from, last), user)
  end
end
local function end_socket(user, socket, at, from)
  if redis.call('HDEL', prefix .. 'user:' .. user, socket) == 1 then end_of(user, at, from) end
end
local function take_apart(node, most, at)
  local members = redis.call('SPOP', prefix .. 'node:' .. node, most)
  for _, member in ipairs(members) do
    local user, socket = string.match(member, '^(%S+) (%S+)$')
    end_socket(user, socket, at, at)
  end
  return #members
end
`;

/**
 * ARGV: now, prefix, node, lease and grace in ms, then user and socket by turns.
 * @returns whether the lease was lost, the time, the sockets of the node with the most, then users who were offline
 */
const BEAT = `${NOW}${WENT}
local node = ARGV[3]
local lease = redis.call('ZSCORE', prefix .. 'nodes', node)
local lost = (not lease or tonumber(lease) <= now) and 1 or 0
redis.call('ZADD', prefix .. 'nodes', now + ARGV[4], node)
local answer = { lost, now, 0 }
for i = 6, #ARGV, 2 do
  local user, socket = ARGV[i], ARGV[i + 1]
  local is_leaving = redis.call('ZREM', prefix .. 'leaving', user) == 1 and not has_gone(user, ARGV[5])
  if redis.call('EXISTS', prefix .. 'user:' .. user) == 0 and not is_leaving then
    answer[#answer + 1] = user
  end
  redis.call('HSET', prefix .. 'user:' .. user, socket, node)
  redis.call('SADD', prefix .. 'node:' .. node, user .. ' ' .. socket)
end
for _, each in ipairs(redis.call('ZRANGE', prefix .. 'nodes', 0, -1)) do
  answer[3] = math.max(answer[3], redis.call('SCARD', prefix .. 'node:' .. each))
end
return answer`;

/** ARGV: now, prefix, node, then user, socket and how long ago it went, in ms, by turns. */
const DROP = `${ENDS}
for i = 4, #ARGV, 3 do
  local user, socket = ARGV[i], ARGV[i + 1]
  redis.call('SREM', prefix .. 'node:' .. ARGV[3], user .. ' ' .. socket)
  end_socket(user, socket, now - ARGV[i + 2], now)
end`;

/** Ends the sockets of a node, as many as it may. ARGV: now, prefix, node, the most to do at once. @returns how many */
const SHED = `${ENDS}
return take_apart(ARGV[3], ARGV[4], now)`;

/**
 * Tells of users whose end Redis may have forgotten; whose end it knows, from whichever node, does not leave once more.
 * ARGV: now, prefix, then user and how long ago he went, in ms, by turns
 */
const REMIND = `${ENDS}
for i = 3, #ARGV, 2 do
  local user, at = ARGV[i], now - ARGV[i + 1]
  if (went(user) or 0) < at - ${SAME_MS} then end_of(user, at, now) end
end`;

/** ARGV: now, prefix, grace in ms, users. @returns 1 for each who is online, else 0 */
const ONLINE = `${NOW}${WENT}
local answer = {}
for i = 4, #ARGV do
  answer[i - 3] = (redis.call('EXISTS', prefix .. 'user:' .. ARGV[i]) == 1
    or redis.call('ZSCORE', prefix .. 'leaving', ARGV[i]) and not has_gone(ARGV[i], ARGV[3])) and 1 or 0
end
return answer`;

/**
 * ARGV: now, prefix, grace in ms, the most to do at once, until when nodes whose lease has run out may be taken apart too,
 * the node that asks, 1 when the answer before may not have reached it, then users of whom it has told. A dead node's name goes
 * last, so that whoever goes on after a crash finds what is left. @returns user and time by turns
 */
const REAP = `${ENDS}
local handed = prefix .. 'handed:' .. ARGV[6]
for i = 8, #ARGV do redis.call('ZREM', handed, ARGV[i]) end
local function hand_back(from)
  local users = redis.call('ZRANGE', from, 0, -1, 'WITHSCORES')
  for i = 1, #users, 2 do
    redis.call('ZREM', from, users[i])
    if redis.call('EXISTS', prefix .. 'user:' .. users[i]) == 0 then
      redis.call('ZADD', prefix .. 'leaving', 'NX', users[i + 1], users[i])
    end
  end
end
if ARGV[7] == '1' then hand_back(handed) end
local ends = 'resigned'
local over = redis.call('ZRANGEBYSCORE', prefix .. ends, '-inf', now, 'LIMIT', 0, 4)
if #over == 0 and now < tonumber(ARGV[5]) then
  ends = 'nodes'
  over = redis.call('ZRANGEBYSCORE', prefix .. ends, '-inf', now, 'LIMIT', 0, 4)
end
for _, node in ipairs(over) do
  take_apart(node, ARGV[4], redis.call('ZSCORE', prefix .. ends, node))
  if redis.call('EXISTS', prefix .. 'node:' .. node) == 0 then
    hand_back(prefix .. 'handed:' .. node)
    redis.call('ZREM', prefix .. 'nodes', node)
    redis.call('ZREM', prefix .. 'resigned', node)
  end
end
local gone = redis.call('ZRANGEBYSCORE', prefix .. 'leaving', '-inf', now - ARGV[3], 'WITHSCORES', 'LIMIT', 0, ARGV[4])
for i = 1, #gone, 2 do
  redis.call('ZREM', prefix .. 'leaving', gone[i])
  gone[i + 1] = redis.call('ZSCORE', prefix .. 'went', gone[i]) or gone[i + 1]
  redis.call('ZADD', handed, gone[i + 1], gone[i])
end
local old = redis.call('ZRANGEBYSCORE', prefix .. 'went', '-inf', now - ${REMEMBERED_MS}, 'LIMIT', 0, ARGV[4])
for _, user in ipairs(old) do
  if not redis.call('ZSCORE', prefix .. 'leaving', user) then redis.call('ZREM', prefix .. 'went', user) end
end
return gone`;

/** Ends this node's lease now: the others reap what is left of it. ARGV: now, prefix, node */
const RESIGN = `${NOW}
if redis.call('ZSCORE', prefix .. 'nodes', ARGV[3]) then
  redis.call('ZADD', prefix .. 'nodes', now, ARGV[3])
  redis.call('ZADD', prefix .. 'resigned', now, ARGV[3])
end`;

/**
 * A token bucket by the generic cell rate algorithm, as core's memory limiter has it.
 * ARGV: now, prefix, key, limit, window in ms, cost. @returns ok, remaining, time to wait in ms
 */
const TAKE = `${NOW}
-- Counted from 2026 on: the smaller the numbers, the finer their fractions.
now = now - 1767225600000
local key = prefix .. 'limit:' .. ARGV[3]
local window, cost = tonumber(ARGV[5]), tonumber(ARGV[6])
local unit = window / ARGV[4]
local known = math.max(tonumber(redis.call('GET', key)) or now, now)
-- No further ahead than a whole window: a clock that was set back must lock nobody out.
local before = math.min(known, now + window)
if before < known then redis.call('SET', key, string.format('%.17g', before), 'PX', window) end
local after = before + unit * math.max(cost, 1)
local function left(at) return math.floor((now + window - at) / unit + 0.001) end
local wait = after - now - window
if wait > unit * 0.001 then return { 0, left(before), math.ceil(wait) } end
if cost > 0 then redis.call('SET', key, string.format('%.17g', after), 'PX', math.ceil(after - now)) end
return { 1, left(cost > 0 and after or before), 0 }`;

const scripts = {
  beat: BEAT,
  drop: DROP,
  shed: SHED,
  remind: REMIND,
  online: ONLINE,
  reap: REAP,
  resign: RESIGN,
  take: TAKE,
};
export type ScriptName = keyof typeof scripts;
export type Run = (name: ScriptName, ...args: (string | number)[]) => Promise<unknown>;

/**
 * Teaches a connection the scripts.
 * @param options.now time in milliseconds, for tests; Redis' own without it
 */
export function createScripts(redis: Redis, options: { prefix: string; now?: (() => number) | undefined }): Run {
  const nameOf = (name: ScriptName) => `duet_${name}`;
  for (const [name, lua] of Object.entries(scripts)) {
    redis.defineCommand(nameOf(name as ScriptName), { lua, numberOfKeys: 0 });
  }
  const commands = redis as unknown as Record<string, (...args: (string | number)[]) => Promise<unknown>>;
  return (name, ...args) =>
    (commands[nameOf(name)] as (typeof commands)[string])(options.now?.() ?? 0, options.prefix, ...args);
}
