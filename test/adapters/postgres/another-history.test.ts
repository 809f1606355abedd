/** Databases whose past is not the one that is known: a promoted standby, a restored dump; and what is decided about them. */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { serverAccount } from '../../../simulators/postgres/account.ts';
import { systemBinaries } from '../../../simulators/postgres/binaries.ts';
import { type PostgresServer, startPostgres } from '../../../simulators/postgres/embedded.ts';
import { migrate } from '../../../src/adapters/postgres/migrate.ts';
import type { PostgresStores } from '../../../src/adapters/postgres/stores.ts';
import { type DatabaseTool, openDatabaseTool } from '../../../src/cli/database-tool.ts';
import { loadConfig } from '../../../src/config.ts';
import { roomOf } from '../../../src/engine/policy.ts';
import type { ClaimProof } from '../../../src/engine/ports.ts';
import { claimBy, decide, World } from '../../conformance/world.ts';
import { registrationOf } from '../../support/fleet.ts';
import { ack, policyOf, takeOver } from '../../support/rooms.ts';
import { caughtUp, promote, startStandby } from '../../support/standby.ts';
import { Database, session } from './database.ts';

const LEASE_MS = 60_000;
const SHARDS = 16;
/** More than three pages of them. */
const MANY = 1_600;

const folder = mkdtempSync(join(tmpdir(), 'roomline-histories-'));
chmodSync(folder, 0o755);
const [installed] = systemBinaries(serverAccount(folder));
const servers: PostgresServer[] = [];

async function start(name: string, binaries: string): Promise<PostgresServer> {
  const server = await startPostgres({ directory: join(folder, name), binaries });
  servers.push(server);
  return server;
}

/** What the command line opens. */
function openTool(url: string): Promise<DatabaseTool> {
  const env = {
    ROOMLINE_POSTGRES_URL: url,
    ROOMLINE_POSTGRES_SHARDS: String(SHARDS),
    ROOMLINE_REFERENCE_SECRET: 'x'.repeat(32),
  };
  return openDatabaseTool(loadConfig({ file: undefined, env }));
}

/** Rooms with two messages each, the first of them in flight, as a service leaves them that is no more. */
async function fill(url: string, rooms: number): Promise<void> {
  await session(url, (client) =>
    client.query(
      `WITH made AS (
         INSERT INTO rooms (shard, tenant, channel, room, tail, phase, version, attempt, first_claim_version, since,
           created_at, touched_at, attempts)
         SELECT i % $2, 'default', 'main', 'many-' || i, 2, 'sending', 1, 1, 1, 1, 1, 1,
           '[{"number":1,"worker":"gone","generation":1,"begunAt":1,"endedAt":null,"result":null,"code":null}]'
         FROM generate_series(1, $1) AS i
         RETURNING shard, id
       )
       INSERT INTO messages (shard, room_id, sequence, accepted_at, message_id, source, digest, body)
       SELECT shard, id, s, 1, 'm' || s, 'http', sha256('{}'), '{}' FROM made, generate_series(1, 2) AS s`,
      [rooms, SHARDS],
    ),
  );
}

async function phases(url: string): Promise<object[]> {
  const { rows } = await session(url, (client) =>
    client.query(
      `SELECT phase, reason, count(*)::integer AS rooms, min(version)::integer AS version FROM rooms
       WHERE room LIKE 'many-%' GROUP BY 1, 2`,
    ),
  );
  return rows;
}

afterAll(async () => {
  await Promise.all(servers.map((server) => server.stop()));
  rmSync(folder, { recursive: true, force: true });
});

