import type { AnswerRecord, CalledRecord, CallRecord, ReceiptRecord, StartRecord } from '../platform/ground-truth.ts';
import { CopyCheck } from './copies.ts';
import { FinalStateCheck } from './final-state.ts';
import { Findings } from './findings.ts';
import { isAcked, OrderCheck } from './order.ts';
import { lastBegun, type MessageState, newMessage, newRoom, type Receipt, type RoomState } from './state.ts';
import type { FinalRow, GroundTruthRecord, OracleOptions, Outcome, Published, Stream, Verdict } from './types.ts';

const LETTER = { sent: 's', delivered: 'd', read: 'r' } as const;
const FORGED = new Set(['wrong_key', 'tampered', 'missing', 'expired']);
/** Answers by which a receiver says that it wants none of a call, ever. */
const FINAL_NO = new Set([400, 401, 403, 404, 413, 415, 422]);
const MOVED_ON = new Set<Outcome | null>(['failed', 'expired', 'cancelled', 'skipped']);

/**
 * Judges a run by what its two ends saw. First `published` for every message (in publish order per room), then `record`
 * for every line of the platform's log, then, if there is one, `settled` for every row of the final state; then `verdict`.
 * Linear in time; memory holds one small state per message.
 */
export class Oracle {
  readonly #options: OracleOptions;
  readonly #judgesOrder: boolean;
  readonly #findings: Findings;
  readonly #order: OrderCheck;
  readonly #copies: CopyCheck;
  readonly #final: FinalStateCheck;
  readonly #unlocking: Set<string>;
  readonly #messages = new Map<string, MessageState>();
  readonly #rooms = new Map<string, RoomState>();
  /** By the platform's numbers. */
  readonly #byReceipt = new Map<number, { message: MessageState; receipt: Receipt }>();
  readonly #byAcceptance = new Map<number, MessageState>();
  readonly #calls = new Map<number, { forged: boolean; judged: boolean; messages: MessageState[] }>();
  readonly #faults: Record<string, number> = {};
  readonly #receipts = { total: 0, refused: 0, unknownOutcomes: 0, strangers: 0 };
  readonly #webhooks = { calls: 0, forged: 0, forgedAccepted: 0, validRefused: 0 };
  #line = 0;
  #firstStart: number | undefined;
  /** Added to the times of the platform's present life. */
  #offsetMs = 0;
  #lastAt = 0;
  #firstReceiptAt: number | null = null;
  #lastShownAt: number | null = null;
  #hasFinalState = false;

  constructor(options: OracleOptions = {}) {
    this.#options = options;
    this.#judgesOrder = options.discipline !== 'none';
    this.#findings = new Findings(options.examples ?? 5);
    this.#order = new OrderCheck(this.#findings, { toleranceMs: 10, maxAttempts: 5, ...options });
    this.#copies = new CopyCheck(this.#findings, options.raceMs ?? 50);
    this.#final = new FinalStateCheck(this.#findings);
    this.#unlocking = new Set((options.unlockedBy ?? ['delivered', 'read']).map((status) => LETTER[status]));
  }

