import { describe, expect, test } from 'vitest';
import { faults } from '../src/torture/faults/index.ts';
import { planRuns, type Wish } from '../src/torture/plan.ts';

const wish: Wish = { store: 'mongo', short: false, seed: 1, secs: 60, burst: 4, out: '/tmp' };
/** What each run is against, and its faults. */
const planned = (changes: Partial<Wish>) =>
  planRuns({ ...wish, ...changes }).map(({ shape, options }) => [shape, ...options.faults.map(({ name }) => name)]);

describe('the plan of fault runs', () => {
  test('T8 what no run can show is refused before it begins', () => {
    const refused: [changes: Partial<Wish>, why: string][] = [
      [{ fault: 'kill', people: 8, peers: 4 }, '--peers must be less than half of --people'],
      [{ fault: 'kill', people: 3, peers: 3 }, '--peers must be less than half of --people'],
      [{ fault: 'kill', people: 200, peers: 50 }, '--peers must be at most 49'],
      [{ fault: 'kill', people: 404 }, '--people at most 400'],
      [{ fault: 'mix,kill' }, 'mix is any'],
      [{ fault: 'kill,mix' }, 'mix is any'],
      [{ fault: 'db-restart', store: 'sqlite' }, 'db-restart breaks MongoDB'],
      [{ fault: 'disk-full,clock-skew' }, 'no run has all of disk-full, clock-skew'],
      [{ fault: 'disk-full,redis-gone' }, 'no run has all of disk-full, redis-gone'],
      [{ fault: 'kil' }, 'there is no fault kil;'],
    ];
    for (const [changes, why] of refused) expect(() => planned(changes), JSON.stringify(changes)).toThrow(why);
  });

  test('T8 a run is against what has all of its faults', () => {
    expect(planned({ fault: 'kill,clock-skew' })).toEqual([['clocks', 'kill', 'clock-skew']]);
    expect(planned({ fault: 'slow-consumer,disk-full' })).toEqual([['disk', 'slow-consumer', 'disk-full']]);
    expect(planned({ fault: 'kill,db-loud', people: 9, peers: 4 })).toEqual([['cluster', 'kill', 'db-loud']]);
  });

  test('T8 without a name every fault happens that the store knows, and a long one of the three pauses', () => {
    const names = (changes: Partial<Wish>) => planned({ short: true, ...changes }).flatMap(([, ...each]) => each);
    const all = [...faults.keys()].filter((name) => name !== 'stop-60');
    expect(names({}).sort()).toEqual(all.sort());
    expect(names({ store: 'sqlite' }).sort()).toEqual(all.filter((name) => !name.startsWith('db-')));
    expect(names({ fault: 'mix', store: 'sqlite' }).filter((name) => name.startsWith('db-'))).toEqual([]);
  });
});
