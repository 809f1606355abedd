/**
 * How fast the Postgres store is: `node test/bench/store.ts postgres://…/postgres`. Makes a database of its own on that
 * server and drops it again. CPU of Postgres is read from /proc, where the server runs on this machine.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import pg from 'pg';
import { migrate } from '../../src/adapters/postgres/migrate.ts';
import { openStores } from '../../src/adapters/postgres/stores.ts';
import type { ClaimProof, LateFact, NewMessage, RoomStore, RoomWrite, SettledState } from '../../src/engine/ports.ts';
import { judgeLate } from '../../src/room/ack.ts';
import { type Envelope, type Policy, type Room, type RoomRow, withEnvelopes } from '../../src/room/room.ts';
import { transition } from '../../src/room/transition.ts';
import { registrationOf } from '../support/fleet.ts';

const SHARDS = 4_096;
const ROOMS = Number(process.env.ROOMS ?? 25_000);
const BODY = Buffer.alloc(237, 'x');
const DIGEST = createHash('sha256').update(BODY).digest();
const START = Date.now();
let extra = 0;

const POLICY: Policy = {
  unlockedBy: 'delivered',
  ackTimeoutMs: 5_000,
  minGapMs: 0,
  roomLimit: { everyMs: 0, burst: 1 },
  maxAttempts: 5,
  backoff: { initialMs: 1_000, maxMs: 60_000, factor: 2, jitter: 0 },
  unknownGraceMs: 2_000,
  unknownPolicy: 'resend',
  failurePolicy: 'move_on',
};

const [serverUrl] = process.argv.slice(2);
if (serverUrl === undefined) throw new Error('usage: node test/bench/store.ts postgres://…/postgres');

const admin = new pg.Client(serverUrl);
await admin.connect();
await admin.query('DROP DATABASE IF EXISTS bench_store');
await admin.query('CREATE DATABASE bench_store');
const url = new URL(serverUrl);
url.pathname = '/bench_store';
await migrate(url.href, { shards: SHARDS });
await makeAMonthOfHistory();
const opened = openStores({
  url: url.href,
  lanes: 1,
  poolMax: 4,
  connectTimeoutMs: 5_000,
  statementTimeoutMs: 30_000,
  idleInTransactionSessionTimeoutMs: 1_000,
  preparedStatements: true,
  dedupeDays: 8,
  historyRetentionDays: 30,
  auditRetentionDays: 365,
  allowUnsafeSettings: false,
});
const { rooms, ownership, history } = opened.stores;
try {
  await run();
} finally {
  await opened.close();
  await admin.query('DROP DATABASE bench_store');
  await admin.end();
}

async function run(): Promise<void> {
  const { rows: version } = await admin.query('SHOW server_version');
  process.stdout.write(`Postgres ${(version[0] as { server_version: string }).server_version}\n`);
  await measure('append, rooms that are new', 'appends', 500, ROOMS, appendAll(500));
  for (const size of [500, 500, 500, 20, 5, 1]) {
    await measure(
      'append, rooms that are known',
      'appends',
      size,
      size === 500 ? ROOMS : rowsOf(size),
      appendAll(size),
    );
  }
  await measure("append, with a publisher's order", 'appends', 500, ROOMS, appendAll(500, 1));
  const proof: ClaimProof = { worker: 'bench', ...(await ownership.register(registrationOf('bench', 60_000))) };
  let live = await loadRooms(rooms);
  live = await writeAll('claim', 500, live, proof, (room) => claim(room, proof));
  for (const size of [500, 100, 20, 1]) {
    live = await writeAll('acceptance', size, live, proof, accept, rowsOf(size));
    live = await writeAll('settle + claim', size, live, proof, (room) => settleAndClaim(room, proof), rowsOf(size));
    await append(rooms, live.slice(0, rowsOf(size)));
    live = live.map((room, index) => (index < rowsOf(size) ? withMore(room) : room));
    live = [...live.slice(rowsOf(size)), ...live.slice(0, rowsOf(size))];
  }
  // The first messages of these rooms have settled above.
  const settled = live.toReversed();
  for (const size of [1, 20, 200]) {
    const rooms = settled.splice(0, rowsOf(size));
    await measure('late status', 'pool', size, rooms.length, (batch) =>
      readLate(rooms.slice(batch * size, batch * size + size)),
    );
    await measure('late answer', 'pool', size, rooms.length, (batch) =>
      history.recordLate(rooms.slice(batch * size, batch * size + size).map(lateAnswer)),
    );
    await measure('watermark that says nothing new', 'pool', size, rooms.length, (batch) =>
      readLower(rooms.slice(batch * size, batch * size + size)),
    );
  }
}

/** As late acks are recorded: read, judged, stored. */
async function readLate(settled: readonly Room[]): Promise<void> {
  const wanted = settled.map(({ shard, id }) => ({ shard, id, sequence: 1 }));
  const states = (await history.readSettledStates(wanted)) as SettledState[];
  const changes = states.map((state, index) => {
    const verdict = judgeLate(state, { type: 'ack', level: 'read', at: START });
    if (verdict.kind === 'ignored') throw new Error(`a late ack was ignored: ${verdict.reason}`);
    return { state, verdict, key: (settled[index] as Room).key, fingerprint: null, at: START };
  });
  const changed = await history.updateSettled(changes);
  if (!changed.every(Boolean)) throw new Error('a late ack was not stored');
}

