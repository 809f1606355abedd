/**
 * What one of each thing costs: loads that differ in one thing each, so that `npm run plan -- --calibrate` can take them
 * apart. Messages into rooms whose head is never acked cost their intake and nothing else.
 */
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { DATABASE } from '../../simulators/rig/database.ts';
import type { Rig } from '../../simulators/rig/rig.ts';
import { type Engine, startRoomline } from './engine.ts';
import { type Figure, figure } from './figures.ts';
import { type Door, type Load, loadOf, type Shape } from './load.ts';
import type { BenchOptions } from './options.ts';
import { conclude, type Passage, type PassageOptions, pass } from './passage.ts';
import { CHANNEL, cpuBetween, cpuTimes, withSystem } from './system.ts';
import type { Workload, WorkloadContext } from './workload.ts';

const WIDE = 'wide';
const ACK_DELAY = { kind: 'uniform', minMs: 0, maxMs: 5 } as const;
const SENDS = 256;
/** Longer than the run: nothing times out. */
const ACK_TIMEOUT_MS = 3_600_000;
const STEADY = { perSecond: 600, burst: 3, seconds: 15 };
/** Two messages of a room at a time: statements of one row. */
const ALONE = { rooms: 20, messages: 20, burst: 2, perSecond: 40 };
const IDLE_MS = 10_000;
const LINGER_MS = 5;

export const costs: Workload = {
  describe(options) {
    const { rooms, messages } = sizeOf(options);
    return `costs: ${rooms} rooms × ${messages} messages into rooms that wait, by both doors and at ${STEADY.perSecond} a second; then through, with statuses by 1 and by 10, with a permit for every room, steadily, and one by one`;
  },

  measure(context) {
    const { options, signal, say } = context;
    const channel = { unlockedBy: 'delivered', ackTimeoutMs: ACK_TIMEOUT_MS, ...options.channel };
    return withSystem(
      {
        channel: { ...channel, maxConcurrentSends: SENDS },
        more: { [WIDE]: { ...channel, maxConcurrentSends: sizeOf(options).rooms } },
        settings: options.settings,
        redis: options.redis,
        platform: { defaults: { ackDelayMs: ACK_DELAY } },
        signal,
        say,
      },
      async (rig) => new Phases(rig, await startRoomline(rig, CHANNEL, context), context).run(),
    );
  },
};

class Phases {
  readonly #rig: Rig;
  readonly #engine: Engine;
  readonly #context: WorkloadContext;
  readonly #passages: [Passage, string][] = [];

  constructor(rig: Rig, engine: Engine, context: WorkloadContext) {
    this.#rig = rig;
    this.#engine = engine;
    this.#context = context;
  }

  async run() {
    const rest = await this.#atRest();
    await this.#through('warm-up', this.#engine, {});
    await this.#waiting();
    await this.#batch(1);
    await this.#through('statuses by 1', this.#engine, {});
    await this.#batch(10);
    await this.#through('statuses by 10', this.#engine, {});
    await this.#batch(1);
    const wide: Engine = {
      ...this.#engine,
      channel: WIDE,
      final: (prefix) => this.#rig.database.finalState(WIDE, prefix),
    };
    await this.#through('permits for all', wide, {});
    await this.#through('steady', this.#engine, steadyOf(this.#context.options));
    await this.#through('one by one', this.#engine, ALONE);
    const sizes = await this.#sizes();
    await this.#engine.stop();
    const [, ...counted] = this.#passages;
    const figures: Figure[] = [...rest, ...sizes];
    for (const [passage, label] of counted) figures.push(...(await conclude(this.#rig, passage, label)).figures);
    return { ratios: [], figures };
  }

  /** One message each that waits for its ack for good, then those that wait behind it. */
  async #waiting(): Promise<void> {
    const { run } = this.#context;
    const roomPrefix = `${run}-waiting-`;
    await this.#rig.platform.change({ defaults: { silentRooms: roomPrefix } });
    await this.#intake('heads', 'pubsub', { roomPrefix, messages: 1 });
    this.#passages.pop();
    await this.#intake('intake by pubsub', 'pubsub', { roomPrefix });
    await this.#intake('intake by http', 'http', { roomPrefix });
    await this.#intake('intake at leisure', 'pubsub', { roomPrefix, ...steadyOf(this.#context.options) });
  }

  async #intake(label: string, door: Door, shape: Partial<Shape>): Promise<void> {
    const rows = async (): Promise<number> => {
      const metrics = await this.#rig.engine.metrics();
      return metrics.sum('roomline_batch_rows_sum', { statement: 'append' });
    };
    const load = this.#loadOf(label, CHANNEL, shape);
    const goal = (await rows()) + load.count;
    const isDone = async (): Promise<boolean> => (await rows()) >= goal;
    await this.#pass(
      label,
      this.#engine,
      load,
      { isDone, oracle: { drained: false, stuckAfterMs: ACK_TIMEOUT_MS } },
      door,
    );
  }

