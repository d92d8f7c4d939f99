import { type DestinationStream, type Logger, pino } from 'pino';

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
 * A JSON line for each event; lines for people when somebody looks at a terminal.
 * @param options.pretty format for people
 * @param options.destination where to, standard output by default
 */
export function createLog(options: { level: string; pretty: boolean; destination?: DestinationStream }): Log {
  const settings = { level: options.level, redact: redacted, base: null };
  if (options.destination) return pino(settings, options.destination);
  if (!options.pretty) return pino(settings);
  return pino({
    ...settings,
    transport: { target: 'pino-pretty', options: { ignore: 'pid,hostname', translateTime: 'HH:MM:ss' } },
  });
}
