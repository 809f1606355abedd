import type { ReceiptRecord } from '../platform/ground-truth.ts';
import type { Findings } from './findings.ts';
import type { MessageState, Receipt } from './state.ts';
import type { AttemptRow, CrashWindow, OracleOptions } from './types.ts';

/** C5: all receipts of a message are alike, and no two messages share a reference. */
export class LikenessCheck {
  readonly #findings: Findings;
  readonly #references = new Map<string, MessageState>();

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  receipt(message: MessageState, { reference, hash, to }: ReceiptRecord): void {
    this.#findings.looked('C5');
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
}

/** The attempt on record that sent a receipt. */
export const attemptOf = ({ row }: MessageState, { attempt, sender }: Receipt): AttemptRow | undefined =>
  row?.attempts?.find(
    ({ number, worker, generation }) =>
      number === attempt && (sender === undefined || (worker === sender.worker && generation === sender.generation)),
  );

/** Of a format that names no attempts: which one sent it is not known, only how many the history has. */
const isNameless = ({ attempt, sender }: Receipt): boolean => attempt === undefined && sender === undefined;

/** Long outages cause more attempts than a history keeps; then nothing follows from one that is not there. */
const isWhole = (attempts: readonly AttemptRow[]): boolean => (attempts.at(-1)?.number ?? 0) <= attempts.length;

/** C7: a receipt after a later message of its room had begun. To be asked once the final rows are known. */
export class LateCheck {
  readonly #findings: Findings;
  readonly counts = { held: 0, stale: 0, unexplained: 0, first: 0 };

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  finish({ late }: MessageState['room']): void {
    for (const { message, receipt, holder, first, raced } of late) {
      if (!this.#canTell(message, receipt, first || raced)) continue;
      this.#findings.looked('C7');
      const excuse = this.#excuse(message, receipt, holder, first, raced);
      if (excuse === undefined) {
        receipt.inexcusable = true;
        this.counts.unexplained++;
        this.#findings.add('R4_late_copy', 'a copy was sent after a later message had begun', message);
      } else this.counts[first ? 'first' : excuse]++;
    }
  }

  /** A copy that names no attempt, of a message without a history, could be anything. */
  #canTell({ row }: MessageState, receipt: Receipt, excused: boolean): boolean {
    return excused || receipt.held || !isNameless(receipt) || (row?.attempts !== undefined && isWhole(row.attempts));
  }

  #excuse(
    message: MessageState,
    receipt: Receipt,
    holder: Receipt['sender'],
    first: boolean,
    raced: boolean,
  ): 'held' | 'stale' | undefined {
    if (receipt.held) return 'held';
    const { sender } = receipt;
    const { holders } = message.room;
    const stale = sender !== undefined && holder !== undefined && sender !== holder;
    if (message.row?.attempts !== undefined && receipt.attempt !== undefined) {
      const [own, others] = [sender && holders?.get(sender), holder && holders?.get(holder)];
      if (stale && own !== undefined && others !== undefined && own < others) return 'stale';
      // What the history of a message tells of was claimed before the message settled.
      return attemptOf(message, receipt) === undefined && isWhole(message.row.attempts) ? undefined : 'held';
    }
    if (message.row?.attempts !== undefined && isNameless(receipt) && !raced && !first) {
      const requests = message.receipts.filter(({ fate }) => fate !== 'refused').length;
      return requests <= message.row.attempts.length ? 'held' : undefined;
    }
    // Nothing on record: a first copy is a matter of order, and of another worker nobody can say who came later.
    if (raced || first) return 'held';
    return stale && (sender.worker !== holder.worker || sender.generation < holder.generation) ? 'stale' : undefined;
  }
}

type Explanation = 'unknown' | 'recorded' | 'takenOver';

/** C6: every copy beyond the first needs a reason in the log or in the history of its own message. */
export class CopyCheck {
  readonly #findings: Findings;
  readonly #answersGetLost: boolean;
  readonly #allowed: number;
  readonly #crashes: readonly CrashWindow[] | undefined;
  readonly because: Record<Explanation, number> = { unknown: 0, recorded: 0, takenOver: 0 };
  extra = 0;
  unexplained = 0;

  constructor(findings: Findings, { answersGetLost = false, copiesAllowed = 0, crashes }: OracleOptions) {
    this.#findings = findings;
    this.#answersGetLost = answersGetLost;
    this.#allowed = copiesAllowed;
    this.#crashes = crashes && joined(crashes);
  }

