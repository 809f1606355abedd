/** How much a room notices of others that do badly: normal rooms alone, and beside each kind of disturbance, in one run. */
import pg from 'pg';
import { DATABASE } from '../../simulators/rig/database.ts';
import type { Rig } from '../../simulators/rig/rig.ts';
import { type Engine, startRoomline } from './engine.ts';
import { type Figure, figure } from './figures.ts';
import { type Load, loadOf, Publisher } from './load.ts';
import { Observations } from './observations.ts';
import type { BenchOptions } from './options.ts';
import { conclude, judgeLoad, type Passage, type PassageOptions, pass, type Shown } from './passage.ts';
import { CHANNEL, until, withSystem } from './system.ts';
import { RUN_DEADLINE_MS, type Workload, type WorkloadContext } from './workload.ts';

const SICK = 'sick';
const ACK_DELAY = { kind: 'uniform', minMs: 0, maxMs: 20 } as const;
const ACK_TIMEOUT_MS = 2_000;
const PER_SECOND = 300;
const BURST = 2;
const SECONDS = 15;
const SILENT = { rooms: 200, messages: 6 };
const HOT_MESSAGES = 100_000;
const SICK_ROOMS = { rooms: 200, messages: 5 };
const OUTAGE = { status: 503, retryAfterMs: null, share: 1 };
const STORM = { status: 429, retryAfterMs: 1_000, share: 0.9 };
/** Seldom told of, and cured soon, so that it has passed when the next phase begins. */
const PROBE = { initialMs: 500, maxMs: 2_000 };

export const isolation: Workload = {
  describe(options) {
    const { rooms, seconds, hot } = sizeOf(options);
    return `isolation: ${PER_SECOND} messages/s over ${rooms} rooms for ${seconds} s, ${BURST} of a room at once, acks after ${ACK_DELAY.minMs}–${ACK_DELAY.maxMs} ms: alone; beside ${SILENT.rooms} rooms that never ack; beside a channel in outage; beside one in a storm of 429; alone; beside one room with ${hot} waiting`;
  },

  measure(context) {
    const { options, signal, say } = context;
    const channel = { unlockedBy: 'delivered', ackTimeoutMs: ACK_TIMEOUT_MS, ...options.channel };
    const more = { [SICK]: { ...channel, probe: PROBE } };
    const platform = { defaults: { ackDelayMs: ACK_DELAY } };
    return withSystem(
      { channel, more, settings: options.settings, redis: options.redis, platform, signal, say },
      async (rig) => {
        const database = new pg.Client({ connectionString: rig.postgres.url(DATABASE) });
        await database.connect();
        const publisher = Publisher.open(rig, options.intake);
        try {
          return await new Phases(rig, await startRoomline(rig, CHANNEL, context), database, publisher, context).run();
        } finally {
          await publisher.close();
          await database.end();
        }
      },
    );
  },
};

/** A load beside the normal one, to be judged as well. */
interface Beside {
  readonly engine: Engine;
  readonly load: Load;
  readonly options: PassageOptions;
}

class Phases {
  readonly #rig: Rig;
  readonly #engine: Engine;
  readonly #database: pg.Client;
  readonly #publisher: Publisher;
  readonly #context: WorkloadContext;
  readonly #prefix: string;
  readonly #passages: [Passage, string][] = [];
  readonly #beside: Beside[] = [];
  /** Messages of the normal rooms so far. */
  #count = 0;

  constructor(rig: Rig, engine: Engine, database: pg.Client, publisher: Publisher, context: WorkloadContext) {
    this.#rig = rig;
    this.#engine = engine;
    this.#database = database;
    this.#publisher = publisher;
    this.#context = context;
    this.#prefix = `${context.run}-normal-`;
  }

