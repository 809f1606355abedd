/** Where messages are, from what every process tells of itself and from the rows of the rooms that are asked for. */
import type { BufferDepth } from '../engine/buffer.ts';
import { messagesIn } from '../engine/channel-depth.ts';
import type { Channels } from '../engine/channels.ts';
import type { Engine } from '../engine/engine.ts';
import type { Gaps } from '../engine/gaps.ts';
import { listedPhase, standsSince } from '../engine/pipeline.ts';
import {
  type ChannelPart,
  type ChartRange,
  type LingeringPage,
  type LingeringRoom,
  type Member,
  type ParkedDepth,
  type PipelineStore,
  type RecipientChannel,
  type RecipientStore,
  STAGES,
  type Stage,
  type TimelineEntry,
} from '../engine/pipeline-ports.ts';
import { POLICY_OF_MISSING_CHANNEL, roomOf } from '../engine/policy.ts';
import type { ChannelKey, ChannelSelection, Clock, RoomStore, StoredRoom } from '../engine/ports.ts';
import type { References } from '../engine/reference.ts';
import { BUCKET_BOUNDS_MS, LATENCIES, quantileMs } from '../engine/tallies.ts';
import type { ChannelView, GapView } from '../room/explain.ts';
import { hasHead, headSequence, type Room, type RoomAddress, type RoomKey } from '../room/room.ts';
import { shardOf } from '../room/shard.ts';
import type { ChartView, LingeringView, PipelineView, TimelineEvent, TimelineView } from './pipeline-schemas.ts';
import { viewOfRoom } from './views.ts';

export interface TimelinePage {
  readonly order: 'oldest' | 'newest';
  /** The sequence that the page before ended with; null for the first. */
  readonly after: number | null;
  readonly limit: number;
}

/** Tenants may be null: of all of which there are channels, configured or in what processes tell of themselves. */
export type LingeringQuestion = Omit<LingeringPage, 'tenants'> & Pick<ChannelSelection, 'tenants'>;

/** Rooms of one channel come by their ids, those of several channel by channel. */
export interface RecipientQuestion {
  readonly tenant: string;
  /** Null: of all channels that are configured. */
  readonly channel: string | null;
  readonly recipient: string;
  /** The room that the page before ended with; null for the first. */
  readonly after: RecipientMark | null;
  readonly limit: number;
}

export interface RecipientMark {
  readonly channel: string;
  readonly id: number;
}

export interface PipelineAnswers {
  /** Engine time in whole ms. */
  now(): number;
  /** @param isShown whose channels may be shown; null: everything */
  pipeline(isShown: ((channel: ChannelKey) => boolean) | null): Promise<PipelineView>;
  /** The mark is of the last room that was looked at; null where there are no more. */
  lingering(page: LingeringQuestion): Promise<Omit<LingeringView, 'cursor'> & { readonly last: LingeringRoom | null }>;
  /** Whatever they do: rooms that messages to a recipient were in, and those that have its name. The mark likewise. */
  ofRecipient(
    asked: RecipientQuestion,
  ): Promise<Omit<LingeringView, 'cursor'> & { readonly last: RecipientMark | null }>;
  chart(range: ChartRange): Promise<ChartView>;
  /** Null where there is no such room. */
  timeline(key: RoomKey, page: TimelinePage): Promise<TimelineView | null>;
}

export interface PipelineSources {
  readonly engine: Pick<Engine, 'rooms' | 'gaps' | 'channels' | 'ownership'>;
  readonly rooms: RoomStore;
  readonly store: PipelineStore;
  readonly recipients: Pick<RecipientStore, 'find'>;
  /** Null: nothing is buffered. */
  readonly buffer?: { depth(): Promise<BufferDepth> } | null;
  readonly references: References;
  readonly clock: Clock;
  readonly shards: number;
}

/** A process that has told nothing for longer than this is not counted. */
const STALE_MS = 5_000;

