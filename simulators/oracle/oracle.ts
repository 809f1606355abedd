import type { AnswerRecord, ReceiptRecord, StartRecord } from '../platform/ground-truth.ts';
import { AckCheck } from './acks.ts';
import { Calls } from './calls.ts';
import { CopyCheck, LateCheck, LikenessCheck } from './copies.ts';
import { checkCoverage } from './coverage.ts';
import { FinalStateCheck } from './final-state.ts';
import { Findings } from './findings.ts';
import { addTo, compareLatency, noLatency } from './latency.ts';
import type { LeakScan } from './leaks.ts';
import { LossCheck } from './losses.ts';
import { OrderCheck } from './order.ts';
import { ProgressCheck } from './progress.ts';
import { isAcked, type MessageState, newMessage, newRoom, type Receipt, type RoomState, Senders } from './state.ts';
import type {
  FenceRow,
  FinalRow,
  GroundTruthRecord,
  InboxRow,
  OracleOptions,
  Published,
  Stream,
  Verdict,
} from './types.ts';

const UNLOCKED_BY = ['delivered', 'read'] as const;
const RACE_MS = 50;
/** C10: how much slower an untouched room may be. */
const MOST_SLOWER = 1.2;

/**
 * Judges a run by what its two ends saw. First `published` for every message (in publish order per room), then `record`
 * for every line of the platform's log, then, as far as there are any, `settled`, `inbox`, `fence` and `leaks`; then
 * `verdict`. Linear in time; memory holds one small state per message.
 */
export class Oracle {
  readonly #options: OracleOptions;
  readonly #judgesOrder: boolean;
  readonly #findings: Findings;
  readonly #senders = new Senders();
  readonly #order: OrderCheck;
  readonly #likeness: LikenessCheck;
  readonly #acks: AckCheck;
  readonly #calls: Calls;
  readonly #progress: ProgressCheck;
  readonly #final: FinalStateCheck;
  readonly #messages = new Map<string, MessageState>();
  readonly #rooms = new Map<string, RoomState>();
  /** By the platform's numbers. */
  readonly #byReceipt = new Map<number, { message: MessageState; receipt: Receipt }>();
  readonly #byAcceptance = new Map<number, MessageState>();
  readonly #faults: Record<string, number> = {};
  readonly #receipts = { total: 0, refused: 0, unknownOutcomes: 0, strangers: 0 };
  readonly #latency = noLatency();
  readonly #fenced = new Set<string>();
  #line = 0;
  #firstStart: number | undefined;
  /** Added to the times of the platform's present life. */
  #offsetMs = 0;
  #lastAt = 0;
  #firstReceiptAt: number | null = null;
  #lastShownAt: number | null = null;
  #hasFinalState = false;

  constructor(options: OracleOptions = {}) {
    const unlockedBy = options.unlockedBy ?? [...UNLOCKED_BY];
    this.#options = options;
    this.#judgesOrder = options.discipline !== 'none';
    this.#findings = new Findings(options.examples ?? 5, options.without);
    this.#order = new OrderCheck(this.#findings, { toleranceMs: 10, maxAttempts: 5, ...options });
    this.#likeness = new LikenessCheck(this.#findings);
    this.#acks = new AckCheck(this.#findings, unlockedBy);
    this.#calls = new Calls(this.#findings, this.#order, this.#acks, unlockedBy);
    this.#progress = new ProgressCheck(this.#findings, options);
    this.#final = new FinalStateCheck(this.#findings, options, this.#senders);
  }

