import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { ipKeyGenerator } from 'express-rate-limit';

/** Addresses of IPv6 are counted by the network that a customer gets, not one by one. */
const IPV6_PREFIX = 56;

/** Some proxies write down the port as well, which is another one for each connection: with it nobody would be counted. */
const WITH_PORT = /^(?:(?<v4>\d+\.\d+\.\d+\.\d+):\d+|\[(?<v6>.*)\](?::\d+)?)$/;

/** What limits count an address by. What is none counts as one, whatever it says: it may be another one each time. */
export function networkOf(address = ''): string {
  const { v4, v6 } = WITH_PORT.exec(address)?.groups ?? {};
  const ip = v4 ?? v6 ?? address;
  return isIP(ip) === 0 ? 'no address' : ipKeyGenerator(ip, IPV6_PREFIX);
}

/**
 * Who sent a request, as Express has it for its own: of the addresses that it was forwarded for, only as many are
 * believed as there are proxies; each of those has added, or set, the last one.
 */
export function addressOf(req: IncomingMessage, proxies: number): string | undefined {
  const forwarded = String(req.headers['x-forwarded-for'] ?? '').split(',');
  const claimed = forwarded.map((address) => address.trim()).filter((address) => address !== '');
  const way = [...claimed, req.socket.remoteAddress];
  return way[Math.max(0, way.length - 1 - proxies)];
}
