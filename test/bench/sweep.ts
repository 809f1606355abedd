/**
 * What it costs to go on without signals, and what rooms wait for then: `node test/bench/sweep.ts`. Two engines on a real
 * Postgres of its own: one holds all rooms; the other takes their messages and acks, and can tell it nothing. With
 * REDIS_URL it can: that is what full speed is.
 */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startPostgres } from '../../simulators/postgres/embedded.ts';
import { migrate } from '../../src/adapters/postgres/migrate.ts';
import { openStores } from '../../src/adapters/postgres/stores.ts';
import { createRedis } from '../../src/adapters/redis/redis.ts';
import { createSystemClock } from '../../src/adapters/system-clock.ts';
import { createEngine, type Engine } from '../../src/engine/engine.ts';
import type { Instruments } from '../../src/engine/instruments.ts';
import { contentDigest } from '../../src/engine/message.ts';
import type { Clock, NewMessage, PlatformChannel, RoomStore, SendRequest, Signals } from '../../src/engine/ports.ts';
import { createReferences } from '../../src/engine/reference.ts';
import { shardOf } from '../../src/room/shard.ts';
import { createMetrics, recipientHasher, Telemetry } from '../../src/telemetry.ts';
import { CHANNEL, channelOf, statusOf } from '../support/engine.ts';
import { eventually } from '../support/events.ts';
import { ascending, quantile } from './figures.ts';
import { cpuMsWithChildren, describeMachine } from './machine.ts';

const SHARDS = 4_096;
const ROOMS = Number(process.env.ROOMS ?? 25_000);
const WAKES = 1_000;
const WAKE_EVERY_MS = 10;
const STILL_MS = 20_000;
const HOUR_MS = 3_600_000;
const EVERY_MS = 250;
const PREFIX = `bench:${randomUUID()}:`;

const directory = mkdtempSync(join(tmpdir(), 'roomline-sweep-'));
const server = await startPostgres({ directory, settings: { shared_buffers: '128MB', max_wal_size: '4GB' } });
const ends: (() => Promise<void>)[] = [
  async () => rmSync(directory, { recursive: true, force: true }),
  () => server.stop(),
];
const references = createReferences('a secret of this benchmark');
/** Called when the platform receives the next message of a room. */
const waiting = new Map<string, () => void>();
let sends = 0;
async function engineOf(name: string, roles: readonly string[]): Promise<{ engine: Engine; rooms: RoomStore }> {
  const opened = openStores({
    url: server.url(),
    lanes: 2,
    poolMax: 8,
    connectTimeoutMs: 5_000,
    statementTimeoutMs: 30_000,
    idleInTransactionSessionTimeoutMs: 1_000,
    preparedStatements: true,
    dedupeDays: 8,
    historyRetentionDays: 30,
    auditRetentionDays: 365,
    allowUnsafeSettings: false,
  });
  ends.push(() => opened.close());
  const clock = createSystemClock();
  const instruments: Instruments = {
    log: { event: () => undefined, flush: () => undefined, writes: () => false },
    metrics: createMetrics({ version: 'bench' }),
    telemetry: new Telemetry(),
    hash: recipientHasher('a key of this benchmark'),
  };
  const engine = createEngine(
    {
      name,
      roles,
      weight: 1,
      shards: SHARDS,
      lanes: 2,
      maxBatchRows: 500,
      maxWaiting: 100_000,
      maxWaitingBytes: 134_217_728,
      lingerMs: 2,
      acceptanceLingerMs: 0,
      bodyCacheBytes: 64 * 1_048_576,
      leaseMs: 10_000,
      renewEveryMs: 2_000,
      pollEveryMs: 250,
      sweepEveryMs: 5_000,
      sweepWithoutSignalsMs: EVERY_MS,
    },
    {
      stores: opened.stores,
      clock,
      chance: Math.random,
      endOfTurn: setImmediate,
      references,
      channels: [channelOf({ maxConcurrentSends: 1_000, policy: { ackTimeoutMs: HOUR_MS } })],
      platform: () => platform,
      sharedRates: null,
      signals: await signalsOf(instruments, clock),
      instruments,
      newWorkerId: randomUUID,
      isPermanent: () => false,
      onFailure: (error) => {
        throw error;
      },
    },
  );
  ends.push(() => engine.service.stop());
  await engine.service.start();
  return { engine, rooms: opened.stores.rooms };
}

async function signalsOf(instruments: Instruments, clock: Clock): Promise<Signals | null> {
  const url = process.env.REDIS_URL;
  if (url === undefined) return null;
  const redis = createRedis(
    { url, keyPrefix: PREFIX, connectTimeoutMs: 1_000, commandTimeoutMs: 250 },
    { instruments, clock, chance: Math.random },
  );
  ends.push(() => redis.service.stop());
  await redis.service.start();
  return redis.signals;
}

/** Two messages in each room; the first is sent and waits for its ack. */
async function fill(intake: Engine): Promise<void> {
  await Promise.all(Array.from({ length: 2 * ROOMS }, (_, i) => intake.intake.accept(message(i % ROOMS, i))));
  await eventually('all are sent', () => sends === ROOMS, { deadlineMs: 120_000 });
  await delay(3_000);
}

