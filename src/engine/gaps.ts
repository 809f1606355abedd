/**
 * Gaps in publishers' orders: messages are parked behind numbers that are missing. A gap is a mark on the room's row; who
 * holds the room times it, and gives it up or leaves that to an operator. Giving up claims nothing and is done once,
 * whoever does it, so that it needs no lease.
 *
 *   G1  every gap of a room that is held here is timed here, at the latest from the sweep on that finds it; one that two
 *       sweeps find after its time counts as a violation of R6
 *   G2  a number is given up only while the room waits for it, and not before its channel's time is over
 */
import type { RoomAddress, RoomKey, RoomRow } from '../room/room.ts';
import { errorFields } from '../telemetry.ts';
import { AGAIN, Batcher } from './batcher.ts';
import type { Channels } from './channels.ts';
import { Deadlines } from './deadlines.ts';
import type { Instruments } from './instruments.ts';
import type { Tenure } from './ownership.ts';
import { channelName, ORDER_GAP, type OrderGapPolicy } from './policy.ts';
import type { ChannelKey, Clock, Gap, OpenGap, RoomStore, Skipped, StoredRoom } from './ports.ts';

export interface GapsDependencies {
  readonly store: Pick<RoomStore, 'skipGaps' | 'readRooms'>;
  readonly channels: Pick<Channels, 'get'>;
  readonly tenure: Pick<Tenure, 'holds' | 'storeFailed'>;
  readonly clock: Clock;
  readonly instruments: Instruments;
  readonly maxRows: number;
  /** Tells a room, wherever it is held, that messages have been numbered. */
  readonly raised: (address: RoomAddress, tail: number) => Promise<void>;
}

type RoomPlace = Pick<RoomRow, 'shard' | 'id' | 'key'>;
type SkippedBy = 'timeout' | 'operator';

interface KnownGap extends RoomPlace {
  readonly gap: Gap;
  /** A sweep has found it although its time was over. */
  readonly suspect: boolean;
}

/** How long until it is tried again after the store failed. */
const RETRY_MS = 500;

export class Gaps {
  readonly #to: GapsDependencies;
  readonly #known = new Map<number, KnownGap>();
  readonly #deadlines: Deadlines;
  readonly #skips: Batcher<OpenGap, Skipped | null>;
  readonly #reads: Batcher<RoomAddress, StoredRoom | null>;
  /** What is being given up or looked at again. */
  readonly #working = new Set<Promise<void>>();
  /** Channels of which the metrics tell. */
  readonly #named = new Set<string>();
  /** The store failed at the last try. */
  #failing = false;
  readonly #tell = (): void => this.#tellCounts();

