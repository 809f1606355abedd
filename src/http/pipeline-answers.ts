/** Where messages are, from what every process tells of itself and from the rows of the rooms that are asked for. */
import type { Channels } from '../engine/channels.ts';
import type { Engine } from '../engine/engine.ts';
import { listedPhase, standsSince } from '../engine/pipeline.ts';
import {
  type ChannelPart,
  type ChartRange,
  type LingeringPage,
  type LingeringRoom,
  type Member,
  type PipelineStore,
  STAGES,
  type Stage,
  type TimelineEntry,
} from '../engine/pipeline-ports.ts';
import { POLICY_OF_MISSING_CHANNEL, roomOf } from '../engine/policy.ts';
import type { ChannelKey, Clock, RoomStore, StoredRoom } from '../engine/ports.ts';
import type { References } from '../engine/reference.ts';
import { BUCKET_BOUNDS_MS, LATENCIES, quantileMs } from '../engine/tallies.ts';
import type { ChannelView } from '../room/explain.ts';
import { headSequence, type Room, type RoomKey } from '../room/room.ts';
import { shardOf } from '../room/shard.ts';
import type { ChartView, LingeringView, PipelineView, TimelineEvent, TimelineView } from './pipeline-schemas.ts';
import { viewOfRoom } from './views.ts';

export interface TimelinePage {
  readonly order: 'oldest' | 'newest';
  /** The sequence that the page before ended with; null for the first. */
  readonly after: number | null;
  readonly limit: number;
}

export interface PipelineAnswers {
  /** Engine time in whole ms. */
  now(): number;
  /** @param isShown whose channels may be shown; null: everything */
  pipeline(isShown: ((channel: ChannelKey) => boolean) | null): Promise<PipelineView>;
  /** The mark is of the last room that was looked at; null where there are no more. */
  lingering(page: LingeringPage): Promise<Omit<LingeringView, 'cursor'> & { readonly last: LingeringRoom | null }>;
  chart(range: ChartRange): Promise<ChartView>;
  /** Null where there is no such room. */
  timeline(key: RoomKey, page: TimelinePage): Promise<TimelineView | null>;
}

export interface PipelineSources {
  readonly engine: Pick<Engine, 'rooms' | 'channels' | 'ownership'>;
  readonly rooms: RoomStore;
  readonly store: PipelineStore;
  readonly references: References;
  readonly clock: Clock;
  readonly shards: number;
}

/** A process that has told nothing for longer than this is not counted. */
const STALE_MS = 5_000;

export function createPipelineAnswers(from: PipelineSources): PipelineAnswers {
  const { engine, rooms, store, references, clock, shards } = from;

  const timeNow = (): number => Math.floor(clock.now());

  return {
    now: timeNow,

    async pipeline(isShown) {
      const members = await store.members();
      const now = timeNow();
      return pipelineOf(
        members,
        engine.channels.all().map(({ settings }) => settings.key),
        isShown,
        shards,
        now,
      );
    },

    async lingering(page) {
      const now = timeNow();
      const [listed, members] = await Promise.all([store.lingering(page), store.members()]);
      const full = listed.length === page.limit;
      const unique = listed.filter(({ id }, index) => listed[index - 1]?.id !== id);
      const [stored, held] = await Promise.all([
        rooms.readRooms(unique.map(({ shard, id }) => ({ shard, id }))),
        store.heldShards([...new Set(unique.map(({ shard }) => shard))]),
      ]);
      const still = unique.flatMap((one, index) => {
        const room = roomFrom(engine.channels, stored[index] ?? null);
        // It has moved on since it was listed.
        if (room === null || listedPhase(room) !== one.phase || standsSince(room) !== one.since) return [];
        return [viewOfRoom(room, conditionOf(engine.channels, room.key), held.has(room.shard), now)];
      });
      const unlisted = members.reduce((sum, { part }) => sum + (part?.unlisted ?? 0), 0);
      return { asOf: now, rooms: still, unlisted, last: full ? (listed.at(-1) ?? null) : null };
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

function roomFrom(channels: Channels, stored: StoredRoom | null): Room | null {
  if (stored === null || stored.row.tail <= stored.row.settled) return null;
  return roomOf(stored, channels.get(stored.row.key)?.settings.policy ?? POLICY_OF_MISSING_CHANNEL);
}

/** A channel that is configured no more is as good as stopped. */
export function conditionOf(channels: Channels, key: ChannelKey): ChannelView {
  return channels.get(key)?.view ?? { state: 'stopped', reason: 'channel_not_configured', until: null };
}

type Whole = Pick<PipelineView, 'stages' | 'permitQueue' | 'lastMinute'>;

function pipelineOf(
  members: readonly Member[],
  configured: readonly ChannelKey[],
  isShown: ((channel: ChannelKey) => boolean) | null,
  shards: number,
  now: number,
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
  const channels = [...byChannel.values()]
    .map(({ key, parts: those }) => ({ ...key, ...wholeOf(those) }))
    .sort((a, b) => compare(a.tenant, b.tenant) || compare(a.channel, b.channel));
  const counted = parts.reduce((sum, part) => sum + part.shards, 0);
  return {
    asOf: parts.reduce((oldest, part) => Math.min(oldest, part.asOf), now),
    complete: missing.length === 0 && counted === shards,
    missing,
    shards: { counted, total: shards },
    accepting: isShown === null ? parts.reduce((sum, part) => sum + part.intake, 0) : null,
    ...wholeOf([...byChannel.values()].flatMap(({ parts: those }) => those)),
    channels,
  };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

const WAITING: readonly Stage[] = ['ready', 'not_before', 'limit', 'channel', 'paused'];

function wholeOf(parts: readonly ChannelPart[]): Whole {
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