/** What every watermark asks: where its room is, and what it says something new of. */
async function readLower(settled: readonly Room[]): Promise<void> {
  const located = await rooms.locateRooms(settled);
  const wanted = located.map((address) => {
    if (address === null) throw new Error('a room was not found');
    return { ...address, upTo: 1, level: 'read', watermark: START } as const;
  });
  const lower = await history.readLowerLevels(wanted, 50);
  if (lower.some((states) => states.length > 0)) throw new Error('a watermark says something new');
}

function lateAnswer({ shard, id }: Room): LateFact {
  const fact = { kind: 'answered_late', sequence: 1, attempt: 1, result: 'accepted', code: null } as const;
  return { address: { shard, id }, fact: { ...fact, platformId: null, at: START } };
}

/** As many days as a deployment of some age has; they are empty. */
async function makeAMonthOfHistory(): Promise<void> {
  const owner = new pg.Client(url.href);
  await owner.connect();
  await owner.query('SELECT make_history_partitions(CURRENT_DATE - 30, CURRENT_DATE - 1)');
  await owner.end();
}

/** Enough of them that a measurement says something. */
function rowsOf(size: number): number {
  return Math.min(ROOMS, Math.max(1_500, 50 * size));
}

function appendAll(size: number, order?: number): (batch: number) => Promise<void> {
  return async (batch) => {
    const messages = Array.from({ length: size }, (_, i) => {
      const plain = message((batch * size + i) % ROOMS, `id-of-a-message-${extra++}`);
      return order === undefined ? plain : { ...plain, order };
    });
    const results = await rooms.append(messages);
    if (results.some((result) => result.kind !== 'appended')) throw new Error('not appended');
  };
}

async function append(store: RoomStore, to: readonly Room[]): Promise<void> {
  for (let i = 0; i < to.length; i += 500) {
    await store.append(
      to.slice(i, i + 500).map((room) => ({ ...message(0, `extra-${extra++}`), key: room.key, shard: room.shard })),
    );
  }
}

function withMore(room: Room): Room {
  return withEnvelopes({ ...room, tail: room.tail + 1 }, [envelope(room.tail + 1)]);
}

function message(room: number, messageId: string): NewMessage {
  return {
    key: { tenant: 'default', channel: 'whatsapp-1', room: `room-${room}-of-the-benchmark` },
    shard: (room * 2_654_435_761) % SHARDS,
    messageId,
    body: BODY,
    digest: DIGEST,
    acceptedAt: START,
    notBefore: null,
    expiresAt: null,
    ackTimeoutMs: null,
    failurePolicy: null,
    supersedes: null,
    source: 'pubsub',
  };
}

function envelope(sequence: number): Envelope {
  return {
    sequence,
    messageId: `m-${sequence}`,
    acceptedAt: START,
    notBefore: null,
    expiresAt: null,
    cancelledBy: null,
    policy: POLICY,
  };
}

