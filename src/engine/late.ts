/** Acks, nacks and answers that concern messages which have settled: judged against the history, never the room. */

import { judgeLate, type LateEvent } from '../room/ack.ts';
import type { RoomEvent } from '../room/events.ts';
import type { Nack, RoomAddress, RoomRow } from '../room/room.ts';
import { Batcher } from './batcher.ts';
import type { Channels } from './channels.ts';
import { fingerprintOf, refusalBy } from './fingerprint.ts';
import type { Instruments } from './instruments.ts';
import { channelName } from './policy.ts';
import type { Clock, HistoryStore, LateFact, LowerLevels, SettledChange, SettledState } from './ports.ts';

const MAX_ROWS = 200;
/** Messages of one room that are looked at for a lower level: each ack does so, and those before are known to be as high. */
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

  /** What others have changed meanwhile is read again; where all were lower, those before them are looked at as well. */
  async #raiseAll({ shard, id, key }: RoomRow, sequence: number, { level, at }: Ack, watermark: number | null) {
    for (let upTo = sequence; ; ) {
      const lower = await this.#lower.submit({ shard, id, upTo, level, watermark });
      const raise = (state: SettledState): Promise<boolean> => {
        const verdict = { kind: 'raised', next: { ...state, level, levelAt: at }, deadLetter: null } as const;
        return this.#changes.submit({ state, verdict, key, fingerprint: null, at });
      };
      const raised = await Promise.all(lower.map(raise));
      if (!raised.every(Boolean)) continue;
      const oldest = lower.at(-1);
      if (oldest === undefined || lower.length < LOOKED_BACK) return;
      upTo = oldest.sequence - 1;
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
