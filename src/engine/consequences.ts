/**
 * What a decision means beyond its room's row: for the channel, the history, the bodies in memory, and those who watch.
 * What the row itself calls for is derived from it, not from here.
 */
import type { RoomEvent } from '../room/events.ts';
import { headSequence, type Room } from '../room/room.ts';
import type { Bodies } from './bodies.ts';
import type { Channels } from './channels.ts';
import { type Course, inboxEvidence, isWide } from './course.ts';
import type { Telling } from './hints.ts';
import type { Instruments } from './instruments.ts';
import type { Late } from './late.ts';
import type { AckInbox, Chance } from './ports.ts';
import { reportFailures, reportHeld, reportSettled } from './report.ts';
import type { Posted, Resident } from './resident.ts';

export interface ConsequencesDependencies {
  readonly chance: Chance;
  readonly inbox: AckInbox;
  readonly channels: Channels;
  readonly bodies: Bodies;
  readonly late: Late;
  readonly telling: Telling;
  readonly instruments: Instruments;
}

export class Consequences {
  readonly #to: ConsequencesDependencies;

  constructor(dependencies: ConsequencesDependencies) {
    this.#to = dependencies;
  }

  /** Of what is on disk. @param kept nobody else may hold the room's shard */
  committed(resident: Resident, before: Room, course: Course, kept: boolean): void {
    const { bodies, channels, instruments, telling } = this.#to;
    const { room } = course;
    if (!kept && concernsHolder(before, room)) telling.changed(resident.room, course.facts, resident.ackArrivedAt);
    const channel = channels.get(room.key);
    for (const fact of course.facts) {
      if (fact.kind !== 'settled') continue;
      const requestId = fact.deadLetter ? bodies.requestIdOf(room, fact.sequence) : undefined;
      bodies.drop(room, fact.sequence);
      // What settles by its acceptance tells nothing of acks.
      if (fact.reason === 'ack') {
        if (before.phase !== 'unknown') channel?.acks.settledBy(fact);
        channel?.reportAck(room.id);
      }
      if (fact.outcome !== 'acked') resident.ackArrivedAt = null;
      if (fact.reason === 'ack_timeout') channel?.reportAckTimeout();
      const { acceptedAt = null } = before.envelopes.find(({ sequence }) => sequence === fact.sequence) ?? {};
      channels.tallies.of(room.key).settled(fact, acceptedAt);
      reportSettled(instruments, before, fact, requestId);
    }
    reportFailures(instruments, before, room, course.facts);
    if (room.phase === 'held' && before.phase !== 'held') {
      reportHeld(instruments, room, bodies.requestIdOf(room, headSequence(room)));
    }
  }

  /** Effects that the row does not show: what concerns settled messages, and the channel. Null where all is done. */
  run(room: Room, course: Course): Promise<unknown> | null {
    const { channels, late } = this.#to;
    const work: Promise<unknown>[] = course.lateFacts.map((fact) => late.record({ address: room, fact }));
    for (const { sequence, cumulative, event } of course.late) {
      const judged = late.judge(room, sequence, event, cumulative);
      work.push(judged.then((nack) => nack !== null && isWide(nack) && channels.reportNack(room.key, nack)));
    }
    if (course.channelSilent) channels.get(room.key)?.reportSilent();
    for (const nack of course.channelNacks) channels.reportNack(room.key, nack);
    return work.length > 0 ? Promise.all(work) : null;
  }

  /** What the ack inbox has to say before these events are decided, or null; rejects where it could not be read. */
  evidence(room: Room, posted: readonly Posted[]): Promise<RoomEvent[]> | null {
    const { inbox, channels, chance } = this.#to;
    return inboxEvidence(inbox, room, posted, channels.get(room.key)?.settings.echoesReference, chance);
  }

  /**
   * The row was read. Where another process settled, before its time was over, what waits here for an ack, the channel's
   * acks arrive there.
   */
  read(before: Room, row: Room): void {
    if (row.settled <= before.settled || before.phase !== 'awaiting_ack' || before.until === null) return;
    if (row.since < before.until) this.#to.channels.get(row.key)?.reportAck(row.id);
  }
}

/** False where nothing but the level of an ack has changed that is still waited for: the holder waits on as before. */
function concernsHolder(before: Room, room: Room): boolean {
  if (room.version === before.version) return false;
  const { phase, settled, tail, until, paused, platformId } = room;
  return !(
    phase === 'awaiting_ack' &&
    before.phase === phase &&
    before.settled === settled &&
    before.tail === tail &&
    before.until === until &&
    before.paused === paused &&
    before.platformId === platformId
  );
}
