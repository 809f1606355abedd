/**
 * What a fence is and what is none. The first part is the trial that chose our statement: five ways in which a stale
 * worker's write can check its lease, against a take-over that commits while the write waits.
 */
import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { claimBy, decide, LONG_LEASE_MS, SHORT_LEASE_MS, World } from '../../conformance/world.ts';
import { registrationOf } from '../../support/fleet.ts';
import { postgresServers } from '../../support/postgres.ts';
import { accepted, ack } from '../../support/rooms.ts';
import { Database } from './database.ts';

const VARIANTS = [
  {
    name: 'A: a join on the lease is no fence',
    write: 'UPDATE room r SET head = 2 FROM lease l WHERE r.id = 1 AND l.id = 1 AND l.epoch = 1',
    rows: 1,
  },
  {
    name: 'B: the join and the epoch on the row',
    write: 'UPDATE room r SET head = 2 FROM lease l WHERE r.id = 1 AND l.id = 1 AND l.epoch = 1 AND r.epoch <= 1',
    rows: 0,
  },
  {
    name: 'C: the join and the version on the row',
    write: 'UPDATE room r SET head = 2 FROM lease l WHERE r.id = 1 AND l.id = 1 AND l.epoch = 1 AND r.version = 1',
    rows: 0,
  },
  {
    name: 'D: EXISTS on the lease is no fence',
    write: 'UPDATE room SET head = 2 WHERE id = 1 AND EXISTS (SELECT FROM lease WHERE id = 1 AND epoch = 1)',
    rows: 1,
  },
  {
    name: 'E: the lease locked FOR SHARE first',
    before: 'SELECT FROM lease WHERE id = 1 AND epoch = 1 FOR SHARE',
    write: 'UPDATE room SET head = 2 WHERE id = 1',
    rows: 0,
  },
] as const;

