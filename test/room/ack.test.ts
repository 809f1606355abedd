import { describe, expect, test } from 'vitest';
import { higherLevel, judgeLate, type LateEvent, reaches, type SettledMessage } from '../../src/room/ack.ts';
import { ACK_LEVELS, type AckLevel, OUTCOMES, type Outcome } from '../../src/room/room.ts';
import { nackOf } from '../support/rooms.ts';

function settled(outcome: Outcome, level: AckLevel, lateNackCode: string | null = null): SettledMessage {
  return { outcome, level, levelAt: level === 'none' ? null : 10, lateNackCode };
}

const failure: LateEvent = { type: 'nack', nack: nackOf({ permanent: true, code: 'undeliverable' }), at: 50 };

function lateAck(level: AckLevel): LateEvent {
  return { type: 'ack', level, at: 50 };
}

function verdictOf(message: SettledMessage, event: LateEvent): string {
  const verdict = judgeLate(message, event);
  return verdict.kind === 'ignored' ? verdict.reason : `${verdict.kind}${verdict.deadLetter === null ? '' : ' †'}`;
}

describe('ack levels', () => {
  test('each implies those below it', () => {
    for (const [i, level] of ACK_LEVELS.entries()) {
      for (const [j, wanted] of ACK_LEVELS.entries()) {
        expect(reaches(level, wanted)).toBe(i >= j);
        expect(higherLevel(level, wanted)).toBe(ACK_LEVELS[Math.max(i, j)]);
      }
    }
  });
});

describe('judgeLate', () => {
  // Rows: the level that the settled message has. Columns: the ack that comes.
  const LATE_ACKS = `
                accepted      sent          delivered     read
    none        raised        raised        raised        raised
    accepted    level_known   raised        raised        raised
    sent        level_known   level_known   raised        raised
    delivered   level_known   level_known   level_known   raised
    read        level_known   level_known   level_known   level_known`;

  test('levels only rise, whatever the outcome was', () => {
    for (const { row, column, cell } of cells(LATE_ACKS)) {
      for (const outcome of OUTCOMES) {
        expect(`${row} + ${column}: ${verdictOf(settled(outcome, row as AckLevel), lateAck(column as AckLevel))}`).toBe(
          `${row} + ${column}: ${cell}`,
        );
      }
    }
  });

  // Rows: how the message settled. Columns: its level when a failure is reported. † makes a dead letter.
  const LATE_FAILURES = `
                none            accepted        sent            delivered       read
    acked       failed_late_†   failed_late_†   failed_late_†   contradiction   contradiction
    assumed     failed_late_†   failed_late_†   failed_late_†   contradiction   contradiction
    failed      already_failed  already_failed  already_failed  contradiction   contradiction
    expired     failed_late     failed_late     failed_late     contradiction   contradiction
    cancelled   failed_late     failed_late     failed_late     contradiction   contradiction
    skipped     failed_late     failed_late     failed_late     contradiction   contradiction`;

  test('a failure counts unless the message was seen delivered; after assumed or acked it makes a dead letter', () => {
    for (const { row, column, cell } of cells(LATE_FAILURES)) {
      const verdict = verdictOf(settled(row as Outcome, column as AckLevel), failure);
      expect(`${row} at ${column}: ${verdict}`).toBe(`${row} at ${column}: ${cell.replace('_†', ' †')}`);
    }
  });

  test('a failure is recorded once, with its code, and leaves outcome and level as they are', () => {
    const assumed = settled('assumed', 'sent');
    const first = judgeLate(assumed, failure);
    expect(first).toEqual({
      kind: 'failed_late',
      next: { ...assumed, lateNackCode: 'undeliverable' },
      deadLetter: 'failed_after_assumed',
    });
    if (first.kind !== 'failed_late') throw new Error('not recorded');
    expect(judgeLate(first.next, failure)).toEqual({ kind: 'ignored', reason: 'already_failed' });
  });

  test('a failure after an ack that promised less than delivery makes a dead letter of its own', () => {
    expect(judgeLate(settled('acked', 'sent'), failure)).toMatchObject({ deadLetter: 'failed_after_acked' });
    expect(judgeLate(settled('skipped', 'sent'), failure)).toMatchObject({ deadLetter: null });
  });

  test('a raised level brings its own time', () => {
    expect(judgeLate(settled('assumed', 'sent'), lateAck('read'))).toEqual({
      kind: 'raised',
      next: { outcome: 'assumed', level: 'read', levelAt: 50, lateNackCode: null },
      deadLetter: null,
    });
  });
});

function cells(table: string): { row: string; column: string; cell: string }[] {
  const [columns = [], ...rows] = table
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/));
  const all = rows.flatMap(([row = '', ...values]) =>
    columns.map((column, index) => ({ row, column, cell: values[index] ?? 'no cell' })),
  );
  if (all.length === 0) throw new Error('the table is empty');
  return all;
}
