import type { Findings } from './findings.ts';
import type { MessageState } from './state.ts';
import type { OracleOptions, Outcome } from './types.ts';

/** Outcomes that need no acceptance by the platform. */
const MOVED_ON = new Set<Outcome | null>(['failed', 'expired', 'cancelled', 'skipped']);

/** C1, C2: what became of each message that intake accepted. */
export class LossCheck {
  readonly #findings: Findings;
  readonly #drained: boolean;
  readonly #maxAttempts: number;
  readonly #hasFinalState: boolean;
  readonly outcomes: Partial<Record<Outcome, number>> = {};
  readonly counts = { published: 0, accepted: 0, reachedPlatform: 0, shown: 0 };

  constructor(findings: Findings, { drained = true, maxAttempts = 5 }: OracleOptions, hasFinalState: boolean) {
    this.#findings = findings;
    this.#drained = drained;
    this.#maxAttempts = maxAttempts;
    this.#hasFinalState = hasFinalState;
  }

  finish(message: MessageState): void {
    const { published, row, taken } = message;
    this.counts.published++;
    if (taken) this.counts.reachedPlatform++;
    if (message.shown > 0) this.counts.shown++;
    if (row?.outcome) this.outcomes[row.outcome] = (this.outcomes[row.outcome] ?? 0) + 1;
    const used = Math.max(row?.attempts?.length ?? 0, message.receipts.length);
    if (row?.outcome === 'failed' && !message.refusedForGood && !message.nacked && used < this.#maxAttempts) {
      this.#findings.add('unjustified_failure', `failed after ${used} attempt(s), none refused for good`, message);
    }
    if (published.accepted === false) return;
    this.counts.accepted++;
    if (!this.#drained) return;
    // Rows were looked at one by one; what has none counts here.
    if (this.#hasFinalState && row === undefined) this.#findings.looked('C1');
    if (this.#isLost(message)) {
      this.#findings.add('R1_lost', row ? `its outcome is ${row.outcome}` : 'no trace of it', message);
    }
    if (row?.outcome === null) this.#findings.add('R1_unsettled', 'not settled in the end', message);
  }

  #isLost({ row, taken, refusedForGood, receipts }: MessageState): boolean {
    if (this.#hasFinalState && row === undefined) return true;
    if (taken) return false;
    if (row) return !MOVED_ON.has(row.outcome) && row.outcome !== null;
    return !refusedForGood && receipts.length < this.#maxAttempts;
  }
}
