/**
 * The buffer as a part of the process: its partitions are shared out among the processes that take messages in, each has
 * one consumer at a time, and whoever dies is followed when its lease ends. No promise rests on the lease: what a
 * consumer may store is decided by the partition's cursor and term.
 */
import { RoomlineError } from '../errors.ts';
import { errorFields } from '../telemetry.ts';
import { Partition, type PartitionDependencies } from './buffer-partition.ts';
import type { BufferStreams, ChannelDepth, PartitionDepth, PartitionState, StreamsSafety } from './buffer-ports.ts';
import { messagesIn, sumByChannel } from './channel-depth.ts';
import type { Clock } from './ports.ts';
import { defineService, runLoop, type Service } from './service.ts';

export interface BufferDependencies extends Omit<PartitionDependencies, 'onLost' | 'rules'> {
  readonly rules: Omit<PartitionDependencies['rules'], 'partitions'>;
  /** How many there are to be. */
  readonly partitions: number;
  /** It empties partitions, too; without that it only looks after the streams' safety. */
  readonly consumes: boolean;
  readonly allowsUnsafe: boolean;
  readonly leaseMs: number;
  readonly onFailure: (error: unknown) => void;
}

/** How much waits in the buffer. */
export interface BufferDepth {
  readonly messages: number;
  readonly buried: number;
  /** When the oldest was appended, by the streams' own clock; null where nothing waits. */
  readonly oldestAt: number | null;
  /** Those of channels. */
  readonly channels: readonly ChannelDepth[];
  /** The others: written to the streams by others, and by none of this program. */
  readonly unassigned: number;
}

/** How often the streams' settings are looked at, and how often while they are not known. */
const SAFETY_EVERY_MS = 5_000;
const SAFETY_RETRY_MS = 500;
/** How often the number of partitions is looked at. */
const LAYOUT_EVERY_MS = 5_000;
/** A change of that number waits for the streams so long. */
const CONNECT_MS = 5_000;

export class Buffer {
  readonly service: Service;
  readonly partitions: number;
  readonly #to: BufferDependencies;
  readonly #running = new Map<number, Partition>();
  #failing = false;
  /** How many partitions there are, as the store said last. */
  #laidOut: number | null = null;
  /** What was found behind a connection; it says nothing of what is behind another one. */
  #look: { readonly connection: number | null; readonly safety: StreamsSafety } | null = null;
  #streamsAway: string | null = 'not connected yet';