  /** Throws when a key is used twice: then nothing could be told apart. */
  published(entry: Published): void {
    if (this.#messages.has(entry.key)) throw new Error('two published messages have the same key');
    let room = this.#rooms.get(entry.room);
    if (room === undefined) {
      room = newRoom(this.#rooms.size);
      this.#rooms.set(entry.room, room);
    }
    const message = newMessage(entry, room);
    room.messages.push(message);
    this.#messages.set(entry.key, message);
  }

  record(raw: GroundTruthRecord): void {
    if (raw.t === 'start') this.#restarted(raw);
    const record = this.#offsetMs === 0 ? raw : { ...raw, at: raw.at + this.#offsetMs };
    this.#line++;
    this.#lastAt = Math.max(this.#lastAt, record.at);
    switch (record.t) {
      case 'receipt':
        this.#receipt(record);
        return;
      case 'answer':
        this.#answer(record);
        return;
      case 'doubt': {
        const known = this.#byReceipt.get(record.r);
        if (known?.receipt.fate === 'answered') known.receipt.fate = 'unknown';
        return;
      }
      case 'shown':
        this.#shown(record.m, record.at);
        return;
      case 'call':
        this.#call(record);
        return;
      case 'called':
        this.#called(record);
        return;
      case 'lookup':
        this.#lookup(record.m, record.status, record.at);
        return;
      case 'status':
        if (record.lost) this.#fault(`status_lost_${record.status}`);
        return;
      case 'event':
        this.#fault(record.event);
        return;
      case 'start':
      case 'dropped':
        return;
    }
  }

  /** A log may hold several lives of the platform: numbers and times begin anew with each. */
  #restarted({ at, wall }: StartRecord): void {
    this.#firstStart ??= wall - at;
    this.#offsetMs = wall - at - this.#firstStart;
    this.#byReceipt.clear();
    this.#byAcceptance.clear();
    this.#calls.clear();
  }

  settled(row: FinalRow): void {
    this.#hasFinalState = true;
    this.#final.row(row, this.#messages.get(row.key));
  }

  verdict(): Verdict {
    if (this.#judgesOrder) {
      this.#order.finish(this.#rooms.values());
      this.#final.finish();
    }
    const duplicates = this.#duplicates();
    const messages = this.#losses();
    const swaps = this.#swaps();
    const progress = this.#progress();
    this.#emptyPass(messages.accepted);
    return {
      clean: Object.keys(this.#findings.broken).length === 0,
      broken: this.#findings.broken,
      violations: this.#findings.examples,
      rooms: this.#rooms.size,
      messages,
      receipts: this.#receipts,
      duplicates,
      lateCopies: this.#copies.late,
      swaps,
      webhooks: this.#webhooks,
      progress,
      time: {
        firstReceiptAt: this.#firstReceiptAt,
        lastShownAt: this.#lastShownAt,
        durationMs:
          this.#firstReceiptAt === null || this.#lastShownAt === null ? null : this.#lastShownAt - this.#firstReceiptAt,
      },
      faults: this.#faults,
    };
  }

  #receipt(record: ReceiptRecord): void {
    if (record.fault !== undefined) this.#fault(record.fault);
    const message = record.key === undefined ? undefined : this.#messages.get(record.key);
    if (message === undefined) {
      this.#receipts.strangers++;
      return;
    }
    const { room } = message;
    const first = message.receipts.length === 0;
    const receipt: Receipt = {
      r: record.r,
      at: record.at,
      fate: 'open',
      decision: record.decision,
      held: record.heldMs !== undefined,
      permanent: record.permanent ?? false,
    };
    this.#receipts.total++;
    this.#firstReceiptAt ??= record.at;
    room.lastActivityAt = record.at;
    if (this.#judgesOrder) {
      this.#copies.compare(message, record);
      if (message.index < room.begun) this.#copies.afterLater(message, record, first);
      if (first && message.index > room.begun) this.#order.begins(message, record.at);
    }
    message.receipts.push(receipt);
    message.firstLine ??= this.#line;
    if (message.index >= room.begun) {
      if (message.index > room.begun) room.begunAt = record.at;
      room.begun = message.index;
      room.worker = record.worker;
      room.generation = Number(record.generation ?? 0);
    }
    this.#byReceipt.set(record.r, { message, receipt });
    if (record.m !== undefined) {
      message.taken = true;
      this.#byAcceptance.set(record.m, message);
    }
  }

  #answer({ r, at, unknownOutcome }: AnswerRecord): void {
    const known = this.#byReceipt.get(r);
    if (known === undefined) return;
    const { message, receipt } = known;
    message.room.lastActivityAt = at;
    if (unknownOutcome) receipt.fate = 'unknown';
    else if (receipt.decision === 'refused') {
      receipt.fate = 'refused';
      if (receipt.permanent) message.refusedForGood = true;
    } else {
      receipt.fate = 'answered';
      message.knownTakenAt = at;
    }
  }

