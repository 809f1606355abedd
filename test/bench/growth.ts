/** What a message costs as the system grows: with more rooms, beside a million known ones, after a long history. */
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { DATABASE } from '../../simulators/rig/database.ts';
import type { Rig } from '../../simulators/rig/rig.ts';
import { shardOf } from '../../src/room/shard.ts';
import { type Engine, startRoomline } from './engine.ts';
import { type Figure, figure, type RunFigures } from './figures.ts';
import { type Load, loadOf } from './load.ts';
import { memoryMb } from './machine.ts';
import type { BenchOptions } from './options.ts';
import { conclude, heapMb, type Passage, pass, type Shown, totalUs } from './passage.ts';
import { CHANNEL, type CpuTimes, cpuBetween, cpuTimes, withSystem } from './system.ts';
import { LONG_ACK_TIMEOUT_MS, type Workload, type WorkloadContext } from './workload.ts';

const ACK_DELAY = { kind: 'uniform', minMs: 0, maxMs: 5 } as const;
const SENDS = 256;
const TIMEOUTS = { ackTimeoutMs: LONG_ACK_TIMEOUT_MS };
/** Compiles the code, so that the load that comes first is not the dearest. */
const WARM_UP = { rooms: 1_000, messages: 10 } as const;
const ROOMS = [1_000, 10_000, 100_000];
const KNOWN = 1_000_000;
const BUSY = 25_000;
const HISTORY_ROWS = 10_000_000;
/** Rows in one statement. */
const INSERTED_AT_ONCE = 20_000;
const IDLE_MS = 10_000;

/** The same number of messages over 1,000, 10,000 and 100,000 rooms. */
export const rooms: Workload = {
  describe(options) {
    const counts = roomCounts(options);
    const each = counts.map((count) => `${count} × ${messagesFor(count, options)}`).join(', ');
    return `rooms: ${each} messages in rooms that have had one before, acks after ${ACK_DELAY.minMs}–${ACK_DELAY.maxMs} ms`;
  },

  measure(context) {
    return withEngine(context, async (rig, engine) => {
      const passages: [Passage, string][] = [];
      for (const count of roomCounts(context.options)) {
        const messages = messagesFor(count, context.options);
        passages.push([await twice(rig, engine, `${count}`, count, messages, context), `${count} rooms`]);
      }
      const all = await concluded(rig, engine, passages);
      const [least, most] = [all[0], all.at(-1)] as [Shown, Shown];
      const grown = figure('CPU per message, most rooms by fewest', '×', totalUs(most) / totalUs(least));
      return report([grown], all);
    });
  },
};

function roomCounts({ rooms: most = null }: BenchOptions): number[] {
  return most === null ? ROOMS : [...ROOMS.filter((count) => count < most), most];
}

function messagesFor(count: number, { messages }: BenchOptions): number {
  return messages ?? Math.max(1, Math.round((ROOMS.at(-1) ?? 1) / count));
}

/** 25,000 busy rooms alone, then beside those that make a million; these are written by SQL, as rooms at rest. */
export const million: Workload = {
  describe(options) {
    const { busy, messages } = busyOf(options);
    return `million: ${busy} rooms × ${messages} messages, then the same beside ${KNOWN} known rooms, which SQL has put into the database`;
  },

  measure(context) {
    const { busy, messages } = busyOf(context.options);
    return withEngine(context, async (rig, engine) => {
      const alone = await twice(rig, engine, 'alone', busy, messages, context);
      const pid = engine.pids[0] ?? 0;
      const before = memoryMb(pid);
      await insertRooms(rig, `${context.run}-known-`, KNOWN - busy, context);
      const atRest = await cpuAtRest(rig, engine, context);
      const beside = await twice(rig, engine, 'million', busy, messages, context);
      const heap = heapMb(await rig.engine.metrics());
      const after = memoryMb(pid);
      const all = await concluded(rig, engine, [
        [alone, `${busy} rooms`],
        [beside, 'beside a million'],
      ]);
      const [first, second] = all as [Shown, Shown];
      return report(
        [
          figure('CPU per message, beside a million by alone', '×', totalUs(second) / totalUs(first)),
          figure('memory before the million', 'MB', before),
          figure('memory after all', 'MB', after),
          figure('JavaScript heap in use after all', 'MB', heap),
          figure('CPU of the engine at rest beside a million', '%', atRest.engine),
          figure('CPU of Postgres at rest beside a million', '%', atRest.postgres),
        ],
        all,
      );
    });
  },
};

function busyOf({ rooms: busy, messages }: BenchOptions): { busy: number; messages: number } {
  return { busy: busy ?? BUSY, messages: messages ?? 2 };
}

/** The same load with an empty history and with a long one, which is written by SQL. */
export const history: Workload = {
  describe(options) {
    const { count, messages, rows } = historyOf(options);
    return `history: ${count} rooms × ${messages} messages at a history of their own, and at one of ${rows} more rows, which SQL has put there`;
  },

  measure(context) {
    const { count, messages, rows } = historyOf(context.options);
    return withEngine(context, async (rig, engine) => {
      const empty = await twice(rig, engine, 'empty', count, messages, context);
      await insertHistory(rig, `${context.run}-old-`, rows, context);
      const long = await twice(rig, engine, 'long', count, messages, context);
      const all = await concluded(rig, engine, [
        [empty, 'empty history'],
        [long, 'long history'],
      ]);
      const [first, second] = all as [Shown, Shown];
      return report([figure('CPU per message, long history by empty', '×', totalUs(second) / totalUs(first))], all);
    });
  },
};

function historyOf({ rooms: count, messages, historyRows }: BenchOptions) {
  return { count: count ?? 2_000, messages: messages ?? 10, rows: historyRows ?? HISTORY_ROWS };
}

