import { describe, expect, test } from 'vitest';
import { createDoor } from '../src/socket/door.ts';

const endOfTurn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('the door', () => {
  test('C7 newcomers who come together enter in their order, a few in each turn', async () => {
    const { knock } = createDoor();
    const entered: number[] = [];
    for (let i = 0; i < 7; i++) knock(() => entered.push(i));
    expect(entered).toEqual([]);
    const perTurn: number[] = [];
    while (entered.length < 7) {
      const before = entered.length;
      await endOfTurn();
      perTurn.push(entered.length - before);
    }
    expect(entered).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(Math.max(...perTurn)).toBe(2);
    knock(() => entered.push(7));
    await endOfTurn();
    expect(entered).toHaveLength(8);
  });

  test('C7 newcomers wait while many are being looked up, and for no one who only knocks', async () => {
    const { knock, pass } = createDoor();
    const lookUps = Array.from({ length: 16 }, () => Promise.withResolvers<string>());
    const passed = lookUps.map(({ promise }) => pass(() => promise));
    let entered = 0;
    for (let i = 0; i < 5; i++) knock(() => (entered += 1));
    for (let turn = 0; turn < 10; turn++) await endOfTurn();
    expect(entered).toBe(0);
    lookUps[0]?.resolve('somebody');
    lookUps[1]?.reject(new Error('nobody'));
    expect(await passed[0]).toBe('somebody');
    await expect(passed[1]).rejects.toThrow('nobody');
    for (let turn = 0; turn < 10; turn++) await endOfTurn();
    expect(entered).toBe(5);
    for (const { resolve } of lookUps) resolve('somebody');
    await Promise.allSettled(passed);
  });
});
