import { ACK_LEVELS, type AckLevel, type Nack, type Outcome } from './room.ts';

/** `accepted` < `sent` < `delivered` < `read`; each implies those below it. */
export function reaches(level: AckLevel, wanted: AckLevel): boolean {
  return ACK_LEVELS.indexOf(level) >= ACK_LEVELS.indexOf(wanted);
}

export function higherLevel(a: AckLevel, b: AckLevel): AckLevel {
  return reaches(a, b) ? a : b;
}

/** What the history holds of a settled message that a late ack or nack can still change. */
export interface SettledMessage {
  readonly outcome: Outcome;
  readonly level: AckLevel;
  readonly levelAt: number | null;
  /** The code of a failure that the platform reported after the message had settled. */
  readonly lateNackCode: string | null;
}

export type LateEvent =
  | { readonly type: 'ack'; readonly level: AckLevel; readonly at: number }
  | { readonly type: 'nack'; readonly nack: Nack; readonly at: number };

/** Why a message that had settled well is among the dead letters after all. */
export type LateDeadLetter = 'failed_after_assumed' | 'failed_after_acked';

export type LateVerdict =
  | { readonly kind: 'raised'; readonly next: SettledMessage; readonly deadLetter: null }
  | { readonly kind: 'failed_late'; readonly next: SettledMessage; readonly deadLetter: LateDeadLetter | null }
  | { readonly kind: 'ignored'; readonly reason: 'level_known' | 'contradiction' | 'already_failed' };

/**
 * An ack or nack for a message that has settled. It never moves its room: levels only rise, a failure after the
 * message was seen delivered is a contradiction and is only counted, a failure after *assumed*, or after an ack that promised less
 * than delivery, makes a dead letter.
 */
export function judgeLate(message: SettledMessage, event: LateEvent): LateVerdict {
  if (event.type === 'ack') {
    if (reaches(message.level, event.level)) return { kind: 'ignored', reason: 'level_known' };
    return { kind: 'raised', next: { ...message, level: event.level, levelAt: event.at }, deadLetter: null };
  }
  if (reaches(message.level, 'delivered')) return { kind: 'ignored', reason: 'contradiction' };
  if (message.lateNackCode !== null || message.outcome === 'failed') {
    return { kind: 'ignored', reason: 'already_failed' };
  }
  return {
    kind: 'failed_late',
    next: { ...message, lateNackCode: event.nack.code },
    deadLetter: deadLetterOf(message.outcome),
  };
}

function deadLetterOf(outcome: Outcome): LateDeadLetter | null {
  if (outcome === 'assumed') return 'failed_after_assumed';
  return outcome === 'acked' ? 'failed_after_acked' : null;
}
