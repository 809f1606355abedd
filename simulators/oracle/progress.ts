import type { Findings } from './findings.ts';
import type { MessageState, RoomState } from './state.ts';
import type { OracleOptions } from './types.ts';

/** C9: no room with waiting messages stands still for longer than the bound, in the quiet tail and at its end. */
export class ProgressCheck {
  readonly #findings: Findings;
  readonly #boundMs: number;
  readonly #tail: OracleOptions['tail'];
  pending = 0;
  stuckRooms = 0;

  constructor(findings: Findings, { stuckAfterMs = 60_000, tail }: OracleOptions) {
    this.#findings = findings;
    this.#boundMs = stuckAfterMs;
    this.#tail = tail;
  }

  /** A message first reached the platform; until now it had waited. `toWall` turns times of the log into Unix ms. */
  begins(message: MessageState, at: number, toWall: number): void {
    if (this.#tail === undefined) return;
    const idleMs = at - this.#idleSince(message.room, toWall);
    if (idleMs <= this.#boundMs) return;
    this.#findings.add('R6_stuck', `the room stood still for ${Math.round(idleMs)} ms`, message);
  }

  finish(room: RoomState, endsAt: number, toWall: number): void {
    const waiting = room.messages.filter(isPending);
    this.#findings.looked('C9');
    this.pending += waiting.length;
    if (waiting.length === 0 || waiting.some(({ row }) => row?.held === true)) return;
    const until = this.#tail === undefined ? endsAt : Math.max(endsAt, this.#tail.until - toWall);
    if (until - this.#idleSince(room, toWall) <= this.#boundMs) return;
    this.stuckRooms++;
    this.#findings.add('R6_stuck', `${waiting.length} message(s) wait and nothing happens`, waiting[0]);
  }

  #idleSince(room: RoomState, toWall: number): number {
    return Math.max(room.lastActivityAt, this.#tail === undefined ? 0 : this.#tail.from - toWall);
  }
}

const isPending = ({ published, row, taken, refusedForGood }: MessageState): boolean => {
  if (published.accepted === false) return false;
  return row ? row.outcome === null : !taken && !refusedForGood;
};
