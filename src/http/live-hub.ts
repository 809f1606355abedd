/**
 * The readers of the live feed at this process. Each has a bounded buffer: who takes too little loses what does not fit,
 * is told how much, and is sent away when nothing is taken for too long. What is said to several is made once.
 */
import type { Live } from '../engine/live.ts';
import { TOTALS_EVERY_MS } from '../engine/live.ts';
import {
  type Interest,
  isWanted,
  type LiveAudience,
  type LivePart,
  type Settlement,
  type SettlementFilter,
  type SettlementKind,
} from '../engine/live-ports.ts';
import type { Clock } from '../engine/ports.ts';
import { RoomlineError } from '../errors.ts';
import type { Metrics } from '../telemetry.ts';
import type { LiveClosing, LiveDropped, LiveEvent, LiveEventName, LiveReady, LiveSettlement } from './live-schemas.ts';
import { LiveParts, totalsOf } from './live-totals.ts';

/** What a reader asked for, as far as its key may see it. */
export interface Reading {
  /** The name of its key. */
  readonly key: string;
  readonly events: readonly LiveEventName[];
  /** Null: all. */
  readonly tenant: string | null;
  readonly channel: string | null;
  readonly room: string | null;
  /** Of these only; null: of all. */
  readonly tenants: readonly string[] | null;
  /** Its key is bound to tenants. */
  readonly bound: boolean;
  /** Engine time of the last event that it had before; null where it says nothing of that. */
  readonly missedSince: number | null;
}

/** The way to one reader. */
export interface Sink {
  /** One event as a text; several of them as one that is written. */
  readonly encode: (event: string, id: string, json: string) => string;
  readonly join: (texts: readonly string[]) => string;
  /** False: it is full, and `drained` will be called. */
  write(text: string): boolean;
  /** Ends after what was written. */
  close(reason: LiveClosing['reason']): void;
  /** Ends now. */
  destroy(): void;
}

export interface OpenReader {
  drained(): void;
  /** The connection is gone. */
  left(): void;
}

export interface LiveHubOptions {
  readonly live: Pick<Live, 'want' | 'reaches'>;
  readonly clock: Clock;
  readonly metrics: Pick<Metrics, 'liveReaders' | 'liveDropped' | 'liveClosed'>;
  readonly shards: number;
  readonly maxReaders: number;
  readonly maxReadersPerKey: number;
}

/** Frames follow what the processes tell, which takes its way. */
const FRAME_OFFSET_MS = 250;
export const HEARTBEAT_MS = 10_000;
/** Characters that wait for a reader. */
const MAX_BUFFER = 262_144;
/** A reader that has taken nothing for so long is sent away. */
const HOPELESS_MS = 10_000;
/** After that it has to show its key again. */
const MAX_AGE_MS = 3_600_000;
const RETRY_AFTER_MS = 1_000;

export class LiveHub implements LiveAudience {
  readonly #to: LiveHubOptions;
  readonly #readers = new Set<Reader>();
  readonly #parts = new LiveParts();
  #cancelRound: (() => void) | null = null;
  #closed = false;

  constructor(options: LiveHubOptions) {
    this.#to = options;
  }

