/** How long rooms stood still when their worker went, and how soon the next message follows an ack: from ground truth. */
import { type Spread, spreadOf } from './spread.ts';
import type { Seen, Timeline } from './timeline.ts';

export interface KillQuestion {
  /** Rooms whose shards the worker held, as the database had it when it was killed. */
  readonly rooms: Iterable<string>;
  /** Those of them that were found `sending`. */
  readonly sending: ReadonlySet<string>;
  readonly worker: string;
  /** Unix ms. */
  readonly killedAt: number;
  readonly ackTimeoutMs: number;
}

export interface KillAnswer {
  /** Rooms of the worker, and those of them whose next message was due before anybody had taken over. */
  readonly rooms: number;
  readonly due: number;
  /** ms from the kill to the room's next request, rooms that were due and not found `sending`. */
  readonly sinceKill: Spread;
  /**
   * The same of rooms found `sending` whose message was sent again: they wait for the grace of an unknown outcome, too.
   * Of the others a status told in time that the message had arrived.
   */
  readonly sendingSinceKill: Spread;
  /** ms between the last request before the kill and the first after it, all rooms that were due. */
  readonly gap: Spread;
}

export function afterKill(timeline: Timeline, question: KillQuestion): KillAnswer {
  const { rooms, sending, worker, killedAt, ackTimeoutMs } = question;
  const found: { room: string; before: Seen; next: Seen; dueAt: number }[] = [];
  let count = 0;
  for (const room of rooms) {
    count++;
    const seen = timeline.rooms.get(room) ?? [];
    const before = seen.findLast((one) => one.at <= killedAt || one.worker === worker);
    const next = seen.find((one) => one.at > killedAt && one.worker !== worker);
    if (before === undefined || next === undefined) continue;
    // Sent again: nothing else was due. Else a status has told that it had arrived, and its ack was waited for.
    const due = sending.has(room) && next.key === before.key ? before.at : dueAt(before, ackTimeoutMs);
    found.push({ room, before, next, dueAt: due });
  }
  const takenOverAt = Math.min(...found.map(({ next }) => next.at));
  const due = found.filter((one) => one.dueAt < takenOverAt);
  const since = (one: (typeof due)[number]): number => one.next.at - killedAt;
  return {
    rooms: count,
    due: due.length,
    sinceKill: spreadOf(due.filter(({ room }) => !sending.has(room)).map(since)),
    sendingSinceKill: spreadOf(due.filter(({ room }) => sending.has(room)).map(since)),
    gap: spreadOf(due.map(({ before, next }) => next.at - before.at)),
  };
}

/** When a room's next message may go: at its ack, or at the end of the wait for it. */
function dueAt({ ack, at, answeredAt }: Seen, ackTimeoutMs: number): number {
  const waitsUntil = (answeredAt ?? at) + ackTimeoutMs;
  return ack === null ? waitsUntil : Math.min(ack.takenAt, waitsUntil);
}

export interface DrainQuestion {
  /** Rooms of the worker when it was told to go, with their shards. */
  readonly rooms: Iterable<readonly [room: string, shard: number]>;
  readonly worker: string;
  /** Unix ms. */
  readonly drainedAt: number;
  /** When each of its shards was seen to have another owner, Unix ms. */
  readonly movedAt: ReadonlyMap<number, number>;
}

export interface DrainAnswer {
  readonly rooms: number;
  /**
   * ms to the room's next request by its new owner: from its ack, from the end of the last request that the old owner
   * had open in its shard, or from when that was told to go, whichever was last. Rooms whose last message was acked.
   */
  readonly all: Spread;
  /** Those of them whose ack came while the shard was being handed over. */
  readonly heldUp: Spread;
  /** For comparison: ms from ack to next request of all other rooms whose ack came while the worker went. */
  readonly others: Spread;
}

export function afterDrain(timeline: Timeline, question: DrainQuestion): DrainAnswer {
  const { worker, drainedAt, movedAt } = question;
  const rooms = [...question.rooms];
  const lastSends = new Map<number, number>();
  for (const [room, shard] of rooms) {
    for (const { worker: sender, at, answeredAt } of timeline.rooms.get(room) ?? []) {
      if (sender === worker) lastSends.set(shard, Math.max(lastSends.get(shard) ?? 0, answeredAt ?? at));
    }
  }
  const all: number[] = [];
  const heldUp: number[] = [];
  for (const [room, shard] of rooms) {
    const seen = timeline.rooms.get(room) ?? [];
    const index = seen.findIndex((one) => one.at > drainedAt && one.worker !== worker);
    const [before, next] = [seen[index - 1], seen[index]];
    if (before?.worker !== worker || before.ack === null || next === undefined || before.ack.takenAt > next.at)
      continue;
    const stoodMs = next.at - Math.max(before.ack.takenAt, drainedAt, lastSends.get(shard) ?? 0);
    all.push(stoodMs);
    if (before.ack.takenAt <= (movedAt.get(shard) ?? 0)) heldUp.push(stoodMs);
  }
  const own = new Set(rooms.map(([room]) => room));
  const until = Math.max(drainedAt, ...movedAt.values());
  const others: number[] = [];
  for (const [room, seen] of timeline.rooms) {
    if (own.has(room)) continue;
    for (const [index, { ack }] of seen.entries()) {
      const next = seen[index + 1];
      if (ack === null || next === undefined || ack.takenAt < drainedAt || ack.takenAt > until) continue;
      if (next.at > ack.takenAt) others.push(next.at - ack.takenAt);
    }
  }
  return { rooms: rooms.length, all: spreadOf(all), heldUp: spreadOf(heldUp), others: spreadOf(others) };
}

/** ms from the beginning of the webhook call with a message's ack to the next message of its room; acks of this time only. */
export function ackToNext(timeline: Timeline, isAsked: (room: string) => boolean, from: number, until: number): Spread {
  const gaps: number[] = [];
  for (const [room, seen] of timeline.rooms) {
    if (!isAsked(room)) continue;
    for (const [index, { ack }] of seen.entries()) {
      const next = seen[index + 1];
      if (ack === null || next === undefined || ack.calledAt < from || ack.calledAt >= until) continue;
      if (next.at > ack.calledAt) gaps.push(next.at - ack.calledAt);
    }
  }
  return spreadOf(gaps);
}

/** Requests a second that came in this time. */
export function throughput(timeline: Timeline, from: number, until: number): number {
  let count = 0;
  for (const seen of timeline.rooms.values()) count += seen.filter(({ at }) => at >= from && at < until).length;
  return Math.round((10_000 * count) / (until - from)) / 10;
}
