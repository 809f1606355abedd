import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PostgresStores } from '../../../src/adapters/postgres/stores.ts';
import type { LateFact, SettledChange, SettledState } from '../../../src/engine/ports.ts';
import { judgeLate } from '../../../src/room/ack.ts';
import { ordered, told } from '../../conformance/orders.ts';
import { claimBy, World } from '../../conformance/world.ts';
import { registrationOf, takeFreeShards } from '../../support/fleet.ts';
import { postgresServers } from '../../support/postgres.ts';
import { accepted, ack, START } from '../../support/rooms.ts';
import { Database } from './database.ts';

const DAY_MS = 86_400_000;
/** The day that the tests' world begins in. */
const WORLDS_DAY = `DATE '1970-01-01'`;

describe.each(postgresServers())('$name: maintenance', (server) => {
  let database: Database;
  let opened: PostgresStores;
  let world: World;
  beforeEach(async () => {
    database = await Database.create(server);
    opened = database.stores({ dedupeDays: 2, historyRetentionDays: 3, auditRetentionDays: 40 });
    world = new World(opened.stores);
  });
  afterEach(() => database.close());

  async function settleOne(name: string): Promise<{ shard: number; id: number }> {
    const proof = await world.worker(`worker-${name}`);
    return world.apply(await world.roomWith(1, name), proof, claimBy(proof), accepted(1, 1, `gw-${name}`), ack(1));
  }

  async function partitionOf(id: number): Promise<string> {
    const { rows } = await database.query('SELECT tableoid::regclass::text AS name FROM history WHERE room_id = $1', [
      id,
    ]);
    return (rows[0] as { name: string }).name;
  }

  it('makes the partitions of the days to come, once', async () => {
    // One more than none where midnight passed since the schema was made.
    await opened.maintenance.makePartitions(7);
    expect(await opened.maintenance.makePartitions(7)).toBe(0);
    expect(await opened.maintenance.makePartitions(10)).toBe(3);
    const twice = await Promise.all([opened.maintenance.makePartitions(12), opened.maintenance.makePartitions(12)]);
    expect(twice.sort()).toEqual([0, 2]);
  });

  it('loses nothing that settled on a day without a partition', async () => {
    const room = await settleOne('early');
    expect(await partitionOf(room.id)).toBe('history_default');
    await database.query(`SELECT make_history_partitions(${WORLDS_DAY}, ${WORLDS_DAY})`);

    expect(await partitionOf(room.id)).toBe('history_19700101');
    expect(await world.stores.history.readSettled(room, 1)).toMatchObject({ messageId: 'm-1', outcome: 'acked' });
    expect(await world.append(world.message('m-1', { room: 'early' }))).toMatchObject([{ kind: 'duplicate' }]);
    const later = await settleOne('later');
    expect(await partitionOf(later.id)).toBe('history_19700101');
  });

  it('leaves a day in the default partition that is too large to be moved while everybody waits', async () => {
    const room = await settleOne('early');
    await database.query(
      `INSERT INTO history SELECT (jsonb_populate_record(h, jsonb_build_object('sequence', n, 'message_id', 'x-' || n))).*
       FROM history h, generate_series(2, 10002) n WHERE room_id = $1`,
      [room.id],
    );
    const { rows } = await database.query(`SELECT make_history_partitions(${WORLDS_DAY}, ${WORLDS_DAY} + 1) AS made`);
    expect(rows[0]).toEqual({ made: 1 });
    expect(await world.append(world.message('m-1', { room: 'early' }))).toMatchObject([{ kind: 'duplicate' }]);
    const later = await settleOne('later');
    expect(await partitionOf(later.id)).toBe('history_default');
    await opened.maintenance.dropExpired(DAY_MS + 3 * DAY_MS);
    expect(await world.stores.history.readSettled(room, 1)).toBeNull();
  });

  it('lets late statuses and late answers find each message in the partition of its day, and change no other', async () => {
    await database.query(`SELECT make_history_partitions(${WORLDS_DAY}, ${WORLDS_DAY} + 1)`);
    const room = await settleOne('room');
    // At the same place of the partition of the next day.
    await database.query(
      `INSERT INTO history SELECT (jsonb_populate_record(h, jsonb_build_object('sequence', 2, 'settled_at', $1::bigint))).*
       FROM history h`,
      [DAY_MS + START],
    );
    const { rows: places } = await database.query('SELECT DISTINCT ctid FROM history');
    expect(places).toHaveLength(1);
    const { shard, id } = room;
    const wanted = [1, 2].map((sequence) => ({ shard, id, sequence }));
    const { history } = world.stores;
    const read = async () => {
      const states = (await history.readSettledStates(wanted)) as SettledState[];
      const [first, second] = states.map((state) => {
        const verdict = judgeLate(state, { type: 'ack', level: 'read', at: START });
        if (verdict.kind === 'ignored') throw new Error('the ack was ignored');
        return { state, verdict, key: world.key(), fingerprint: null, at: START };
      });
      return [first, second] as [SettledChange, SettledChange];
    };
    const revisions = async () => (await history.readSettledStates(wanted)).map((state) => state?.revision);

    const [first, second] = await read();
    expect(await history.updateSettled([second])).toEqual([true]);
    expect(await revisions()).toEqual([1, 2]);
    expect(await history.updateSettled([second, first])).toEqual([false, true]);
    expect(await revisions()).toEqual([2, 2]);
    const late = (sequence: number): LateFact => {
      const fact = { kind: 'answered_late', sequence, attempt: 1, result: 'accepted', code: null } as const;
      return { address: { shard, id }, fact: { ...fact, platformId: null, at: START } };
    };
    await history.recordLate([late(1)]);
    expect(await revisions()).toEqual([3, 2]);
    await history.recordLate([late(2), late(1)]);
    expect(await revisions()).toEqual([4, 3]);
  });

  it('drops days that are past the retention and past the time ids are recognised, and no other', async () => {
    const room = await settleOne('room');
    await database.query(`SELECT make_history_partitions(${WORLDS_DAY}, ${WORLDS_DAY} + 1)`);
    const endOfDay = DAY_MS;

    expect(await opened.maintenance.dropExpired(endOfDay + 3 * DAY_MS - 1)).toBe(0);
    expect(await world.stores.history.readSettled(room, 1)).not.toBeNull();
    expect(await opened.maintenance.dropExpired(endOfDay + 3 * DAY_MS)).toBe(1);
    expect(await world.stores.history.readSettled(room, 1)).toBeNull();
    expect(await world.append(world.message('m-1', { room: 'room' }))).toMatchObject([
      { kind: 'appended', sequence: 2 },
    ]);
  });

  it('drops what the default partition holds of that time', async () => {
    const room = await settleOne('room');
    await opened.maintenance.dropExpired(START + 3 * DAY_MS);
    expect(await world.stores.history.readSettled(room, 1)).not.toBeNull();
    await opened.maintenance.dropExpired(START + 3 * DAY_MS + 1);
    expect(await world.stores.history.readSettled(room, 1)).toBeNull();
  });

  it('forgets platform ids with the history of their messages, but not of a message that still waits', async () => {
    await settleOne('settled');
    const proof = await world.worker();
    await world.apply(await world.roomWith(1, 'held'), proof, claimBy(proof), accepted(1, 1, 'gw-held'));
    await database.query(`UPDATE platform_ids SET named_at = '1970-01-01'`);
    await opened.maintenance.dropExpired(START + 4 * DAY_MS);

    const { rows } = await database.query('SELECT platform_id FROM platform_ids');
    expect(rows).toEqual([{ platform_id: 'gw-held' }]);
  });

  it('forgets recipients with the history, later by as long as two processes may have left them alone', async () => {
    const { recipients } = opened.operators;
    const key = { tenant: 'default', channel: 'support' };
    await recipients.note(
      Array.from({ length: 10_001 }, (_, id) => ({ ...key, shard: 1, id: id + 1, recipient: 'r', at: START })),
    );
    await recipients.note([{ ...key, shard: 1, id: 1, recipient: 'kept', at: START + DAY_MS }]);
    const left = async () => {
      const { rows } = await database.query(
        'SELECT recipient, count(*)::integer FROM recipients GROUP BY 1 ORDER BY 1',
      );
      return (rows as { recipient: string; count: number }[]).map(({ recipient, count }) => `${recipient} ${count}`);
    };
    await opened.maintenance.dropExpired(START + 5 * DAY_MS);
    expect(await left()).toEqual(['kept 1', 'r 10001']);
    await opened.maintenance.dropExpired(START + 5 * DAY_MS + 1);
    expect(await left()).toEqual(['kept 1']);
  });

  it('forgets what operators did so many days ago, however many such entries there are', async () => {
    const { audit } = opened.operators;
    for (const subject of ['old', 'kept']) {
      await audit.record({ actor: 'key', action: 'channel.put', subject, detail: {}, requestId: subject });
    }
    const now = Date.now();
    const ages = { old: 40 * DAY_MS + 60_000, kept: 40 * DAY_MS - 60_000 };
    for (const [subject, age] of Object.entries(ages)) {
      await database.query('UPDATE audit SET at = $1 WHERE subject = $2', [now - age, subject]);
    }
    await database.query(
      `INSERT INTO audit (at, actor, action, subject, detail, request_id)
       SELECT 0, 'key', 'channel.put', 'older', '{}', 'r' FROM generate_series(1, 10001)`,
    );
    await opened.maintenance.dropExpired(now);

    const left = await audit.list({ before: null, limit: 10, subject: null });
    expect(left.map(({ subject }) => subject)).toEqual(['kept']);
  });

  it('forgets numbers that were skipped with the days of that time, and who came late after all', async () => {
    const late = (order: number) => ordered(world, order, { id: `late-${order}` });
    await world.append(ordered(world, 4));
    await world.stores.rooms.skipGaps([{ ...(await world.stored()).row, waitsFor: 1 }]);
    expect(told(await world.append(late(1)))).toEqual(['2 late']);
    const now = Date.now();
    await opened.maintenance.dropExpired(now + 2.9 * DAY_MS);
    expect(told(await world.append(late(2), ordered(world, 1, { id: 'again' })))).toEqual([
      '3 late',
      'order conflict 1',
    ]);
    await opened.maintenance.dropExpired(now + 3.1 * DAY_MS);
    expect(told(await world.append(late(3), ordered(world, 5)))).toEqual(['order conflict 3', '4']);
    const { rows } = await database.query('SELECT FROM skipped_orders UNION ALL SELECT FROM late_orders');
    expect(rows).toEqual([]);
  });

  it('leaves the last 30 days of the audit as they are, whatever it is asked for', async () => {
    const { audit } = opened.operators;
    for (const [requestId, days] of Object.entries({ late: 29.9, early: 30.1 })) {
      await audit.record({ actor: 'key', action: 'channel.put', subject: 's', detail: {}, requestId });
      await database.query('UPDATE audit SET at = $1 WHERE request_id = $2', [Date.now() - days * DAY_MS, requestId]);
    }
    await opened.maintenance.dropExpired(Date.now() + 1_000 * DAY_MS);
    const left = await audit.list({ before: null, limit: 10, subject: null });
    expect(left.map(({ requestId }) => requestId)).toEqual(['late']);
  });

  it('forgets workers that have long been fenced and own nothing', async () => {
    const { ownership } = world.stores;
    for (const worker of ['gone', 'owner', 'open']) await ownership.register(registrationOf(worker, 1));
    await takeFreeShards(ownership, 'owner');
    await ownership.release('gone');
    await database.query(`UPDATE fences SET fenced = true WHERE worker = 'owner'`);
    await opened.maintenance.dropExpired(Date.now() + 8 * DAY_MS);

    const { rows } = await database.query('SELECT worker FROM workers JOIN fences USING (worker) ORDER BY worker');
    expect(rows).toEqual([{ worker: 'open' }, { worker: 'owner' }]);
  });
});
