import type { Findings } from './findings.ts';
import type { MessageState, Sender, Senders } from './state.ts';
import type { FinalRow, OracleOptions } from './types.ts';

interface Row extends FinalRow {
  message: MessageState | undefined;
}

/** What an operator, or time alone, ends: such a message may settle in the write that claims the next one. */
const ENDED_UNSENT = new Set(['expired', 'cancelled', 'skipped']);
/** These say by themselves why. */
const SELF_EVIDENT = new Set(['acked', 'assumed']);

/** A worker's clock is the database's as it was at the last renewal. */
const CLOCKS_MS = 50;

/** C1, C2, C4: what the database says in the end, room by room. */
export class FinalStateCheck {
  readonly #findings: Findings;
  readonly #options: OracleOptions;
  readonly #senders: Senders;
  readonly #rooms = new Map<string, Row[]>();
  readonly #leases = new Map<string, number>();
  /** Workers that others have succeeded in some room. */
  readonly succeeded = new Set<string>();

  constructor(findings: Findings, options: OracleOptions, senders: Senders) {
    this.#findings = findings;
    this.#options = options;
    this.#senders = senders;
  }

  row(row: FinalRow, message: MessageState | undefined): void {
    if (message?.row) this.#findings.add('R1_settled_twice', 'two rows for one message', message);
    else if (message) message.row = row;
    const name = `${row.channel ?? ''}\n${row.room}`;
    const rows = this.#rooms.get(name);
    if (rows) rows.push({ ...row, message });
    else this.#rooms.set(name, [{ ...row, message }]);
  }

  finish(): void {
    for (const rows of this.#rooms.values()) {
      // Rows come sorted, as a rule: then this takes one step for each.
      rows.sort((a, b) => a.sequence - b.sequence);
      this.#sequences(rows);
      this.#outcomes(rows);
      this.#versions(rows);
      this.#holders(rows);
    }
  }

  #sequences(rows: Row[]): void {
    let lastIndex = -1;
    let before = this.#options.partialRooms ? undefined : 0;
    for (const { sequence, message, room, channel } of rows) {
      if (before !== undefined && sequence !== before + 1) {
        this.#findings.add('R2_sequence', `sequence ${sequence} follows ${before}`, message);
      }
      before = sequence;
      if (message === undefined) continue;
      this.#findings.looked('C1');
      const { published } = message;
      const elsewhere = published.room !== room || (published.channel ?? channel) !== (channel ?? published.channel);
      if (elsewhere) this.#findings.add('R2_sequence', 'numbered in another room', message);
      if (message.index < lastIndex) this.#findings.add('R2_sequence', 'numbered after a later message', message);
      lastIndex = Math.max(lastIndex, message.index);
    }
  }

  #outcomes(rows: Row[]): void {
    for (const { outcome, reason, deadLetters, message } of rows) {
      if (message === undefined) continue;
      this.#findings.looked('C2');
      const explained = outcome === null || SELF_EVIDENT.has(outcome) || (reason ?? '') !== '';
      if (!explained) this.#findings.add('R1_no_reason', `${outcome}, and nothing says why`, message);
      if (outcome === 'failed' && deadLetters === 0) {
        this.#findings.add('R1_no_dead_letter', 'failed, and not among the dead letters', message);
      }
    }
  }

  /** Claims count where they are known; what was never claimed may settle whenever its turn comes. */
  #versions(rows: Row[]): void {
    let settled = Number.NEGATIVE_INFINITY;
    let outcomeBefore: FinalRow['outcome'] = 'acked';
    let unsettled = false;
    for (const { claimVersion, settleVersion, outcome, message } of rows) {
      if (typeof claimVersion === 'number') {
        if (settled > Number.NEGATIVE_INFINITY || unsettled) this.#findings.looked('C4');
        const sameWrite = claimVersion === settled && outcomeBefore !== null && ENDED_UNSENT.has(outcomeBefore);
        if (unsettled || (claimVersion <= settled && !sameWrite)) {
          this.#findings.add('R2_versions', 'claimed before its predecessor was settled', message);
        }
        if (typeof settleVersion === 'number' && settleVersion < claimVersion) {
          this.#findings.add('R2_versions', 'settled before it was claimed', message);
        }
      } else if (claimVersion === null && message !== undefined && message.receipts.length > 0) {
        this.#findings.add('R2_versions', 'received by the platform, and never claimed', message);
      }
      if (typeof settleVersion === 'number' && settleVersion >= settled) {
        settled = settleVersion;
        outcomeBefore = outcome;
      }
      if (outcome === null) unsettled = true;
    }
  }

  /** When a worker's last lease ended, Unix ms. */
  lease(worker: string, until: number): void {
    this.#leases.set(worker, until);
  }

  /**
   * A worker claims nothing after its lease, and nothing more in a room from which others have taken over while an
   * attempt of that life was open. One that has handed the room over may get it back.
   */
  #holders(rows: Row[]): void {
    const holders = new Map<Sender, number>();
    const takenOver = new Set<Sender>();
    let last: Sender | undefined;
    let turns = 0;
    for (const { attempts, message } of rows) {
      if (attempts !== undefined && message !== undefined) message.room.holders = holders;
      for (const { number, worker, generation, begunAt, result } of attempts ?? []) {
        const sender = this.#senders.of(worker, generation);
        if (sender === undefined) continue;
        const stale = sender !== last && holders.has(sender) && this.#isGone(sender, takenOver);
        if (stale || begunAt > (this.#leases.get(worker) ?? Number.POSITIVE_INFINITY) + CLOCKS_MS) {
          const why = stale ? 'a worker that had been succeeded' : 'a worker whose lease had ended';
          this.#findings.add('R3_stale_claim', `attempt ${number} was claimed by ${why}`, message);
        }
        if (result === 'interrupted') takenOver.add(sender);
        if (sender === last) continue;
        holders.set(sender, turns++);
        if (last !== undefined && last.worker !== worker) this.succeeded.add(last.worker);
        last = sender;
      }
    }
  }

  /** Without its lease nobody can tell a worker that got a room back from one that never lost it. */
  #isGone(sender: Sender, takenOver: ReadonlySet<Sender>): boolean {
    return takenOver.has(sender) || !this.#leases.has(sender.worker);
  }
}