  constructor(dependencies: BufferDependencies) {
    this.#to = dependencies;
    this.partitions = dependencies.partitions;
    const { clock, onFailure } = dependencies;
    const timers = { schedule: (delayMs: number, callback: () => void) => clock.after(delayMs, callback) };
    this.service = defineService('buffer', async (scope) => {
      await layOut(dependencies);
      const safety = runLoop(() => this.#lookAtStreams(), { timers, onFailure });
      scope.onStop(() => safety.stop());
      scope.onStop(dependencies.streams.onConnected(() => safety.wake()));
      const layout = runLoop(() => this.#lookAtLayout(), { timers, onFailure });
      scope.onStop(() => layout.stop());
      if (!dependencies.consumes) return;
      scope.onStop(() => this.#leave());
      const sharing = runLoop(() => this.#share(), { timers, onFailure });
      scope.onStop(() => sharing.stop());
    });
  }

  /** Partitions that this process empties. */
  get held(): ReadonlySet<number> {
    return new Set(this.#running.keys());
  }

  /** Why nothing may be accepted into the streams; null where it may. */
  refusal(): RoomlineError | null {
    if (this.#laidOut !== null && this.#laidOut !== this.partitions) {
      const detail = `The buffer has ${this.#laidOut} partitions, not ${this.partitions}; what was started with that number must be restarted`;
      return new RoomlineError('not_ready', { detail, retryAfterMs: LAYOUT_EVERY_MS });
    }
    const safety = this.#safety;
    if (safety === null) {
      const detail = `Redis: ${this.#streamsAway ?? 'connected anew, and not looked at yet'}`;
      return new RoomlineError('not_ready', { detail, retryAfterMs: SAFETY_RETRY_MS });
    }
    if (safety.unsafe.length === 0 || this.#to.allowsUnsafe) return null;
    const detail = `Redis could lose what the buffer holds: ${safety.unsafe.join(', ')}`;
    return new RoomlineError('buffer_unsafe', { detail, retryAfterMs: SAFETY_EVERY_MS });
  }

  readiness(): { readonly name: string; readonly ok: boolean; readonly detail: string } {
    const name = 'buffer';
    if (this.#streamsAway !== null) return { name, ok: false, detail: `Redis: ${this.#streamsAway}` };
    const refusal = this.refusal();
    if (refusal !== null) return { name, ok: false, detail: refusal.detail };
    const { unsafe = [], unknown = [], appendfsync = null } = this.#safety ?? {};
    if (unsafe.length > 0) {
      return { name, ok: true, detail: `${unsafe.join(', ')} (allowed by intake.allowUnsafeRedis)` };
    }
    const details = [
      `${this.#running.size} of ${this.partitions} partitions emptied here`,
      ...(appendfsync === null ? [] : [`appendfsync ${appendfsync}`]),
      ...(unknown.length === 0 ? [] : [`Redis does not tell its ${unknown.join(', ')}`]),
    ];
    return { name, ok: true, detail: details.join('; ') };
  }

  /** Null where it is not known of the server that is connected now. */
  get #safety(): StreamsSafety | null {
    const { connection } = this.#to.streams;
    return connection === null || this.#look?.connection !== connection ? null : this.#look.safety;
  }

  /** Rejects while the streams are away. */
  async depth(): Promise<BufferDepth> {
    return depthOf(await this.#to.streams.depths(this.partitions));
  }

  // ------------------------------------------------------------------------------------------------------- the streams

  async #lookAtStreams(): Promise<number> {
    const { streams, instruments } = this.#to;
    try {
      const { connection } = streams;
      const safety = await streams.safety();
      const before = this.#look?.safety.unsafe ?? [];
      this.#look = { connection, safety };
      this.#streamsAway = null;
      const { unsafe } = safety;
      if (unsafe.join() !== before.join()) {
        if (unsafe.length === 0) instruments.log.event('buffer.safe', {});
        else instruments.log.event('buffer.unsafe', { reason: unsafe.join(', ') });
      }
      return SAFETY_EVERY_MS;
    } catch (error) {
      this.#streamsAway = errorFields(error).code ?? 'away';
      return SAFETY_RETRY_MS;
    }
  }

  /** It may have been changed by others. Streams that have lost what they held are told of it again. */
  async #lookAtLayout(): Promise<number> {
    const { cursors, streams } = this.#to;
    try {
      this.#laidOut = await cursors.layOut(0);
      if (this.#laidOut !== this.partitions) return LAYOUT_EVERY_MS;
      // Nobody can change it while this process holds a partition: what the streams say otherwise is of another store.
      await streams.layOut(this.partitions, this.partitions, false);
      if (this.#running.size > 0) await streams.layOut(this.partitions, this.partitions, true);
      return LAYOUT_EVERY_MS;
    } catch {
      // Which of the two is away, both tell themselves.
      return SAFETY_RETRY_MS;
    }
  }

  // ------------------------------------------------------------------------------------------------------------ sharing

  async #share(): Promise<number> {
    const { cursors, consumer, leaseMs, instruments } = this.#to;
    try {
      const view = await cursors.look(consumer, leaseMs);
      const held = new Map(view.held.map((state) => [state.partition, state]));
      // Lost to another, or taken back after it was: either way the one that runs is of the past.
      await this.#end([...this.#running.values()].filter((one) => held.get(one.number)?.term !== one.term));
      const share = Math.ceil(this.partitions / Math.max(1, view.consumers));
      const surplus = [...this.#running.values()].slice(share);
      await this.#end(surplus);
      const idle = [...held.keys()].filter((number) => !this.#running.has(number));
      const ended = surplus.map(({ number }) => number).filter((number) => held.has(number));
      const spare = idle.filter((number) => !ended.includes(number));
      const given = [...ended, ...spare.slice(Math.max(0, share - this.#running.size))];
      if (given.length > 0) await cursors.release(consumer, given);
      for (const partition of given) held.delete(partition);
      const wanted = view.free.slice(0, Math.max(0, share - held.size));
      const taken = wanted.length === 0 ? [] : await cursors.take(consumer, wanted, leaseMs);
      for (const state of [...held.values(), ...taken]) this.#begin(state);
      instruments.metrics.bufferPartitions.set(this.#running.size);
      this.#failing = false;
    } catch (error) {
      // The partitions go on: the store decides whether they may.
      if (!this.#failing)
        instruments.log.event('postgres.batch_failed', { reason: 'buffer', count: 0, ...errorFields(error) });
      this.#failing = true;
    }
    return Math.min(1_000, leaseMs / 5);
  }

  #begin(state: PartitionState): void {
    if (this.#running.has(state.partition)) return;
    const { onFailure, rules, ...to } = this.#to;
    const partition: Partition = new Partition(
      state,
      {
        ...to,
        rules: { ...rules, partitions: this.partitions },
        onLost: () => {
          if (this.#running.get(state.partition) === partition) this.#running.delete(state.partition);
          void partition.stop();
        },
      },
      onFailure,
    );
    this.#running.set(state.partition, partition);
  }

  async #end(partitions: readonly Partition[]): Promise<void> {
    for (const { number } of partitions) this.#running.delete(number);
    await Promise.all(partitions.map((partition) => partition.stop()));
  }

  async #leave(): Promise<void> {
    const { cursors, consumer, instruments } = this.#to;
    await this.#end([...this.#running.values()]);
    try {
      await cursors.leave(consumer);
    } catch (error) {
      // Its lease ends by itself.
      instruments.log.event('postgres.batch_failed', { reason: 'buffer', count: 0, ...errorFields(error) });
    }
  }
}

export function depthOf(depths: readonly PartitionDepth[]): BufferDepth {
  const channels = sumByChannel(depths.flatMap((one) => one.channels));
  const messages = depths.reduce((sum, one) => sum + one.length, 0);
  const oldest = depths.flatMap((one) => (one.oldest === null ? [] : [Number(one.oldest.split('-')[0])]));
  return {
    messages,
    buried: depths.reduce((sum, one) => sum + one.buried, 0),
    oldestAt: oldest.length === 0 ? null : Math.min(...oldest),
    channels,
    // Entries that somebody removed by hand are counted until their partition is empty.
    unassigned: Math.max(0, messages - messagesIn(channels)),
  };
}

/** @throws RoomlineError `buffer_partitions_mismatch` */
async function layOut(to: LayoutDependencies): Promise<void> {
  const { cursors, partitions } = to;
  const existing = await cursors.layOut(partitions);
  if (existing === partitions || (await isChanged(to, existing))) return;
  throw new RoomlineError('buffer_partitions_mismatch', {
    detail: `The buffer has ${existing} partitions, not ${partitions}`,
    rule: `intake.partitions must be ${existing}, unless the buffer is empty, nothing is put aside, and nobody takes from it`,
  });
}

/**
 * A room's messages of before and of after a change would be in two streams: there may be none of before. Each stream
 * says so in the step that shuts it for those who know of the former number only.
 */
async function isChanged(
  { cursors, streams, partitions, clock }: LayoutDependencies,
  before: number,
): Promise<boolean> {
  const all = Math.max(before, partitions);
  try {
    await connected(streams, clock);
    if ((await streams.layOut(all, partitions, true)) && (await cursors.layOutAnew(partitions))) return true;
    // Another process may have done the same.
    if ((await cursors.layOut(0)) === partitions) return true;
    await streams.layOut(all, before, true);
    return false;
  } catch (error) {
    // They refuse everything until a change is made whole, or their own number comes back.
    if (error instanceof RangeError || error instanceof TypeError) throw error;
    return false;
  }
}

/** Resolves when the streams serve, or after a while. */
function connected(streams: BufferStreams, clock: Pick<Clock, 'after'>): Promise<void> {
  if (streams.connection !== null) return Promise.resolve();
  return new Promise((resolve) => {
    const end = () => {
      cancel();
      unlisten();
      resolve();
    };
    const cancel = clock.after(CONNECT_MS, end);
    const unlisten = streams.onConnected(end);
  });
}

type LayoutDependencies = Pick<BufferDependencies, 'cursors' | 'streams' | 'partitions' | 'clock'>;