export function createPipelineAnswers(from: PipelineSources): PipelineAnswers {
  const { engine, rooms, store, recipients, references, clock, shards, buffer = null } = from;

  const timeNow = (): number => Math.floor(clock.now());

  /** `away`: nobody knows how much is in it. */
  async function bufferedNow(): Promise<BufferDepth | 'away' | null> {
    return buffer === null ? null : buffer.depth().catch(() => 'away' as const);
  }

  /** Rooms as they are stored now, and what is shown of them; null for one that is not there. */
  async function roomsAt(addresses: readonly RoomAddress[], now: number) {
    const [stored, held] = await Promise.all([
      rooms.readRooms(addresses.map(({ shard, id }) => ({ shard, id }))),
      store.heldShards([...new Set(addresses.map(({ shard }) => shard))]),
    ]);
    const gaps = await Promise.all(stored.map((one) => gapView(one, rooms, engine.gaps)));
    return stored.map((one, index) => {
      if (one === null) return null;
      const { channels } = engine;
      const room = roomOf(one, channels.get(one.row.key)?.settings.policy ?? POLICY_OF_MISSING_CHANNEL);
      const gap = gaps[index] ?? null;
      return { room, view: viewOfRoom(room, conditionOf(channels, room.key), held.has(room.shard), now, gap) };
    });
  }

  /** Channels on which to look for rooms of the recipient, from that of the mark on. */
  function channelsOf({ tenant, channel, recipient, after }: RecipientQuestion): readonly RecipientChannel[] {
    const configured = engine.channels
      .all()
      .map(({ settings }) => settings.key)
      .filter((key) => key.tenant === tenant)
      .map((key) => key.channel);
    return (channel === null ? configured.toSorted(compare) : [channel])
      .filter((name) => after === null || compare(name, after.channel) >= 0)
      .map((name) => ({
        channel: name,
        shard: shardOf({ tenant, channel: name, room: recipient }, shards),
        after: name === after?.channel ? after.id : 0,
      }));
  }

  function allTenants(members: readonly Member[]): readonly string[] {
    const configured = engine.channels.all().map(({ settings }) => settings.key);
    const told = members.flatMap(({ part }) => part?.channels ?? []);
    return [...new Set([...configured, ...told].map(({ tenant }) => tenant))];
  }

  return {
    now: timeNow,

    async pipeline(isShown) {
      const now = timeNow();
      const [members, parked, buffered] = await Promise.all([store.members(), store.parked(), bufferedNow()]);
      const configured = engine.channels.all().map(({ settings }) => settings.key);
      return pipelineOf({ members, parked, buffered, configured, shards, now }, isShown);
    },

    async lingering(page) {
      const now = timeNow();
      const members = await store.members();
      const listed = await store.lingering({ ...page, tenants: page.tenants ?? allTenants(members) });
      const full = listed.length === page.limit;
      const unique = listed.filter(({ id }, index) => listed[index - 1]?.id !== id);
      const found = await roomsAt(unique, now);
      const still = unique.flatMap(({ phase, since }, index) => {
        const one = found[index] ?? null;
        // It has moved on since it was listed.
        if (one === null || !hasHead(one.room)) return [];
        return listedPhase(one.room) === phase && standsSince(one.room) === since ? [one.view] : [];
      });
      const unlisted = members.reduce((sum, { part }) => sum + (part?.unlisted ?? 0), 0);
      return { asOf: now, rooms: still, unlisted, last: full ? (listed.at(-1) ?? null) : null };
    },

    async ofRecipient(asked) {
      const now = timeNow();
      const { tenant, recipient, limit } = asked;
      const noted = await recipients.find({ tenant, recipient, channels: channelsOf(asked), limit });
      const found = await roomsAt(noted, now);
      const last = noted.length === limit ? (noted.at(-1) ?? null) : null;
      return { asOf: now, rooms: found.flatMap((one) => one?.view ?? []), unlisted: 0, last };
    },

    async chart(range) {
      const asOf = timeNow();
      const points = (await store.chart(range)).map(({ at, activity: { totals, histograms } }) => ({
        at,
        totals: { ...totals },
        latencies: Object.fromEntries(
          LATENCIES.map((latency) => {
            const counts = histograms[latency];
            const [p50 = null, p95 = null, p99 = null] = [0.5, 0.95, 0.99].map((share) => quantileMs(counts, share));
            return [latency, { count: counts.reduce((sum, one) => sum + one, 0), p50, p95, p99, counts }];
          }),
        ),
      }));
      const { from: begin, to, stepMs } = range;
      return { asOf, from: begin, to, stepMs, bucketsMs: [...BUCKET_BOUNDS_MS], points };
    },

    async timeline(key, { order, after, limit }) {
      const found = await rooms.findRoom(key, shardOf(key, shards));
      // Before the messages: what settles in between is told by its history, and nothing is missed.
      const room = found === null ? null : await engine.rooms.view(found.row);
      const asOf = timeNow();
      if (room === null) return null;
      const entries = await store.timeline(room, order, after, limit);
      const messages = entries.map((entry) => ({
        id: references.encode(room, entry.sequence),
        sequence: entry.sequence,
        messageId: entry.messageId,
        outcome: 'outcome' in entry ? entry.outcome : null,
        lateFailure: 'outcome' in entry ? entry.lateNackCode : null,
        events: eventsOf(entry, room),
      }));
      return { asOf, messages, cursor: entries.length === limit ? (entries.at(-1)?.sequence ?? null) : null };
    },
  };
}

