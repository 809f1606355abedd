/**
 * R7: which events can have made a change, told from the row before, the row after and what was written with it alone.
 * A change of which nothing tells a cause is itself a violation.
 */
import type { AttemptRecord, ChangeRecord, RowRecord } from './records.ts';

/** @returns `phase before × event`, one for each event that the change shows */
export function cellsOf(before: RowRecord, change: ChangeRecord): string[] {
  return causesOf(before, change).map((cause) => `${before.phase}×${cause}`);
}

function causesOf(before: RowRecord, { row, settled, cancelled, claims }: ChangeRecord): string[] {
  const causes = new Set<string>();
  if (claims) causes.add('permit_granted');
  for (const { by } of cancelled) causes.add(by === 'operator' ? 'cancel' : by);
  if (row.paused !== before.paused) causes.add(row.paused ? 'pause' : 'resume');
  for (const [index, { reason, outcome, attempts }] of settled.entries()) {
    const ended = index === 0 ? endingOf(before.attempts, attempts) : null;
    if (ended !== null) causes.add(ended);
    else if (reason === 'ack') causes.add('ack');
    else if (reason === 'expired' || reason === 'ack_timeout' || reason === 'assume_policy') causes.add('deadline_due');
    else if (reason === 'operator') causes.add(outcome === 'skipped' ? 'skip' : 'cancel');
    else if (reason === 'superseded') causes.add('superseded');
    else if (reason === 'refused') causes.add('nack');
    else if (reason === 'attempts_exhausted' || reason === 'outcome_unknown') causes.add('deadline_due');
    else if (reason === 'accepted') causes.add('ack');
  }
  if (settled.length > 0) return [...causes];
  const ended = endingOf(before.attempts, row.attempts);
  if (ended !== null) causes.add(ended);
  if (row.mark !== null && before.mark === null) causes.add(row.mark);
  if (row.nacked && !before.nacked) causes.add('nack');
  if (row.level !== before.level && ended !== 'attempt_accepted') causes.add('ack');
  if (causes.size > 0) return [...causes];
  // Two events that undo each other leave nothing but their versions.
  const asBefore = row.phase === before.phase || (before.phase === 'idle' && row.phase === 'ready');
  if (row.version - before.version >= 2 && asBefore) return ['pause', 'resume'];
  return [quietCauseOf(before, row)].filter((cause) => cause !== null);
}

/** What became known of an attempt that had no answer, or only an unknown one. */
function endingOf(before: readonly AttemptRecord[], after: readonly AttemptRecord[]): string | null {
  for (const attempt of after) {
    const was = before.find(({ number }) => number === attempt.number)?.result ?? null;
    if (attempt.result === was || attempt.result === null) continue;
    return ENDINGS[attempt.result] ?? null;
  }
  return null;
}

const ENDINGS: Readonly<Record<string, string>> = {
  accepted: 'attempt_accepted',
  refused: 'attempt_refused',
  unknown: 'attempt_unknown',
  interrupted: 'taken_over',
};

/** Changes of the phase alone. */
function quietCauseOf(before: RowRecord, after: RowRecord): string | null {
  if (before.phase === 'held' && after.phase !== 'held') return 'retry';
  // A refusal by status of an attempt that counts as accepted.
  if (after.phase === 'held' && after.reason === 'refused') return 'nack';
  if (before.phase === 'awaiting_ack' && after.phase !== 'awaiting_ack') return 'nack';
  if (before.phase === 'unknown' || before.phase === 'waiting') return 'deadline_due';
  if (before.phase === 'backing_off') return 'deadline_due';
  // A head that must wait for its time is put off by the claim that would have been.
  const putOff = before.phase === 'idle' || before.phase === 'ready';
  return putOff && after.phase === 'waiting' && after.reason !== 'paused' ? 'permit_granted' : null;
}
