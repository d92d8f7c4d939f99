import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { KeyRing } from '@duet/sealing';
import { z } from 'zod';
import type { HostConfig } from './auth/host-tokens.ts';
import { ISSUER } from './auth/tokens.ts';
import { keptFile } from './kept-file.ts';
import { readKeyRing } from './key-ring.ts';
import { originOf } from './origins.ts';

/** What `…_FILE` may name a file for. */
const SECRETS = ['JWT_SECRET', 'JWT_SECRET_PREVIOUS', 'MONGODB_URI', 'REDIS_URL'];
const SECRET_BYTES = 32;
/** bcrypt makes 2^10 rounds, OWASP's least: about 60 ms on a small core. */
export const PASSWORD_COST = 10;
/** The least that there is: tests make accounts by the thousand. */
const TEST_PASSWORD_COST = 4;
const CLUSTER_DRAIN_SECONDS = 10;
/** Words of which secrets in tutorials and sample files are made. */
const SAMPLE_WORD =
  /secret|jwt|change|replace|example|sample|default|password|placeholder|insecure|keyboard|development|test/i;
/** What is left of a good secret without the words around it, as in `jwt-3f9a…`: in characters. */
const LEAST_LEFT = 16;
/** Something short, over and over. */
const REPEATED = /^(.{1,12}?)\1{2,}/;

/** Whether a secret stands in a tutorial or a sample file, or is one in which nothing is secret. */
function isSample(secret: string): boolean {
  const [whole, part = ''] = REPEATED.exec(secret) ?? ['', ''];
  if (whole !== '' && part.startsWith(secret.slice(whole.length))) return true;
  // Words that stand by themselves; a random value in hex or base64 has none that is all letters and as long.
  const left = secret.replaceAll(/(?<![A-Za-z0-9])[A-Za-z]+(?![A-Za-z0-9])/g, '').replaceAll(/[^A-Za-z0-9]/g, '');
  return SAMPLE_WORD.test(secret) && left.length < LEAST_LEFT;
}

const flag = z.stringbool({ truthy: ['on', 'true', '1'], falsy: ['off', 'false', '0'], error: 'must be on or off' });
const oneOf = <W extends string>(...words: W[]) => z.enum(words, `must be one of ${words.join(', ')}`);
const count = (min: number, max: number) => {
  const error = `must be a whole number from ${min} to ${max}`;
  return z.coerce.number({ error }).int(error).min(min, error).max(max, error);
};
/** What counts in seconds and would come to none is good at no time. */
const isSpan = (text: string) => /^\d+\s?(ms|s|m|h|d|w|y)?$/.test(text) && secondsOf(text) >= 1;
const span = () => z.string().refine(isSpan, 'must be a time such as 7d, 12h or a number of seconds, 1 at least');
/** Not a URL: that of a replica set names several hosts. */
const MONGODB_ADDRESS = /^mongodb(\+srv)?:\/\/([^@/\s]+@)?[^@/?,\s]+(,[^@/?,\s]+)*(\/[^\s]*)?$/;
/** With the name of a database. */
const MONGODB_NAME = /^mongodb(\+srv)?:\/\/[^/]+\/[^/?]/;
/** The driver believes the address more than the store, which promises what is on the disks of a majority. */
const MONGODB_WEAKER = /[?&](readConcernLevel=(?!majority(&|$))|j(ournal)?=(?!true(&|$)))/i;

const origins = () =>
  z.string().transform((text, check) => {
    const items = text.split(',').map((item) => item.trim());
    const named = items.filter(Boolean).map(originOf);
    const good = named.filter((origin) => origin !== undefined);
    const message = 'must be * or origins such as https://app.example.org, separated by commas';
    if (good.length < named.length) check.addIssue({ code: 'custom', message });
    return good;
  });

/** Whoever could change keys on their way would be anybody: so never in the clear, but within the machine. */
function isSafe(address: string): boolean {
  const { protocol, hostname, username, password } = URL.parse(address) ?? {};
  if (username || password) return false;
  return protocol === 'https:' || (protocol === 'http:' && /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname ?? ''));
}