/** CPU of one look, and of the sweep that looks at all rooms. */
async function costs(rooms: RoomStore): Promise<void> {
  const shards = Array.from({ length: SHARDS }, (_, shard) => shard);
  let { now } = await rooms.changedSince(shards, null);
  await measure('a look, nothing written', 200, async () => {
    now = (await rooms.changedSince(shards, now)).now;
  });
  const everything = '3';
  await measure('a look, every room written', 20, async () => {
    const found = await rooms.changedSince(shards, everything);
    if (found.rooms.length < ROOMS) throw new Error(`only ${found.rooms.length} rooms were found`);
  });
  await measure('a sweep of the due, none due', 100, async () => {
    let from: string | null = null;
    do from = (await rooms.sweep(shards, Date.now(), 500, from)).next;
    while (from !== null);
  });
}

async function measure(what: string, times: number, run: () => Promise<void>): Promise<void> {
  await run();
  const before = used();
  const begun = performance.now();
  for (let n = 0; n < times; n++) await run();
  const after = used();
  const each = (ms: number): string => (ms / times).toFixed(1);
  const { postgres, own } = { postgres: after.postgres - before.postgres, own: after.own - before.own };
  const percent = ((postgres + own) / times / EVERY_MS) * 100;
  process.stdout.write(
    `${what.padEnd(32)} ${each(performance.now() - begun)} ms, CPU: Postgres ${each(postgres)} ms, ours ${each(own)} ms` +
      ` (${percent.toFixed(1)} % of a core every ${EVERY_MS} ms)\n`,
  );
}

/** From the ack at one process to the next send at the other. */
async function wakes(webhook: Engine): Promise<void> {
  const lateMs: number[] = [];
  const all: Promise<void>[] = [];
  for (let n = 0; n < WAKES; n++) {
    all.push(ackOf(webhook, n).then((ms) => void lateMs.push(ms)));
    await delay(WAKE_EVERY_MS);
  }
  await Promise.all(all);
  const sorted = ascending(lateMs);
  const at = (q: number): string => `${Math.round(quantile(sorted, q))} ms`;
  process.stdout.write(`ack elsewhere → next send         p50 ${at(0.5)}, p99 ${at(0.99)}, greatest ${at(1)}\n`);
}

async function ackOf(webhook: Engine, room: number): Promise<number> {
  const name = nameOf(room);
  const sent = new Promise<void>((resolve) => waiting.set(name, resolve));
  const reference = referenceOf.get(name) as string;
  const begun = performance.now();
  await webhook.acks.receive(CHANNEL, [statusOf({ reference })]);
  await sent;
  return performance.now() - begun;
}

/** Everything together while nothing happens. */
async function still(): Promise<void> {
  await delay(2_000);
  const before = used();
  await delay(STILL_MS);
  const after = used();
  const percent = (ms: number): string => `${((ms / STILL_MS) * 100).toFixed(1)} %`;
  process.stdout.write(
    `two idle engines, of a core      Postgres ${percent(after.postgres - before.postgres)}, ours ${percent(after.own - before.own)}\n`,
  );
}

function used(): { postgres: number; own: number } {
  const { user, system } = process.cpuUsage();
  return { postgres: cpuMsWithChildren(server.pid as number), own: (user + system) / 1_000 };
}

const referenceOf = new Map<string, string>();

const platform: PlatformChannel = {
  senderId: null,
  checkContent: null,
  lookup: null,
  handshake: null,
  send: async ({ body, reference }: SendRequest) => {
    const { to } = JSON.parse(new TextDecoder().decode(body)) as { to: string };
    referenceOf.set(to, reference);
    sends++;
    waiting.get(to)?.();
    return { kind: 'accepted', platformId: null, platformAt: null, duplicate: false };
  },
  verify: () => ({ kind: 'verified' }),
  readStatuses: () => [],
  close: () => Promise.resolve(),
};

function nameOf(room: number): string {
  return `room-${room}`;
}

function message(room: number, id: number): NewMessage {
  const key = { ...CHANNEL, room: nameOf(room) };
  const body = new TextEncoder().encode(JSON.stringify({ to: key.room, content: { text: 'x'.repeat(200) } }));
  return {
    key,
    shard: shardOf(key, SHARDS),
    messageId: `m-${id}`,
    body,
    digest: contentDigest(body),
    acceptedAt: Date.now(),
    notBefore: null,
    expiresAt: null,
    ackTimeoutMs: null,
    failurePolicy: null,
    supersedes: null,
    source: 'pubsub',
  };
}

try {
  process.stdout.write(`${describeMachine()}\n`);
  await migrate(server.url(), { shards: SHARDS });
  const holder = await engineOf('holder', ['worker']);
  const outside = await engineOf('outside', ['intake', 'webhook']);
  await fill(outside.engine);
  await costs(holder.rooms);
  await wakes(outside.engine);
  await still();
} finally {
  for (const end of ends.reverse()) await end();
}