  /** Throws when a key is used twice: then nothing could be told apart. */
  published(entry: Published): void {
    if (this.#messages.has(entry.key)) throw new Error('two published messages have the same key');
    const name = entry.channel === undefined ? entry.room : `${entry.channel}\n${entry.room}`;
    let room = this.#rooms.get(name);
    if (room === undefined) {
      const untouched = this.#options.isolation?.untouched?.(entry.room) ?? true;
      room = newRoom(this.#rooms.size, untouched);
      this.#rooms.set(name, room);
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
      case 'call': {
        const fault = this.#calls.started(record, (m) => this.#byAcceptance.get(m));
        if (fault !== undefined) this.#fault(fault);
        return;
      }
      case 'called':
        this.#calls.ended(record);
        return;
      case 'lookup': {
        const message = record.m === undefined ? undefined : this.#byAcceptance.get(record.m);
        if (message && record.status !== undefined) this.#calls.lookedUp(message, record.status, record.at);
        return;
      }
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
    this.#calls.restarted();
  }

  settled(row: FinalRow): void {
    this.#hasFinalState = true;
    const message = this.#find(row.key, row.run);
    this.#final.row(row, message);
    if (message?.room.untouched && row.acceptedAt !== undefined && typeof row.settledAt === 'number') {
      addTo(this.#latency.acceptToSettle, row.settledAt - row.acceptedAt);
    }
  }

  /** All acks that were kept without a message. Once given, an ack that is neither on disk nor here is lost. */
  inbox(rows: Iterable<InboxRow>): void {
    this.#acks.inbox(rows);
  }

  fence({ worker, fenced, leaseUntil }: FenceRow): void {
    if (fenced) this.#fenced.add(worker);
    if (typeof leaseUntil === 'number') this.#final.lease(worker, leaseUntil);
  }

  leaks({ checked, leaks }: LeakScan): void {
    this.#findings.looked('C12', checked);
    for (const { canary, form, file, offset } of leaks) {
      this.#findings.add('leaked', `${canary} is in ${file}, at byte ${offset}, as ${form}`);
    }
  }

  verdict(): Verdict {
    const findings = this.#findings;
    const losses = new LossCheck(findings, this.#options, this.#hasFinalState);
    const late = new LateCheck(findings);
    // Traffic that promises nothing has its copies counted all the same.
    const copies = new CopyCheck(this.#judgesOrder ? findings : new Findings(0), this.#options);
    if (this.#judgesOrder) {
      this.#final.finish();
      this.#order.finish(this.#rooms.values());
    }
    const toWall = this.#firstStart ?? 0;
    for (const room of this.#rooms.values()) {
      if (this.#judgesOrder) {
        late.finish(room);
        this.#acks.finish(room, toWall);
      }
      this.#progress.finish(room, this.#lastAt, toWall);
    }
    for (const message of this.#messages.values()) {
      losses.finish(message);
      this.#count(message);
      copies.finish(message);
    }
    const swaps = this.#swaps();
    this.#isolation();
    const succeeded = new Set([...this.#fenced, ...this.#final.succeeded]).size;
    const faults = this.#faults;
    checkCoverage(findings, this.#options, { accepted: losses.counts.accepted, faults, succeeded });
    const { proven, successors } = this.#order;
    const { extra, unexplained, because } = copies;
    return {
      clean: Object.keys(findings.broken).length === 0,
      checks: findings.results(),
      broken: findings.broken,
      violations: findings.examples,
      rooms: this.#rooms.size,
      messages: {
        ...losses.counts,
        lost: findings.count('R1_lost'),
        outcomes: losses.outcomes,
        orderProven: successors === 0 ? 1 : proven / successors,
      },
      receipts: this.#receipts,
      duplicates: {
        extraReceipts: extra,
        explained: extra - unexplained,
        unexplained,
        allowed: this.#options.copiesAllowed ?? 0,
        because,
        shown: this.#copiesShown(),
      },
      lateCopies: late.counts,
      swaps,
      webhooks: { ...this.#calls.counts, kept: this.#acks.kept },
      progress: { pending: this.#progress.pending, stuckRooms: this.#progress.stuckRooms },
      latency: this.#latency,
      time: {
        firstReceiptAt: this.#firstReceiptAt,
        lastShownAt: this.#lastShownAt,
        durationMs:
          this.#firstReceiptAt === null || this.#lastShownAt === null ? null : this.#lastShownAt - this.#firstReceiptAt,
      },
      faults,
    };
  }

  /** A message of another run is a stranger, though its key may be the same. */
  #find(key: string | undefined, run: string | undefined): MessageState | undefined {
    const message = key === undefined ? undefined : this.#messages.get(key);
    return run === undefined || (message?.published.run ?? run) === run ? message : undefined;
  }

  #receipt(record: ReceiptRecord): void {
    if (record.fault !== undefined) this.#fault(record.fault);
    const message = this.#find(record.key, record.run);
    if (message === undefined) {
      this.#receipts.strangers++;
      return;
    }
    const { at } = record;
    const { room } = message;
    const first = message.receipts.length === 0;
    const receipt: Receipt = {
      at,
      fate: 'open',
      decision: record.decision,
      held: record.heldMs !== undefined,
      permanent: record.permanent ?? false,
      attempt: record.attempt,
      sender: this.#senders.of(record.worker, Number(record.generation ?? 0)),
      platformId: record.id,
      inexcusable: false,
    };
    this.#receipts.total++;
    this.#firstReceiptAt ??= at;
    if (first) this.#progress.begins(message, at, this.#firstStart ?? 0);
    room.lastActivityAt = at;
    if (this.#judgesOrder) {
      this.#likeness.receipt(message, record);
      if (message.index >= room.begun) this.#findings.looked('C7');
      else {
        const raced = at - room.begunAt <= (this.#options.raceMs ?? RACE_MS);
        room.late.push({ message, receipt, holder: room.holder, first, raced });
      }
      if (first && message.index > room.begun) this.#order.begins(message, at);
    }
    if (message.index === room.begun + 1) this.#gap(room, at);
    message.receipts.push(receipt);
    message.firstLine ??= this.#line;
    if (message.index >= room.begun) {
      if (message.index > room.begun) room.begunAt = at;
      room.begun = message.index;
      room.holder = receipt.sender;
    }
    this.#byReceipt.set(record.r, { message, receipt });
    if (record.m !== undefined) {
      message.taken = true;
      this.#byAcceptance.set(record.m, message);
    }
  }

  /** The next message of a room begins: how long after the ack of the one before. */
  #gap(room: RoomState, at: number): void {
    const ackedAt = room.messages[room.begun]?.unlockedAt;
    if (room.untouched && ackedAt !== undefined) addTo(this.#latency.ackToNext, at - ackedAt);
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
      this.#calls.accepted(message, at);
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

  #count({ receipts }: MessageState): void {
    for (const { fate } of receipts) {
      if (fate === 'refused') this.#receipts.refused++;
      else if (fate !== 'answered') this.#receipts.unknownOutcomes++;
    }
  }

  #copiesShown(): number {
    let shown = 0;
    for (const message of this.#messages.values()) shown += Math.max(0, message.shown - 1);
    return shown;
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

  #isolation(): void {
    const { baseline, most = MOST_SLOWER } = this.#options.isolation ?? {};
    if (baseline === undefined) return;
    for (const { what, quantile, ratio } of compareLatency(this.#latency, baseline)) {
      this.#findings.looked('C10');
      if (ratio <= most) continue;
      const detail = `${what}, quantile ${quantile}: ${ratio.toFixed(2)} times the baseline`;
      this.#findings.add('R5_slower', detail);
    }
  }

  #fault(name: string): void {
    this.#faults[name] = (this.#faults[name] ?? 0) + 1;
  }
}

export interface Logs {
  published: Stream<Published>;
  records: Stream<GroundTruthRecord>;
  final?: Stream<FinalRow>;
  inbox?: Iterable<InboxRow>;
  fences?: Stream<FenceRow>;
  leaks?: LeakScan;
}

/** Reads the given logs to their ends and judges them. */
export const judge = async (logs: Logs, options: OracleOptions = {}): Promise<Verdict> => {
  const oracle = new Oracle(options);
  for await (const entry of logs.published) oracle.published(entry);
  for await (const record of logs.records) oracle.record(record);
  for await (const row of logs.final ?? []) oracle.settled(row);
  for await (const row of logs.fences ?? []) oracle.fence(row);
  if (logs.inbox) oracle.inbox(logs.inbox);
  if (logs.leaks) oracle.leaks(logs.leaks);
  return oracle.verdict();
};