  async #through(label: string, engine: Engine, shape: Partial<Shape>): Promise<void> {
    const load = this.#loadOf(label, engine.channel, shape);
    const settled = async (): Promise<number> => {
      const metrics = await this.#rig.engine.metrics();
      return metrics.sum('roomline_messages_settled_total');
    };
    const goal = (await settled()) + load.count;
    await this.#pass(label, engine, load, { isDone: async () => (await settled()) >= goal }, 'pubsub');
  }

  async #pass(
    label: string,
    engine: Engine,
    load: Load,
    options: Partial<PassageOptions>,
    intake: Door,
  ): Promise<void> {
    const context = { ...this.#context, options: { ...this.#context.options, intake } };
    const passage = await pass(this.#rig, engine, load, { ackTimeoutMs: ACK_TIMEOUT_MS, ...options }, context);
    this.#passages.push([passage, label]);
  }

  #loadOf(label: string, channel: string, shape: Partial<Shape>): Load {
    const run = `${this.#context.run}-${label.replaceAll(' ', '-')}`;
    return loadOf({ channel, ...sizeOf(this.#context.options), ...shape, run });
  }

  #batch(size: number): Promise<unknown> {
    return this.#rig.platform.change({ defaults: { batch: { size, lingerMs: size === 1 ? 0 : LINGER_MS } } });
  }

  async #atRest(): Promise<Figure[]> {
    const before = cpuTimes(this.#rig, this.#engine);
    await delay(IDLE_MS, null, { signal: this.#context.signal });
    const used = cpuBetween(before, cpuTimes(this.#rig, this.#engine));
    return [
      figure('at rest: CPU of the engine', '%', (used.engine / IDLE_MS) * 100),
      figure('at rest: CPU of Postgres', '%', (used.postgres / IDLE_MS) * 100),
    ];
  }

  /** What the loads have left in the database, by what there is of it. */
  async #sizes(): Promise<Figure[]> {
    const client = new pg.Client({ connectionString: this.#rig.postgres.url(DATABASE) });
    await client.connect();
    try {
      const { rows } = await client.query<Record<string, string>>(
        `SELECT (SELECT count(*) FROM history) AS settled, (SELECT count(*) FROM rooms) AS rooms,
           (SELECT avg(length(body)) FROM history) AS body,
           (SELECT sum(pg_table_size(relid)) FROM pg_partition_tree('history')) AS history,
           (SELECT sum(pg_indexes_size(relid)) FROM pg_partition_tree('history')) AS indexes,
           pg_total_relation_size('rooms') AS known`,
      );
      const of = (name: string): number => Number(rows[0]?.[name]);
      return [
        figure('sizes: body', 'bytes', of('body')),
        figure('sizes: settled message', 'bytes', of('history') / of('settled')),
        figure('sizes: its part of the indexes', 'bytes', of('indexes') / of('settled')),
        figure('sizes: known room', 'bytes', of('known') / of('rooms')),
      ];
    } finally {
      await client.end();
    }
  }
}

function steadyOf(options: BenchOptions): Partial<Shape> {
  const { rooms } = sizeOf(options);
  const { perSecond, burst, seconds } = STEADY;
  return { perSecond, burst, messages: burst * Math.max(1, Math.round((perSecond * seconds) / rooms / burst)) };
}

function sizeOf({ rooms, messages }: BenchOptions): { rooms: number; messages: number } {
  return { rooms: rooms ?? 2_000, messages: messages ?? 10 };
}
