import { type RouteName, routes, type ServerEvent, type ServerEventName, serverEvents } from '@duet/contract';
import { expect } from 'vitest';

/** The whole envelope of a success, checked against the contract's table. */
export function success(name: RouteName, answer: { status: number; body: unknown }) {
  const route = routes[name];
  expect(answer).toMatchObject({ status: route.status, body: { success: true, message: route.message } });
  // biome-ignore lint/suspicious/noExplicitAny: the schema has just proven the shape
  return route.data.parse((answer.body as { data: unknown }).data) as any;
}

/** A failure with this status and code. */
export function failure(answer: { status: number; body: unknown }, status: number, code: string) {
  expect(answer).toMatchObject({ status, body: { success: false, code, message: expect.any(String) } });
}

/** The value of a series, by its name and labels, as a node tells it now; NaN when there is none. */
export async function metric(url: string, series: string): Promise<number> {
  const lines = (await (await fetch(`${url}/metrics`)).text()).split('\n');
  return Number(lines.find((line) => line.startsWith(`${series} `))?.slice(series.length));
}

/** The payload of an event, checked against the contract's table. */
export const payload = <N extends ServerEventName>(name: N, value: unknown) =>
  serverEvents[name].payload.parse(value) as ServerEvent<N>;
