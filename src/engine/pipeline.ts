/**
 * What this process tells of itself, for whoever asks where messages are: once a second what it holds, by channel and
 * stage; the rooms that linger in one phase; and once a minute what it counted. Memory is read in slices between other
 * work, so that nothing waits for it. What the store does not take is told again with the next round.
 */
import type { Phase, RoomAddress } from '../room/room.ts';
import { errorFields } from '../telemetry.ts';
import type { ChannelDepth } from './buffer-ports.ts';
import { messagesIn, sumByChannel } from './channel-depth.ts';
import type { Channels } from './channels.ts';
import type { Instruments } from './instruments.ts';
import type { Intake } from './intake.ts';
import type { Ownership } from './ownership.ts';
import {
  type ChannelMinute,
  type ChannelPart,
  type LingeringRoom,
  type PipelinePart,
  type PipelineStore,
  STAGES,
} from './pipeline-ports.ts';
import type { ChannelKey, Clock, EndOfTurn } from './ports.ts';
import type { Rooms } from './rooms.ts';
import { defineService, runLoop, type Service } from './service.ts';
import type { Glance } from './set-aside.ts';

export interface ReporterDependencies {
  readonly store: PipelineStore;
  readonly rooms: Pick<Rooms, 'glances'>;
  readonly channels: Pick<Channels, 'all' | 'tallies'>;
  readonly intake: Pick<Intake, 'accepting'>;
  /** Messages on their way into the buffer; absent: nothing is buffered. */
  readonly buffering?: () => readonly ChannelDepth[];
  readonly ownership: Pick<Ownership, 'worker' | 'shards' | 'clockIsSet'>;
  readonly clock: Clock;
  readonly endOfTurn: EndOfTurn;
  readonly instruments: Instruments;
  readonly onFailure: (error: unknown) => void;
}

const ROUND_MS = 1_000;
export const MINUTE_MS = 60_000;
/** A room that has been in its phase for longer than this is listed. */
export const LINGERING_MS = 2_000;
/** Rooms that are read before other work has its turn: a tenth of a millisecond or two. */
const ROOMS_PER_SLICE = 1_000;
/** Rooms that are put on the list in a round, and taken off it. */
const LISTED_PER_ROUND = 500;
const GONE_PER_ROUND = 2_000;
/** Rooms that a process lists at most; of further ones it tells the number. */
const MAX_LISTED = 50_000;
/** How often the lists that others left in this process's shards are cleared, beside each time that the shards change. */
const CLEAR_EVERY_MS = 60_000;
/** Minutes that wait for a store that is away; older ones are given up. */
const MAX_PENDING_MINUTES = 60;

const STAGE_INDEX: ReadonlyMap<string, number> = new Map(STAGES.map((stage, index) => [stage, index]));
const READY = 0;

/** Where a room with an unsettled message stands, as an index into `STAGES`; null where nothing of it waits. */
export function stageOf(room: Glance['room']): number | null {
  if (room.tail <= room.settled) return null;
  if (room.phase === 'idle') return READY;
  return STAGE_INDEX.get(room.phase === 'waiting' ? (room.reason ?? 'ready') : room.phase) ?? READY;
}

/**
 * Since when it stands there. A room without work goes on without a write until its head is claimed: then that is since
 * the head came. Null where that is not known.
 */
export function standsSince(room: Glance['room']): number | null {
  if (room.phase !== 'idle') return room.since;
  const head = room.envelopes?.[0];
  return head?.sequence === room.settled + 1 ? Math.max(room.since, head.acceptedAt) : null;
}

/** The phase as lists have it: `idle` with something waiting is as good as `ready`. */
export function listedPhase({ phase }: Glance['room']): Phase {
  return phase === 'idle' ? 'ready' : phase;
}

const NOTHING: ChannelPart['lastMinute'] = { accepted: 0, settled: 0, failed: 0 };

interface Count extends ChannelKey {
  readonly rooms: number[];
  readonly messages: number[];
}

/** A room that is on the list. */
interface Listed extends RoomAddress {
  readonly since: number;
  readonly stage: number;
  /** The last round that found it so. */
  round: number;
}

/** Minutes that are to be added as one, under the worker and number of the first try. */
interface Pending {
  readonly worker: string;
  readonly number: number;
  readonly minutes: readonly ChannelMinute[];
}

export class Reporter {
  readonly service: Service;
  readonly #to: ReporterDependencies;
  /** Of the life that the list, the numbers and the part belong to; that of the last one when there is none. */
  #worker: string | null = null;
  readonly #listed = new Map<number, Listed>();
  #round = 0;
  #number = 0;
  #minute: number | null = null;
  #pending: Pending[] = [];
  #clearedAt = Number.NEGATIVE_INFINITY;
  #clearedFor = '';
  /** Lives that have ended, and whose parts may still be there. */
  readonly #ended = new Set<string>();
  #failing = false;
  /** What was told last. */
  #told: PipelinePart | null = null;