/** Null where the room has none, or it was closed in between. */
export async function gapView(
  stored: StoredRoom | null,
  rooms: Pick<RoomStore, 'countParked'>,
  gaps: Pick<Gaps, 'skipsAt'>,
): Promise<GapView | null> {
  if (stored?.gap === undefined) return null;
  const { waitsFor, since } = stored.gap;
  const parked = await rooms.countParked(stored.row);
  return parked === 0 ? null : { waitsFor, since, parked, skippedAt: gaps.skipsAt(stored.row.key, since) };
}

/** A channel that is configured no more is as good as stopped. */
export function conditionOf(channels: Channels, key: ChannelKey): ChannelView {
  return channels.get(key)?.view ?? { state: 'stopped', reason: 'channel_not_configured', until: null };
}

type Whole = Pick<PipelineView, 'stages' | 'permitQueue' | 'lastMinute'>;

/** What was found of the whole. */
interface Findings {
  readonly members: readonly Member[];
  readonly parked: readonly ParkedDepth[];
  readonly buffered: BufferDepth | 'away' | null;
  readonly configured: readonly ChannelKey[];
  readonly shards: number;
  /** When they began to be looked for. */
  readonly now: number;
}

const UNKNOWN_DEPTH = { messages: null, buried: null, oldestAt: null, unassigned: null };

function pipelineOf(
  { members, parked, buffered, configured, shards, now }: Findings,
  isShown: ((channel: ChannelKey) => boolean) | null,
): PipelineView {
  const isCounted = ({ isAlive, part }: Member): boolean => isAlive && part !== null && now - part.asOf <= STALE_MS;
  const parts = members.filter(isCounted).flatMap(({ part }) => (part === null ? [] : [part]));
  const missing = members
    .filter((member) => !isCounted(member))
    .map(({ worker, name, part }) => ({ worker, name, lastSeen: part?.asOf ?? null }));
  const byChannel = new Map<string, { readonly key: ChannelKey; readonly parts: ChannelPart[] }>();
  const ofChannel = ({ tenant, channel }: ChannelKey) => {
    const name = JSON.stringify([tenant, channel]);
    const known = byChannel.get(name) ?? { key: { tenant, channel }, parts: [] };
    byChannel.set(name, known);
    return known;
  };
  for (const key of configured) if (isShown?.(key) !== false) ofChannel(key);
  for (const part of parts) {
    for (const one of part.channels) if (isShown?.(one) !== false) ofChannel(one).parts.push(one);
  }
  const shown = parked.filter((one) => isShown?.(one) !== false);
  const depths = buffered === null || buffered === 'away' ? [] : buffered.channels;
  const waiting = depths.filter((one) => isShown?.(one) !== false);
  for (const one of [...shown, ...waiting]) ofChannel(one);
  const bufferedIn = ({ tenant, channel }: ChannelKey): number | null => {
    if (buffered === null || buffered === 'away') return null;
    return messagesIn(waiting.filter((one) => one.tenant === tenant && one.channel === channel));
  };
  const parkedIn = ({ tenant, channel }: ChannelKey) =>
    depthOf(shown.filter((one) => one.tenant === tenant && one.channel === channel));
  const channels = [...byChannel.values()]
    .map(({ key, parts: those }) => ({
      ...key,
      buffered: bufferedIn(key),
      accepting: sumOf(those, ({ accepting = 0 }) => accepting),
      parked: parkedIn(key),
      ...wholeOf(those),
    }))
    .sort((a, b) => compare(a.tenant, b.tenant) || compare(a.channel, b.channel));
  const counted = parts.reduce((sum, part) => sum + part.shards, 0);
  return {
    asOf: parts.reduce((oldest, part) => Math.min(oldest, part.asOf), now),
    complete: missing.length === 0 && counted === shards && buffered !== 'away',
    missing,
    shards: { counted, total: shards },
    buffered: isShown !== null || buffered === null ? null : totalOf(buffered),
    accepting: isShown === null ? parts.reduce((sum, part) => sum + part.intake, 0) : null,
    openSends: isShown === null ? parts.reduce((sum, part) => sum + part.openSends, 0) : null,
    parked: depthOf(shown),
    ...wholeOf([...byChannel.values()].flatMap(({ parts: those }) => those)),
    channels,
  };
}

