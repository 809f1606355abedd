/** Acks, nacks and answers that concern messages which have settled: judged against the history, never the room. */

import { judgeLate, type LateEvent } from '../room/ack.ts';
import type { RoomEvent } from '../room/events.ts';
import type { AckLevel, Nack, RoomAddress, RoomRow } from '../room/room.ts';
import { Batcher } from './batcher.ts';
import type { Channels } from './channels.ts';
import { fingerprintOf, refusalBy } from './fingerprint.ts';
import type { Instruments } from './instruments.ts';
import { channelName } from './policy.ts';
import {
  ACK_REACH,
  type Clock,
  type HistoryStore,
  type LateFact,
  type LowerLevels,
  type SettledChange,
  type SettledState,
} from './ports.ts';

const MAX_ROWS = 200;
/**
 * Messages of one room that are looked at for a lower level at a time. An ack tells of all before it; each has done so, so
 * that those before half as many in a row that are as high are as high as well.
 */
const LOOKED_BACK = 50;

type Ack = Pick<Extract<RoomEvent, { type: 'ack' }>, 'level' | 'at'>;

export interface LateDependencies {
  readonly history: HistoryStore;
  readonly channels: Channels;
  readonly clock: Clock;
  readonly instruments: Instruments;
}

export class Late {
  readonly #to: LateDependencies;
  readonly #facts: Batcher<LateFact, void>;
  readonly #reads: Batcher<RoomAddress & { readonly sequence: number }, SettledState | null>;
  readonly #lower: Batcher<LowerLevels, SettledState[]>;
  readonly #changes: Batcher<SettledChange, boolean>;

