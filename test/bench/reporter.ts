/**
 * What it costs a process to tell where its messages are, as a share of a core: rounds of one second back to back, on
 * rooms in memory, with a store that takes everything and does as much to it as a driver would.
 *
 *   node test/bench/reporter.ts [rooms]      25,000 by default
 */
import { performance } from 'node:perf_hooks';
import { ChannelCounts } from '../../src/engine/channel-depth.ts';
import { Reporter } from '../../src/engine/pipeline.ts';
import type { PipelineStore } from '../../src/engine/pipeline-ports.ts';
import type { Glance } from '../../src/engine/set-aside.ts';
import { Tallies } from '../../src/engine/tallies.ts';
import type { Phase } from '../../src/room/room.ts';
import { newRoomRow } from '../../src/room/room.ts';

const CHANNELS = 8;
const ROUNDS = 60;
const WARM_UP_ROUNDS = 20;
const ROUND_MS = 1_000;

interface Case {
  readonly name: string;
  /** Rooms that change their phase in a second. */
  readonly movesPerSecond: number;
  /** For how long the rooms have been in their phase when it begins. */
  readonly ageMs: number;
}

interface MutableGlance extends Glance {
  room: Glance['room'];
}

function makeRooms(count: number, since: number): MutableGlance[] {
  return Array.from({ length: count }, (_, index) => {
    // Names of their own, as rows of a store have them.
    const key = JSON.parse(
      JSON.stringify({ tenant: 'default', channel: `channel-${index % CHANNELS}`, room: `room-${index}` }),
    );
    const row = { ...newRoomRow({ shard: index % 4_096, id: index + 1 }, key, since), tail: 3, settled: 1 };
    return { room: { ...row, phase: 'awaiting_ack' as Phase, until: since + 5_000, attempt: 1 }, open: [] };
  });
}

async function run(count: number, { movesPerSecond, ageMs }: Case) {
  let now = 1_700_000_000_000;
  const rooms = makeRooms(count, now - ageMs);
  const ids = new Map(rooms.map((one) => [one.room.id, one]));
  let written = 0;
  let sliceBegan = performance.now();
  let slicesMs: number[] = [];
  const endSlice = (): void => void slicesMs.push(performance.now() - sliceBegan);
  let rounds = 0;
  let cpu = process.cpuUsage();
  const done = Promise.withResolvers<void>();
  const store: Pick<PipelineStore, 'report' | 'list' | 'clearOthers' | 'addMinutes' | 'withdraw'> = {
    async report(part) {
      written += JSON.stringify(part).length;
      endSlice();
    },
    async list(_worker, found, gone) {
      written += JSON.stringify([found, gone]).length;
    },
    clearOthers: async () => undefined,
    addMinutes: async () => undefined,
    withdraw: async () => undefined,
  };
  const reporter = new Reporter({
    store: store as PipelineStore,
    rooms: { glances: () => ids.values() as Generator<Glance> },
    channels: { all: () => [], tallies: new Tallies() },
    intake: { accepting: new ChannelCounts() },
    ownership: { worker: 'worker', shards: new Set([1]), clockIsSet: true },
    clock: {
      now: () => now,
      monotonic: () => now,
      after(_delayMs, callback) {
        rounds++;
        if (rounds === WARM_UP_ROUNDS) {
          cpu = process.cpuUsage();
          slicesMs = [];
        }
        if (rounds === WARM_UP_ROUNDS + ROUNDS) done.resolve();
        now += ROUND_MS;
        for (let move = 0; move < movesPerSecond; move++) {
          const one = rooms[(rounds * movesPerSecond + move) % rooms.length] as MutableGlance;
          one.room = { ...one.room, since: now, phase: one.room.phase === 'awaiting_ack' ? 'sending' : 'awaiting_ack' };
        }
        const next = setImmediate(() => {
          sliceBegan = performance.now();
          callback();
        });
        return () => clearImmediate(next);
      },
    },
    endOfTurn(callback) {
      endSlice();
      setImmediate(() => {
        sliceBegan = performance.now();
        callback();
      });
    },
    instruments: null as never,
    onFailure(error) {
      done.reject(error);
    },
  });
  await reporter.service.start();
  await done.promise;
  const { user, system } = process.cpuUsage(cpu);
  await reporter.service.stop();
  slicesMs.sort((a, b) => a - b);
  const sliceMs = slicesMs[Math.floor(slicesMs.length * 0.99)] ?? 0;
  return { cpuMs: (user + system) / 1_000 / ROUNDS, sliceMs, bytes: written / (WARM_UP_ROUNDS + ROUNDS) };
}

const count = Number(process.argv[2] ?? 25_000);
const CASES: readonly Case[] = [
  { name: 'all on the list, nothing moves', movesPerSecond: 0, ageMs: 10_000 },
  { name: '1,000 moves a second', movesPerSecond: 1_000, ageMs: 10_000 },
  { name: 'every room moves every second', movesPerSecond: count, ageMs: 0 },
];
process.stdout.write(`${count} rooms, ${CHANNELS} channels, ${ROUNDS} rounds\n`);
for (const one of CASES) {
  const { cpuMs, sliceMs, bytes } = await run(count, one);
  const share = ((cpuMs / ROUND_MS) * 100).toFixed(2);
  process.stdout.write(
    `${one.name.padEnd(34)} ${cpuMs.toFixed(2)} ms a round = ${share} % of a core; ` +
      `99 % of the slices below ${sliceMs.toFixed(2)} ms; ${Math.round(bytes)} bytes written a round\n`,
  );
}