/** The address alone decides, a word before it. */
const isRedis = (env: { CLUSTER?: string | undefined; REDIS_URL?: string | undefined }): boolean =>
  env.CLUSTER === 'redis' || (env.CLUSTER === undefined && env.REDIS_URL !== undefined);

const isMongo = (env: { STORE?: string | undefined; MONGODB_URI?: string | undefined }): boolean =>
  env.STORE === 'mongo' || (env.STORE === undefined && env.MONGODB_URI !== undefined);

const Environment = z
  .object({
    NODE_ENV: oneOf('development', 'production', 'test').default('development'),
    PORT: count(0, 65_535).default(5000),
    MONGODB_URI: z
      .string()
      .regex(MONGODB_ADDRESS, { error: 'must be a mongodb:// address', abort: true })
      .refine((uri) => !MONGODB_WEAKER.test(uri), 'must not set readConcernLevel or journal: the store decides them')
      .optional(),
    MONGODB_URI_FILE: z.string().optional(),
    REDIS_URL_FILE: z.string().optional(),
    REDIS_URL: z.url({ protocol: /^rediss?$/, error: 'must be a redis:// address' }).optional(),
    STORE: oneOf('sqlite', 'mongo').optional(),
    CLUSTER: oneOf('local', 'redis').optional(),
    REDIS_PREFIX: z
      .string()
      .regex(/^[\w.-]{1,64}$/, 'must be letters, digits, dots and dashes')
      .default('duet'),
    WORKERS: count(1, 256).default(1),
    DATA_DIR: z.string().min(1).default('./data'),
    JWT_SECRET: z.string().optional(),
    JWT_SECRET_FILE: z.string().optional(),
    ENCRYPTION: z.union([z.literal('only'), flag], 'must be on, off or only').optional(),
    KEY_RING_FILE: z.string().optional(),
    KEY_RING_COMMAND: z.string().optional(),
    JWT_SECRET_PREVIOUS: z.string().optional(),
    JWT_SECRET_PREVIOUS_FILE: z.string().optional(),
    JWKS_URL: z.string().refine(isSafe, 'must be an https:// address; http:// is for this machine alone').optional(),
    JWT_ISSUER: z.string().optional(),
    JWT_AUDIENCE: z.string().optional(),
    JWT_NAME_CLAIM: z.string().optional(),
    JWT_EMAIL_CLAIM: z.string().default('email'),
    REGISTRATION: flag.default(true),
    JWT_EXPIRES_IN: span().default('7d'),
    REFRESH_EXPIRES_IN: span().default('30d'),
    CORS_ORIGIN: origins().optional(),
    RATE_LIMITS: flag.default(true),
    TRUST_PROXY: count(0, 10).default(0),
    MAX_CONNECTIONS_PER_USER: count(1, 1_000_000).default(20),
    MAX_CONNECTIONS_PER_ADDRESS: count(1, 1_000_000).default(1_000),
    PRESENCE_BROADCAST_BUDGET: count(0, 10_000_000).default(2_000),
    DRAIN_SECONDS: count(0, 300).optional(),
    LOG_LEVEL: oneOf('debug', 'info', 'warn', 'error', 'silent').default('info'),
  })
  .superRefine((env, check) => {
    const bad = (name: string, message: string) => check.addIssue({ code: 'custom', path: [name], message });
    if (env.STORE === 'mongo' && !env.MONGODB_URI) bad('MONGODB_URI', 'is required with STORE=mongo');
    if (env.CLUSTER === 'redis' && !env.REDIS_URL) bad('REDIS_URL', 'is required with CLUSTER=redis');
    if (isRedis(env) && env.WORKERS > 1)
      bad('WORKERS', 'are processes of one machine (CLUSTER=local); with Redis start more nodes instead');
    const ring = env.KEY_RING_FILE ?? env.KEY_RING_COMMAND;
    if (env.KEY_RING_FILE && env.KEY_RING_COMMAND) bad('KEY_RING_COMMAND', 'cannot be set beside KEY_RING_FILE');
    if (isMongo(env) && ring === undefined && seals(env))
      bad(
        'KEY_RING_FILE',
        'or KEY_RING_COMMAND is required to encrypt what MongoDB keeps; ENCRYPTION=off goes without',
      );
    for (const name of ['JWT_ISSUER', 'JWT_AUDIENCE'] as const)
      if (env.JWKS_URL && !env[name]) bad(name, 'is required with JWKS_URL: tokens of others would be good as well');
    if (!env.JWKS_URL && (env.JWT_ISSUER ?? env.JWT_AUDIENCE)) bad('JWKS_URL', 'is required with JWT_ISSUER');
    if (env.JWT_ISSUER === ISSUER) bad('JWT_ISSUER', 'must be another one than that of own tokens');
    if (env.NODE_ENV !== 'production') return;
    if (!env.JWT_SECRET) bad('JWT_SECRET', 'is required in production');
    for (const name of ['JWT_SECRET', 'JWT_SECRET_PREVIOUS'] as const) {
      const secret = env[name];
      if (!secret) continue;
      if (Buffer.byteLength(secret) < SECRET_BYTES) bad(name, `must have at least ${SECRET_BYTES} bytes`);
      else if (isSample(secret)) bad(name, 'must not be a sample value');
    }
  });

