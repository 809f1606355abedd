import type { Findings } from './findings.ts';
import { isAcked, lastBegun, type MessageState, type RoomState } from './state.ts';
import type { OracleOptions } from './types.ts';

interface Pair {
  earlier: MessageState;
  later: MessageState;
}

const MOVED_ON = new Set(['failed', 'expired', 'cancelled', 'skipped']);

/** R2 and R3: when a message first reaches the platform, all earlier ones of its room must be closed. */
export class OrderCheck {
  readonly #findings: Findings;
  readonly #options: Required<Pick<OracleOptions, 'toleranceMs' | 'maxAttempts'>> & OracleOptions;
  /** Successors that began on the strength of a webhook call whose answer is not known yet. */
  readonly #relied = new Map<number, Pair[]>();
  /** Pairs that only the final outcome can excuse. */
  readonly #open: Pair[] = [];
  proven = 0;
  successors = 0;

  constructor(
    findings: Findings,
    options: Required<Pick<OracleOptions, 'toleranceMs' | 'maxAttempts'>> & OracleOptions,
  ) {
    this.#findings = findings;
    this.#options = options;
  }

  /** The first receipt of a message, the room's latest so far. Linear: each message is looked at once as a predecessor. */
  begins(later: MessageState, at: number): void {
    const { messages, begun } = later.room;
    for (let index = Math.max(begun, 0); index < later.index; index++) {
      const earlier = messages[index];
      if (earlier) this.#predecessor(earlier, later, at);
    }
  }

  /** A call was refused: what it told never counted. */
  refused(call: number): void {
    for (const pair of this.#relied.get(call) ?? []) {
      pair.earlier.closedBy = undefined;
      this.proven--;
      this.#open.push(pair);
    }
    this.#relied.delete(call);
  }

  answered(call: number): void {
    this.#relied.delete(call);
  }

  finish(rooms: Iterable<RoomState>): void {
    for (const { earlier, later } of this.#open) if (!this.#excused(earlier)) this.#complain(earlier, later);
    for (const room of rooms) this.#overtaken(room);
  }

  #predecessor(earlier: MessageState, later: MessageState, at: number): void {
    this.successors++;
    const timeoutMs = earlier.published.ackTimeoutMs ?? this.#options.ackTimeoutMs ?? 0;
    const dueAt = (earlier.knownTakenAt ?? Number.POSITIVE_INFINITY) + timeoutMs - this.#options.toleranceMs;
    if (earlier.unlocks.size > 0) {
      // A call may yet turn out to have been refused; what is below 0 may not.
      const call = Math.min(...earlier.unlocks);
      earlier.closedBy = 'ack';
      this.proven++;
      if (call >= 0) this.#relied.set(call, [...(this.#relied.get(call) ?? []), { earlier, later }]);
    } else if (at >= dueAt || earlier.refusedForGood || earlier.nacked) earlier.closedBy = 'other';
    else this.#open.push({ earlier, later });
  }

  #excused({ row, receipts, published }: MessageState): boolean {
    if (published.accepted === false && receipts.length === 0) return true;
    if (row) return row.outcome !== null && MOVED_ON.has(row.outcome);
    return receipts.length >= this.#options.maxAttempts;
  }

  #complain(earlier: MessageState, later: MessageState): void {
    if (earlier.receipts.length === 0) {
      this.#findings.add('R2_overtaken', 'a later message began, this one never reached the platform', earlier);
      return;
    }
    const fate = lastBegun(earlier)?.fate ?? 'open';
    const first = earlier.firstLine ?? 0;
    if (later.firstLine !== undefined && first > later.firstLine) {
      // An assumed message may come late; an acked one is judged with all its successors.
      if (earlier.row?.outcome === 'assumed' || isAcked(earlier)) return;
      this.#findings.add('R2_overtaken', 'a later message began before this one reached the platform', earlier);
    } else {
      const detail = `the next message began although this one was not closed (last attempt: ${fate})`;
      this.#findings.add('R3_two_in_flight', detail, earlier);
    }
  }

  /** For every acked message: the platform had it before any copy of a later one. */
  #overtaken({ messages }: RoomState): void {
    let earliestLater = Number.POSITIVE_INFINITY;
    for (let index = messages.length - 1; index >= 0; index--) {
      const message = messages[index];
      if (message?.firstLine === undefined) continue;
      if (isAcked(message)) this.#findings.looked('C3');
      if (isAcked(message) && message.firstLine > earliestLater) {
        this.#findings.add('R2_overtaken', 'a copy of a later message was sent before this acked one', message);
      }
      earliestLater = Math.min(earliestLater, message.firstLine);
    }
  }
}
