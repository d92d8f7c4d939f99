import { expect, test } from 'vitest';
import { createReadLine, type ReadLine } from '../src/read-line.ts';
import { createTogether } from '../src/together.ts';

const SLOW_MS = 250;
const slow = <T>(answer: T) => new Promise<T>((resolve) => setTimeout(() => resolve(answer), SLOW_MS));
const together = async () => 'together';
const each = async () => 'each';

test('N15 where the question for many fails or is slow, each is asked by itself', async () => {
  const ask = createTogether();
  const lost = () => {
    throw new Error('not connected');
  };
  expect(await ask(lost, each)).toBe('each');
  expect(await ask(together, each)).toBe('together');
  expect(await ask(() => slow('late'), each)).toBe('late');
  expect(await ask(together, each)).toBe('each');
  expect(await ask(together, each)).toBe('each');
});

test('N15 a server that is slow whatever it is asked is asked little', async () => {
  const ask = createTogether();
  await ask(() => slow('late'), each);
  expect(await ask(together, () => slow('late as well'))).toBe('late as well');
  expect(await ask(together, each)).toBe('together');
});

test('N15 what this process was busy with is not the fault of the server', async () => {
  const ask = createTogether();
  const busy = async () => {
    for (const start = performance.now(); performance.now() - start < SLOW_MS; );
    return 'busy';
  };
  expect(await ask(busy, each)).toBe('busy');
  expect(await ask(together, each)).toBe('together');
});

test('N15 waiting for its turn is not the fault of the server, and who is turned away asks for none', async () => {
  const ask = createTogether();
  const late: ReadLine = async (read) => {
    await slow('my turn');
    return read();
  };
  expect(await ask(together, each, late)).toBe('together');
  expect(await ask(together, each)).toBe('together');
  const full = createReadLine({ atOnce: 1, patienceMs: -1, givenUpMs: 60_000 });
  const first = Promise.withResolvers<void>();
  const underWay = full(() => first.promise);
  const turnedAway = expect(ask(together, each, full)).rejects.toThrow('too much is asked');
  first.resolve();
  await Promise.all([underWay, turnedAway]);
});