  #shown(m: number, at: number): void {
    const message = this.#byAcceptance.get(m);
    if (message === undefined) return;
    message.shown++;
    this.#lastShownAt = at;
    if (message.shown > 1) return;
    if (message.index < message.room.shown) message.displaced = true;
    else message.room.shown = message.index;
  }

  #call({ call, at, signature, m, s }: CallRecord): void {
    const forged = FORGED.has(signature);
    this.#webhooks.calls++;
    if (forged) {
      this.#webhooks.forged++;
      this.#fault(`webhook_${signature}`);
    }
    const messages: MessageState[] = [];
    if (!forged) {
      for (const [position, number] of m.entries()) {
        const message = this.#byAcceptance.get(number);
        const letter = s[position];
        if (message === undefined || letter === undefined) continue;
        this.#told(message, letter, call, at, messages);
      }
    }
    this.#calls.set(call, { forged, judged: signature === 'right', messages });
  }

  /** The receiver may act on a call from its start on: it commits before it answers. */
  #told(message: MessageState, letter: string, call: number, at: number, messages: MessageState[]): void {
    message.room.lastActivityAt = at;
    if (letter === 'f') {
      message.nacked = true;
      // What failed later may be sent again.
      const last = lastBegun(message);
      if (last?.fate === 'answered') last.fate = 'refused';
      return;
    }
    // A capital covers earlier messages, too; those were closed before this one began, so it proves nothing new.
    message.knownTakenAt ??= at;
    if (!this.#unlocking.has(letter.toLowerCase())) return;
    message.unlocks.add(call);
    messages.push(message);
  }

  #called({ call, status }: CalledRecord): void {
    const known = this.#calls.get(call);
    if (known === undefined) return;
    this.#calls.delete(call);
    if (known.forged) {
      if (status >= 200 && status < 300) {
        this.#webhooks.forgedAccepted++;
        this.#findings.add('webhook_forged_accepted', `a call with a bad signature was answered ${status}`);
      }
      return;
    }
    if (!FINAL_NO.has(status)) {
      this.#order.answered(call);
      return;
    }
    for (const message of known.messages) message.unlocks.delete(call);
    this.#order.refused(call);
    if (!known.judged) return;
    this.#webhooks.validRefused++;
    this.#findings.add('webhook_valid_refused', `a rightly signed call was answered ${status}`);
  }

  #lookup(m: number | undefined, status: string | undefined, at: number): void {
    const message = m === undefined ? undefined : this.#byAcceptance.get(m);
    if (message === undefined || status === undefined) return;
    message.knownTakenAt ??= at;
    if (status === 'failed') message.nacked = true;
    else if (this.#unlocking.has(LETTER[status as keyof typeof LETTER])) message.unlocks.add(-1);
  }

  #duplicates(): Verdict['duplicates'] {
    const allowed = this.#options.copiesAllowed ?? 0;
    const total = { extraReceipts: 0, unexplained: 0, shown: 0 };
    for (const message of this.#messages.values()) {
      for (const { fate } of message.receipts) {
        if (fate === 'refused') this.#receipts.refused++;
        else if (fate !== 'answered') this.#receipts.unknownOutcomes++;
      }
      total.shown += Math.max(0, message.shown - 1);
      const { extra, unexplained } = this.#copies.extra(message);
      total.extraReceipts += extra;
      total.unexplained += unexplained;
      if (unexplained > 0 && total.unexplained > allowed && this.#judgesOrder) {
        this.#findings.add('R4_unexplained_copy', `sent again after a known answer, ${unexplained} time(s)`, message);
      }
    }
    return { ...total, explained: total.extraReceipts - total.unexplained, allowed };
  }

  #losses(): Verdict['messages'] {
    const { drained = true, maxAttempts = 5 } = this.#options;
    const outcomes: Partial<Record<Outcome, number>> = {};
    const counts = { published: 0, accepted: 0, reachedPlatform: 0, shown: 0 };
    for (const message of this.#messages.values()) {
      const { published, row, taken } = message;
      counts.published++;
      if (taken) counts.reachedPlatform++;
      if (message.shown > 0) counts.shown++;
      if (row?.outcome) outcomes[row.outcome] = (outcomes[row.outcome] ?? 0) + 1;
      const used = row?.attempts ?? message.receipts.length;
      if (row?.outcome === 'failed' && !message.refusedForGood && !message.nacked && used < maxAttempts) {
        this.#findings.add('unjustified_failure', `failed after ${used} attempt(s), none refused for good`, message);
      }
      if (published.accepted === false) continue;
      counts.accepted++;
      if (drained && this.#isLost(message, maxAttempts)) {
        this.#findings.add('R1_lost', row ? `its outcome is ${row.outcome}` : 'no trace of it', message);
      }
      if (drained && row?.outcome === null) this.#findings.add('R1_unsettled', 'not settled in the end', message);
    }
    const { proven, successors } = this.#order;
    return {
      ...counts,
      lost: this.#findings.count('R1_lost'),
      outcomes,
      orderProven: successors === 0 ? 1 : proven / successors,
    };
  }

  #isLost({ row, taken, refusedForGood, receipts }: MessageState, maxAttempts: number): boolean {
    if (this.#hasFinalState && row === undefined) return true;
    if (taken) return false;
    if (row) return !MOVED_ON.has(row.outcome) && row.outcome !== null;
    return !refusedForGood && receipts.length < maxAttempts;
  }

  #swaps(): Verdict['swaps'] {
    const swaps = { total: 0, afterAcked: 0, afterAssumed: 0, afterOther: 0 };
    const rooms = new Set<RoomState>();
    for (const message of this.#messages.values()) {
      if (!message.displaced) continue;
      swaps.total++;
      rooms.add(message.room);
      if (!this.#judgesOrder) continue;
      if (isAcked(message)) {
        swaps.afterAcked++;
        this.#findings.add('swap_after_acked', 'acked, and shown after a later message', message);
      } else if (message.row === undefined || message.row.outcome === 'assumed') swaps.afterAssumed++;
      else swaps.afterOther++;
    }
    return { ...swaps, rooms: rooms.size };
  }

  #progress(): Verdict['progress'] {
    const boundMs = this.#options.stuckAfterMs ?? 60_000;
    let pending = 0;
    let stuckRooms = 0;
    for (const room of this.#rooms.values()) {
      const waiting = room.messages.filter(isPending);
      pending += waiting.length;
      if (waiting.length === 0 || this.#lastAt - room.lastActivityAt <= boundMs) continue;
      stuckRooms++;
      this.#findings.add('R6_stuck', `${waiting.length} message(s) wait and nothing happens`, waiting[0]);
    }
    return { pending, stuckRooms };
  }

  #emptyPass(accepted: number): void {
    const { expectedFaults = {}, expectedMessages = 1 } = this.#options;
    if (accepted < expectedMessages) {
      this.#findings.add('empty_pass', `${accepted} messages accepted, at least ${expectedMessages} expected`);
    }
    for (const [name, least] of Object.entries(expectedFaults)) {
      const count = this.#faults[name] ?? 0;
      if (count < least) this.#findings.add('empty_pass', `fault ${name} struck ${count} times, not ${least}`);
    }
  }

  #fault(name: string): void {
    this.#faults[name] = (this.#faults[name] ?? 0) + 1;
  }
}

const isPending = ({ published, row, taken, refusedForGood }: MessageState): boolean => {
  if (published.accepted === false) return false;
  return row ? row.outcome === null : !taken && !refusedForGood;
};

/** Reads the given logs to their ends and judges them. */
export const judge = async (
  logs: { published: Stream<Published>; records: Stream<GroundTruthRecord>; final?: Stream<FinalRow> },
  options: OracleOptions = {},
): Promise<Verdict> => {
  const oracle = new Oracle(options);
  for await (const entry of logs.published) oracle.published(entry);
  for await (const record of logs.records) oracle.record(record);
  for await (const row of logs.final ?? []) oracle.settled(row);
  return oracle.verdict();
};