  /** @throws RoomlineError `live_readers_exceeded` where there is no place, `not_ready` when the process stops */
  admit(key: string): void {
    const { maxReaders, maxReadersPerKey } = this.#to;
    if (this.#closed) throw new RoomlineError('not_ready', { detail: 'This process is stopping' });
    const ofKey = [...this.#readers].filter(({ reading }) => reading.key === key).length;
    if (this.#readers.size < maxReaders && ofKey < maxReadersPerKey) return;
    const rule =
      ofKey >= maxReadersPerKey ? `${maxReadersPerKey} of one key at a process` : `${maxReaders} at a process`;
    throw new RoomlineError('live_readers_exceeded', { rule, retryAfterMs: HOPELESS_MS });
  }

  /** Begins to tell. @throws as `admit` */
  open(reading: Reading, sink: Sink): OpenReader {
    this.admit(reading.key);
    const { clock, metrics } = this.#to;
    const reader = new Reader(reading, sink, clock, metrics);
    this.#readers.add(reader);
    metrics.liveReaders.set(this.#readers.size);
    reader.offer('ready', this.#id(), JSON.stringify(this.#ready(reading)));
    reader.flush();
    this.#consider();
    return {
      drained: () => reader.drained(),
      left: () => this.#leave(reader),
    };
  }

  /** Sends everybody away. */
  close(): void {
    this.#closed = true;
    for (const reader of [...this.#readers]) this.#sendAway(reader, 'stopping');
  }

  // ------------------------------------------------------------------------------------------------- what it is told

  onPart(process: string, part: LivePart | null): void {
    this.#parts.take(process, part, this.#to.clock.monotonic());
  }

  onSettlements(settlements: readonly Settlement[]): void {
    const readers = [...this.#readers].filter(({ filter }) => filter !== null);
    for (const settlement of settlements) {
      const made = new Made(settlement.kind, String(settlement.at), () => JSON.stringify(viewOf(settlement)));
      for (const reader of readers) if (reader.wants(settlement)) reader.take(made);
    }
    for (const reader of readers) reader.flush();
  }

  onMissed(count: number | null, reason: 'busy' | 'interrupted'): void {
    const at = this.#now();
    this.#to.metrics.liveDropped.inc({ reason }, count ?? 1);
    const tell = (dropped: LiveDropped) => new Made('dropped', String(at), () => JSON.stringify(dropped));
    const counted = tell({ at, count, reason });
    // How much happens in other tenants is not theirs to know.
    const uncounted = tell({ at, count: null, reason });
    for (const reader of this.#readers) {
      if (reader.filter === null) continue;
      reader.take(reader.reading.bound ? uncounted : counted);
      reader.flush();
    }
  }

  // --------------------------------------------------------------------------------------------------------- rounds

  #consider(): void {
    const readers = [...this.#readers];
    const interest: Interest | null =
      readers.length === 0
        ? null
        : {
            totals: readers.some(({ wantsTotals }) => wantsTotals),
            settlements: readers.flatMap(({ filter }) => (filter === null ? [] : [filter])),
          };
    this.#to.live.want(interest, this);
    if (interest?.totals !== true) this.#parts.clear();
    if (interest !== null) this.#arm();
    else {
      this.#cancelRound?.();
      this.#cancelRound = null;
    }
  }

  #arm(): void {
    if (this.#cancelRound !== null) return;
    const delayMs = TOTALS_EVERY_MS - ((this.#now() - FRAME_OFFSET_MS) % TOTALS_EVERY_MS);
    this.#cancelRound = this.#to.clock.after(delayMs, () => {
      this.#cancelRound = null;
      this.#round();
      if (this.#readers.size > 0) this.#arm();
    });
  }

  #round(): void {
    const now = this.#to.clock.monotonic();
    this.#tellTotals(now);
    const heartbeat = new Made('heartbeat', this.#id(), () => JSON.stringify({ at: this.#now() }));
    for (const reader of [...this.#readers]) {
      if (reader.isHopeless(now)) this.#sendAway(reader, 'slow_reader');
      else if (reader.isOld(now)) this.#sendAway(reader, 'renew');
      else if (reader.isQuiet(now)) {
        reader.take(heartbeat);
        reader.flush();
      }
    }
  }

  #tellTotals(now: number): void {
    const readers = [...this.#readers].filter(({ wantsTotals }) => wantsTotals);
    const frame = readers.length === 0 ? null : this.#parts.frame(now);
    if (frame === null) return;
    /** By what is shown. */
    const made = new Map<string, Made>();
    for (const reader of readers) {
      const { tenants, channel, bound } = reader.reading;
      const name = JSON.stringify([tenants, channel, bound]);
      const known = made.get(name);
      if (known !== undefined) reader.takeTotals(known);
      else {
        const isShown = (key: { readonly tenant: string; readonly channel: string }): boolean =>
          (channel === null || key.channel === channel) && (tenants === null || tenants.includes(key.tenant));
        const totals = totalsOf(frame, this.#to.shards, isShown, !bound);
        const one = new Made('totals', String(totals.asOf), () => JSON.stringify(totals));
        made.set(name, one);
        reader.takeTotals(one);
      }
      reader.flush();
    }
  }

  // -------------------------------------------------------------------------------------------------------- readers

  #sendAway(reader: Reader, reason: LiveClosing['reason'] | 'slow_reader'): void {
    this.#to.metrics.liveClosed.inc({ reason });
    if (reason === 'slow_reader') reader.cutOff();
    else reader.sendAway(this.#id(), { reason, retryAfterMs: reason === 'renew' ? 0 : RETRY_AFTER_MS });
    this.#leave(reader);
  }

  #leave(reader: Reader): void {
    if (!this.#readers.delete(reader)) return;
    this.#to.metrics.liveReaders.set(this.#readers.size);
    this.#consider();
  }

  #ready({ tenant, channel, room, events, missedSince }: Reading): LiveReady {
    return {
      asOf: this.#now(),
      filter: { tenant, channel, room, events: [...events] },
      reach: this.#to.live.reaches,
      intervalMs: TOTALS_EVERY_MS,
      heartbeatMs: HEARTBEAT_MS,
      missed: missedSince === null ? null : missedOf(missedSince, { tenant, channel, room }),
    };
  }

  #now(): number {
    return Math.floor(this.#to.clock.now());
  }

  #id(): string {
    return String(this.#now());
  }
}

/** An event, made into text once for each kind of connection. */
class Made {
  readonly event: LiveEvent['event'];
  readonly id: string;
  readonly #json: () => string;
  readonly #texts = new Map<Sink['encode'], string>();

  constructor(event: LiveEvent['event'], id: string, json: () => string) {
    this.event = event;
    this.id = id;
    this.#json = json;
  }

  as(encode: Sink['encode']): string {
    const known = this.#texts.get(encode);
    if (known !== undefined) return known;
    const text = encode(this.event, this.id, this.#json());
    this.#texts.set(encode, text);
    return text;
  }
}

class Reader {
  readonly reading: Reading;
  readonly wantsTotals: boolean;
  /** Null: no settlements. */
  readonly filter: SettlementFilter | null;
  readonly #sink: Sink;
  readonly #clock: Clock;
  readonly #metrics: Pick<Metrics, 'liveDropped'>;
  readonly #openedAt: number;
  #waiting: string[] = [];
  #size = 0;
  /** The newest totals; older ones that were not taken are of no use. */
  #totals: string | null = null;
  #dropped = 0;
  #wroteAt: number;
  #fullSince: number | null = null;

  constructor(reading: Reading, sink: Sink, clock: Clock, metrics: Pick<Metrics, 'liveDropped'>) {
    this.reading = reading;
    this.#sink = sink;
    this.#clock = clock;
    this.#metrics = metrics;
    this.#openedAt = clock.monotonic();
    this.#wroteAt = this.#openedAt;
    const { events, tenants, channel, room } = reading;
    this.wantsTotals = events.includes('totals');
    const kinds = events.filter((event): event is SettlementKind => event !== 'totals');
    this.filter = kinds.length === 0 ? null : { kinds, tenants, channel, room };
  }

  wants({ kind, room }: Settlement): boolean {
    return this.filter !== null && isWanted(this.filter, kind, room);
  }

  offer(event: LiveEvent['event'], id: string, json: string): void {
    this.take(new Made(event, id, () => json));
  }

  take(made: Made): void {
    const text = made.as(this.#sink.encode);
    // Once something is missing, all that follows is, up to where that can be said.
    if (this.#dropped > 0 || this.#size + text.length > MAX_BUFFER) {
      this.#dropped++;
      this.#metrics.liveDropped.inc({ reason: 'slow_reader' });
    } else {
      this.#waiting.push(text);
      this.#size += text.length;
    }
  }

  takeTotals(made: Made): void {
    this.#totals = made.as(this.#sink.encode);
  }

  /** Writes what waits, unless the way is full. */
  flush(): void {
    if (this.#fullSince !== null) return;
    const texts = this.#waiting;
    if (this.#dropped > 0) texts.push(this.#droppedText());
    if (this.#totals !== null) texts.push(this.#totals);
    if (texts.length === 0) return;
    this.#waiting = [];
    this.#size = 0;
    this.#dropped = 0;
    this.#totals = null;
    const now = this.#clock.monotonic();
    this.#wroteAt = now;
    if (!this.#sink.write(this.#sink.join(texts))) this.#fullSince = now;
  }

  drained(): void {
    this.#fullSince = null;
    this.flush();
  }

  isHopeless(now: number): boolean {
    return this.#fullSince !== null && now - this.#fullSince >= HOPELESS_MS;
  }

  isOld(now: number): boolean {
    return now - this.#openedAt >= MAX_AGE_MS;
  }

  isQuiet(now: number): boolean {
    return this.#fullSince === null && now - this.#wroteAt >= HEARTBEAT_MS - TOTALS_EVERY_MS;
  }

  /** Says why, and ends after what waits. */
  sendAway(id: string, closing: LiveClosing): void {
    this.#fullSince = null;
    this.flush();
    this.#sink.write(this.#sink.join([this.#sink.encode('closing', id, JSON.stringify(closing))]));
    this.#sink.close(closing.reason);
  }

  /** Nothing that is said would arrive. */
  cutOff(): void {
    this.#sink.destroy();
  }

  #droppedText(): string {
    const dropped: LiveDropped = {
      at: Math.floor(this.#clock.now()),
      count: this.#dropped,
      reason: 'slow_reader',
    };
    return this.#sink.encode('dropped', String(dropped.at), JSON.stringify(dropped));
  }
}

function viewOf({ room, kind: _, ...settlement }: Settlement): LiveSettlement {
  const { outcome } = settlement;
  const order = outcome === 'acked' ? 'proven' : outcome === 'assumed' ? 'assumed' : null;
  return { ...settlement, ...room, order };
}

type Place = Pick<Reading, 'tenant' | 'channel' | 'room'>;

/** The feed keeps nothing; what it would have told is in what is kept. */
function missedOf(since: number, { tenant, channel, room }: Place): NonNullable<LiveReady['missed']> {
  const query = (more: Readonly<Record<string, string | null>>): string => {
    const given = Object.entries(more).filter((entry): entry is [string, string] => entry[1] !== null);
    return given.length === 0 ? '' : `?${new URLSearchParams(given)}`;
  };
  const place = channel === null || room === null ? null : [channel, room].map(encodeURIComponent).join('/');
  const from = String(since);
  return {
    since,
    note: 'Nothing is repeated here: this is a feed, not a log. What happened since is kept with messages and rooms.',
    catchUp: [
      { what: 'Totals and latencies by the minute.', href: `/v1/charts${query({ tenant, channel, from })}` },
      {
        what: 'What failed for good.',
        href: `/v1/dead-letters${query({ tenant: channel === null ? null : tenant, channel, room, from })}`,
      },
      ...(place === null
        ? []
        : [{ what: 'Everything in the room.', href: `/v1/rooms/${place}/timeline${query({ tenant })}` }]),
    ],
  };
}