  constructor(dependencies: LateDependencies) {
    this.#to = dependencies;
    const { history } = dependencies;
    this.#facts = new Batcher<LateFact, void>({
      maxRows: MAX_ROWS,
      flush: async (facts) => {
        await history.recordLate(facts);
        return facts.map(() => undefined);
      },
    });
    this.#reads = new Batcher({ maxRows: MAX_ROWS, flush: (wanted) => history.readSettledStates(wanted) });
    this.#lower = new Batcher({
      maxRows: MAX_ROWS,
      flush: (wanted) => history.readLowerLevels(wanted, LOOKED_BACK),
    });
    this.#changes = new Batcher({ maxRows: MAX_ROWS, flush: (changes) => history.updateSettled(changes) });
  }

  /** Resolves when the fact is on disk. */
  record(fact: LateFact): Promise<void> {
    return this.#facts.submit(fact);
  }

  /** Of a settled message; null where there is none. */
  async bodyOf(address: RoomAddress, sequence: number): Promise<Uint8Array | null> {
    return (await this.#to.history.readSettled(address, sequence))?.body ?? null;
  }

  /**
   * Resolves when what the event says of message `sequence` (and, cumulative, of all before it) is on disk.
   * @returns the failure, where the event told one that was not known
   */
  async judge(room: RoomRow, sequence: number, event: RoomEvent, cumulative: boolean): Promise<Nack | null> {
    if (event.type === 'ack' && cumulative) {
      await this.raise(room, sequence, event, null, event.sequence === sequence);
      return null;
    }
    if (event.type !== 'ack' && event.type !== 'nack') throw new Error(`a late ${event.type} cannot be judged`);
    const late: LateEvent =
      event.type === 'ack'
        ? { type: 'ack', level: event.level, at: event.at }
        : { type: 'nack', nack: event.nack, at: event.at };
    return this.#judgeOne(room, sequence, late);
  }

  /**
   * Raises the levels of settled messages up to `sequence`; with a watermark, of those the platform had by then.
   * @param own it is the ack that message `sequence` may have been waiting for, not one that implies it
   */
  async raise(room: RoomRow, sequence: number, ack: Ack, watermark: number | null, own: boolean): Promise<void> {
    const acks = this.#to.channels.get(room.key)?.acks;
    // Read for its times only, where they count.
    const entry = own && acks?.isAdaptive === true ? await this.#read(room, sequence) : null;
    await this.#raiseAll(room, sequence, ack, watermark);
    const covers = watermark === null || (entry?.platformAt ?? Number.POSITIVE_INFINITY) <= watermark;
    if (entry !== null && covers) acks?.cameLate(entry, ack.level);
  }

  /** The oldest first: where this ends before its end, the ack is told again, and finds what is left from the newest on. */
  async #raiseAll(room: RoomRow, upTo: number, ack: Ack, watermark: number | null): Promise<void> {
    const lower = await this.#readLower(room, upTo, ack.level, watermark);
    for (let end = lower.length; end > 0; end -= LOOKED_BACK) {
      const oldest = lower.slice(Math.max(0, end - LOOKED_BACK), end).reverse();
      await Promise.all(oldest.map((state) => this.#raiseOne(room, state, ack)));
    }
  }

  /** Newest first, back to where many in a row are as high. */
  async #readLower({ shard, id }: RoomRow, upTo: number, level: AckLevel, watermark: number | null) {
    const all: SettledState[] = [];
    for (let from = upTo; from > upTo - ACK_REACH && from > 0; ) {
      const lower = await this.#lower.submit({ shard, id, upTo: from, level, watermark });
      all.push(...lower);
      const oldest = lower.at(-1)?.sequence ?? from;
      if (oldest > from - LOOKED_BACK / 2) break;
      from = oldest - 1;
    }
    return all;
  }

  async #raiseOne(room: RoomRow, known: SettledState, { level, at }: Ack): Promise<void> {
    for (let state: SettledState | null = known; state !== null; state = await this.#read(room, known.sequence)) {
      const verdict = judgeLate(state, { type: 'ack', level, at });
      if (verdict.kind === 'ignored') return;
      if (await this.#changes.submit({ state, verdict, key: room.key, fingerprint: null, at })) return;
    }
  }

  #read({ shard, id }: RoomAddress, sequence: number): Promise<SettledState | null> {
    return this.#reads.submit({ shard, id, sequence });
  }

  async #judgeOne(room: RoomRow, sequence: number, event: LateEvent): Promise<Nack | null> {
    const { channels, clock, instruments } = this.#to;
    const { key } = room;
    for (;;) {
      const entry = await this.#read(room, sequence);
      // Retention has removed it: there is nothing left to correct.
      if (entry === null) return null;
      const verdict = judgeLate(entry, event);
      if (verdict.kind === 'ignored') return null;
      const failure = event.type === 'nack' && verdict.deadLetter !== null ? refusalBy(event.nack) : null;
      const fingerprint = failure === null ? null : fingerprintOf(key, failure);
      if (!(await this.#changes.submit({ state: entry, verdict, key, fingerprint, at: clock.now() }))) continue;
      if (event.type === 'ack') {
        channels.get(key)?.acks.cameLate(entry, event.level);
        if (entry.outcome === 'assumed') channels.tallies.of(key).count('lateAcks');
      }
      if (verdict.deadLetter !== null) {
        instruments.metrics.deadLetters.inc({ reason: verdict.deadLetter, channel: channelName(key) });
        instruments.telemetry.emit('message.dead_lettered', { room: key, sequence, reason: verdict.deadLetter });
        if (instruments.telemetry.wants('message.failed_late')) {
          instruments.telemetry.emit('message.failed_late', {
            room: key,
            address: entry.address,
            sequence,
            messageId: '',
            outcome: entry.outcome,
            reason: verdict.deadLetter,
            level: entry.level,
            code: verdict.next.lateNackCode,
            attempts: entry.attempts.length,
            possiblyDelivered: entry.outcome !== 'acked',
            at: clock.now(),
          });
        }
      }
      if (failure !== null) {
        instruments.telemetry.emit('failure.seen', {
          channel: { tenant: key.tenant, channel: key.channel },
          ...failure,
          again: false,
          deadLetter: true,
          sample: { address: entry.address, sequence },
        });
      }
      return event.type === 'nack' ? event.nack : null;
    }
  }
}
