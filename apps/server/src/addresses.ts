import type { IncomingMessage } from 'node:http';
import { ipKeyGenerator } from 'express-rate-limit';

/** Addresses of IPv6 are counted by the network that a customer gets, not one by one. */
const IPV6_PREFIX = 56;

/** What limits count an address by. */
export const networkOf = (address: string | undefined): string => ipKeyGenerator(address ?? '', IPV6_PREFIX);

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