  /** To be asked after C7, whose copies are none of these. */
  finish(message: MessageState): void {
    const { receipts } = message;
    if (receipts.length === 0) return;
    this.#findings.looked('C6');
    const excusable = receipts.filter(({ inexcusable }) => !inexcusable);
    for (const receipt of excusable) this.#recorded(message, receipt);
    const copies = excusable.filter(({ fate }) => fate !== 'refused').sort(byBeginning);
    const spare = this.#spare(message, copies);
    let unexplained = 0;
    for (const [index, copy] of copies.entries()) {
      const next = copies[index + 1];
      if (next === undefined) break;
      this.extra++;
      const reason = this.#reason(message, copy, next) ?? (isNameless(copy) ? spare.pop() : undefined);
      if (reason === undefined) unexplained++;
      else this.because[reason]++;
    }
    if (unexplained === 0) return;
    this.unexplained += unexplained;
    if (this.unexplained > this.#allowed) {
      this.#findings.add('R4_unexplained_copy', `sent again without a reason, ${unexplained} time(s)`, message);
    }
  }

  #recorded(message: MessageState, receipt: Receipt): void {
    const attempts = message.row?.attempts;
    if (attempts === undefined || receipt.attempt === undefined || receipt.sender === undefined) return;
    if (attemptOf(message, receipt) !== undefined || !isWhole(attempts)) return;
    this.#findings.add(
      'R4_unrecorded_attempt',
      `the history has no attempt ${receipt.attempt} of this worker`,
      message,
    );
  }

  #reason(message: MessageState, copy: Receipt, next: Receipt): Explanation | undefined {
    // One claim is one request.
    if (copy.attempt !== undefined && copy.attempt === next.attempt && copy.sender === next.sender) return undefined;
    if (copy.fate !== 'answered') return 'unknown';
    const attempt = attemptOf(message, copy);
    return attempt && this.#byHistory(message, attempt);
  }

  /** Why the history lets an attempt be followed by another one, although the platform answered it. */
  #byHistory({ row }: MessageState, attempt: AttemptRow): Explanation | undefined {
    if (attempt.result === 'unknown') return this.#answersGetLost ? 'recorded' : undefined;
    if (attempt.result !== 'interrupted') return undefined;
    const successor = row?.attempts?.find(({ number }) => number > attempt.number);
    if (successor === undefined) return undefined;
    const { worker, generation } = successor;
    const sameLife = worker === attempt.worker && generation === attempt.generation;
    return sameLife || !this.#crashed(attempt.begunAt, successor.begunAt) ? undefined : 'takenOver';
  }

  /** What the history explains of copies that name no attempt, beyond those that the platform's log explains. */
  #spare(message: MessageState, copies: readonly Receipt[]): Explanation[] {
    const open = (message.row?.attempts ?? []).filter(({ result }) => result === 'unknown' || result === 'interrupted');
    const told = copies.filter(({ fate }) => fate !== 'answered').length;
    const unknownFirst = open.sort((a, b) => Number(b.result === 'unknown') - Number(a.result === 'unknown'));
    return unknownFirst.slice(told).flatMap((attempt) => this.#byHistory(message, attempt) ?? []);
  }

  /** Whether a crash window meets the time from one attempt to the next; by halving, as the windows are in order. */
  #crashed(from: number, until: number): boolean {
    if (this.#crashes === undefined) return true;
    let low = 0;
    let high = this.#crashes.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#crashes[middle]?.until ?? 0) < from) low = middle + 1;
      else high = middle;
    }
    return (this.#crashes[low]?.from ?? Number.POSITIVE_INFINITY) <= until;
  }
}

/** By attempt number; what the network held began before the others. */
const byBeginning = (a: Receipt, b: Receipt): number =>
  a.attempt !== undefined && b.attempt !== undefined && a.attempt !== b.attempt
    ? a.attempt - b.attempt
    : Number(b.held) - Number(a.held);

/** Ascending, those that touch as one. */
const joined = (windows: readonly CrashWindow[]): CrashWindow[] => {
  const whole: CrashWindow[] = [];
  for (const { from, until } of [...windows].sort((a, b) => a.from - b.from)) {
    const last = whole.at(-1);
    if (last !== undefined && from <= last.until) last.until = Math.max(last.until, until);
    else whole.push({ from, until });
  }
  return whole;
};