describe.each(postgresServers())('$name', (server) => {
  let database: Database;
  beforeEach(async () => {
    database = await Database.create(server);
  });
  afterEach(() => database.close());

  describe('a stale write that waits for a take-over', () => {
    it.each(VARIANTS)('$name', async ({ write, rows, ...variant }) => {
      await database.query(`
        CREATE TABLE lease (id integer PRIMARY KEY, epoch integer NOT NULL);
        CREATE TABLE room (id integer PRIMARY KEY, epoch integer NOT NULL, version integer NOT NULL, head integer);
        INSERT INTO lease VALUES (1, 1);
        INSERT INTO room VALUES (1, 1, 1, 1);
      `);
      const heir = await database.session();
      const stale = await database.session();
      await stale.query("SET application_name = 'stale'; BEGIN");
      await heir.query('BEGIN; UPDATE lease SET epoch = 2; UPDATE room SET epoch = 2, version = 2');
      const writing = staleWrite(stale, 'before' in variant ? variant.before : null, write);
      await database.waits('stale');
      await heir.query('COMMIT');

      expect(await writing).toBe(rows);
      await stale.query('COMMIT');
    });
  });

  describe('a claim and the fence of its worker', () => {
    it('stale worker: its claim waits for the fence and is refused, in a room that nobody has written since', async () => {
      const { world, dead, write } = await deadWorkersClaim(database);
      const heir = await database.session();
      await heir.query('BEGIN');
      await heir.query('UPDATE fences SET fenced = true WHERE worker = $1', [dead.worker]);
      const claiming = world.write(write, dead);
      await database.waits('roomline lane 0');
      await heir.query('COMMIT');

      expect(await claiming).toEqual({ kind: 'fenced' });
      expect((await world.stored()).row).toMatchObject({ phase: 'idle', version: 0 });
    });

    it('stale generation: its claim waits for the rise and is refused', async () => {
      const { world, dead, write } = await deadWorkersClaim(database);
      const other = await database.session();
      await other.query('BEGIN');
      await other.query('UPDATE fences SET generation = generation + 1 WHERE worker = $1', [dead.worker]);
      const claiming = world.write(write, dead);
      await database.waits('roomline lane 0');
      await other.query('COMMIT');

      expect(await claiming).toEqual({ kind: 'fenced' });
    });

    it('a fence that was taken back after all lets the claim that waited for it through', async () => {
      const { world, dead, write } = await deadWorkersClaim(database);
      const heir = await database.session();
      await heir.query('BEGIN');
      await heir.query('UPDATE fences SET fenced = true WHERE worker = $1', [dead.worker]);
      const claiming = world.write(write, dead);
      await database.waits('roomline lane 0');
      await heir.query('ROLLBACK');

      expect(await claiming).toMatchObject({ kind: 'committed' });
    });

    it('settles of the batch are stored although its claims waited and were refused', async () => {
      const { world, dead, write } = await deadWorkersClaim(database);
      const open = await world.apply(await world.roomWith(1, 'open'), dead, claimBy(dead), accepted(1));
      const heir = await database.session();
      await heir.query('BEGIN');
      await heir.query('UPDATE fences SET fenced = true WHERE worker = $1', [dead.worker]);
      const writing = world.stores.rooms.compareAndSet(0, [decide(open, ack(1)), write], dead);
      await database.waits('roomline lane 0');
      await heir.query('COMMIT');

      expect((await writing).map((result) => result.kind)).toEqual(['committed', 'fenced']);
      expect((await world.stores.history.readSettled(open, 1))?.outcome).toBe('acked');
    });

    it('batches without claims do not wait for a fence', async () => {
      const { world, dead } = await deadWorkersClaim(database);
      const open = await world.apply(await world.roomWith(1, 'open'), dead, claimBy(dead), accepted(1));
      const heir = await database.session();
      await heir.query('BEGIN');
      await heir.query('UPDATE fences SET fenced = true WHERE worker = $1', [dead.worker]);

      expect(await world.write(decide(open, ack(1)), dead)).toMatchObject({ kind: 'committed' });
      await heir.query('ROLLBACK');
    });

    it('the fence waits for an open batch, and the heir sees what that batch claimed', async () => {
      const { world, dead, write } = await deadWorkersClaim(database);
      const { ownership } = world.stores;
      // A batch is held open between its claim and its commit by a lock on what it writes last.
      const held = await holdPlatformId(database, world);
      const claiming = world.write({ ...write, facts: [{ kind: 'accepted_as', sequence: 1, platformId: 'gw' }] }, dead);
      await database.waits('roomline lane 0');
      await endLease(database, dead.worker);
      const fencing = ownership.fence(dead.worker).then(async () => (await world.stored()).row.phase);
      await database.waits('roomline fences');
      await held.query('ROLLBACK');

      expect(await claiming).toMatchObject({ kind: 'committed' });
      expect(await fencing).toBe('sending');
    });

    it('the generation rises only after an open batch has ended', async () => {
      const { world, dead, write } = await deadWorkersClaim(database);
      const held = await holdPlatformId(database, world);
      const claiming = world.write({ ...write, facts: [{ kind: 'accepted_as', sequence: 1, platformId: 'gw' }] }, dead);
      await database.waits('roomline lane 0');
      const rising = world.stores.ownership.raiseGeneration(dead.worker);
      await database.waits('roomline fences');
      await held.query('ROLLBACK');

      expect(await claiming).toMatchObject({ kind: 'committed' });
      expect(await rising).toBe(2);
    });

    it('frozen batch: what keeps a fence waiting longer than half a second is ended', async () => {
      const { world, dead } = await deadWorkersClaim(database);
      const frozen = await database.session();
      await frozen.query('BEGIN');
      await frozen.query('SELECT FROM fences WHERE worker = $1 FOR SHARE', [dead.worker]);
      await endLease(database, dead.worker);

      expect(await world.stores.ownership.fence(dead.worker)).toBe(true);
      await expect(frozen.query('COMMIT')).rejects.toThrow();
    });
  });

  describe('a renewal and the fence of its worker', () => {
    it('late fence: a renewal under way is waited for, and the lease is alive after all', async () => {
      const { stores } = database.stores();
      await stores.ownership.register(registrationOf('alive', SHORT_LEASE_MS));
      await endLease(database, 'alive');
      const renewal = await database.session();
      await renewal.query('BEGIN');
      await renewal.query(`UPDATE workers SET lease_until = clock_timestamp() + interval '1 minute'`);
      const fencing = stores.ownership.fence('alive');
      await database.waits('roomline fences');
      await renewal.query('COMMIT');

      expect(await fencing).toBe(false);
      expect(await stores.ownership.renew('alive', LONG_LEASE_MS)).not.toBeNull();
    });

    it('late renewal: it finds the lease ended, however long it waited for the fence', async () => {
      const { stores } = database.stores();
      await stores.ownership.register(registrationOf('dead', SHORT_LEASE_MS));
      await endLease(database, 'dead');
      const heir = await database.session();
      await heir.query('BEGIN; SELECT FROM workers FOR NO KEY UPDATE; UPDATE fences SET fenced = true');
      const renewing = stores.ownership.renew('dead', LONG_LEASE_MS);
      await heir.query('COMMIT');

      expect(await renewing).toBeNull();
    });

    it('renewals and batches never wait for each other', async () => {
      const { stores } = database.stores();
      await stores.ownership.register(registrationOf('busy', LONG_LEASE_MS));
      const batch = await database.session();
      await batch.query('BEGIN; SELECT FROM fences FOR SHARE');

      expect(await stores.ownership.renew('busy', LONG_LEASE_MS)).not.toBeNull();
      await batch.query('ROLLBACK');
    });
  });
});

async function staleWrite(stale: pg.Client, before: string | null, write: string): Promise<number> {
  if (before !== null && (await stale.query(before)).rowCount === 0) return 0;
  return (await stale.query(write)).rowCount ?? 0;
}

/** A worker that is about to die, and a claim that it has decided. */
async function deadWorkersClaim(database: Database) {
  const { stores } = database.stores();
  const world = new World(stores);
  const dead = await world.worker('dead', SHORT_LEASE_MS);
  return { world, dead, write: decide(await world.roomWith(1), claimBy(dead)) };
}

async function endLease(database: Database, worker: string): Promise<void> {
  await database.query('UPDATE workers SET lease_until = clock_timestamp() WHERE worker = $1', [worker]);
}

/** A session that is just inserting the platform id `gw` of the world's channel. */
async function holdPlatformId(database: Database, world: World): Promise<pg.Client> {
  const held = await database.session();
  await held.query('BEGIN');
  await held.query(
    `INSERT INTO platform_ids (tenant, channel, platform_id, level, at, kept_at) VALUES ('default', $1, 'gw', 'sent', 1, 1)`,
    [world.channel],
  );
  return held;
}
