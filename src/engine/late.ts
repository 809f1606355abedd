/** Acks, nacks and answers that concern messages which have settled: judged against the history, never the room. */

import { judgeLate, type LateEvent } from '../room/ack.ts';
import type { RoomEvent } from '../room/events.ts';
import type { Nack, RoomAddress, RoomRow } from '../room/room.ts';
import { Batcher } from './batcher.ts';
import type { Instruments } from './instruments.ts';
import { channelName } from './policy.ts';
import type { ChannelKey, Clock, HistoryStore, LateFact } from './ports.ts';

export interface LateDependencies {
  readonly history: HistoryStore;
  readonly clock: Clock;
  readonly instruments: Instruments;
}

export class Late {
  readonly #to: LateDependencies;
  readonly #facts: Batcher<LateFact, void>;

  constructor(dependencies: LateDependencies) {
    this.#to = dependencies;
    const { history } = dependencies;
    this.#facts = new Batcher<LateFact, void>({
      maxRows: 200,
      flush: async (facts) => {
        await history.recordLate(facts);
        return facts.map(() => undefined);
      },
    });
  }

  /** Resolves when the fact is on disk. */
  record(fact: LateFact): Promise<void> {
    return this.#facts.submit(fact);
  }

  /**
   * Resolves when what the event says of message `sequence` (and, cumulative, of all before it) is on disk.
   * @returns the failure, where the event told one that was not known
   */
  async judge(room: RoomRow, sequence: number, event: RoomEvent, cumulative: boolean): Promise<Nack | null> {
    if (event.type === 'ack' && cumulative) {
      await this.raise(room, sequence, event, null);
      return null;
    }
    if (event.type !== 'ack' && event.type !== 'nack') throw new Error(`a late ${event.type} cannot be judged`);
    const late: LateEvent =
      event.type === 'ack'
        ? { type: 'ack', level: event.level, at: event.at }
        : { type: 'nack', nack: event.nack, at: event.at };
    return this.#judgeOne(room, room.key, sequence, late);
  }

  /** Raises the levels of settled messages up to `sequence`; with a watermark, of those the platform had by then. */
  async raise(
    room: RoomAddress,
    sequence: number,
    ack: Pick<Extract<RoomEvent, { type: 'ack' }>, 'level' | 'at'>,
    watermark: number | null,
  ): Promise<number> {
    return this.#to.history.raiseLevels(room, sequence, ack.level, ack.at, watermark);
  }

  async #judgeOne(address: RoomAddress, channel: ChannelKey, sequence: number, event: LateEvent): Promise<Nack | null> {
    const { history, clock, instruments } = this.#to;
    for (;;) {
      const entry = await history.readSettled(address, sequence);
      // Retention has removed it: there is nothing left to correct.
      if (entry === null) return null;
      const verdict = judgeLate(entry, event);
      if (verdict.kind === 'ignored') return null;
      if (!(await history.updateSettled(entry, verdict, clock.now()))) continue;
      if (verdict.deadLetter !== null) {
        instruments.metrics.deadLetters.inc({ reason: verdict.deadLetter, channel: channelName(channel) });
        instruments.telemetry.emit('message.dead_lettered', { room: entry.key, sequence, reason: verdict.deadLetter });
      }
      return event.type === 'nack' ? event.nack : null;
    }
  }
}
