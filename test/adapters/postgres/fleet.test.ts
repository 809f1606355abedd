/** Ownership where only a real server shows it: old rows, many rows, and who judges before whom. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { STATEMENTS } from '../../../src/adapters/postgres/statements.ts';
import { eventually } from '../../support/events.ts';
import { registrationOf, takeFreeShards } from '../../support/fleet.ts';
import { postgresServers } from '../../support/postgres.ts';
import { Database } from './database.ts';

const LEASE_MS = 60_000;

describe.each(postgresServers())('$name: a fleet', (server) => {
  let database: Database;
  beforeEach(async () => {
    database = await Database.create(server);
  });
  afterEach(() => database.close());

  it('comes back to a database that nobody has used for months', async () => {
    const { ownership } = database.stores().stores;
    await ownership.register(registrationOf('long-gone', 1));
    await takeFreeShards(ownership, 'long-gone');
    await database.query(`UPDATE workers SET lease_until = lease_until - interval '100 days'`);

    await ownership.register(registrationOf('heir', LEASE_MS));
    const news = await ownership.glance('heir');
    expect(news.nextLeaseEndMs).toBeLessThan(-99 * 86_400_000);
    expect((await ownership.renew('heir', LEASE_MS))?.news.nextLeaseEndMs).toBeLessThan(-99 * 86_400_000);
    expect((await ownership.view()).members.map(({ leaseLeftMs }) => leaseLeftMs > 0)).toEqual([true, false]);
    expect(await ownership.fence('long-gone')).toBe(true);
    expect(await takeFreeShards(ownership, 'heir')).toHaveLength(await ownership.shardCount());
  });

  it('lets no renewal through that judged the lease before it ended and is stored after the fence', async () => {
    const { ownership } = database.stores().stores;
    await database.query(`
      CREATE FUNCTION held_up() RETURNS boolean LANGUAGE plpgsql AS $$
      BEGIN
        PERFORM pg_advisory_xact_lock(1);
        RETURN true;
      END $$`);
    const held = STATEMENTS.renewWorker.text.replace('AND NOT EXISTS', 'AND held_up() AND NOT EXISTS');
    const gate = await database.session();
    await gate.query('SELECT pg_advisory_lock(1)');
    const late = await database.session();
    await late.query(`SET application_name = 'late renewal'; SET enable_seqscan = off`);

    await ownership.register(registrationOf('late', 5_000));
    const renewing = late.query(held, ['late', LEASE_MS]);
    await database.waits('late renewal');
    await eventually('the lease ends', () => ownership.fence('late'));
    await gate.query('SELECT pg_advisory_unlock(1)');
    expect((await renewing).rows).toEqual([]);
  });

  describe('that is planned for', () => {
    const WAITING = 'roomline fences';
    const move = { shard: 3, from: 'holder', to: 'heir' };

    async function planned() {
      const { ownership } = database.stores().stores;
      await ownership.register(registrationOf('holder', LEASE_MS));
      await ownership.register(registrationOf('heir', LEASE_MS));
      await takeFreeShards(ownership, 'holder');
      return { ownership, membership: (await ownership.view()).membership };
    }

    it('late plan: one that waited for a worker to join changes nothing', async () => {
      const { ownership, membership } = await planned();
      const joiner = await database.session();
      await joiner.query(`BEGIN; INSERT INTO workers (worker, lease_until) VALUES ('late', clock_timestamp())`);
      const planning = ownership.applyPlan(membership, [move]);
      await database.waits(WAITING);
      await joiner.query('COMMIT');
      expect(await planning).toBe(false);
      expect((await ownership.view()).shards[3]).toMatchObject({ owner: 'holder', heir: null });
    });

    it('late plan: one that waited for a hand-over leaves that shard to its new owner', async () => {
      const { ownership, membership } = await planned();
      const owner = await database.session();
      await owner.query(`BEGIN; UPDATE shards SET owner = 'heir', epoch = epoch + 1 WHERE shard = 3`);
      const planning = ownership.applyPlan(membership, [move]);
      await database.waits(WAITING);
      await owner.query('COMMIT');
      expect(await planning).toBe(false);
      expect((await ownership.view()).shards[3]).toMatchObject({ owner: 'heir', heir: null });
    });
  });

  describe('of more shards than fit into one statement', () => {
    const SHARDS = 10_000;
    const all = Array.from({ length: SHARDS }, (_, shard) => shard);

    beforeEach(() => database.query('INSERT INTO shards (shard) SELECT generate_series(4096, $1 - 1)', [SHARDS]));

    it('is given them all by one plan', async () => {
      const { ownership } = database.stores().stores;
      await ownership.register(registrationOf('a', LEASE_MS));
      const view = await ownership.beginPlan('a');
      const moves = all.map((shard) => ({ shard, from: null, to: 'a' }));
      expect(await ownership.applyPlan(view?.membership ?? 0, moves)).toBe(true);
      expect(await ownership.ownShards('a')).toHaveLength(SHARDS);
      expect(await ownership.glance('a')).toMatchObject({ planned: view?.membership });
    });

    it.each([0, SHARDS - 1])('has to plan again where shard %i has another owner', async (other) => {
      const { ownership } = database.stores().stores;
      await ownership.register(registrationOf('a', LEASE_MS));
      const view = await ownership.beginPlan('a');
      const moves = all.map((shard) => ({ shard, from: shard === other ? 'b' : null, to: 'a' }));
      expect(await ownership.applyPlan(view?.membership ?? 0, moves)).toBe(false);
      const news = await ownership.glance('a');
      expect(news.planned).toBeLessThan(news.membership);
    });

    it('has the right to plan for as long as that takes', async () => {
      const { ownership } = database.stores().stores;
      await ownership.register(registrationOf('a', LEASE_MS));
      await ownership.register(registrationOf('b', LEASE_MS));
      const view = await ownership.beginPlan('a');
      await database.query(`UPDATE fleet SET planner_until = clock_timestamp() - interval '1 s'`);
      const moves = all.map((shard) => ({ shard, from: shard === SHARDS - 1 ? 'b' : null, to: 'a' }));
      expect(await ownership.applyPlan(view?.membership ?? 0, moves)).toBe(false);
      expect(await ownership.beginPlan('b')).toBeNull();
      // And no longer, where whoever is at it has died.
      await database.query(`UPDATE fleet SET planner_until = planner_until - interval '3 s'`);
      expect(await ownership.beginPlan('b')).not.toBeNull();
    });
  });
});