  constructor(dependencies: ReporterDependencies) {
    this.#to = dependencies;
    const { clock, onFailure } = dependencies;
    const timers = { schedule: (delayMs: number, callback: () => void) => clock.after(delayMs, callback) };
    this.service = defineService('pipeline', (scope) => {
      scope.onStop(() => this.#last());
      const loop = runLoop(() => this.#step(), { timers, onFailure });
      scope.onStop(() => loop.stop());
    });
  }

  /**
   * What this process holds now, or was told to hold a moment ago; null before and after its life.
   * @param maxAgeMs how old it may be
   */
  async glance(maxAgeMs: number): Promise<PipelinePart | null> {
    const { ownership, clock } = this.#to;
    const { worker } = ownership;
    if (worker === null || !ownership.clockIsSet) return null;
    const told = this.#told?.worker === worker ? this.#told : null;
    if (told !== null && clock.now() - told.asOf <= maxAgeMs) return told;
    const asOf = Math.floor(clock.now());
    const counts = new Counts();
    const openSends = await this.#count(counts, () => undefined);
    if (ownership.worker !== worker) return null;
    const lastMinutes = new Map(told?.channels.map((one) => [counts.of(one), one.lastMinute]));
    const channels = this.#partsOf(counts, (count) => lastMinutes.get(count) ?? NOTHING);
    return this.#partOf({ worker, asOf, openSends, unlisted: told?.unlisted ?? 0, channels });
  }

  /** One round; the parts are not equally urgent, and each is tried whatever became of the others. */
  async #step(): Promise<number> {
    const { clock, ownership } = this.#to;
    if (ownership.clockIsSet && ownership.worker !== null) {
      this.#begin(ownership.worker);
      await this.#attempt([() => this.#tell(ownership.worker), () => this.#store(), () => this.#withdrawEnded()]);
    }
    // At whole seconds, so that what all processes tell is of the same moments, and minutes end when they do.
    return ROUND_MS - (Math.floor(clock.now()) % ROUND_MS);
  }

  async #attempt(works: readonly (() => Promise<void>)[]): Promise<void> {
    let failed = false;
    for (const work of works) {
      try {
        await work();
      } catch (error) {
        failed = true;
        const { log } = this.#to.instruments;
        // Once for each outage.
        if (!this.#failing) log.event('postgres.batch_failed', { reason: 'pipeline', count: 0, ...errorFields(error) });
        this.#failing = true;
      }
    }
    this.#failing = failed;
  }

  /** A life that was lost has left its part and its list behind. */
  #begin(worker: string): void {
    if (this.#worker === worker) return;
    if (this.#worker !== null) this.#ended.add(this.#worker);
    this.#worker = worker;
    this.#listed.clear();
    this.#number = 0;
    this.#clearedFor = '';
  }

  async #withdrawEnded(): Promise<void> {
    // Its number is what keeps a minute from being added twice.
    if (this.#pending.length > 0) return;
    for (const worker of [...this.#ended]) {
      await this.#to.store.withdraw(worker);
      this.#ended.delete(worker);
    }
  }

  // ------------------------------------------------------------------------------------------------- what it holds

  async #tell(worker: string | null): Promise<void> {
    const { store, channels, ownership, clock } = this.#to;
    const asOf = Math.floor(clock.now());
    const round = ++this.#round;
    const counts = new Counts();
    const found: (LingeringRoom & { readonly stage: number })[] = [];
    let unlisted = 0;
    const openSends = await this.#count(counts, (room, stage) => {
      const since = standsSince(room);
      if (since === null || asOf - since <= LINGERING_MS) return;
      const listed = this.#listed.get(room.id);
      if (listed?.since === since && listed.stage === stage) {
        listed.round = round;
        return;
      }
      const full = listed === undefined && this.#listed.size + found.length >= MAX_LISTED;
      if (full || found.length >= LISTED_PER_ROUND) unlisted++;
      else {
        const { shard, id, key } = room;
        const phase = listedPhase(room);
        found.push({ shard, id, tenant: key.tenant, channel: key.channel, phase, since, stage });
      }
    });
    // The life may have ended meanwhile; what was counted is of a process that holds nothing then.
    if (worker === null || ownership.worker !== worker) return;
    const parts = this.#partsOf(counts, (count) => channels.tallies.of(count).lastMinute());
    const part = this.#partOf({ worker, asOf, openSends, unlisted, channels: parts });
    this.#told = part;
    await store.report(part);
    await this.#list(worker, found, round);
    if (unlisted === 0) await this.#clearOthers(worker);
  }

  /** Counts every room that has something waiting. @returns how many attempts are open */
  async #count(counts: Counts, onRoom: (room: Glance['room'], stage: number) => void): Promise<number> {
    let openSends = 0;
    let left = ROOMS_PER_SLICE;
    for (const { room, open } of this.#to.rooms.glances()) {
      if (left-- === 0) {
        left = ROOMS_PER_SLICE;
        await new Promise<void>((resolve) => this.#to.endOfTurn(resolve));
      }
      openSends += open.length;
      const stage = stageOf(room);
      if (stage === null) continue;
      counts.add(room, stage);
      onRoom(room, stage);
    }
    return openSends;
  }