  async run() {
    const rig = this.#rig;
    await this.#normal('warm-up');
    this.#passages.length = 0;
    await this.#normal('alone');

    const silent = this.#loadOf('silent', CHANNEL, SILENT);
    await rig.platform.change({ defaults: { silentRooms: silent.roomPrefix } });
    await this.#publish(silent, this.#engine, { losesAcks: true });
    await this.#normal('beside rooms that never ack');
    await this.#drained(silent);

    const sick: Engine = { ...this.#engine, channel: SICK, final: (prefix) => rig.database.finalState(SICK, prefix) };
    for (const [name, refusal] of [['outage', OUTAGE] as const, ['429 storm', STORM] as const]) {
      await rig.platform.change({ channels: { [SICK]: { refusal } } });
      const load = this.#loadOf(name.replaceAll(' ', '-'), SICK, SICK_ROOMS);
      await this.#publish(load, sick, {});
      await this.#normal(`beside a channel in ${name === 'outage' ? 'outage' : 'a 429 storm'}`);
      await rig.platform.change({ channels: { [SICK]: { refusal: null } } });
      await this.#drained(load);
    }
    await this.#normal('alone again');

    const { hot } = sizeOf(this.#context.options);
    await this.#publish(this.#loadOf('hot', CHANNEL, { rooms: 1, messages: hot }), this.#engine, {
      oracle: { drained: false },
    });
    await until('all has been taken in', async () => (await rig.pubsub.backlog()) === 0, this.#deadline());
    await this.#normal(`beside a room with ${hot} waiting`);
    await this.#engine.stop();
    return this.#judged();
  }

  async #judged() {
    for (const { engine, load, options } of this.#beside) {
      await judgeLoad(this.#rig, engine, load, options, load.run, new Observations(load.run));
    }
    const all: Shown[] = [];
    for (const [passage, label] of this.#passages) all.push(await conclude(this.#rig, passage, label));
    const alone = all.filter(({ name }) => name.startsWith('alone'));
    const ratios = all
      .filter((shown) => !alone.includes(shown))
      .flatMap((shown) => [
        ratio(shown, alone, 'gap, p99', ({ gapP99Ms }) => gapP99Ms),
        ratio(shown, alone, 'from publish to first send, p99', ({ firstSendP99Ms }) => firstSendP99Ms),
      ]);
    const [first, second] = alone as [Shown, Shown];
    const noise = figure('alone again by alone: gap, p99', '×', second.gapP99Ms / first.gapP99Ms);
    return {
      ratios: [...ratios, noise],
      figures: all.flatMap(({ figures }) => figures),
      rows: all.map((shown) => ({ shown })),
    };
  }

  #loadOf(name: string, channel: string, size: { rooms: number; messages: number }): Load {
    return loadOf({ run: `${this.#context.run}-${name}`, channel, ...size });
  }

  async #publish(load: Load, engine: Engine, options: Partial<PassageOptions>): Promise<void> {
    this.#beside.push({ engine, load, options: { ackTimeoutMs: ACK_TIMEOUT_MS, ...options } });
    await this.#publisher.publish(load, this.#context.signal);
  }

  /** The normal rooms' load, whatever goes on beside it. */
  async #normal(label: string): Promise<void> {
    const { rooms, seconds } = sizeOf(this.#context.options);
    const messages = BURST * Math.max(1, Math.round((PER_SECOND * seconds) / rooms / BURST));
    const run = `${this.#context.run}-${label.replaceAll(' ', '-')}`;
    const shape = { channel: CHANNEL, rooms, messages, burst: BURST, perSecond: PER_SECOND };
    const load = loadOf({ ...shape, run, roomPrefix: this.#prefix });
    this.#count += load.count;
    const goal = this.#count;
    const isDone = async () => (await this.#settled(this.#prefix)) >= goal;
    const options = { ackTimeoutMs: ACK_TIMEOUT_MS, isDone };
    this.#passages.push([await pass(this.#rig, this.#engine, load, options, this.#context), label]);
  }

  #drained({ roomPrefix, count }: Load): Promise<void> {
    return until(
      'the load beside is settled',
      async () => (await this.#settled(roomPrefix)) >= count,
      this.#deadline(),
    );
  }

  /** Sequences have no gaps, so that a room's last settled one is how many have settled. */
  async #settled(prefix: string): Promise<number> {
    const { rows } = await this.#database.query<{ settled: string }>(
      'SELECT coalesce(sum(settled), 0) AS settled FROM rooms WHERE starts_with(room, $1)',
      [prefix],
    );
    return Number(rows[0]?.settled);
  }

  #deadline(): { deadlineMs: number; signal: AbortSignal } {
    return { deadlineMs: RUN_DEADLINE_MS, signal: this.#context.signal };
  }
}

/** Of a phase by the mean of those without anything beside. */
function ratio(shown: Shown, alone: readonly Shown[], what: string, of: (shown: Shown) => number): Figure {
  const mean = alone.reduce((sum, each) => sum + of(each), 0) / alone.length;
  return figure(`${shown.name}: ${what}`, '×', of(shown) / mean);
}

function sizeOf({ rooms, minutes, messages }: BenchOptions) {
  return { rooms: rooms ?? 1_000, seconds: minutes === null ? SECONDS : minutes * 60, hot: messages ?? HOT_MESSAGES };
}