function withEngine<T>(context: WorkloadContext, work: (rig: Rig, engine: Engine) => Promise<T>): Promise<T> {
  const { options, signal, say } = context;
  const channel = {
    unlockedBy: 'delivered',
    ackTimeoutMs: LONG_ACK_TIMEOUT_MS,
    maxConcurrentSends: SENDS,
    ...options.channel,
  };
  const platform = { defaults: { ackDelayMs: ACK_DELAY } };
  return withSystem(
    { channel, settings: options.settings, redis: options.redis, platform, signal, say },
    async (rig) => {
      const engine = await startRoomline(rig, CHANNEL, context);
      await pass(
        rig,
        engine,
        loadOf({ ...WARM_UP, run: `${context.run}-warm-up`, channel: CHANNEL }),
        TIMEOUTS,
        context,
      );
      return work(rig, engine);
    },
  );
}

/** One message for every room to make them, then what is measured. */
async function twice(
  rig: Rig,
  engine: Engine,
  name: string,
  count: number,
  messages: number,
  context: WorkloadContext,
): Promise<Passage> {
  const roomPrefix = `${context.run}-${name}-`;
  const shape = { channel: CHANNEL, rooms: count, roomPrefix };
  const make: Load = loadOf({ ...shape, run: `${context.run}-${name}-make`, messages: 1 });
  await pass(rig, engine, make, TIMEOUTS, context);
  return pass(rig, engine, loadOf({ ...shape, run: `${context.run}-${name}`, messages }), TIMEOUTS, context);
}

async function concluded(rig: Rig, engine: Engine, passages: readonly [Passage, string][]): Promise<Shown[]> {
  await engine.stop();
  const all: Shown[] = [];
  for (const [passage, label] of passages) all.push(await conclude(rig, passage, label));
  return all;
}

function report(own: readonly Figure[], all: readonly Shown[]): RunFigures {
  return {
    ratios: own.filter(({ unit }) => unit === '×'),
    figures: [...own.filter(({ unit }) => unit !== '×'), ...all.flatMap(({ figures }) => figures)],
    rows: all.map((shown) => ({ shown })),
  };
}

async function insertRooms(rig: Rig, prefix: string, count: number, { say, signal }: WorkloadContext): Promise<void> {
  await withClient(rig, async (client) => {
    const { rows } = await client.query<{ shards: number }>('SELECT count(*)::int AS shards FROM shards');
    const shards = rows[0]?.shards ?? 0;
    for (let from = 0; from < count; from += INSERTED_AT_ONCE) {
      signal.throwIfAborted();
      const names = Array.from(
        { length: Math.min(INSERTED_AT_ONCE, count - from) },
        (_, at) => `${prefix}${from + at}`,
      );
      const places = names.map((room) => shardOf({ tenant: 'default', channel: CHANNEL, room }, shards));
      await client.query(
        `INSERT INTO rooms (shard, tenant, channel, room, since, created_at, touched_at)
         SELECT shard, 'default', $3, room, $4, $4, $4 FROM unnest($1::int[], $2::text[]) AS known(shard, room)`,
        [places, names, CHANNEL, Date.now()],
      );
    }
    await tidy(client, 'rooms');
  });
  say(`  ${count} rooms inserted`);
}

/** Copies of a row that is there, as messages of rooms that nobody uses. */
async function insertHistory(rig: Rig, prefix: string, count: number, context: WorkloadContext): Promise<void> {
  await insertRooms(rig, prefix, Math.min(count, INSERTED_AT_ONCE), context);
  await withClient(rig, async (client) => {
    const { rows } = await client.query<{ name: string }>(
      `SELECT column_name AS name FROM information_schema.columns
       WHERE table_schema = 'public' AND table_name = 'history' ORDER BY ordinal_position`,
    );
    const names = rows.map(({ name }) => name);
    const own: Readonly<Record<string, string>> = {
      shard: 'r.shard',
      room_id: 'r.id',
      sequence: '$2::bigint',
      message_id: `'earlier-' || $2::text || '-' || r.room`,
    };
    const values = names.map((name) => own[name] ?? `h.${name}`);
    for (let from = 0, round = 1; from < count; from += INSERTED_AT_ONCE, round++) {
      context.signal.throwIfAborted();
      await client.query(
        `INSERT INTO history (${names.join(', ')})
         SELECT ${values.join(', ')} FROM rooms r, (SELECT * FROM history LIMIT 1) h
         WHERE starts_with(r.room, $1) ORDER BY r.id LIMIT $3`,
        [prefix, round, Math.min(INSERTED_AT_ONCE, count - from)],
      );
    }
    await tidy(client, 'history');
    const made = await client.query<{ count: string }>('SELECT count(*) FROM history');
    context.say(`  the history has ${made.rows[0]?.count} rows`);
  });
}

/** Shares of a core, in %, that are used while nothing is to do. */
async function cpuAtRest(
  rig: Rig,
  engine: Engine,
  { signal }: WorkloadContext,
): Promise<Pick<CpuTimes, 'engine' | 'postgres'>> {
  const before = cpuTimes(rig, engine);
  await delay(IDLE_MS, null, { signal });
  const used = cpuBetween(before, cpuTimes(rig, engine));
  return { engine: (used.engine / IDLE_MS) * 100, postgres: (used.postgres / IDLE_MS) * 100 };
}

/** What the server would do by itself about so many new rows, while we measure. */
async function tidy(client: pg.Client, table: string): Promise<void> {
  await client.query(`VACUUM (ANALYZE) ${table}`);
  await client.query('CHECKPOINT');
}

async function withClient(rig: Rig, work: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString: rig.postgres.url(DATABASE) });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}