  #partsOf(counts: Counts, lastMinuteOf: (count: Count) => ChannelPart['lastMinute']): ChannelPart[] {
    const { channels } = this.#to;
    for (const channel of channels.all()) counts.of(channel.settings.key);
    for (const { key } of channels.tallies.all()) counts.of(key);
    const queued = new Map(channels.all().map((channel) => [counts.of(channel.settings.key), channel.queued]));
    const accepting = new Map(this.#accepting().map((depth) => [counts.of(depth), depth.messages]));
    return counts.all().map((count) => {
      const messages = accepting.get(count);
      const ofIntake = messages === undefined ? {} : { accepting: messages };
      return { ...count, ...ofIntake, permitQueue: queued.get(count) ?? 0, lastMinute: lastMinuteOf(count) };
    });
  }

  #accepting(): ChannelDepth[] {
    const { intake, buffering } = this.#to;
    return sumByChannel([...intake.accepting.all(), ...(buffering?.() ?? [])]);
  }

  #partOf(part: Omit<PipelinePart, 'shards' | 'intake'>): PipelinePart {
    return { ...part, shards: this.#to.ownership.shards.size, intake: messagesIn(this.#accepting()) };
  }

  async #list(worker: string, found: readonly (LingeringRoom & { readonly stage: number })[], round: number) {
    const gone: Listed[] = [];
    for (const listed of this.#listed.values()) {
      if (gone.length >= GONE_PER_ROUND) break;
      if (listed.round !== round) gone.push(listed);
    }
    const again = new Set(found.map(({ id }) => id));
    const off = gone.filter(({ id }) => !again.has(id));
    if (found.length === 0 && off.length === 0) return;
    await this.#to.store.list(worker, found, off);
    for (const { id } of off) this.#listed.delete(id);
    for (const { shard, id, since, stage } of found) this.#listed.set(id, { shard, id, since, stage, round });
  }

  /** Once all of its own are listed, what others left on their lists in its shards is out of date. */
  async #clearOthers(worker: string): Promise<void> {
    const { store, ownership, clock } = this.#to;
    const shards = [...ownership.shards];
    const name = shards.join();
    const now = clock.monotonic();
    if (name === this.#clearedFor && now - this.#clearedAt < CLEAR_EVERY_MS) return;
    if (shards.length > 0) await store.clearOthers(worker, shards);
    this.#clearedFor = name;
    this.#clearedAt = now;
  }

  // ---------------------------------------------------------------------------------------------- what it counted

  /** Takes what was counted when its minute is over, and adds what waits for that to the store. */
  async #store(): Promise<void> {
    const minute = Math.floor(this.#to.clock.now() / MINUTE_MS) * MINUTE_MS;
    if (this.#minute !== null && this.#minute !== minute) this.#take(this.#minute);
    this.#minute = minute;
    await this.#addPending();
  }

  #take(minute: number): void {
    const minutes: ChannelMinute[] = [];
    for (const tally of this.#to.channels.tallies.all()) {
      const activity = tally.take();
      if (activity !== null) minutes.push({ ...tally.key, minute, activity });
    }
    if (minutes.length === 0 || this.#worker === null) return;
    this.#pending.push({ worker: this.#worker, number: ++this.#number, minutes });
    if (this.#pending.length > MAX_PENDING_MINUTES) this.#pending.shift();
  }

  async #addPending(): Promise<void> {
    for (let next = this.#pending[0]; next !== undefined; next = this.#pending[0]) {
      await this.#to.store.addMinutes(next.worker, next.number, next.minutes);
      this.#pending.shift();
    }
  }

  /** The process ends: the running minute is stored, and nobody waits for its part. */
  async #last(): Promise<void> {
    const worker = this.#worker;
    if (worker === null) return;
    if (this.#minute !== null) this.#take(this.#minute);
    await this.#attempt([() => this.#addPending(), () => this.#to.store.withdraw(worker)]);
  }
}

class Counts {
  readonly #byTenant = new Map<string, Map<string, Count>>();
  #last: Count | null = null;

  add(room: Glance['room'], stage: number): void {
    const count = this.of(room.key);
    count.rooms[stage] = (count.rooms[stage] as number) + 1;
    count.messages[stage] = (count.messages[stage] as number) + room.tail - room.settled;
  }

  of({ tenant, channel }: ChannelKey): Count {
    const last = this.#last;
    if (last !== null && last.channel === channel && last.tenant === tenant) return last;
    const ofTenant = this.#byTenant.get(tenant) ?? new Map<string, Count>();
    this.#byTenant.set(tenant, ofTenant);
    const known = ofTenant.get(channel);
    const count = known ?? { tenant, channel, rooms: STAGES.map(() => 0), messages: STAGES.map(() => 0) };
    if (known === undefined) ofTenant.set(channel, count);
    this.#last = count;
    return count;
  }

  all(): Count[] {
    return [...this.#byTenant.values()].flatMap((ofTenant) => [...ofTenant.values()]);
  }
}