  constructor(dependencies: GapsDependencies) {
    this.#to = dependencies;
    const { store, clock, maxRows, instruments } = dependencies;
    this.#deadlines = new Deadlines(clock, (id) => this.#onDue(id));
    this.#skips = new Batcher({ maxRows, flush: (gaps) => this.#skipAll(gaps) });
    this.#reads = new Batcher({ maxRows, flush: (wanted) => store.readRooms(wanted) });
    instruments.metrics.beforeRender.add(this.#tell);
  }

  /** Rooms held here that are known to have one. */
  get size(): number {
    return this.#known.size;
  }

  /** What the row of a room says; what is older than what is known here costs one look in vain. */
  noted(row: RoomPlace, gap: Gap | null): void {
    const { shard, id, key } = row;
    if (gap === null) {
      if (!this.#known.delete(id)) return;
      this.#deadlines.set(id, null);
      return;
    }
    if (!this.#to.tenure.holds(shard)) return;
    const before = this.#known.get(id);
    const same = before?.gap.waitsFor === gap.waitsFor && before.gap.since === gap.since;
    this.#known.set(id, { shard, id, key, gap, suspect: same && before.suspect });
    // A look at the row under `hold` is not put off by whoever reads it meanwhile.
    if (!same || !this.#deadlines.has(id)) this.#time(id);
  }

  /**
   * What a sweep found in a row.
   * @returns false where its time had been over in the sweep before, too (R6)
   */
  swept(row: RoomPlace, gap: Gap | null): boolean {
    this.noted(row, gap);
    const known = this.#known.get(row.id);
    const skipsAt = gap === null ? null : this.skipsAt(row.key, gap.since);
    if (known === undefined || skipsAt === null || this.#to.clock.now() <= skipsAt) return true;
    this.#known.set(row.id, { ...known, suspect: true });
    return !known.suspect;
  }

  /** @param shards null: all */
  forget(shards: ReadonlySet<number> | null): void {
    for (const { shard, id } of this.#known.values()) {
      if (shards?.has(shard) === false) continue;
      this.#known.delete(id);
      this.#deadlines.set(id, null);
    }
  }

  /** A channel has come, changed or gone: its gaps are timed by its present policy. */
  reconfigured(channel: ChannelKey): void {
    const name = channelName(channel);
    for (const { id, key } of this.#known.values()) if (channelName(key) === name) this.#time(id);
  }

  /**
   * Gives up the numbers that the room waits for, whoever holds it, where it still waits for this one.
   * @returns null where there is no such room
   * @throws what the store throws
   */
  async skip(room: RoomPlace, waitsFor: number, by: SkippedBy): Promise<Skipped | null> {
    const { shard, id } = room;
    const skipped = await this.#skips.submit({ shard, id, waitsFor });
    if (skipped === null) return null;
    this.noted(room, skipped.gap);
    if (skipped.skipped !== null) this.#tellSkipped(room, skipped.skipped, by);
    // Where nothing was skipped now, too: an earlier try may have done it whose answer was lost, and nobody was told then.
    await this.#to.raised({ shard, id }, skipped.tail);
    return skipped;
  }

  /** When a gap since then is given up in a room of this key; null: when an operator orders it. */
  skipsAt(key: RoomKey, since: number): number | null {
    const policy = this.#policyOf(key);
    return policy?.policy === 'skip' ? since + policy.timeoutMs : null;
  }

  /** Times nothing further; resolves when nothing is being given up any more. */
  async close(): Promise<void> {
    this.#to.instruments.metrics.beforeRender.delete(this.#tell);
    this.forget(null);
    while (this.#working.size > 0) await Promise.all(this.#working);
  }

  /** One of each room at a time. */
  async #skipAll(gaps: readonly OpenGap[]): Promise<(Skipped | null | typeof AGAIN)[]> {
    const firsts = new Map(gaps.map((gap) => [gap.id, gap] as const).reverse());
    const batch = [...firsts.values()];
    const skipped = await this.#to.store.skipGaps(batch);
    const results = new Map(batch.map((gap, index) => [gap, skipped[index] ?? null]));
    return gaps.map((gap) => results.get(gap) ?? (results.has(gap) ? null : AGAIN));
  }

  #policyOf(key: RoomKey): OrderGapPolicy | null {
    const channel = this.#to.channels.get(key);
    return channel === null ? null : (channel.settings.orderGap ?? ORDER_GAP);
  }

  /** Sets when the gap is given up, or, where it is not, when it is looked at again. */
  #time(id: number): void {
    const known = this.#known.get(id) as KnownGap;
    const policy = this.#policyOf(known.key) ?? { ...ORDER_GAP, policy: 'hold' };
    const from = policy.policy === 'skip' ? known.gap.since : this.#to.clock.now();
    this.#deadlines.set(id, from + policy.timeoutMs);
  }

  #onDue(id: number): void {
    const known = this.#known.get(id);
    if (known === undefined || !this.#to.tenure.holds(known.shard)) return;
    const skips = this.#policyOf(known.key)?.policy === 'skip';
    const work: Promise<void> = (skips ? this.#giveUp(known) : this.#lookAt(known))
      .then(
        () => {
          this.#failing = false;
        },
        (error: unknown) => this.#failed(known, error),
      )
      .finally(() => this.#working.delete(work));
    this.#working.add(work);
  }

  async #giveUp(known: KnownGap): Promise<void> {
    const skipped = await this.skip(known, known.gap.waitsFor, 'timeout');
    if (skipped === null) this.noted(known, null);
  }

  /** An operator, or the missing messages themselves, may have closed it elsewhere. */
  async #lookAt(known: KnownGap): Promise<void> {
    const stored = await this.#reads.submit({ shard: known.shard, id: known.id });
    this.noted(known, stored?.gap ?? null);
  }

  #failed({ id, gap }: KnownGap, error: unknown): void {
    const { instruments, tenure, clock } = this.#to;
    // Once: as long as the store is away it comes again several times a second, for each gap.
    if (!this.#failing) {
      instruments.log.event('postgres.batch_failed', { reason: 'gaps', count: 1, ...errorFields(error) });
    }
    this.#failing = true;
    tenure.storeFailed(error);
    // Where the room waits for another number by now, only the telling failed, and that one has its own time.
    if (this.#known.get(id)?.gap.waitsFor === gap.waitsFor) this.#deadlines.set(id, clock.now() + RETRY_MS);
  }

  #tellSkipped(room: RoomPlace, { first, last }: NonNullable<Skipped['skipped']>, by: SkippedBy): void {
    const { shard, id, key } = room;
    const { metrics, log, telemetry, hash } = this.#to.instruments;
    metrics.orderSkipped.inc({ channel: channelName(key), by });
    log.event('order.skipped', {
      tenant: key.tenant,
      channel: key.channel,
      room: hash(key.room),
      order: first,
      count: last - first + 1,
      reason: by,
    });
    telemetry.emit('order.skipped', { address: { shard, id }, first, last });
  }

  #tellCounts(): void {
    const { clock, instruments } = this.#to;
    const { orderGaps, orderGapOldestSeconds } = instruments.metrics;
    const channels = new Map<string, { count: number; since: number }>();
    for (const { key, gap } of this.#known.values()) {
      const name = channelName(key);
      const { count, since } = channels.get(name) ?? { count: 0, since: gap.since };
      channels.set(name, { count: count + 1, since: Math.min(since, gap.since) });
    }
    for (const channel of this.#named) {
      if (channels.has(channel)) continue;
      orderGaps.set({ channel }, 0);
      orderGapOldestSeconds.set({ channel }, 0);
    }
    for (const [channel, { count, since }] of channels) {
      this.#named.add(channel);
      orderGaps.set({ channel }, count);
      orderGapOldestSeconds.set({ channel }, Math.max(0, (clock.now() - since) / 1000));
    }
  }
}
