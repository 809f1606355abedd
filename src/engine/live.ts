/**
 * What happens now, for whoever listens at any process: every process tells those that have readers how much is where
 * and what has settled, and only while and as far as they want it. An interest is told again every second and forgotten
 * when that ceases: who dies ceases to be told. Nothing waits for it, and nothing is stored.
 */
import type { Telemetry, TelemetryEvents } from '../telemetry.ts';
import type { Channels } from './channels.ts';
import { decodeBatch, decodeInterest, encodeBatch, encodeInterest } from './live-codec.ts';
import {
  type Interest,
  isWanted,
  type LiveAudience,
  type LiveBus,
  type LivePart,
  type Settlement,
  type SettlementFilter,
} from './live-ports.ts';
import type { Reporter } from './pipeline.ts';
import type { PipelinePart } from './pipeline-ports.ts';
import type { Clock } from './ports.ts';
import type { References } from './reference.ts';
import { defineService, type Service } from './service.ts';
import { TOTALS } from './tallies.ts';

export interface LiveDependencies {
  /** Null: nobody else is to be told, or heard. */
  readonly bus: LiveBus | null;
  readonly reporter: Pick<Reporter, 'glance'>;
  readonly channels: Pick<Channels, 'get' | 'tallies'>;
  readonly references: References;
  readonly telemetry: Telemetry;
  readonly clock: Clock;
  /** Names this process in this life. */
  readonly teller: string;
  readonly onFailure: (error: unknown) => void;
}

export const TOTALS_EVERY_MS = 500;
/** After whole half seconds, so that what the reporter counted at a whole second need not be counted again. */
const TOTALS_OFFSET_MS = 100;
const GLANCE_AGE_MS = 300;
const INTEREST_EVERY_MS = 1_000;
/** An interest that was not told again for so long has ended. */
const INTEREST_LEASE_MS = 3_500;
const FLUSH_AFTER_MS = 50;
/** Settlements of one flush to each side: further ones are counted and left out. */
const MAX_PER_FLUSH = 1_000;
/** Filters that are told one by one; more are told as one that lets everything pass. */
const MAX_FILTERS = 32;
/** Processes whose interest, or whose last batch, is remembered. */
const MAX_PROCESSES = 256;

/** Settlements on their way to the readers here, or to other processes. */
interface Outbox {
  settlements: Settlement[];
  dropped: number;
}

export class Live {
  readonly service: Service;
  readonly #to: LiveDependencies;
  #audience: LiveAudience | null = null;
  /** What readers at this process want. */
  #own: Interest | null = null;
  /** What those at others want, and until when that holds in monotonic ms. */
  readonly #others = new Map<string, { readonly interest: Interest; readonly until: number }>();
  #wantedByOthers: Interest | null = null;
  /** The last batch of each process. */
  readonly #numbers = new Map<string, number>();
  #number = 0;
  #here: Outbox = { settlements: [], dropped: 0 };
  #there: Outbox = { settlements: [], dropped: 0 };
  #flushing = false;
  #leaveTelemetry: (() => void) | null = null;
  #leaveFeed: (() => void) | null = null;
  #cancelTotals: (() => void) | null = null;
  #cancelInterest: (() => void) | null = null;
  #closed = false;