describe.each([
  { name: 'embedded', binaries: 'embedded' },
  ...(installed === undefined ? [] : [{ name: `system ${installed.major}`, binaries: installed.directory }]),
])('$name: a promoted standby', ({ name, binaries }) => {
  let standby: PostgresServer;
  let database: Database;
  let opened: PostgresStores;
  let proof: ClaimProof;
  let world: World;
  beforeAll(async () => {
    const place = name.replace(' ', '-');
    const primary = await start(`${place}-primary`, binaries);
    await migrate(primary.url(), { shards: SHARDS });
    database = new Database(primary.url(), async () => undefined);
    world = new World(database.stores().stores);
    proof = await world.worker();
    await fill(primary.url(), MANY);
    standby = await startStandby(primary, { directory: join(folder, `${place}-standby`), binaries });
    servers.push(standby);
    await caughtUp(primary, standby);
    await database.close();
    database = new Database(standby.url(), async () => undefined);
    opened = database.stores();
    world = new World(opened.stores, { shard: 0, channel: 'another' });
  });
  afterAll(() => database.close());

  /** While it is a standby. */
  async function expectRefused(): Promise<void> {
    const refused = { code: 'database_in_recovery' };
    await expect(opened.check()).rejects.toMatchObject(refused);
    await expect(opened.stores.ownership.register(registrationOf('early', LEASE_MS))).rejects.toMatchObject(refused);
    await expect(opened.stores.ownership.renew(proof.worker, LEASE_MS)).rejects.toMatchObject(refused);
    await expect(openTool(database.url)).rejects.toMatchObject(refused);
  }

  /** By everything that could claim or accept, at once. */
  async function expectRecognised(): Promise<void> {
    const { ownership, rooms } = opened.stores;
    const seen = await ownership.renew(proof.worker, LEASE_MS);
    expect(seen?.anotherHistory).toMatchObject({ stored: { timeline: 1 }, seen: { timeline: 2 } });
    expect(seen?.anotherHistory?.seen.systemIdentifier).toBe(seen?.anotherHistory?.stored.systemIdentifier);
    expect(await ownership.register(registrationOf('new', LEASE_MS))).toMatchObject({
      generation: 0,
      anotherHistory: { seen: {} },
    });
    await expect(rooms.append([world.message('a')])).rejects.toMatchObject({ code: 'another_history' });
    expect((await opened.check()).view.anotherHistory).not.toBeNull();
  }

  /** A fence row that has come along proves nothing; what only settles goes through. */
  async function expectNoClaims(): Promise<void> {
    const firstRoom = async () => {
      const [stored] = await opened.stores.rooms.scan([0], 1, null);
      if (stored === undefined) throw new Error('no room came along');
      return roomOf(stored, policyOf());
    };
    expect(await world.write(decide(await firstRoom(), takeOver, ack(1)), proof)).toMatchObject({ kind: 'committed' });
    expect(await world.write(decide(await firstRoom(), claimBy(proof)), proof)).toEqual({ kind: 'fenced' });
  }

  async function expectAdopted(): Promise<void> {
    const tool = await openTool(database.url);
    try {
      expect(await tool.status()).toMatchObject({
        anotherHistory: { seen: { timeline: 2 } },
        rooms: [
          { phase: 'ready', reason: null, rooms: 1, messages: 1 },
          { phase: 'sending', reason: null, rooms: MANY - 1, messages: 2 * (MANY - 1) },
        ],
      });
      const decided = await tool.adopt('hold', { decidedBy: 'operator-1', reason: 'fail-over' });
      expect(decided).toEqual({ open: MANY, changed: MANY, recorded: true });
      expect(await phases(database.url)).toEqual([
        { phase: 'held', reason: 'history_changed', rooms: MANY, version: 3 },
      ]);
      expect(await tool.status()).toMatchObject({
        stored: { timeline: 2 },
        anotherHistory: null,
        decisions: [{ decision: 'hold', before: { timeline: 1 }, after: { timeline: 2 }, roomsChanged: MANY }],
      });
      // The sessions that had seen the other history look again.
      expect(await world.append(world.message('later'))).toMatchObject([{ kind: 'appended' }]);
      expect((await opened.stores.ownership.register(registrationOf('next', LEASE_MS))).anotherHistory).toBeNull();

      expect(await tool.release('skip', { decidedBy: 'operator-1', reason: 'told' })).toMatchObject({ changed: MANY });
      expect(await tool.release('skip', { decidedBy: 'operator-1', reason: 'told' })).toMatchObject({ changed: 0 });
    } finally {
      await tool.close();
    }
  }

  /** Although nothing can be seen of a snapshot that was put back. */
  async function expectHeldByHand(): Promise<void> {
    const tool = await openTool(database.url);
    const open = MANY;
    expect(await tool.adopt('hold', { decidedBy: 'operator-1', reason: 'a snapshot was put back' })).toMatchObject({
      recorded: true,
      open,
    });
    const [decision] = (await tool.status()).decisions;
    expect(decision).toMatchObject({ decision: 'hold', before: { timeline: 2 }, after: { timeline: 2 } });
    await tool.close();
  }

  it('is refused until it is promoted, recognised then, and adopted with its rooms held', async () => {
    await expectRefused();
    await promote(standby);
    await expectRecognised();
    await expectNoClaims();
    await expectAdopted();
    await expectHeldByHand();
  });
});

describe.each(installed === undefined ? [] : [{ name: `system ${installed.major}`, bin: installed.directory }])(
  '$name: a restored dump',
  ({ bin }) => {
    let source: PostgresServer;
    let target: PostgresServer;
    let database: Database;
    beforeAll(async () => {
      [source, target] = [await start('source', bin), await start('target', bin)];
      await migrate(source.url(), { shards: SHARDS });
      await fill(source.url(), 3);
      const dumped = run(join(bin, 'pg_dump'), ['--no-owner', source.url()]);
      run(join(bin, 'psql'), ['-v', 'ON_ERROR_STOP=1', '-q', target.url()], dumped);
      database = new Database(target.url(), async () => undefined);
    });
    afterEach(() => database.closeOpened());

    it('is recognised as another cluster, and adopted with its rooms going on', async () => {
      const { ownership } = database.stores().stores;
      const { anotherHistory } = await ownership.register(registrationOf('a', LEASE_MS));
      expect(anotherHistory).toMatchObject({ stored: { timeline: 1 }, seen: { timeline: 1 } });
      expect(anotherHistory?.seen.systemIdentifier).not.toBe(anotherHistory?.stored.systemIdentifier);

      const tool = await openTool(database.url);
      const decided = await tool.adopt('resend', { decidedBy: 'operator-1', reason: 'restored from last night' });
      expect(decided).toEqual({ open: 3, changed: 0, recorded: true });
      await tool.close();
      expect(await ownership.register(registrationOf('b', LEASE_MS))).toMatchObject({
        generation: 1,
        anotherHistory: null,
      });
      expect(await phases(database.url)).toEqual([{ phase: 'sending', reason: null, rooms: 3, version: 1 }]);
    });

    it('is decided about by one operator only', async () => {
      const { decisions } = database.stores();
      const { stored } = await database.stores().look();
      const decision = { decision: 'hold', decidedBy: 'b', reason: 'late', roomsOpen: 0, roomsChanged: 0 } as const;
      const stale = { systemIdentifier: '1', timeline: 1 };
      const known = await decisions.list(9);
      expect(await decisions.record({ ...decision, before: stale, after: stored })).toBe(false);
      expect(await decisions.list(9)).toEqual(known);
    });
  },
);

function run(program: string, args: readonly string[], input = ''): string {
  const { status, stdout, stderr } = spawnSync(program, [...args], { input, encoding: 'utf8', maxBuffer: 64_000_000 });
  if (status !== 0) throw new Error(`${program} failed: ${stderr}`);
  return stdout;
}
