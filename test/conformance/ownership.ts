import { describe, expect, it } from 'vitest';
import { claimBy, decide, type Harness, LONG_LEASE_MS, SHARDS, SHORT_LEASE_MS, World } from './world.ts';

/** @param harness a new one for every test: ownership concerns a whole database */
export function describeOwnership(harness: () => Harness): void {
  describe('ownership', () => {
    it('knows how many shards there are', async () => {
      expect(await harness().stores.ownership.shardCount()).toBe(SHARDS);
    });

    it('registers a worker once, and says what time it is', async () => {
      const { ownership } = harness().stores;
      const { databaseTimeMs, generation } = await ownership.register('a', LONG_LEASE_MS);

      expect(Number.isFinite(databaseTimeMs)).toBe(true);
      expect(generation).toBe(1);
      await expect(ownership.register('a', LONG_LEASE_MS)).rejects.toThrow();
      const renewed = await ownership.renew('a', LONG_LEASE_MS);
      expect(renewed?.databaseTimeMs).toBeGreaterThanOrEqual(databaseTimeMs);
    });

    it('renews no lease that has ended, although nobody has fenced its worker', async () => {
      const { stores, endLease } = harness();
      await stores.ownership.register('late', SHORT_LEASE_MS);
      await endLease('late');

      expect(await stores.ownership.renew('late', SHORT_LEASE_MS)).toBeNull();
      expect(await stores.ownership.expiredWorkers()).toEqual(['late']);
    });

    it('fences nobody whose lease is alive', async () => {
      const { ownership } = harness().stores;
      await ownership.register('alive', LONG_LEASE_MS);

      expect(await ownership.fence('alive')).toBe(false);
      expect(await ownership.renew('alive', LONG_LEASE_MS)).not.toBeNull();
      expect(await ownership.expiredWorkers()).toEqual([]);
    });

    it('gives away shards that nobody has, and says what a worker owns however often it asks', async () => {
      const { ownership } = harness().stores;
      await ownership.register('a', LONG_LEASE_MS);
      await ownership.register('b', LONG_LEASE_MS);

      const all = Array.from({ length: SHARDS }, (_, shard) => shard);
      expect(await ownership.takeShards('a')).toEqual(all);
      expect(await ownership.takeShards('a')).toEqual(all);
      expect(await ownership.takeShards('b')).toEqual([]);
    });

    it('hands a dead worker to another: expired, fenced, taken over', async () => {
      const { stores, endLease } = harness();
      const { ownership } = stores;
      await ownership.register('dead', SHORT_LEASE_MS);
      await ownership.takeShards('dead');
      await ownership.register('heir', LONG_LEASE_MS);
      await endLease('dead');

      expect(await ownership.expiredWorkers()).toEqual(['dead']);
      expect(await ownership.takeShards('heir')).toEqual([]);
      expect(await ownership.fence('dead')).toBe(true);
      expect(await ownership.fence('dead')).toBe(true);
      // Its shards are still to be taken.
      expect(await ownership.expiredWorkers()).toEqual(['dead']);
      expect(await ownership.takeShards('dead')).toEqual([]);
      expect(await ownership.takeShards('heir')).toHaveLength(SHARDS);
      expect(await ownership.expiredWorkers()).toEqual([]);
      expect(await ownership.renew('dead', SHORT_LEASE_MS)).toBeNull();
    });

    it('lets a worker go gracefully: fenced, and its shards free', async () => {
      const { ownership } = harness().stores;
      await ownership.register('leaver', LONG_LEASE_MS);
      await ownership.register('heir', LONG_LEASE_MS);
      await ownership.takeShards('leaver');
      await ownership.release('leaver');

      expect(await ownership.renew('leaver', LONG_LEASE_MS)).toBeNull();
      expect(await ownership.takeShards('leaver')).toEqual([]);
      expect(await ownership.takeShards('heir')).toHaveLength(SHARDS);
      expect(await ownership.fence('leaver')).toBe(true);
    });

    it('raises a generation by one, each time', async () => {
      const { ownership } = harness().stores;
      await ownership.register('a', LONG_LEASE_MS);
      await ownership.register('b', LONG_LEASE_MS);

      expect(await ownership.raiseGeneration('a')).toBe(2);
      expect(await ownership.raiseGeneration('a')).toBe(3);
      expect(await ownership.raiseGeneration('b')).toBe(2);
    });

    it('does not do things for workers that never registered', async () => {
      const { ownership } = harness().stores;
      await expect(ownership.fence('ghost')).rejects.toThrow(/ghost/);
      await expect(ownership.raiseGeneration('ghost')).rejects.toThrow(/ghost/);
      await expect(ownership.release('ghost')).rejects.toThrow(/ghost/);
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
      await ownership.register('a', LONG_LEASE_MS);
      await ownership.register('b', LONG_LEASE_MS);
      await Promise.all([ownership.takeShards('a'), ownership.takeShards('b')]);

      // Whatever both left to each other is taken by now; nothing is owned twice.
      const owned = [...(await ownership.takeShards('a')), ...(await ownership.takeShards('b'))];
      expect(owned).toHaveLength(SHARDS);
      expect(new Set(owned).size).toBe(SHARDS);
    });
  });
}
