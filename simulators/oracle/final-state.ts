import type { Findings } from './findings.ts';
import type { MessageState } from './state.ts';
import type { FinalRow } from './types.ts';

interface Row extends FinalRow {
  message: MessageState | undefined;
}

/** C1, C2, C4: what the database says in the end, room by room. */
export class FinalStateCheck {
  readonly #findings: Findings;
  readonly #rooms = new Map<string, Row[]>();

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  row(row: FinalRow, message: MessageState | undefined): void {
    if (message?.row) this.#findings.add('R1_settled_twice', 'two rows for one message', message);
    else if (message) message.row = row;
    const rows = this.#rooms.get(row.room);
    if (rows) rows.push({ ...row, message });
    else this.#rooms.set(row.room, [{ ...row, message }]);
  }

  finish(): void {
    for (const rows of this.#rooms.values()) {
      rows.sort((a, b) => a.sequence - b.sequence);
      this.#sequences(rows);
      this.#versions(rows);
    }
  }

  #sequences(rows: Row[]): void {
    let lastIndex = -1;
    for (const [position, { sequence, message }] of rows.entries()) {
      const before = rows[position - 1]?.sequence;
      if (before !== undefined && sequence !== before + 1) {
        this.#findings.add('R2_sequence', `sequence ${sequence} follows ${before}`, message);
      }
      if (message === undefined) continue;
      if (message.index < lastIndex) this.#findings.add('R2_sequence', 'numbered after a later message', message);
      lastIndex = Math.max(lastIndex, message.index);
    }
  }

  /** Settling one message and claiming the next may be one write: equal versions are in order. */
  #versions(rows: Row[]): void {
    let settled = Number.NEGATIVE_INFINITY;
    let unsettled = false;
    for (const { claimVersion, settleVersion, outcome, message } of rows) {
      if (typeof claimVersion === 'number' && (claimVersion < settled || unsettled)) {
        this.#findings.add('R2_versions', 'claimed before its predecessor was settled', message);
      }
      if (typeof settleVersion === 'number') {
        if (typeof claimVersion === 'number' && settleVersion < claimVersion) {
          this.#findings.add('R2_versions', 'settled before it was claimed', message);
        }
        settled = Math.max(settled, settleVersion);
      }
      if (outcome === null) unsettled = true;
    }
  }
}
