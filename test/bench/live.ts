/**
 * What readers of the live feed cost.
 *
 *   node test/bench/live.ts                  in one process, without network: CPU of telling of one settled message
 *   node test/bench/live.ts system [rate]    one system under the same steady traffic (500 messages a second by
 *                                            default), in turns without a reader and with some: CPU of the engine's
 *                                            process for each message that settles
 */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Rig, startRig } from '../../simulators/rig/rig.ts';
import { RoomlineClient } from '../../src/client/client.ts';
import { Live } from '../../src/engine/live.ts';
import { encodeInterest } from '../../src/engine/live-codec.ts';
import type { LiveBus } from '../../src/engine/live-ports.ts';
import type { Clock } from '../../src/engine/ports.ts';
import { createReferences } from '../../src/engine/reference.ts';
import { reportSettled } from '../../src/engine/report.ts';
import { Tallies } from '../../src/engine/tallies.ts';
import { LiveHub, type Sink } from '../../src/http/live-hub.ts';
import type { Settled } from '../../src/room/events.ts';
import { newRoomRow, type Room } from '../../src/room/room.ts';
import { createMetrics, recipientHasher, Telemetry } from '../../src/telemetry.ts';

const ROOMS = 1_000;
const ROUNDS = 4;
const PHASE_MS = 8_000;
const SETTLE_MS = 1_500;
const TICK_MS = 20;

interface Case {
  readonly name: string;
  readonly readers: readonly string[];
}

const CASES: readonly Case[] = [
  { name: 'nobody listens', readers: [] },
  { name: '1 reader of totals', readers: ['totals'] },
  { name: '1 reader of everything', readers: ['totals,settled,failed'] },
  { name: '10 readers of everything', readers: Array<string>(10).fill('totals,settled,failed') },
];

/** Publishes steadily until the signal; resolves with the number of messages. */
async function publish(client: RoomlineClient, perSecond: number, ended: AbortSignal): Promise<void> {
  const perTick = Math.max(1, Math.round((perSecond * TICK_MS) / 1_000));
  const begunAt = performance.now();
  const open = new Set<Promise<unknown>>();
  for (let sent = 0; !ended.aborted; sent += perTick) {
    const messages = Array.from({ length: perTick }, (_, index) => ({
      channel: 'main',
      room: `room-${(sent + index) % ROOMS}`,
      content: { text: 'Hello' },
    }));
    const one = client.call('POST', '/v1/messages:batch', { body: { messages } }).finally(() => open.delete(one));
    open.add(one);
    const dueAt = begunAt + ((sent + perTick) * 1_000) / perSecond;
    await delay(Math.max(0, dueAt - performance.now()));
  }
  await Promise.all(open);
}

async function read(client: RoomlineClient, events: string, signal: AbortSignal, count: () => void): Promise<void> {
  for await (const event of client.live({ events }, { signal })) if (event.event !== 'ready') count();
}

async function figures(rig: Rig): Promise<{ readonly cpuS: number; readonly settled: number; readonly at: number }> {
  const metrics = await rig.engine.metrics();
  const cpuS = metrics.sum('roomline_process_cpu_seconds_total') || metrics.sum('process_cpu_seconds_total');
  return { cpuS, settled: metrics.sum('roomline_messages_settled_total'), at: performance.now() };
}

// ------------------------------------------------------------------------------------------------------- in one process

const SETTLED = 5_000;
const TURNS = 11;
/** Settled messages between two flushes: 10,000 a second. */
const PER_FLUSH = 500;

const noSink: Sink = {
  encode: (event, id, json) => `event: ${event}\nid: ${id}\ndata: ${json}\n\n`,
  join: (texts) => texts.join(''),
  write: () => true,
  close: () => undefined,
  destroy: () => undefined,
};

const roomOf = (index: number): Room => ({
  ...newRoomRow({ shard: 1, id: index }, { tenant: 'default', channel: 'support', room: `room-${index}` }, 1),
  tail: 1,
  envelopes: [
    {
      sequence: 1,
      messageId: `message-${index}`,
      acceptedAt: 1,
      notBefore: null,
      expiresAt: null,
      cancelledBy: null,
    } as Room['envelopes'][number],
  ],
});

const FACT: Settled = {
  kind: 'settled',
  sequence: 1,
  outcome: 'acked',
  reason: 'ack',
  code: null,
  at: 1_700_000_000_000,
  version: 3,
  firstClaimVersion: 1,
  possiblyDelivered: false,
  deadLetter: false,
  level: 'delivered',
  levelAt: 1,
  platformId: 'p',
  platformAt: null,
  attempts: [],
};

interface Wanted {
  readonly name: string;
  readonly here: number;
  readonly elsewhere: boolean;
  /** Of another channel than the one in which things happen. */
  readonly other?: true;
}