function totalOf(buffered: BufferDepth | 'away'): PipelineView['buffered'] {
  if (buffered === 'away') return UNKNOWN_DEPTH;
  const { channels: _, ...total } = buffered;
  return total;
}

function depthOf(parked: readonly ParkedDepth[]): PipelineView['parked'] {
  const sum = (value: (one: ParkedDepth) => number) => parked.reduce((total, one) => total + value(one), 0);
  return { rooms: sum(({ rooms }) => rooms), messages: sum(({ messages }) => messages) };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

const WAITING: readonly Stage[] = ['ready', 'not_before', 'limit', 'channel', 'paused'];

export function wholeOf(parts: readonly ChannelPart[]): Whole {
  const roomsIn = (...stages: readonly Stage[]): number => sumOf(parts, (part) => pick(part.rooms, stages));
  const allMessages = sumOf(parts, (part) => pick(part.messages, STAGES));
  const inFlight = roomsIn('sending', 'awaiting_ack', 'backing_off', 'unknown', 'held');
  const depth = (stage: Stage) => ({ rooms: roomsIn(stage), messages: roomsIn(stage) });
  return {
    stages: {
      waiting: {
        rooms: roomsIn(...WAITING),
        messages: allMessages - inFlight,
        ready: roomsIn('ready'),
        notBefore: roomsIn('not_before'),
        limit: roomsIn('limit'),
        channel: roomsIn('channel'),
        paused: roomsIn('paused'),
      },
      sending: depth('sending'),
      awaitingAck: depth('awaiting_ack'),
      backingOff: depth('backing_off'),
      unknown: depth('unknown'),
      held: depth('held'),
    },
    permitQueue: sumOf(parts, (part) => part.permitQueue),
    lastMinute: {
      accepted: sumOf(parts, (part) => part.lastMinute.accepted),
      settled: sumOf(parts, (part) => part.lastMinute.settled),
      failed: sumOf(parts, (part) => part.lastMinute.failed),
    },
  };
}

function sumOf(parts: readonly ChannelPart[], value: (part: ChannelPart) => number): number {
  return parts.reduce((sum, part) => sum + value(part), 0);
}

function pick(counts: readonly number[], stages: readonly Stage[]): number {
  return stages.reduce((sum, stage) => sum + (counts[STAGES.indexOf(stage)] ?? 0), 0);
}

/** @param room of an open message: what is known of its head is kept there */
function eventsOf(entry: TimelineEntry, room: Room): TimelineEvent[] {
  const settled = 'outcome' in entry ? entry : null;
  const isHead = headSequence(room) === entry.sequence;
  const { attempts, level, levelAt } = settled ?? (isHead ? room : { attempts: [], level: 'none', levelAt: null });
  const events: TimelineEvent[] = [{ at: entry.acceptedAt, event: 'accepted' }];
  for (const { number: attempt, begunAt, endedAt, result, code } of attempts) {
    events.push({ at: begunAt, event: 'attempt_begun', attempt });
    if (endedAt !== null) events.push({ at: endedAt, event: 'attempt_ended', attempt, result, code });
  }
  // An acceptance is an attempt's end, and no ack.
  if (levelAt !== null && level !== 'none' && level !== 'accepted') {
    const late = settled !== null && settled.outcome !== 'acked' && levelAt > settled.settledAt;
    events.push({ at: levelAt, event: 'acked', level, late });
  }
  if (settled !== null) {
    events.push({ at: settled.settledAt, event: 'settled', outcome: settled.outcome, reason: settled.reason });
  }
  return events.sort((a, b) => a.at - b.at);
}
