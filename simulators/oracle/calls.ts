import type { CalledRecord, CallRecord } from '../platform/ground-truth.ts';
import type { AckCheck } from './acks.ts';
import type { Findings } from './findings.ts';
import type { OrderCheck } from './order.ts';
import { lastBegun, type MessageState } from './state.ts';
import type { OracleOptions } from './types.ts';

const LETTER = { sent: 's', delivered: 'd', read: 'r' } as const;
/** What unlocked a message where it was no call. */
const LOOKUP = -1;
const ANSWER = -2;
const FORGED = new Set(['wrong_key', 'tampered', 'missing', 'expired']);
/** Answers by which a receiver says that it wants none of a call, ever. */
const FINAL_NO = new Set([400, 401, 403, 404, 413, 415, 422]);

interface Open {
  readonly forged: boolean;
  readonly judged: boolean;
  /** What it tells of whom. */
  readonly told: readonly (readonly [MessageState, string])[];
}

/** Webhook calls and lookups: what they told, and how they were answered. */
export class Calls {
  readonly #findings: Findings;
  readonly #order: OrderCheck;
  readonly #acks: AckCheck;
  readonly #unlocking: ReadonlySet<string>;
  readonly #answerUnlocks: boolean;
  readonly #open = new Map<number, Open>();
  readonly counts = { calls: 0, forged: 0, forgedAccepted: 0, validRefused: 0 };

  constructor(
    findings: Findings,
    order: OrderCheck,
    acks: AckCheck,
    unlockedBy: NonNullable<OracleOptions['unlockedBy']>,
  ) {
    this.#findings = findings;
    this.#order = order;
    this.#acks = acks;
    this.#unlocking = new Set(unlockedBy.flatMap((level) => (level === 'accepted' ? [] : LETTER[level])));
    this.#answerUnlocks = unlockedBy.includes('accepted');
  }

  /** The platform was started again: its numbers begin anew. */
  restarted(): void {
    this.#open.clear();
  }

  /** The sender was told for certain that the platform has the message. */
  accepted(message: MessageState, at: number): void {
    message.knownTakenAt = at;
    if (!this.#answerUnlocks) return;
    message.unlocks.add(ANSWER);
    message.unlockedAt ??= at;
  }

  /** Returns the name of the fault that it is, if it is one. */
  started(
    { call, at, signature, m, s }: CallRecord,
    find: (m: number) => MessageState | undefined,
  ): string | undefined {
    const forged = FORGED.has(signature);
    this.counts.calls++;
    const told: [MessageState, string][] = [];
    if (forged) this.counts.forged++;
    else {
      for (const [position, number] of m.entries()) {
        const message = find(number);
        const letter = s[position];
        if (message === undefined || letter === undefined) continue;
        told.push([message, letter]);
        this.#told(message, letter, call, at);
      }
    }
    this.#open.set(call, { forged, judged: signature === 'right', told });
    return forged ? `webhook_${signature}` : undefined;
  }

  /** The receiver may act on a call from its start on: it commits before it answers. */
  #told(message: MessageState, letter: string, call: number, at: number): void {
    message.room.lastActivityAt = at;
    this.#acks.told(message, letter);
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
    message.unlockedAt ??= at;
  }

  ended({ call, at, status }: CalledRecord): void {
    const known = this.#open.get(call);
    if (known === undefined) return;
    this.#open.delete(call);
    const taken = status >= 200 && status < 300;
    if (known.forged) {
      this.#findings.looked('C8');
      if (!taken) return;
      this.counts.forgedAccepted++;
      this.#findings.add('webhook_forged_accepted', `a call with a bad signature was answered ${status}`);
      return;
    }
    if (taken) for (const [message, letter] of known.told) this.#acks.taught(message, letter, at);
    if (!FINAL_NO.has(status)) {
      this.#order.answered(call);
      return;
    }
    for (const [message] of known.told) message.unlocks.delete(call);
    this.#order.refused(call);
    if (!known.judged) return;
    this.counts.validRefused++;
    this.#findings.add('webhook_valid_refused', `a rightly signed call was answered ${status}`);
  }

  lookedUp(message: MessageState, status: string, at: number): void {
    message.knownTakenAt ??= at;
    if (status === 'failed') {
      message.nacked = true;
      return;
    }
    const letter = LETTER[status as keyof typeof LETTER];
    if (letter === undefined) return;
    this.#acks.told(message, letter);
    if (this.#unlocking.has(letter)) message.unlocks.add(LOOKUP);
  }
}