async function loadRooms(store: RoomStore): Promise<Room[]> {
  const found: RoomRow[] = [];
  const shards = Array.from({ length: SHARDS }, (_, shard) => shard);
  const begun = performance.now();
  for (let after: RoomRow | null = null; ; after = found.at(-1) ?? null) {
    const page = await store.scan(shards, 1_000, after);
    found.push(...page.map((stored) => stored.row));
    if (page.length < 1_000) break;
  }
  report('scan of all', found.length, performance.now() - begun, 0, 0);
  const sweep = performance.now();
  let from: string | null = null;
  do from = (await store.sweep(shards, START, 500, from)).next;
  while (from !== null);
  process.stdout.write(`a sweep took ${(performance.now() - sweep).toFixed(1)} ms\n`);
  return found.map((row) => ({ ...row, envelopes: Array.from({ length: row.tail }, (_, i) => envelope(i + 1)) }));
}

async function writeAll(
  what: string,
  size: number,
  live: readonly Room[],
  proof: ClaimProof,
  decide: (room: Room) => RoomWrite,
  count = live.length,
): Promise<Room[]> {
  const next = [...live];
  await measure(what, 'lane 0', size, Math.min(count, live.length), async (batch) => {
    const writes = live.slice(batch * size, batch * size + size).map(decide);
    const results = await rooms.compareAndSet(0, writes, proof);
    results.forEach((result, i) => {
      if (result.kind !== 'committed') throw new Error(`write ${i} was ${result.kind}`);
      next[batch * size + i] = (writes[i] as RoomWrite).next;
    });
  });
  return next;
}

function claim(room: Room, proof: ClaimProof): RoomWrite {
  const decision = transition(room, { type: 'permit_granted', ...proof }, START + 1);
  return { expectedVersion: room.version, next: decision.room, facts: decision.facts, claims: true };
}

function accept(room: Room): RoomWrite {
  const decision = transition(
    room,
    {
      type: 'attempt_accepted',
      sequence: room.settled + 1,
      attempt: room.attempt,
      platformId: null,
      platformAt: null,
      ackTimeoutMs: null,
    },
    START + 2,
  );
  return { expectedVersion: room.version, next: decision.room, facts: decision.facts, claims: false };
}

function settleAndClaim(room: Room, proof: ClaimProof): RoomWrite {
  const ack = { type: 'ack', sequence: room.settled + 1, level: 'delivered', at: START, cumulative: false } as const;
  const settled = transition(room, ack, START + 3);
  const claimed = transition(settled.room, { type: 'permit_granted', ...proof }, START + 3);
  const facts = [...settled.facts, ...claimed.facts];
  return { expectedVersion: room.version, next: claimed.room, facts, claims: claimed.room.phase === 'sending' };
}

async function measure(
  what: string,
  purpose: string,
  size: number,
  rows: number,
  batch: (index: number) => Promise<void>,
): Promise<void> {
  const batches = Math.floor(rows / size);
  const serverBefore = await serverCpuMs(purpose);
  const cpuBefore = process.cpuUsage();
  const begun = performance.now();
  for (let index = 0; index < batches; index++) await batch(index);
  const elapsed = performance.now() - begun;
  const cpu = process.cpuUsage(cpuBefore);
  const server = (await serverCpuMs(purpose)) - serverBefore;
  report(`${what}, ${size} per batch`, batches * size, elapsed, server, (cpu.user + cpu.system) / 1000);
}

function report(what: string, rows: number, elapsedMs: number, serverMs: number, nodeMs: number): void {
  const perSecond = Math.round((rows / elapsedMs) * 1000);
  const each = (ms: number): string => ((ms * 1000) / rows).toFixed(1);
  process.stdout.write(
    `${what.padEnd(46)} ${String(rows).padStart(7)} rows ${String(perSecond).padStart(8)}/s` +
      `  PG ${each(serverMs)} µs/row  Node ${each(nodeMs)} µs/row\n`,
  );
}

/** Of the sessions that serve this purpose. */
async function serverCpuMs(purpose: string): Promise<number> {
  const { rows } = await admin.query('SELECT pid FROM pg_stat_activity WHERE application_name = $1', [
    `roomline ${purpose}`,
  ]);
  return (rows as { pid: number }[]).reduce((sum, { pid }) => sum + processCpuMs(pid), 0);
}

function processCpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