  constructor(dependencies: LiveDependencies) {
    this.#to = dependencies;
    const { bus } = dependencies;
    this.service = defineService('live', (scope) => {
      scope.onStop(() => this.#close());
      if (bus !== null) scope.onStop(bus.listen('interest', (text) => this.#onInterest(text)));
    });
  }

  /** Events of other processes can be expected to arrive. */
  get reaches(): 'fleet' | 'process' {
    return this.#to.bus?.hears('interest') === true ? 'fleet' : 'process';
  }

  /** What readers at this process want from now on; null: nothing. */
  want(interest: Interest | null, audience: LiveAudience): void {
    if (this.#closed) return;
    const before = this.#own;
    this.#own = interest === null ? null : bounded(interest);
    this.#audience = audience;
    if (this.#own !== null || before !== null) this.#tellInterest();
    if (this.#own === null) {
      this.#leaveFeed?.();
      this.#leaveFeed = null;
      this.#numbers.clear();
      this.#here = { settlements: [], dropped: 0 };
    } else {
      this.#leaveFeed ??=
        this.#to.bus?.listen(
          'feed',
          (text) => this.#onBatch(text),
          () => this.#audience?.onMissed(null, 'interrupted'),
        ) ?? null;
    }
    this.#consider();
  }

  // ---------------------------------------------------------------------------------------------------------- interest

  #tellInterest(): void {
    this.#to.bus?.tell('interest', encodeInterest(this.#to.teller, this.#own));
  }

  #onInterest(text: string): void {
    const told = decodeInterest(text);
    if (told === null || told.teller === this.#to.teller) return;
    const { teller, interest } = told;
    if (interest === null) this.#others.delete(teller);
    else if (this.#others.has(teller) || this.#others.size < MAX_PROCESSES) {
      const until = this.#to.clock.monotonic() + INTEREST_LEASE_MS;
      this.#others.set(teller, { interest: bounded(interest), until });
    }
    this.#consider();
  }

  /** Once a second, while there is any interest: ours is told again, that of those who fell silent ends. */
  #look(): void {
    this.#cancelInterest = null;
    const now = this.#to.clock.monotonic();
    for (const [teller, { until }] of this.#others) if (until <= now) this.#others.delete(teller);
    if (this.#own !== null) this.#tellInterest();
    this.#consider();
  }

  /** Begins and ends what the present interest calls for. */
  #consider(): void {
    const { telemetry, clock } = this.#to;
    const others = [...this.#others.values()].map(({ interest }) => interest);
    this.#wantedByOthers = others.length === 0 ? null : bounded(unionOf(others));
    const all = [this.#own, this.#wantedByOthers].filter((each) => each !== null);
    if (all.some(({ settlements }) => settlements.length > 0)) {
      this.#leaveTelemetry ??= this.#listen(telemetry);
    } else {
      this.#leaveTelemetry?.();
      this.#leaveTelemetry = null;
    }
    if (all.some(({ totals }) => totals)) this.#armTotals();
    else {
      this.#cancelTotals?.();
      this.#cancelTotals = null;
    }
    if (all.length > 0) this.#cancelInterest ??= clock.after(INTEREST_EVERY_MS, () => this.#look());
    else {
      this.#cancelInterest?.();
      this.#cancelInterest = null;
    }
  }

  // -------------------------------------------------------------------------------------------------------- settlements

  #listen(telemetry: Telemetry): () => void {
    const ends = [
      telemetry.on('message.settled', (seen) => this.#onSettled(seen, false)),
      telemetry.on('message.failed_late', (seen) => this.#onSettled(seen, true)),
    ];
    return () => {
      for (const end of ends) end();
    };
  }

  #onSettled(seen: TelemetryEvents['message.settled'], late: boolean): void {
    const kind = late || seen.outcome === 'failed' ? 'failed' : 'settled';
    const wants = (filter: SettlementFilter): boolean => isWanted(filter, kind, seen.room);
    const here = this.#own?.settlements.some(wants) === true;
    const there = this.#wantedByOthers?.settlements.some(wants) === true;
    if (!here && !there) return;
    const hereFull = here && isFull(this.#here);
    const thereFull = there && isFull(this.#there);
    if ((!here || hereFull) && (!there || thereFull)) return;
    const { address, messageId, room, ...told } = seen;
    const settlement: Settlement = {
      ...told,
      kind,
      id: this.#to.references.encode(address, seen.sequence),
      room: { tenant: room.tenant, channel: room.channel, room: room.room },
      messageId: messageId === '' ? null : messageId,
      late,
    };
    if (here && !hereFull) this.#here.settlements.push(settlement);
    if (there && !thereFull) this.#there.settlements.push(settlement);
    if (this.#flushing) return;
    this.#flushing = true;
    this.#to.clock.after(FLUSH_AFTER_MS, () => this.#flush());
  }

  #flush(): void {
    this.#flushing = false;
    const { settlements, dropped } = this.#here;
    this.#here = { settlements: [], dropped: 0 };
    if (settlements.length > 0) this.#audience?.onSettlements(settlements);
    if (dropped > 0) this.#audience?.onMissed(dropped, 'busy');
    this.#tellOthers();
  }

  /** @param part left out: nothing new of that */
  #tellOthers(part?: LivePart | null): void {
    const { settlements, dropped } = this.#there;
    this.#there = { settlements: [], dropped: 0 };
    if (this.#wantedByOthers === null || (part === undefined && settlements.length === 0 && dropped === 0)) return;
    const batch = { dropped, settlements, ...(part === undefined ? {} : { part }) };
    const text = encodeBatch(this.#to.teller, this.#number + 1, batch);
    if (this.#to.bus?.tell('feed', text) === true) this.#number++;
    else this.#there.dropped = dropped + settlements.length;
  }

  // ------------------------------------------------------------------------------------------------------------- totals

  #armTotals(): void {
    if (this.#cancelTotals !== null) return;
    const { clock, onFailure } = this.#to;
    const delayMs = TOTALS_EVERY_MS - ((Math.floor(clock.now()) - TOTALS_OFFSET_MS) % TOTALS_EVERY_MS);
    const cancel = clock.after(delayMs, () => void this.#tellTotals(cancel).catch(onFailure));
    this.#cancelTotals = cancel;
  }

  async #tellTotals(own: () => void): Promise<void> {
    const found = await this.#to.reporter.glance(GLANCE_AGE_MS);
    // Nobody wants them any more, or whoever came since has armed it anew.
    if (this.#cancelTotals !== own) return;
    this.#cancelTotals = null;
    const part = found === null ? null : this.#partOf(found);
    if (this.#own?.totals === true) this.#audience?.onPart(this.#to.teller, part);
    if (this.#wantedByOthers?.totals === true) this.#tellOthers(part);
    this.#armTotals();
  }

  #partOf({ unlisted: _, channels, ...part }: PipelinePart): LivePart {
    return {
      ...part,
      readAt: Math.floor(this.#to.clock.now()),
      channels: channels.map((one) => {
        const { totals, histograms } = this.#to.channels.tallies.of(one).sinceStart();
        const view = this.#to.channels.get(one)?.view ?? null;
        const { state, reason, until, ackTimeoutMs } = view ?? {};
        const known = state !== undefined && ackTimeoutMs !== undefined;
        return {
          ...one,
          totals: TOTALS.map((total) => totals[total]),
          gaps: histograms.ackToNextSend,
          condition: known ? { state, reason: reason ?? null, until: until ?? null, ackTimeoutMs } : null,
        };
      }),
    };
  }

  // ---------------------------------------------------------------------------------------------------- what others tell

  #onBatch(text: string): void {
    const told = decodeBatch(text);
    const audience = this.#audience;
    if (told === null || told.teller === this.#to.teller || this.#own === null || audience === null) return;
    const { teller, number, batch } = told;
    const before = this.#numbers.get(teller);
    if (this.#numbers.size >= MAX_PROCESSES) this.#numbers.clear();
    this.#numbers.set(teller, number);
    if (before !== undefined && number !== before + 1) audience.onMissed(null, 'interrupted');
    if (batch.dropped > 0) audience.onMissed(batch.dropped, 'busy');
    if (batch.part !== undefined) audience.onPart(teller, batch.part);
    if (batch.settlements.length > 0) audience.onSettlements(batch.settlements);
  }

  #close(): void {
    this.#closed = true;
    if (this.#wantedByOthers !== null) this.#tellOthers(null);
    if (this.#own !== null) {
      this.#own = null;
      this.#tellInterest();
    }
    this.#others.clear();
    this.#leaveFeed?.();
    this.#consider();
  }
}

function isFull(outbox: Outbox): boolean {
  if (outbox.settlements.length < MAX_PER_FLUSH) return false;
  outbox.dropped++;
  return true;
}

function unionOf(interests: readonly Interest[]): Interest {
  return {
    totals: interests.some(({ totals }) => totals),
    settlements: interests.flatMap(({ settlements }) => settlements),
  };
}

/** The same with each filter once; of too many, one that lets at least as much pass. */
function bounded({ totals, settlements }: Interest): Interest {
  const different = [...new Map(settlements.map((filter) => [JSON.stringify(filter), filter])).values()];
  if (different.length <= MAX_FILTERS) return { totals, settlements: different };
  const kinds = [...new Set(different.flatMap((filter) => filter.kinds))];
  return { totals, settlements: [{ kinds, tenants: null, channel: null, room: null }] };
}
