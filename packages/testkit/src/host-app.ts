import { createHmac, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Algorithm = 'RS256' | 'PS256' | 'ES256' | 'EdDSA';
const AUDIENCE = 'chat.example.org';

/** A key pair with which the application signs. */
export interface SigningKey {
  kid: string;
  alg: Algorithm;
  privateKey: KeyObject;
  publicKey: KeyObject;
}

function pairOf(alg: Algorithm): { publicKey: KeyObject; privateKey: KeyObject } {
  if (alg === 'ES256') return generateKeyPairSync('ec', { namedCurve: 'P-256' });
  if (alg === 'EdDSA') return generateKeyPairSync('ed25519');
  return generateKeyPairSync('rsa', { modulusLength: 2048 });
}

export function newSigningKey(alg: Algorithm = 'RS256'): SigningKey {
  return { kid: randomBytes(4).toString('hex'), alg, ...pairOf(alg) };
}

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

function signatureOf(text: string, { alg, privateKey }: SigningKey): string {
  // RSASSA-PSS (6), with a salt as long as the hash; ECDSA as JOSE writes it.
  const rsa = alg === 'PS256' ? { padding: 6, saltLength: 32 } : {};
  const key = { key: privateKey, ...rsa, dsaEncoding: 'ieee-p1363' as const };
  return sign(alg === 'EdDSA' ? null : 'sha256', Buffer.from(text), key).toString('base64url');
}

/** Made by hand, so that no library stands in the way of a token that nobody should make. */
export function signToken(key: SigningKey, claims: object, header: object = {}): string {
  const text = `${part({ alg: key.alg, typ: 'JWT', kid: key.kid, ...header })}.${part(claims)}`;
  return `${text}.${signatureOf(text, key)}`;
}

/** Signed with a secret that everybody knows. */
export function signTokenWithSecret(secret: string, claims: object, header: object = {}): string {
  const text = `${part({ alg: 'HS256', typ: 'JWT', ...header })}.${part(claims)}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

/** What no key has signed. */
export const unsignedToken = (claims: object, alg = 'none'): string => `${part({ alg, typ: 'JWT' })}.${part(claims)}.`;

/** An application that signs in its own users, and publishes the keys with which it does so. */
export interface HostApp extends AsyncDisposable {
  /** What a node needs to know of it. */
  environment: { JWKS_URL: string; JWT_ISSUER: string; JWT_AUDIENCE: string };
  issuer: string;
  /** What it publishes; the first one signs. May be changed. */
  keys: SigningKey[];
  /** How often it was asked for its keys. */
  asked: number;
  /** What it answers instead of its keys: an error, a body that is none, or nothing at all. */
  fault: 'error' | 'nonsense' | 'silence' | undefined;
  /** The claims of a token that is good for 15 minutes, with changes. */
  claims(sub: string, changes?: object): Record<string, unknown>;
  /** A token for one of its users. */
  token(sub: string, changes?: object): string;
  /** Takes its server away, and brings it back to the same address. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

/**
 * Starts one, as an HTTP server of this process.
 * @param now milliseconds since 1970: its clock
 */
export async function startHostApp(now: () => number = Date.now): Promise<HostApp> {
  const issuer = `https://${randomBytes(4).toString('hex')}.example.org/`;
  const seconds = () => Math.floor(now() / 1000);
  let server: Server | undefined;
  let port = 0;
  const app: HostApp = {
    environment: { JWKS_URL: '', JWT_ISSUER: issuer, JWT_AUDIENCE: AUDIENCE },
    issuer,
    keys: [newSigningKey()],
    asked: 0,
    fault: undefined,
    claims: (sub, changes) => {
      const iat = seconds();
      return { iss: issuer, aud: AUDIENCE, sub, iat, exp: iat + 900, ...changes };
    },
    token: (sub, changes) => signToken(app.keys[0] as SigningKey, app.claims(sub, changes)),
    async stop() {
      server?.closeAllConnections();
      server?.close();
      server = undefined;
    },
    async start() {
      server = createServer((_, res) => {
        app.asked += 1;
        if (app.fault === 'silence') return;
        if (app.fault === 'error') res.statusCode = 500;
        const keys = app.keys.map(({ kid, alg, publicKey }) => ({
          ...publicKey.export({ format: 'jwk' }),
          kid,
          alg,
          use: 'sig',
        }));
        res.setHeader('content-type', 'application/json');
        res.end(app.fault === 'nonsense' ? '{"keys": 7}' : JSON.stringify({ keys }));
      }).listen(port, '127.0.0.1');
      await once(server, 'listening');
      port = (server.address() as AddressInfo).port;
      app.environment.JWKS_URL = `http://127.0.0.1:${port}/jwks.json`;
    },
    [Symbol.asyncDispose]: () => app.stop(),
  };
  await app.start();
  return app;
}
