import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { PostgresStores } from '../../../src/adapters/postgres/stores.ts';
import { ordered, told } from '../../conformance/orders.ts';
import { claimBy, decide, World } from '../../conformance/world.ts';
import { postgresServers } from '../../support/postgres.ts';
import { ack, pause, policyOf, START } from '../../support/rooms.ts';
import { Database } from './database.ts';

describe.each(postgresServers())('$name: rooms at rest', (server) => {
  let database: Database;
  let opened: PostgresStores;
  let world: World;
  beforeAll(async () => {
    database = await Database.create(server);
  });
  afterAll(() => database.close());
  beforeEach(() => {
    opened = database.stores();
    world = new World(opened.stores);
  });
  afterEach(() => database.closeOpened());

  async function emptyRoom(name: string): Promise<void> {
    const proof = await world.worker(`${world.channel}-${name}`);
    await world.apply(await world.roomWith(1, name), proof, claimBy(proof), ack(1));
  }

  function rest(idleSince = START + 1, limit = 10) {
    return opened.maintenance.moveToRest([world.shard], idleSince, limit);
  }

  async function resting(): Promise<string[]> {
    const { rows } = await database.query('SELECT room FROM resting_rooms WHERE shard = $1 ORDER BY id', [world.shard]);
    return rows.map((row: { room: string }) => row.room);
  }

  it('are those that have been empty for long, of the shards asked for, up to a limit', async () => {
    for (const name of ['one', 'two', 'three']) await emptyRoom(name);
    await world.roomWith(1, 'waiting');
    await world.apply(await world.read('three'), null, pause);

    expect(await rest(START)).toEqual([]);
    expect(await opened.maintenance.moveToRest([world.shard + 1], START + 1, 10)).toEqual([]);
    expect(await rest(START + 1, 1)).toHaveLength(1);
    expect(await rest()).toHaveLength(1);
    expect(await resting()).toEqual(['one', 'two']);
  });

  it('are left out where somebody works on them', async () => {
    await emptyRoom('locked');
    const other = await database.session();
    await other.query('BEGIN; SELECT FROM rooms FOR NO KEY UPDATE');
    expect(await rest()).toEqual([]);
    await other.query('ROLLBACK');
    expect(await rest()).toHaveLength(1);
  });

  it('are still found and read, but not scanned', async () => {
    await emptyRoom('room');
    const before = await world.stored();
    await rest();

    expect(await world.stored()).toEqual(before);
    expect(await world.stores.rooms.readRooms([before.row])).toEqual([before]);
    expect(await world.stores.rooms.scan([world.shard], 10, null)).toEqual([]);
    expect(await world.stores.history.readSettled(before.row, 1)).toMatchObject({ key: world.key(), sequence: 1 });
    expect(await world.stores.history.listRoom(before.row, null, 10)).toHaveLength(1);
  });

  it('are not made a second time, and others are that share all of their key but one part', async () => {
    await emptyRoom('room');
    await rest();
    const { tenant, channel, room } = world.key();
    const make = async (...key: readonly [string, string, string]): Promise<number> => {
      const text = readFileSync(
        new URL('../../../src/adapters/postgres/sql/create_rooms.sql', import.meta.url),
        'utf8',
      );
      const values = [[world.shard], ...key.map((part) => [part]), [START]];
      return (await database.query(text, values)).rowCount ?? 0;
    };
    expect(await make(tenant, channel, room)).toBe(0);
    expect(await make('other', channel, room)).toBe(1);
    expect(await make(tenant, `${channel}-other`, room)).toBe(1);
    expect(await make(tenant, channel, 'other')).toBe(1);
  });

  it('come back alone, whatever rests beside them under nearly the same key', async () => {
    const base = world.key('room');
    const keys = [
      base,
      { ...base, tenant: 'other' },
      { ...base, channel: `${base.channel}-o` },
      { ...base, room: 'o' },
    ];
    for (const [at, key] of keys.entries()) {
      const proof = await world.worker(`${world.channel}-${at}`);
      await world.append(world.message('m-1', { key }));
      const stored = await world.stores.rooms.findRoom(key, world.shard);
      if (stored === null) throw new Error('the room has no row');
      const room = { ...stored.row, envelopes: stored.envelopes.map((one) => ({ ...one, policy: policyOf() })) };
      await world.apply(room, proof, claimBy(proof), ack(1));
    }
    expect(await rest()).toHaveLength(keys.length);
    const located = await world.stores.rooms.locateRooms(keys.map((key) => ({ key, shard: world.shard })));
    expect(new Set(located.map((address) => address?.id)).size).toBe(keys.length);
    expect(located).toEqual(keys.map(() => ({ shard: world.shard, id: expect.any(Number) })));
    for (const [at, key] of keys.entries()) {
      const [result] = await world.append(world.message('m-2', { key }));
      expect(result).toMatchObject({ kind: 'appended', sequence: 2, row: { key, settled: 1 } });
      expect(await resting()).toHaveLength(keys.length - at - 1);
    }
  });

  it('come back with an append, and go on with their numbers and version', async () => {
    await emptyRoom('room');
    const { row } = await world.stored();
    await rest();
    const [repeated, fresh] = await world.append(world.message('m-1'), world.message('m-2'));

    const { shard, id } = row;
    expect(repeated).toEqual({ kind: 'duplicate', address: { shard, id }, sequence: 1 });
    expect(fresh).toEqual({ kind: 'appended', row: { ...row, tail: 2 }, sequence: 2 });
    expect(await resting()).toEqual([]);
  });

  it.each([
    ['an append', false],
    ['a write', true],
  ])("come back with %s in their place of their publisher's order", async (_, byWrite) => {
    const proof = await world.worker();
    await world.append(ordered(world, 1));
    await world.apply(await world.read(), proof, claimBy(proof), ack(1));
    expect(await rest()).toHaveLength(1);
    const write = decide(await world.read(), pause);
    if (byWrite) expect(await world.write(write)).toEqual({ kind: 'busy' });

    expect(told(await world.append(ordered(world, 1, { id: 'other' }), ordered(world, 2)))).toEqual([
      'order conflict 1',
      '2',
    ]);
    expect(await resting()).toEqual([]);
  });

  it('are none in which something is parked', async () => {
    await emptyRoom('room');
    await world.append(ordered(world, 2));
    expect(await rest(Number.MAX_SAFE_INTEGER)).toEqual([]);
    await world.stores.rooms.skipGaps([{ ...(await world.stored()).row, waitsFor: 1 }]);
    expect((await world.stored()).row.tail).toBe(2);
  });

  it('come back with a write, which rides in the next batch', async () => {
    await emptyRoom('room');
    const write = decide(await world.read(), pause);
    await rest();

    expect(await world.write(write)).toEqual({ kind: 'busy' });
    expect(await world.write(write)).toMatchObject({ kind: 'committed' });
  });

  it('refuse a write of an old version after they came back', async () => {
    await emptyRoom('room');
    const room = await world.read();
    await rest();
    const stale = decide({ ...room, version: room.version - 1 }, pause);

    expect(await world.write(stale)).toEqual({ kind: 'busy' });
    expect(await world.write(stale)).toEqual({ kind: 'conflict' });
  });

  it('are not put to rest again before their append has come through', async () => {
    await emptyRoom('room');
    await rest();
    // The first step of an append, whose process then stops.
    await world.stores.rooms.compareAndSet(0, [decide(await world.read(), pause)], null);

    expect(await resting()).toEqual([]);
    expect(await rest()).toEqual([]);
  });

  it('late appender: two that take one room back at once number one after the other', async () => {
    await emptyRoom('room');
    await rest();
    const others = [database.stores(), database.stores(), database.stores()];
    const results = await Promise.all(others.map(({ stores }, i) => stores.rooms.append([world.message(`new-${i}`)])));

    expect(
      results
        .flat()
        .map((result) => [result.kind, result.sequence])
        .sort(),
    ).toEqual([
      ['appended', 2],
      ['appended', 3],
      ['appended', 4],
    ]);
    expect((await database.query('SELECT FROM rooms WHERE shard = $1', [world.shard])).rowCount).toBe(1);
  });
});
