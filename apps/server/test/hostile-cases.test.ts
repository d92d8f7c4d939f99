import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { accountCases } from './hostile-cases/accounts.ts';
import { messageCases, operationsWithIds, triedByStrangers } from './hostile-cases/messages.ts';
import { requestCases } from './hostile-cases/requests.ts';
import { socketCases } from './hostile-cases/sockets.ts';
import { type Case, type Stage, startStage } from './hostile-cases/stage.ts';

/** The hostile inputs that a node has to stand, by number. Those with `heldBy` have their tests under these promises. */
const cases: Case[] = [...accountCases, ...requestCases, ...messageCases, ...socketCases];

describe('the cases of hostile input', () => {
  let stage: Stage & AsyncDisposable;
  beforeAll(async () => {
    stage = await startStage();
  });
  afterAll(() => stage?.[Symbol.asyncDispose]());

  test('X9 the table has every case, each tried here or held by other tests', () => {
    expect(cases.map(({ n }) => n)).toEqual(Array.from({ length: 64 }, (_, i) => i + 1));
    for (const { n, run, heldBy } of cases)
      expect({ n, tried: (run === undefined) !== (heldBy === undefined) }).toEqual({ n, tried: true });
  });

  test('X10 every operation that names something of somebody is tried by a stranger', () => {
    expect(Object.keys(triedByStrangers).sort()).toEqual(operationsWithIds().sort());
  });

  const here = cases.flatMap(({ n, input, run }) => (run ? [{ n, input, run }] : []));
  test.each(here)('X9 case $n: $input', async ({ run }) => {
    await run(stage);
    await stage.unharmed();
  });

  test('X9 after all of them memory and descriptors are as before', async () => {
    await stage.flat();
  });
});