/** Whether messages are encrypted at rest. */
const seals = (env: { ENCRYPTION?: boolean | 'only' | undefined; NODE_ENV: string }): boolean =>
  Boolean(env.ENCRYPTION ?? env.NODE_ENV === 'production');

/** What a node is told from outside, checked and with defaults filled in. */
export interface Config {
  production: boolean;
  /** Of new passwords' hashes: bcrypt makes 2^cost rounds. */
  passwordCost: number;
  port: number;
  /** `isNamed`: the address says which database; else the driver takes `test`. */
  store: { kind: 'sqlite'; file: string } | { kind: 'mongo'; uri: string; isNamed?: boolean };
  cluster: { kind: 'local' } | { kind: 'redis'; url: string; prefix: string };
  workers: number;
  /** Whether messages are sealed at rest, whether any others are shown, and the keys for those that are. */
  encryption: { seals: boolean; sealedOnly: boolean; ring: KeyRing };
  jwtSecret: string;
  /** What has signed until it was replaced. */
  jwtSecretPrevious: string | undefined;
  /** Seconds. */
  jwtExpiresIn: number;
  /** Whose tokens open this deployment beside its own; undefined: nobody's. */
  host: HostConfig | undefined;
  /** Whether people make accounts by themselves. */
  registration: boolean;
  /** How long somebody who does nothing stays signed in, in seconds; not shorter than a token is good. */
  sessionExpiresIn: number;
  /** Origins of web pages that may call; `undefined` leaves it to NODE_ENV. */
  corsOrigins: string[] | undefined;
  rateLimits: boolean;
  /** How many proxies stand before the node. */
  trustProxy: number;
  /** Sockets of one user, and connections of one address, at a node. */
  maxConnections: { perUser: number; perAddress: number };
  presenceBudget: number;
  /** How long sockets are given to move to other nodes when this one stops. */
  drainMs: number;
  logLevel: 'debug' | 'info' | 'warn' | 'error' | 'silent';
}

/** Some variables are wrong; the message has a line for each. */
export class ConfigError extends Error {}

/**
 * Reads the environment: the only place that does.
 * @param options.makes whether a key ring and, in development, a secret are made beside the data where there are none yet
 * @throws ConfigError that names every bad variable at once, never its value
 */
