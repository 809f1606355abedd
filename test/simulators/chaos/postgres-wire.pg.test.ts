/** The cut between a commit and its answer, against a real server, through the store's own connections. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Ambush, type Batch, PostgresAmbushes } from '../../../simulators/chaos/postgres-wire.ts';
import { TcpProxy } from '../../../simulators/chaos/proxy.ts';
import { openStores, type PostgresStores } from '../../../src/adapters/postgres/stores.ts';
import { OutcomeUnknownError } from '../../../src/engine/ports.ts';
import { openOptions } from '../../adapters/postgres/database.ts';
import { claimBy, decide, World } from '../../conformance/world.ts';
import { eventually } from '../../support/events.ts';
import { createDatabase, postgresServers, type TestDatabase } from '../../support/postgres.ts';
import { START } from '../../support/rooms.ts';

describe.each(postgresServers())('Between a commit and its answer, on Postgres $name', (server) => {
  let database: TestDatabase;
  let ambushes: PostgresAmbushes;
  let proxy: TcpProxy;
  let behind: PostgresStores;
  let direct: PostgresStores;
  let through: World;

  beforeEach(async () => {
    database = await createDatabase(server);
    const url = new URL(database.url);
    ambushes = new PostgresAmbushes();
    const target = { host: url.hostname, port: Number(url.port) };
    proxy = new TcpProxy({ target: () => target, tap: ambushes.tap });
    await proxy.listen();
    direct = openStores(openOptions(database.url));
    url.port = String(proxy.port);
    behind = openStores(openOptions(url.href));
    through = new World(behind.stores);
  });

  afterEach(async () => {
    await behind.close();
    await direct.close();
    await eventually('the last connection is closed', () => proxy.open === 0);
    await proxy.close();
    await database.drop();
  });

  /** What the database says, whatever became of the link. */
  const truth = async () => {
    const stored = await direct.stores.rooms.findRoom(through.key(), through.shard);
    return { tail: stored?.row.tail, phase: stored?.row.phase, settled: stored?.row.settled };
  };

  const lay = (batch: Batch, verdict: 'pass' | 'cut') => {
    const sprung: unknown[] = [];
    const ambush: Ambush = {
      batch,
      strike: () => {
        sprung.push(batch);
        return verdict;
      },
    };
    ambushes.lay(ambush);
    return { ambush, sprung };
  };

  it('an append is stored, and its answer lost', async () => {
    await through.append(through.message('m-1'));
    const { sprung } = lay('append', 'cut');
    await expect(through.append(through.message('m-2'))).rejects.toBeInstanceOf(OutcomeUnknownError);
    expect([sprung, proxy.counts.cut]).toEqual([['append'], 1]);
    expect(await truth()).toMatchObject({ tail: 2 });
    const [again] = await through.append(through.message('m-2'));
    expect(again).toMatchObject({ kind: 'duplicate', sequence: 2 });
  });

  it('a claim is stored, and its answer lost; a batch without a claim is none', async () => {
    const proof = await through.worker();
    const room = await through.roomWith(2);
    const { ambush, sprung } = lay('claim', 'cut');
    const paused = await through.apply(room, proof, { type: 'pause' });
    const resumed = await through.apply(paused, proof, { type: 'resume' });
    expect(sprung).toEqual([]);
    await expect(through.write(decide(resumed, claimBy(proof)), proof)).rejects.toBeInstanceOf(OutcomeUnknownError);
    expect(sprung).toEqual(['claim']);
    expect(ambushes.lift(ambush)).toBe(false);
    expect(await truth()).toMatchObject({ phase: 'sending', settled: 0 });
  });

  it('a settle is stored, and its answer passes once it has been seen', async () => {
    const proof = await through.worker();
    const room = await through.roomWith(1);
    const { sprung } = lay('settle', 'pass');
    const sending = await through.apply(room, proof, claimBy(proof));
    expect(sprung).toEqual([]);
    const { version } = sending;
    const paused = await through.apply(sending, null, { type: 'pause' });
    expect(sprung).toEqual(['settle']);
    expect(paused.version).toBeGreaterThan(version);
    expect(proxy.counts.cut).toBe(0);
  });

  it('an ambush that was lifted strikes nobody', async () => {
    const { ambush, sprung } = lay('append', 'cut');
    expect(ambushes.lift(ambush)).toBe(true);
    const [first] = await through.append(through.message('m-1', { acceptedAt: START }));
    expect(first).toMatchObject({ kind: 'appended', sequence: 1 });
    expect(sprung).toEqual([]);
  });
});
