import { createManualClock } from '@duet/testkit';
import { describe, expect, test } from 'vitest';
import { createDoor } from '../src/socket/door.ts';

const endOfTurn = () => new Promise<void>((resolve) => setImmediate(resolve));
/** An event loop that never rests, until something is so. */
async function busyUntil(isSo: () => boolean): Promise<void> {
  while (!isSo()) await endOfTurn();
}
/** … until whatever the door waits for now has been looked at: timers of one length fire in their order. */
async function busyForAWhile(): Promise<void> {
  let looked = false;
  setTimeout(() => setTimeout(() => (looked = true), 1), 1);
  await busyUntil(() => looked);
}

describe('the door', () => {
  test('C7 a node that has time to spare lets all in, in their order, a few in each turn', async () => {
    const { knock } = createDoor(createManualClock());
    const entered: number[] = [];
    let inThisTurn = 0;
    let most = 0;
    await new Promise<void>((resolve) => {
      for (let i = 0; i < 20; i++) {
        knock(() => {
          entered.push(i);
          inThisTurn += 1;
          most = Math.max(most, inThisTurn);
          setImmediate(() => (inThisTurn = 0));
          if (entered.length === 20) resolve();
          return true;
        });
      }
      expect(entered).toEqual([]);
    });
    expect(entered).toEqual(Array.from({ length: 20 }, (_, i) => i));
    expect(most).toBe(8);
  });

  test('C7 a busy node lets a few in, and as many again after a pause', async () => {
    const clock = createManualClock();
    const { knock } = createDoor(clock);
    let entered = 0;
    for (let i = 0; i < 100; i++) knock(() => ++entered > 0);
    for (const count of [8, 16, 24]) {
      await busyUntil(() => entered === count);
      await clock.advance(31);
      await busyForAWhile();
      expect(entered).toBe(count);
      await clock.advance(1);
    }
  });

  test('C7 a busy node that many wait for lets in as many as it takes for all to be in after twelve seconds', async () => {
    const clock = createManualClock();
    const { knock } = createDoor(clock);
    let entered = 0;
    for (let i = 0; i < 12_008; i++) knock(() => ++entered > 0);
    await busyUntil(() => entered === 8);
    // One for each millisecond that is left.
    await clock.advance(11);
    await busyUntil(() => entered === 19);
    await clock.advance(9);
    await busyUntil(() => entered === 28);
    await clock.advance(12_000);
    await busyUntil(() => entered === 12_008);
  });

  test('C7 who has gone while he waited is passed over', async () => {
    const { knock } = createDoor(createManualClock());
    const entered: string[] = [];
    const visit = (who: string, isHere: boolean) =>
      knock(() => {
        entered.push(who);
        return isHere;
      });
    for (let i = 0; i < 7; i++) visit('first', true);
    for (const who of ['gone', 'gone too', 'and he']) visit(who, false);
    visit('second', true);
    visit('third', true);
    await busyForAWhile();
    expect(entered.slice(6)).toEqual(['first', 'gone', 'gone too', 'and he', 'second']);
  });

  test('C7 newcomers wait while many are being looked up, and for no one who only knocks', async () => {
    const clock = createManualClock();
    const { knock, pass } = createDoor(clock);
    const lookUps = Array.from({ length: 16 }, () => Promise.withResolvers<string>());
    const passed = lookUps.map(({ promise }) => pass(() => promise));
    let entered = 0;
    for (let i = 0; i < 5; i++) knock(() => ++entered > 0);
    await clock.advance(12_000);
    await busyForAWhile();
    expect(entered).toBe(0);
    lookUps[0]?.resolve('somebody');
    lookUps[1]?.reject(new Error('nobody'));
    expect(await passed[0]).toBe('somebody');
    await expect(passed[1]).rejects.toThrow('nobody');
    await busyUntil(() => entered === 5);
    for (const { resolve } of lookUps) resolve('somebody');
    await Promise.allSettled(passed);
  });
});
