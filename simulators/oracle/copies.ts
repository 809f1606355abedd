import type { ReceiptRecord } from '../platform/ground-truth.ts';
import type { Findings } from './findings.ts';
import { lastBegun, type MessageState, type Receipt } from './state.ts';

/** R4 and C5–C7: every copy beyond the first needs a reason, and all copies are alike. */
export class CopyCheck {
  readonly #findings: Findings;
  readonly #raceMs: number;
  readonly #references = new Map<string, MessageState>();
  readonly late = { held: 0, stale: 0, unexplained: 0, first: 0 };

  constructor(findings: Findings, raceMs: number) {
    this.#findings = findings;
    this.#raceMs = raceMs;
  }

  /** C5. */
  compare(message: MessageState, { reference, hash, to }: ReceiptRecord): void {
    const complain = (detail: string) => this.#findings.add('C5_copies_differ', detail, message);
    message.reference ??= reference;
    message.hash ??= message.published.hash ?? hash;
    message.room.to ??= to;
    if (message.reference !== reference) complain('two references for one message');
    if (message.hash !== hash) complain('the content is not what was published or sent before');
    if (message.room.to !== to) complain('not sent to the recipient of its room');
    if (reference === undefined) return;
    const named = this.#references.get(reference);
    if (named === undefined) this.#references.set(reference, message);
    else if (named !== message) complain('its reference already names another message');
  }

  /** C7: a receipt of a message after a later one of its room has begun. */
  afterLater(message: MessageState, record: ReceiptRecord, first: boolean): void {
    const { room } = message;
    if (first) this.late.first++;
    else if (record.heldMs !== undefined || record.at - room.begunAt <= this.#raceMs) this.late.held++;
    else if (
      record.worker !== undefined &&
      (record.worker !== room.worker || Number(record.generation ?? 0) < room.generation)
    ) {
      this.late.stale++;
    } else {
      this.late.unexplained++;
      this.#findings.add('R4_late_copy', 'a copy was sent after a later message had begun', message);
    }
  }

  /** C6: extra receipts of one message, and how many of them follow no unknown outcome. */
  extra(message: MessageState): { extra: number; unexplained: number } {
    const copies = message.receipts.filter(({ fate }) => fate !== 'refused');
    const last = lastBegun(message);
    const answered = copies.filter((receipt: Receipt) => receipt.fate === 'answered' && receipt !== last).length;
    return { extra: Math.max(0, copies.length - 1), unexplained: Math.min(answered, Math.max(0, copies.length - 1)) };
  }
}