export function readConfig(environment: Record<string, string | undefined>, { makes = true } = {}): Config {
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''));
  for (const name of SECRETS) {
    const file = given[`${name}_FILE`];
    // As from a file: what was mounted yesterday, and ends like a line, may be passed as a variable today.
    given[name] = given[name]?.trim() || (file && secretOf(`${name}_FILE`, file));
  }
  const result = Environment.safeParse(given);
  if (!result.success) {
    throw new ConfigError(result.error.issues.map(({ path, message }) => `${path.join('.')} ${message}`).join('\n'));
  }
  const env = result.data;
  const jwtExpiresIn = secondsOf(env.JWT_EXPIRES_IN);
  return {
    production: env.NODE_ENV === 'production',
    passwordCost: env.NODE_ENV === 'test' ? TEST_PASSWORD_COST : PASSWORD_COST,
    port: env.PORT,
    store:
      env.MONGODB_URI !== undefined && isMongo(env)
        ? { kind: 'mongo', uri: env.MONGODB_URI, isNamed: MONGODB_NAME.test(env.MONGODB_URI) }
        : { kind: 'sqlite', file: join(env.DATA_DIR, 'duet.db') },
    cluster:
      env.REDIS_URL !== undefined && isRedis(env)
        ? { kind: 'redis', url: env.REDIS_URL, prefix: env.REDIS_PREFIX }
        : { kind: 'local' },
    workers: env.WORKERS,
    encryption: { seals: seals(env), sealedOnly: env.ENCRYPTION === 'only', ring: keyRingOf(env, makes) },
    jwtSecret: env.JWT_SECRET ?? keptSecret(env.DATA_DIR, makes),
    jwtSecretPrevious: env.JWT_SECRET_PREVIOUS,
    jwtExpiresIn,
    host: hostOf(env),
    registration: env.REGISTRATION,
    sessionExpiresIn: Math.max(jwtExpiresIn, secondsOf(env.REFRESH_EXPIRES_IN)),
    corsOrigins: env.CORS_ORIGIN,
    rateLimits: env.RATE_LIMITS,
    trustProxy: env.TRUST_PROXY,
    maxConnections: { perUser: env.MAX_CONNECTIONS_PER_USER, perAddress: env.MAX_CONNECTIONS_PER_ADDRESS },
    presenceBudget: env.PRESENCE_BROADCAST_BUDGET,
    // Alone there is no other node to move to, so waiting would only delay the stop.
    drainMs: (env.DRAIN_SECONDS ?? (isRedis(env) ? CLUSTER_DRAIN_SECONDS : 0)) * 1000,
    logLevel: env.LOG_LEVEL,
  };
}

const UNITS: Record<string, number> = { ms: 0.001, s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800, y: 31_557_600 };

/** A span such as `12h`, or a number of seconds, as seconds. */
function secondsOf(text: string): number {
  const unit = /[a-z]+$/.exec(text)?.[0] ?? 's';
  return Math.floor(Number.parseInt(text, 10) * (UNITS[unit] as number));
}

/** A secret that was mounted as a file, so that it stands in no environment. */
function secretOf(name: string, file: string): string {
  try {
    const secret = readFileSync(file, 'utf8').trim();
    if (secret !== '') return secret;
  } catch (error) {
    throw new ConfigError(`${name} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  throw new ConfigError(`${name} is empty`);
}

function hostOf(env: z.infer<typeof Environment>): HostConfig | undefined {
  const { JWKS_URL, JWT_ISSUER: issuer, JWT_AUDIENCE: audience, JWT_NAME_CLAIM, JWT_EMAIL_CLAIM: emailClaim } = env;
  if (!JWKS_URL || !issuer || !audience) return undefined;
  const nameClaims = [...(JWT_NAME_CLAIM ? [JWT_NAME_CLAIM] : []), 'preferred_username', 'name'];
  return { jwksUrl: new URL(JWKS_URL), issuer, audience, nameClaims, emailClaim };
}

function keyRingOf(env: z.infer<typeof Environment>, makes: boolean): KeyRing {
  const dataDir = isMongo(env) ? undefined : env.DATA_DIR;
  try {
    const { KEY_RING_FILE: file, KEY_RING_COMMAND: command } = env;
    return readKeyRing({ file, command, dataDir, makes: makes && seals(env) });
  } catch (error) {
    throw new ConfigError((error as Error).message);
  }
}

/** The secret of a development machine: made once, kept beside the data, so that a restart signs nobody out. */
function keptSecret(folder: string, makes: boolean): string {
  const file = join(folder, 'jwt-secret');
  if (!makes && !existsSync(file)) return '';
  let secret: string;
  try {
    secret = keptFile(file, () => randomBytes(SECRET_BYTES).toString('hex'));
  } catch (error) {
    throw new ConfigError(`DATA_DIR cannot be written (${(error as NodeJS.ErrnoException).code})`);
  }
  if (secret.length >= SECRET_BYTES) return secret;
  throw new ConfigError(`DATA_DIR holds a damaged jwt-secret; delete ${file} and all sign in again`);
}
