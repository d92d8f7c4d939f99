import { type Cluster, PRESENCE_GRACE_MS } from '@duet/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

/** Nodes of one cluster whose time can be moved. */
export interface ClusterUnderTest {
  nodes: [Cluster, Cluster];
  /** Moves the time that presence and limits live in. */
  advance(ms: number): Promise<void> | void;
  /** Sets the clock of the nodes by so much, either way; no time passes. */
  jump(ms: number): void;
  /** As kill -9: the node says nothing any more. Resolves when its death can be noticed. */
  kill(node: 0 | 1): Promise<void> | void;
  close(): Promise<void>;
}

/** The contract of the Cluster port (`ports.ts`): every cluster package calls this in a test file of its own. */
export function clusterSuite(name: string, start: () => Promise<ClusterUnderTest>): void {
  describe(`cluster: ${name}`, () => {
    let under: ClusterUnderTest;
    const presence = (i: 0 | 1) => under.nodes[i].presence;
    const limiter = (i: 0 | 1) => under.nodes[i].limiter;
    beforeEach(async () => {
      under = await start();
    });
    afterEach(() => under.close());

    const reapAll = async () =>
      (await Promise.all([presence(0).reap([]), presence(1).reap([])])).flat().map(({ user }) => user);
    const isOnline = async (user: string) =>
      (await Promise.all([0, 1].map((i) => presence(i as 0 | 1).online([user])))).map((set) => set.has(user));

    /** Whose end the second node finds when the first one has died. */
    async function foundBySurvivor(): Promise<string[]> {
      const found: string[] = [];
      for (let waited = 0; waited < 30_000; waited += 5_000) {
        await presence(1).beat([]);
        found.push(...(await presence(1).reap([])).map(({ user }) => user));
        await under.advance(5_000);
      }
      return found;
    }

    describe('presence', () => {
      test('[Q1] the first socket tells, further ones on any node and repeats do not', async () => {
        expect(await presence(0).beat([{ user: 'u', socket: 's1' }])).toEqual(['u']);
        expect(await presence(0).beat([{ user: 'u', socket: 's1' }])).toEqual([]);
        expect(
          await presence(1).beat([
            { user: 'u', socket: 's2' },
            { user: 'v', socket: 's3' },
          ]),
        ).toEqual(['v']);
        expect(await isOnline('u')).toEqual([true, true]);
        expect(await presence(1).online(['u', 'v', 'w'])).toEqual(new Set(['u', 'v']));
      });

      test('[Q2] with the last socket the grace begins; online until it ends, then reaped once in the cluster', async () => {
        await presence(0).beat([{ user: 'u', socket: 's1' }]);
        await presence(1).beat([{ user: 'u', socket: 's2' }]);
        await presence(0).drop('u', 's1');
        await under.advance(PRESENCE_GRACE_MS + 1);
        await presence(1).beat([]);
        expect(await reapAll()).toEqual([]);
        await presence(1).drop('u', 's2');
        await under.advance(PRESENCE_GRACE_MS - 1);
        expect(await reapAll()).toEqual([]);
        expect(await isOnline('u')).toEqual([true, true]);
        await under.advance(2);
        expect(await reapAll()).toEqual(['u']);
        expect(await isOnline('u')).toEqual([false, false]);
        expect(await reapAll()).toEqual([]);
      });

      test('[Q3] whoever is back within the grace was never away', async () => {
        await presence(0).beat([{ user: 'u', socket: 's1' }]);
        await presence(0).drop('u', 's1');
        await under.advance(PRESENCE_GRACE_MS - 1);
        expect(await presence(1).beat([{ user: 'u', socket: 's2' }])).toEqual([]);
        await under.advance(PRESENCE_GRACE_MS);
        await presence(1).beat([]);
        expect(await reapAll()).toEqual([]);
      });

      test('[Q4] what was never there cannot be dropped', async () => {
        await presence(0).beat([{ user: 'u', socket: 's1' }]);
        await presence(0).drop('u', 'other');
        await presence(0).drop('nobody', 's1');
        await under.advance(PRESENCE_GRACE_MS + 1);
        await presence(0).beat([]);
        expect(await reapAll()).toEqual([]);
        expect(await isOnline('u')).toEqual([true, true]);
      });

      test('[Q5] users of a dead node are found, those with a socket elsewhere stay online', async () => {
        await presence(0).beat([
          { user: 'u', socket: 's1' },
          { user: 'v', socket: 's2' },
        ]);
        await presence(1).beat([{ user: 'v', socket: 's3' }]);
        await under.kill(0);
        const found = await foundBySurvivor();
        expect(found).toEqual(['u']);
        expect(await presence(1).online(['u', 'v'])).toEqual(new Set(['v']));
      });
    });

    describe('presence, when a node dies that has to tell of an end', () => {
      test('[Q8] another one is given those of whom it has not told', async () => {
        await presence(0).beat(['u', 'v', 'w'].map((user) => ({ user, socket: user })));
        for (const user of ['u', 'v', 'w']) await presence(0).drop(user, user);
        await under.advance(PRESENCE_GRACE_MS + 1);
        await presence(0).beat([]);
        await presence(1).beat([]);
        expect((await presence(0).reap([])).map(({ user }) => user).sort()).toEqual(['u', 'v', 'w']);
        expect(await presence(0).reap(['u'])).toEqual([]);
        expect(await presence(1).reap([])).toEqual([]);
        expect(await presence(1).beat([{ user: 'w', socket: 'again' }])).toEqual(['w']);
        await under.kill(0);
        const found = await foundBySurvivor();
        expect(found).toEqual(['v']);
        expect(await presence(1).online(['u', 'v', 'w'])).toEqual(new Set(['w']));
      });
    });

    test('[P11] what the node with the most sockets holds is known to all', async () => {
      const mostAfterBeats = async () => {
        for (const i of [0, 1, 0] as const) await presence(i).beat([]);
        return Promise.all([presence(0).mostSockets(), presence(1).mostSockets()]);
      };
      const connections = ['s1', 's2', 's3'].map((socket) => ({ user: 'u', socket }));
      await presence(0).beat(connections);
      await presence(0).beat(connections.slice(1));
      await presence(1).beat([{ user: 'v', socket: 's4' }]);
      expect(await mostAfterBeats()).toEqual([3, 3]);
      await presence(0).drop('u', 's1');
      await presence(0).drop('u', 's1');
      expect(await mostAfterBeats()).toEqual([2, 2]);
      await under.kill(0);
      expect(await foundBySurvivor()).toEqual(['u']);
      expect(await presence(1).mostSockets()).toBe(1);
    });

    describe('limits', () => {
      const rule = { limit: 3, windowMs: 3_000 };

      test('[L1] as many at once as the limit, counted over all nodes, then refused with the time to wait', async () => {
        expect(await limiter(0).take('k', rule)).toEqual({ ok: true, remaining: 2, retryAfterMs: 0 });
        expect(await limiter(1).take('k', rule)).toEqual({ ok: true, remaining: 1, retryAfterMs: 0 });
        expect(await limiter(0).take('k', rule)).toEqual({ ok: true, remaining: 0, retryAfterMs: 0 });
        const refused = await limiter(1).take('k', rule);
        expect(refused).toMatchObject({ ok: false, remaining: 0 });
        await under.advance(refused.retryAfterMs);
        expect(await limiter(1).take('k', rule)).toMatchObject({ ok: true });
      });

      test('[L2] a refusal costs nothing, and the bucket refills evenly', async () => {
        for (let i = 0; i < 10; i++) await limiter(0).take('k', rule);
        await under.advance(2_000);
        expect(
          [await limiter(0).take('k', rule), await limiter(1).take('k', rule), await limiter(0).take('k', rule)].map(
            ({ ok }) => ok,
          ),
        ).toEqual([true, true, false]);
      });

      test('[L3] cost 0 asks without taking; keys do not touch each other', async () => {
        for (let i = 0; i < 5; i++)
          expect(await limiter(0).take('k', rule, 0)).toMatchObject({ ok: true, remaining: 3 });
        for (let i = 0; i < 3; i++) await limiter(0).take('k', rule);
        expect(await limiter(1).take('k', rule, 0)).toMatchObject({ ok: false });
        expect(await limiter(1).take('other', rule)).toMatchObject({ ok: true, remaining: 2 });
      });

      test.each([7, 120, 300, 600])('[L4] exactly %i, whatever the fractions', async (limit) => {
        // So long that nothing comes back meanwhile, however slow the machine is.
        const odd = { limit, windowMs: 10_000_000 };
        let taken = 0;
        while ((await limiter(0).take('odd', odd)).ok) taken += 1;
        expect(taken).toBe(limit);
      });
    });

    test('[Q7] a clock that is set back or forward neither ends a grace nor keeps it, and buckets fill as ever', async () => {
      const rule = { limit: 1, windowMs: 1_000 };
      for (const [user, hours] of [
        ['u', 1],
        ['v', -2],
      ] as const) {
        await presence(0).beat([{ user, socket: user }]);
        await presence(0).drop(user, user);
        await limiter(0).take(user, rule);
        under.jump(hours * 3_600_000);
        expect(await reapAll()).toEqual([]);
        expect(await limiter(0).take(user, rule)).toMatchObject({ ok: false });
        await under.advance(PRESENCE_GRACE_MS + 1);
        expect(await reapAll()).toEqual([user]);
        expect(await limiter(0).take(user, rule)).toMatchObject({ ok: true });
      }
    });

    test('[Q6] ready and fence resolve', async () => {
      await expect(Promise.all(under.nodes.flatMap((node) => [node.ready(), node.fence()]))).resolves.toHaveLength(4);
    });
  });
}
