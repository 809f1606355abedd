/**
 * The one writer of room states: group commit by compare-and-set. A room belongs to one lane, so that two batches of
 * this process never hold the same room.
 */

import { AGAIN, Batcher } from './batcher.ts';
import type { Instruments } from './instruments.ts';
import type { ClaimProof, Clock, RoomStore, RoomWrite, WriteResult } from './ports.ts';

export interface WriterOptions {
  readonly store: Pick<RoomStore, 'compareAndSet'>;
  readonly clock: Clock;
  readonly lanes: number;
  readonly maxRows: number;
  /** The proof that this process may claim, or null while it has none. */
  readonly proof: () => ClaimProof | null;
  readonly instruments: Instruments;
}

/** What became of a write: never `busy`, those ride on. */
export type Written = Exclude<WriteResult, { kind: 'busy' }>;

const BUSY_PAUSE_MS = 2;

export class RoomWriter {
  readonly #lanes: Batcher<RoomWrite, Written>[];

  constructor(options: WriterOptions) {
    this.#lanes = Array.from({ length: options.lanes }, (_, lane) => {
      return new Batcher<RoomWrite, Written>({
        maxRows: options.maxRows,
        flush: (writes) => flush(options, lane, writes),
        pauseBeforeAgain: () => new Promise((resolve) => options.clock.after(BUSY_PAUSE_MS, resolve)),
      });
    });
  }

  /**
   * Calls back once, never before it returns.
   * @param onUnknown it is not known what became of the write
   */
  write(write: RoomWrite, onWritten: (written: Written) => void, onUnknown: (error: unknown) => void): void {
    const lane = this.#lanes[write.next.id % this.#lanes.length] as Batcher<RoomWrite, Written>;
    lane.enqueue(write, onWritten, onUnknown);
  }
}

async function flush(
  options: WriterOptions,
  lane: number,
  writes: readonly RoomWrite[],
): Promise<(Written | typeof AGAIN)[]> {
  const { metrics } = options.instruments;
  const proof = options.proof();
  // A claim that was decided under an older generation is decided again, not sent to be refused.
  const stale = new Set(writes.filter((write) => write.claims && !provedBy(write, proof)));
  const current = stale.size === 0 ? writes : writes.filter((write) => !stale.has(write));
  const startedAt = options.clock.monotonic();
  const results = current.length === 0 ? [] : await options.store.compareAndSet(lane, current, proof);
  metrics.batchRows.observe({ statement: 'compare_and_set' }, current.length);
  metrics.batchSeconds.observe({ statement: 'compare_and_set' }, (options.clock.monotonic() - startedAt) / 1000);
  let next = 0;
  return writes.map((write) => {
    const result: WriteResult = stale.has(write) ? { kind: 'fenced' } : (results[next++] as WriteResult);
    switch (result.kind) {
      case 'busy':
        metrics.casBusy.inc();
        return AGAIN;
      case 'conflict':
        metrics.casConflicts.inc();
        return result;
      case 'fenced':
        metrics.fenced.inc();
        return result;
      case 'committed':
        return result;
      default:
        return result satisfies never;
    }
  });
}

function provedBy(write: RoomWrite, proof: ClaimProof | null): boolean {
  const attempt = write.next.attempts.at(-1);
  return proof !== null && attempt?.worker === proof.worker && attempt.generation === proof.generation;
}
