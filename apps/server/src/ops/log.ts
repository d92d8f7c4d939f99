import { type DestinationStream, type Logger, pino, stdSerializers } from 'pino';

export type Log = Logger;

/** Never in a log: credentials, and what people write to each other. */
const SECRET_KEYS = [
  'authorization',
  'cookie',
  'password',
  'passwordHash',
  'token',
  'refreshToken',
  'jwtSecret',
  'content',
];
const redacted = SECRET_KEYS.flatMap((key) => [key, `*.${key}`, `*.*.${key}`, `*.*.*.${key}`]);

/**
 * What an error says, with its causes. What drivers hang on theirs may be anything: the command that failed, which may be the
 * one that signs in, or the document that was written.
 */
function saidBy(thrown: unknown): unknown {
  if (!(thrown instanceof Error)) return thrown;
  const { type, message, stack, code } = stdSerializers.err(thrown);
  const errors = thrown instanceof AggregateError ? thrown.errors.map(String) : undefined;
  return { type, message, stack, code, errors };
}

/**
 * A JSON line for each event; lines for people when somebody looks at a terminal.
 * @param options.pretty format for people
 * @param options.destination where to, standard output by default
 */
export function createLog(options: { level: string; pretty: boolean; destination?: DestinationStream }): Log {
  const settings = { level: options.level, redact: redacted, serializers: { err: saidBy }, base: null };
  if (options.destination) return pino(settings, options.destination);
  if (!options.pretty) return pino(settings);
  return pino({
    ...settings,
    transport: { target: 'pino-pretty', options: { ignore: 'pid,hostname', translateTime: 'HH:MM:ss' } },
  });
}
