import { describe, expect, it } from 'vitest';
import type { OwnShard } from '../../src/engine/fleet-ports.ts';
import { handOverLimitMs } from '../../src/room/shard.ts';
import { registrationOf, takeFreeShards } from '../support/fleet.ts';
import { claimBy, decide, type Harness, LONG_LEASE_MS, SHARDS, SHORT_LEASE_MS, World } from './world.ts';

/** @param harness a new one for every test: ownership concerns a whole database */
export function describeOwnership(harness: () => Harness): void {
  describe('ownership', () => {
    it('knows how many shards there are', async () => {
      expect(await harness().stores.ownership.shardCount()).toBe(SHARDS);
    });

    it('registers a worker once, and says what time it is', async () => {
      const { ownership } = harness().stores;
      const { databaseTimeMs, generation } = await ownership.register(registrationOf('a', LONG_LEASE_MS));

      expect(Number.isFinite(databaseTimeMs)).toBe(true);
      expect(generation).toBe(1);
      await expect(ownership.register(registrationOf('a', LONG_LEASE_MS))).rejects.toThrow();
      const renewed = await ownership.renew('a', LONG_LEASE_MS);
      expect(renewed?.news.databaseTimeMs).toBeGreaterThanOrEqual(databaseTimeMs);
    });

    it('renews no lease that has ended, although nobody has fenced its worker', async () => {
      const { stores, endLease } = harness();
      await stores.ownership.register(registrationOf('late', SHORT_LEASE_MS));
      await endLease('late');

      expect(await stores.ownership.renew('late', SHORT_LEASE_MS)).toBeNull();
      expect(await stores.ownership.expiredWorkers()).toMatchObject([{ worker: 'late' }]);
    });

    it('fences nobody whose lease is alive', async () => {
      const { ownership } = harness().stores;
      await ownership.register(registrationOf('alive', LONG_LEASE_MS));

      expect(await ownership.fence('alive')).toBe(false);
      expect(await ownership.renew('alive', LONG_LEASE_MS)).not.toBeNull();
      expect(await ownership.expiredWorkers()).toEqual([]);
    });

    it('gives away shards that nobody has, and says what a worker owns however often it asks', async () => {
      const { ownership } = harness().stores;
      await ownership.register(registrationOf('a', LONG_LEASE_MS));
      await ownership.register(registrationOf('b', LONG_LEASE_MS));

      const all = Array.from({ length: SHARDS }, (_, shard) => shard);
      expect(await takeFreeShards(ownership, 'a')).toEqual(all);
      expect(await takeFreeShards(ownership, 'a')).toEqual(all);
      expect(await takeFreeShards(ownership, 'b')).toEqual([]);
    });

    it('hands a dead worker to another: expired, fenced, taken over', async () => {
      const { stores, endLease } = harness();
      const { ownership } = stores;
      await ownership.register(registrationOf('dead', SHORT_LEASE_MS));
      await takeFreeShards(ownership, 'dead');
      await ownership.register(registrationOf('heir', LONG_LEASE_MS));
      await endLease('dead');

      expect(await ownership.expiredWorkers()).toMatchObject([{ worker: 'dead' }]);
      expect(await takeFreeShards(ownership, 'heir')).toEqual([]);
      expect(await ownership.fence('dead')).toBe(true);
      expect(await ownership.fence('dead')).toBe(true);
      expect(await takeFreeShards(ownership, 'dead')).toEqual([]);
      expect(await takeFreeShards(ownership, 'heir')).toHaveLength(SHARDS);
      expect(await ownership.expiredWorkers()).toEqual([]);
      expect(await ownership.renew('dead', SHORT_LEASE_MS)).toBeNull();
    });

    it('lets a worker go gracefully: fenced, and its shards free', async () => {
      const { ownership } = harness().stores;
      await ownership.register(registrationOf('leaver', LONG_LEASE_MS));
      await ownership.register(registrationOf('heir', LONG_LEASE_MS));
      await takeFreeShards(ownership, 'leaver');
      await ownership.release('leaver');

      expect(await ownership.renew('leaver', LONG_LEASE_MS)).toBeNull();
      expect(await takeFreeShards(ownership, 'leaver')).toEqual([]);
      expect(await takeFreeShards(ownership, 'heir')).toHaveLength(SHARDS);
      expect(await ownership.fence('leaver')).toBe(true);
    });

    it('raises a generation by one, each time', async () => {
      const { ownership } = harness().stores;
      await ownership.register(registrationOf('a', LONG_LEASE_MS));
      await ownership.register(registrationOf('b', LONG_LEASE_MS));

      expect(await ownership.raiseGeneration('a')).toBe(2);
      expect(await ownership.raiseGeneration('a')).toBe(3);
      expect(await ownership.raiseGeneration('b')).toBe(2);
    });

    it('does not do things for workers that never registered', async () => {
      const { ownership } = harness().stores;
      await expect(ownership.fence('ghost')).rejects.toThrow(/ghost/);
      await expect(ownership.raiseGeneration('ghost')).rejects.toThrow(/ghost/);
      await ownership.release('ghost');
      expect((await ownership.view()).members).toEqual([]);
    });

    it('stale claim: a dead worker claims nothing in a room that its heir has not yet touched', async () => {
      const { stores, endLease } = harness();
      const world = new World(stores);
      const dead = await world.worker('dead', SHORT_LEASE_MS);
      const write = decide(await world.roomWith(1), claimBy(dead));
      await endLease('dead');
      await stores.ownership.fence('dead');

      expect(await world.write(write, dead)).toEqual({ kind: 'fenced' });
      expect((await world.stored()).row).toMatchObject({ version: 0, phase: 'idle' });
    });

    it('late taker: two workers that take at once share out what there is', async () => {
      const { ownership } = harness().stores;
      await ownership.register(registrationOf('a', LONG_LEASE_MS));
      await ownership.register(registrationOf('b', LONG_LEASE_MS));
      await Promise.all([takeFreeShards(ownership, 'a'), takeFreeShards(ownership, 'b')]);

      // Whatever both left to each other is taken by now; nothing is owned twice.
      const owned = [...(await takeFreeShards(ownership, 'a')), ...(await takeFreeShards(ownership, 'b'))];
      expect(owned).toHaveLength(SHARDS);
      expect(new Set(owned).size).toBe(SHARDS);
    });
  });

  describe('a fleet', () => {
    const everyShard = Array.from({ length: SHARDS }, (_, shard) => shard);

    /** @param mortal whose lease is short */
    async function holderAndHeir(stores: Harness['stores'], mortal?: 'holder' | 'heir'): Promise<void> {
      const leaseOf = (worker: string): number => (worker === mortal ? SHORT_LEASE_MS : LONG_LEASE_MS);
      await stores.ownership.register(registrationOf('holder', leaseOf('holder')));
      await takeFreeShards(stores.ownership, 'holder');
      await stores.ownership.register(registrationOf('heir', leaseOf('heir')));
    }

    /** Plans that the heir is to have these shards of the holder. */
    async function promise({ ownership }: Harness['stores'], shards: readonly number[]) {
      const { membership } = await ownership.view();
      const moves = shards.map((shard) => ({ shard, from: 'holder', to: 'heir' }));
      expect(await ownership.applyPlan(membership, moves)).toBe(true);
    }

    const numbers = (own: readonly { readonly shard: number }[]): number[] => own.map(({ shard }) => shard);

    it('is seen as it is: members with what they do and weigh, and every shard', async () => {
      const { stores, endLease } = harness();
      const { ownership } = stores;
      await ownership.register(registrationOf('a', LONG_LEASE_MS, { name: 'node-a', weight: 2.5, roles: ['worker'] }));
      await ownership.register(registrationOf('b', SHORT_LEASE_MS, { roles: ['api', 'webhook'] }));
      await ownership.register(registrationOf('gone', LONG_LEASE_MS));
      await ownership.release('gone');
      await endLease('b');
      const { members, shards, pins } = await ownership.view();

      expect(members).toMatchObject([
        { worker: 'a', name: 'node-a', weight: 2.5, roles: ['worker'], draining: false },
        { worker: 'b', name: 'b', weight: 1, roles: ['api', 'webhook'], draining: false },
      ]);
      expect(members[0]?.leaseLeftMs).toBeGreaterThan(0);
      expect(members[1]?.leaseLeftMs).toBeLessThanOrEqual(0);
      expect(shards).toEqual(everyShard.map(() => ({ owner: null, heir: null, epoch: 0 })));
      expect([...pins]).toEqual([]);
    });

    it('tells whoever renews or glances what has changed, and whose lease ends first', async () => {
      const { stores, endLease } = harness();
      const { ownership } = stores;
      await ownership.register(registrationOf('a', LONG_LEASE_MS));
      const alone = await ownership.glance('a');
      expect(alone).toMatchObject({ others: 0, nextLeaseEndMs: null, longestLeaseMs: null });
      await ownership.register(registrationOf('b', SHORT_LEASE_MS));
      const renewed = await ownership.renew('a', LONG_LEASE_MS);
      expect(renewed?.news).toMatchObject({ others: 1, longestLeaseMs: SHORT_LEASE_MS });
      await ownership.register(registrationOf('c', LONG_LEASE_MS));
      await ownership.register(registrationOf('d', SHORT_LEASE_MS));
      expect((await ownership.glance('a')).longestLeaseMs).toBe(LONG_LEASE_MS);
      for (const worker of ['c', 'd']) await ownership.release(worker);
      expect((await ownership.glance('a')).longestLeaseMs).toBe(SHORT_LEASE_MS);
      expect(renewed?.news.membership).toBeGreaterThan(alone.membership);
      expect(renewed?.news.planned).toBeLessThan(renewed?.news.membership ?? 0);
      await endLease('b');
      expect((await ownership.glance('a')).nextLeaseEndMs).toBeLessThanOrEqual(0);
      await ownership.fence('b');
      expect(await ownership.glance('a')).toMatchObject({ others: 0, nextLeaseEndMs: null });
    });

    it('is planned by one at a time, and once for each membership', async () => {
      const { ownership } = harness().stores;
      await ownership.register(registrationOf('a', LONG_LEASE_MS));
      await ownership.register(registrationOf('b', LONG_LEASE_MS));
      const view = await ownership.beginPlan('a');
      expect(view?.members).toHaveLength(2);
      expect(await ownership.beginPlan('b')).toBeNull();
      expect(await ownership.applyPlan(view?.membership ?? 0, [])).toBe(true);
      expect(await ownership.beginPlan('b')).toBeNull();
      expect((await ownership.glance('b')).planned).toBe(view?.membership);
      await ownership.drain('a');
      expect((await ownership.beginPlan('b'))?.members).toMatchObject([{ draining: true }, { draining: false }]);
    });

    it('late plan: one that was made for another membership changes nothing', async () => {
      const { ownership } = harness().stores;
      await ownership.register(registrationOf('a', LONG_LEASE_MS));
      const view = await ownership.beginPlan('a');
      await ownership.register(registrationOf('b', LONG_LEASE_MS));
      const moves = everyShard.map((shard) => ({ shard, from: null, to: 'a' }));

      expect(await ownership.applyPlan(view?.membership ?? 0, moves)).toBe(false);
      expect(await ownership.ownShards('a')).toEqual([]);
    });

    it('a plan leaves a shard alone that has another owner by now, and counts as not made', async () => {
      const { stores } = harness();
      const { ownership } = stores;
      await holderAndHeir(stores);
      await ownership.register(registrationOf('gone', LONG_LEASE_MS));
      await ownership.release('gone');
      const { membership } = await ownership.view();
      const moves = [
        { shard: 0, from: 'heir', to: 'holder' },
        { shard: 1, from: null, to: 'heir' },
        { shard: 2, from: 'holder', to: 'heir' },
      ];

      expect(await ownership.applyPlan(membership, moves)).toBe(false);
      expect((await ownership.glance('holder')).planned).toBeLessThan(membership);
      const { shards } = await ownership.view();
      expect(shards.slice(0, 3)).toMatchObject([
        { owner: 'holder', heir: null },
        { owner: 'holder', heir: null },
        { owner: 'holder', heir: 'heir' },
      ]);
    });

    it('hands a shard over when its owner says so, and not before', async () => {
      const { stores } = harness();
      const { ownership } = stores;
      await holderAndHeir(stores);
      await promise(stores, [1, 3]);
      expect(await ownership.ownShards('heir')).toEqual([]);
      const owned = await ownership.ownShards('holder');
      expect(owned.filter(({ heir }) => heir === 'heir').map(({ shard }) => shard)).toEqual([1, 3]);

      const given = await ownership.handOver(
        'holder',
        owned.filter(({ shard }) => shard === 3),
      );
      expect(given).toEqual([3]);
      expect(await ownership.ownShards('heir')).toMatchObject([{ shard: 3, heir: null }]);
      expect(numbers(await ownership.ownShards('holder'))).toEqual(everyShard.filter((shard) => shard !== 3));
      // A call whose answer was lost is made again.
      expect(
        await ownership.handOver(
          'holder',
          owned.filter(({ shard }) => shard === 3),
        ),
      ).toEqual([]);
    });

    it('late hand-over: one that was meant for an earlier promise gives nothing away', async () => {
      const { stores } = harness();
      const { ownership } = stores;
      await holderAndHeir(stores);
      await promise(stores, [2]);
      const before = (await ownership.ownShards('holder')).filter(({ shard }) => shard === 2);
      const { membership } = await ownership.view();
      expect(await ownership.applyPlan(membership, [{ shard: 2, from: 'holder', to: null }])).toBe(true);
      expect((await ownership.view()).shards[2]).toMatchObject({ owner: 'holder', heir: null });
      await promise(stores, [2]);

      expect(await ownership.handOver('holder', before)).toEqual([]);
      expect((await ownership.view()).shards[2]).toMatchObject({ owner: 'holder', heir: 'heir' });
    });

    it('gives no shard to an heir that has died: its owner keeps it', async () => {
      const { stores, endLease } = harness();
      const { ownership } = stores;
      await holderAndHeir(stores, 'heir');
      await promise(stores, [0]);
      await endLease('heir');
      const owned = await ownership.ownShards('holder');

      expect(await ownership.handOver('holder', owned.slice(0, 1))).toEqual([]);
      expect((await ownership.ownShards('holder'))[0]).toMatchObject({ shard: 0, heir: null });
    });

    it('gives no shard to an heir that has gone, although its lease would go on', async () => {
      const { stores, operators, stepClock } = harness();
      const { ownership } = stores;
      const movedAt = async () => (await operators.fleet.look()).shards[0]?.movedAt;
      await holderAndHeir(stores);
      const takenAt = await movedAt();
      await stepClock(1_000);
      await promise(stores, [0]);
      await ownership.release('heir');
      const owned = await ownership.ownShards('holder');

      expect(await ownership.handOver('holder', owned.slice(0, 1))).toEqual([]);
      expect((await ownership.ownShards('holder'))[0]).toMatchObject({ shard: 0, heir: null });
      expect(await movedAt()).toBe(takenAt);
    });

    it('hands over neither what is another’s nor what nobody is to have', async () => {
      const { stores } = harness();
      const { ownership } = stores;
      await holderAndHeir(stores);
      await promise(stores, [0]);
      const { shards } = await ownership.view();
      const [promised, kept] = (await ownership.ownShards('holder')).slice(0, 2) as [OwnShard, OwnShard];

      expect(await ownership.handOver('heir', [promised])).toEqual([]);
      expect(await ownership.handOver('holder', [kept])).toEqual([]);
      expect((await ownership.view()).shards).toEqual(shards);
    });

    it('gives the owner no more time for another heir, and others none for the renewals of theirs', async () => {
      const { stores, operators, stepClock } = harness();
      const { ownership } = stores;
      await holderAndHeir(stores);
      await promise(stores, [0]);
      const left = async () => (await operators.fleet.look()).shards[0]?.heirLeftMs ?? 0;
      await stepClock(LONG_LEASE_MS / 2);
      await ownership.register(registrationOf('third', LONG_LEASE_MS));
      const { membership } = await ownership.view();
      expect(await ownership.applyPlan(membership, [{ shard: 0, from: 'holder', to: 'third' }])).toBe(true);
      await ownership.renew('third', SHORT_LEASE_MS);

      expect((await ownership.view()).shards[0]).toMatchObject({ owner: 'holder', heir: 'third' });
      expect(await left()).toBeLessThanOrEqual(handOverLimitMs(LONG_LEASE_MS) - LONG_LEASE_MS / 2);
      expect(await left()).toBeGreaterThan(LONG_LEASE_MS / 2);
    });

    it('renews nobody who keeps a shard from a living heir for longer than a hand-over may take', async () => {
      const { stores, stepClock } = harness();
      const { ownership } = stores;
      await holderAndHeir(stores, 'holder');
      await promise(stores, [0]);
      for (let passed = 0; passed < SHORT_LEASE_MS; passed += SHORT_LEASE_MS / 2) {
        await stepClock(SHORT_LEASE_MS / 2);
        expect(await ownership.renew('holder', SHORT_LEASE_MS)).not.toBeNull();
      }
      await stepClock(handOverLimitMs(SHORT_LEASE_MS) - SHORT_LEASE_MS);

      expect(await ownership.renew('holder', SHORT_LEASE_MS)).toBeNull();
      expect(await ownership.renew('heir', LONG_LEASE_MS)).not.toBeNull();
    });

    it('gives a hand-over no more time than that where the clock was set back meanwhile, and no less', async () => {
      const { stores, stepClock } = harness();
      const { ownership } = stores;
      await holderAndHeir(stores, 'holder');
      await promise(stores, [0]);
      await stepClock(-LONG_LEASE_MS);
      expect(await ownership.renew('holder', SHORT_LEASE_MS)).not.toBeNull();
      for (let passed = 0; passed < SHORT_LEASE_MS; passed += SHORT_LEASE_MS / 2) {
        await stepClock(SHORT_LEASE_MS / 2);
        expect(await ownership.renew('holder', SHORT_LEASE_MS)).not.toBeNull();
      }
      await stepClock(handOverLimitMs(SHORT_LEASE_MS) - SHORT_LEASE_MS);

      expect(await ownership.renew('holder', SHORT_LEASE_MS)).toBeNull();
    });

    it('goes on renewing who keeps a shard from an heir that is dead', async () => {
      const { stores, stepClock } = harness();
      const { ownership } = stores;
      await holderAndHeir(stores, 'heir');
      await promise(stores, [0]);
      for (let passed = 0; passed < handOverLimitMs(LONG_LEASE_MS); passed += LONG_LEASE_MS / 2) {
        await stepClock(LONG_LEASE_MS / 2);
        expect(await ownership.renew('holder', LONG_LEASE_MS)).not.toBeNull();
      }
    });

    it('goes on renewing who keeps a shard from an heir that has gone, although its lease would go on', async () => {
      const { stores, stepClock } = harness();
      const { ownership } = stores;
      await holderAndHeir(stores, 'holder');
      await promise(stores, [0]);
      await ownership.release('heir');
      for (let passed = 0; passed < handOverLimitMs(SHORT_LEASE_MS); passed += SHORT_LEASE_MS / 2) {
        await stepClock(SHORT_LEASE_MS / 2);
        expect(await ownership.renew('holder', SHORT_LEASE_MS)).not.toBeNull();
      }
    });

    it('a plan gives the shards of a fenced worker away at once, promised ones too', async () => {
      const { stores, endLease } = harness();
      const { ownership } = stores;
      await holderAndHeir(stores, 'holder');
      await promise(stores, [0]);
      await endLease('holder');
      await ownership.fence('holder');
      expect(await ownership.ownShards('holder')).toEqual([]);
      const owned = await takeFreeShards(ownership, 'heir');

      expect(owned).toEqual(everyShard);
      expect((await ownership.view()).shards[0]).toMatchObject({ owner: 'heir', heir: null });
    });

    it('knows a lease for ended of which more than its life is left: the clock was set back since', async () => {
      const { stores, stepClock } = harness();
      const { ownership } = stores;
      for (const worker of ['silent', 'renewed', 'watcher'])
        await ownership.register(registrationOf(worker, SHORT_LEASE_MS));
      await takeFreeShards(ownership, 'silent');
      await stepClock(-3_600_000);
      await ownership.renew('renewed', SHORT_LEASE_MS);
      const { news } = (await ownership.renew('watcher', SHORT_LEASE_MS)) ?? {};

      expect(news?.nextLeaseEndMs).toBe(0);
      expect((await ownership.glance('watcher')).nextLeaseEndMs).toBe(0);
      const [ended, ...others] = await ownership.expiredWorkers();
      expect([ended?.worker, others]).toEqual(['silent', []]);
      expect(ended?.leaseLeftMs).toBeGreaterThan(3_600_000);
      expect(await ownership.fence('renewed')).toBe(false);
      expect(await ownership.fence('silent')).toBe(true);
      expect(await takeFreeShards(ownership, 'watcher')).toEqual(everyShard);
    });

    it('lets somebody else plan where the clock was set back while the planner was at it', async () => {
      const { stores, stepClock } = harness();
      const { ownership } = stores;
      await ownership.register(registrationOf('a', LONG_LEASE_MS));
      await ownership.register(registrationOf('b', LONG_LEASE_MS));
      await ownership.beginPlan('a');
      expect(await ownership.beginPlan('b')).toBeNull();
      await stepClock(-3_600_000);
      expect(await ownership.beginPlan('b')).not.toBeNull();
    });

    it('says how many others hear other signals, where both sides say what they hear', async () => {
      const { ownership } = harness().stores;
      const hears = { one: 'x', same: 'x', other: 'y', silent: null, gone: 'z' };
      for (const [worker, word] of Object.entries(hears)) {
        await ownership.register(registrationOf(worker, LONG_LEASE_MS, { hears: word }));
      }
      await ownership.release('gone');
      expect(await ownership.glance('one')).toMatchObject({ others: 3, unheard: 1 });
      expect((await ownership.renew('other', LONG_LEASE_MS))?.news).toMatchObject({ others: 3, unheard: 2 });
      expect((await ownership.glance('silent')).unheard).toBe(0);
    });

    it('drains only who is there', async () => {
      const { ownership } = harness().stores;
      await ownership.register(registrationOf('a', LONG_LEASE_MS));
      expect(await ownership.drain('a')).toBe(true);
      expect(await ownership.drain('ghost')).toBe(false);
      await ownership.release('a');
      expect(await ownership.drain('a')).toBe(false);
    });
  });
}