const WANTED: readonly Wanted[] = [
  { name: 'nobody listens', here: 0, elsewhere: false },
  { name: '1 reader, of another channel', here: 1, elsewhere: false, other: true },
  { name: '1 reader', here: 1, elsewhere: false },
  { name: '10 readers', here: 10, elsewhere: false },
  { name: 'readers at another process', here: 0, elsewhere: true },
];

/** Microseconds of CPU for each settled message, from the fact to the text that is written. */
function tellOne({ here, elsewhere, other }: Wanted): number {
  const timers: (() => void)[] = [];
  const clock: Clock = {
    now: () => 1_700_000_000_000,
    monotonic: () => performance.now(),
    after(delayMs, callback) {
      if (delayMs < 100) timers.push(callback);
      return () => undefined;
    },
  };
  const ears = new Map<string, (text: string) => void>();
  const bus: LiveBus = {
    tell: () => true,
    listen(topic, onText) {
      ears.set(topic, onText);
      return () => undefined;
    },
    hears: () => true,
  };
  const metrics = createMetrics({ version: 'bench' });
  const telemetry = new Telemetry();
  const channels = { get: () => null, tallies: new Tallies() };
  const references = createReferences('a secret of this measurement');
  const reporter = { glance: async () => null };
  const onFailure = (error: unknown): void => {
    throw error;
  };
  const live = new Live({ bus, reporter, channels, references, telemetry, clock, teller: 'a', onFailure });
  void live.service.start();
  const hub = new LiveHub({ live, clock, metrics, shards: 1, maxReaders: 100, maxReadersPerKey: 100 });
  for (let reader = 0; reader < here; reader++) {
    const place = { tenant: null, channel: other === true ? 'other' : null, room: null, tenants: null };
    hub.open({ key: 'k', events: ['settled', 'failed'], ...place, bound: false, missedSince: null }, noSink);
  }
  const all = { kinds: ['settled', 'failed'], tenants: null, channel: null, room: null } as const;
  if (elsewhere) ears.get('interest')?.(encodeInterest('b', { totals: false, settlements: [all] }));
  const log = { event: () => undefined, writes: () => false, flush: () => undefined };
  const instruments = { log, metrics, telemetry, hash: recipientHasher('k') };
  const rooms = Array.from({ length: SETTLED }, (_, index) => roomOf(index + 1));
  const before = process.cpuUsage();
  for (const [index, room] of rooms.entries()) {
    reportSettled(instruments, room, FACT);
    if (index % PER_FLUSH === 0) for (const callback of timers.splice(0)) callback();
  }
  const { user, system } = process.cpuUsage(before);
  return (user + system) / SETTLED;
}

function inOneProcess(): void {
  const found = WANTED.map(() => [] as number[]);
  for (let turn = 0; turn < TURNS; turn++) {
    for (const [index, wanted] of WANTED.entries()) found[index]?.push(tellOne(wanted));
  }
  const base = median(found[0] ?? []);
  for (const [index, { name }] of WANTED.entries()) {
    const us = median(found[index] ?? []);
    process.stdout.write(`${name}: ${us.toFixed(2)} us for each message, ${(us - base).toFixed(2)} us more\n`);
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
}

// ------------------------------------------------------------------------------------------------------------- a system

async function system(perSecond: number): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'roomline-bench-live-'));
  // As root, Postgres runs under another account, which must be able to enter.
  chmodSync(directory, 0o755);
  const rig = await startRig({ directory, channels: { main: {} }, leanPlatform: {} });
  try {
    const client = new RoomlineClient({ url: rig.engine.url, key: rig.apiKey });
    const ended = new AbortController();
    const publishing = publish(client, perSecond, ended.signal);
    await delay(3_000);
    const found = CASES.map(() => [] as number[]);
    for (let round = 0; round < ROUNDS; round++) {
      for (const [index, { readers }] of CASES.entries()) {
        const abort = new AbortController();
        let events = 0;
        const reading = readers.map((wanted) => read(client, wanted, abort.signal, () => events++));
        await delay(SETTLE_MS);
        const before = await figures(rig);
        await delay(PHASE_MS);
        const after = await figures(rig);
        abort.abort();
        await Promise.all(reading);
        const settled = after.settled - before.settled;
        const cpuUs = ((after.cpuS - before.cpuS) * 1e6) / settled;
        found[index]?.push(cpuUs);
        const rate = (settled * 1_000) / (after.at - before.at);
        process.stdout.write(
          `${CASES[index]?.name}: ${cpuUs.toFixed(0)} us per message at ${rate.toFixed(0)}/s, ${events} events read\n`,
        );
      }
    }
    ended.abort();
    await publishing;
    const base = median(found[0] ?? []);
    process.stdout.write('\n');
    for (const [index, { name }] of CASES.entries()) {
      const cpuUs = median(found[index] ?? []);
      process.stdout.write(
        `${name}: ${cpuUs.toFixed(0)} us of engine CPU per message, ${(cpuUs / base).toFixed(3)} x\n`,
      );
    }
  } finally {
    await rig.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

if (process.argv[2] === 'system') await system(Number(process.argv[3] ?? 500));
else inOneProcess();
