import type { Findings } from './findings.ts';
import type { MessageState, RoomState } from './state.ts';
import { type FinalRow, type InboxRow, LEVELS } from './types.ts';

const rankOf = (level: FinalRow['level']): number => LEVELS.indexOf(level ?? 'none');
const RANK_OF_LETTER: Readonly<Record<string, number>> = {
  s: LEVELS.indexOf('sent'),
  d: LEVELS.indexOf('delivered'),
  r: LEVELS.indexOf('read'),
};
const ACCEPTED = LEVELS.indexOf('accepted');

/** C8: what a webhook was answered 2xx for is on disk, and what is on disk was told. */
export class AckCheck {
  readonly #findings: Findings;
  readonly #leastUnlocking: number;
  readonly #inbox = new Map<string, InboxRow>();
  #hasInbox = false;
  /** Told with a 2xx for ids that nobody could know. */
  kept = 0;

  constructor(findings: Findings, unlockedBy: readonly string[]) {
    this.#findings = findings;
    this.#leastUnlocking = Math.min(...unlockedBy.map((level) => LEVELS.indexOf(level as (typeof LEVELS)[number])));
  }

  inbox(rows: Iterable<InboxRow>): void {
    this.#hasInbox = true;
    for (const row of rows) this.#inbox.set(row.platformId, row);
  }

  /** A call or a lookup told this; a capital holds for all earlier messages of the room. */
  told(message: MessageState, letter: string): void {
    const rank = RANK_OF_LETTER[letter.toLowerCase()] ?? 0;
    message.told = Math.max(message.told, rank);
    if (letter !== letter.toLowerCase()) message.toldAll = Math.max(message.toldAll, rank);
  }

  /** A call that told this was answered 2xx. */
  taught(message: MessageState, letter: string, at: number): void {
    const rank = RANK_OF_LETTER[letter.toLowerCase()];
    if (letter === 'f') message.taughtFailureAt ??= at;
    if (rank === undefined) return;
    if (letter === letter.toLowerCase()) message.taught = earliest(message.taught, rank, at);
    else message.taughtAll = earliest(message.taughtAll, rank, at);
  }

  /** `toWall` turns times of the log into Unix ms. */
  finish({ messages }: RoomState, toWall: number): void {
    let toldAll = 0;
    let taughtAll: number[] | undefined;
    for (let index = messages.length - 1; index >= 0; index--) {
      const message = messages[index];
      if (message === undefined) continue;
      toldAll = Math.max(toldAll, message.toldAll);
      for (const [rank, at] of message.taughtAll?.entries() ?? []) taughtAll = earliest(taughtAll, rank, at);
      const { row } = message;
      if (row?.level === undefined) continue;
      const until = (row.readAt ?? Number.POSITIVE_INFINITY) - toWall;
      const own = highest(message.taught, until);
      this.#onDisk(message, row, isCovered(message) ? Math.max(own, highest(taughtAll, until)) : own);
      if ((message.taughtFailureAt ?? Number.POSITIVE_INFINITY) < until) this.#failureOnDisk(message, row);
      this.#wasTold(message, row, Math.max(message.told, toldAll));
    }
  }

  #onDisk(message: MessageState, row: FinalRow, taught: number): void {
    if (taught === 0) return;
    this.#findings.looked('C8');
    if (rankOf(row.level) < taught) this.#missing(message, taught, `${LEVELS[taught]} was answered 2xx`);
  }

  #failureOnDisk(message: MessageState, row: FinalRow): void {
    this.#findings.looked('C8');
    // After a delivery a failure is a contradiction; beside a retry it speaks of an earlier copy.
    const recorded = row.outcome === 'failed' || (row.failure ?? null) !== null;
    const noMatter = rankOf(row.level) >= LEVELS.indexOf('delivered') || (row.attempts?.length ?? 2) > 1 || row.held;
    if (!recorded && !noMatter) this.#missing(message, 0, 'a failure was answered 2xx');
  }

  /** It may wait in the inbox, under an id that no answer ever named. */
  #missing(message: MessageState, taught: number, what: string): void {
    const ids = message.receipts.flatMap(({ platformId }) => platformId ?? []);
    const kept = ids.map((id) => this.#inbox.get(id)).filter((row) => row !== undefined);
    const neverNamed = message.receipts.every(({ fate }) => fate === 'unknown' || fate === 'open');
    const waits = kept.some((row) => (taught === 0 ? row.failed === true : rankOf(row.level) >= taught));
    if (waits || (neverNamed && !this.#hasInbox)) this.kept++;
    else this.#findings.add('ack_lost', `${what}, and is not on disk`, message);
  }

  #wasTold(message: MessageState, row: FinalRow, told: number): void {
    const rank = rankOf(row.level);
    const needed = row.outcome === 'acked' && row.reason !== 'accepted' ? Math.max(rank, this.#leastUnlocking) : rank;
    if (needed === 0) return;
    this.#findings.looked('C8');
    if (needed <= told || (needed === ACCEPTED && message.taken)) return;
    this.#findings.add('ack_from_nowhere', `${LEVELS[needed]} is on disk, and nobody told it`, message);
  }
}

/** With the earliest time of each level. */
const earliest = (times: number[] | undefined, rank: number, at: number): number[] => {
  const known = times ?? LEVELS.map(() => Number.POSITIVE_INFINITY);
  known[rank] = Math.min(known[rank] ?? at, at);
  return known;
};

/** The highest level before that time; 0 for none. */
const highest = (times: readonly number[] | undefined, until: number): number =>
  Math.max(0, times?.findLastIndex((at) => at < until) ?? 0);

/** Watermarks go by the time of the platform's one answer; that of several copies may be another one's. */
const isCovered = ({ receipts, row }: MessageState): boolean => {
  const [only] = receipts;
  if (only === undefined || receipts.length > 1 || only.fate !== 'answered') return false;
  return row?.attempts === undefined || (row.attempts.length === 1 && row.attempts[0]?.result === 'accepted');
};
