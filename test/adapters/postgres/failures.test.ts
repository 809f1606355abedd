import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { hadNoEffect, mayPass, refusesRow } from '../../../src/adapters/postgres/failures.ts';

function errorOf(code: string, severity = 'ERROR'): pg.DatabaseError {
  const error = new pg.DatabaseError('refused', 0, 'error');
  error.code = code;
  error.severity = severity;
  return error;
}

describe('an error of the database', () => {
  it.each([
    ['23514', 'a broken constraint', { effect: false, passing: false, row: true }],
    ['22021', 'a character that cannot be stored', { effect: false, passing: false, row: true }],
    ['54000', 'a value too large for its index', { effect: false, passing: false, row: true }],
    ['23505', 'a key that another one has just taken', { effect: false, passing: false, row: false }],
    ['42501', 'a missing permission', { effect: false, passing: false, row: false }],
    ['40P01', 'a deadlock', { effect: false, passing: true, row: false }],
    ['40001', 'a serialization failure', { effect: false, passing: true, row: false }],
    ['55P03', 'a lock timeout', { effect: false, passing: true, row: false }],
    ['57014', 'a statement timeout', { effect: false, passing: false, row: false }],
    ['53100', 'a full disk', { effect: false, passing: false, row: false }],
  ])('%s, %s', (code, _, { effect, passing, row }) => {
    const error = errorOf(code);
    expect([!hadNoEffect(error), mayPass(error), refusesRow(error)]).toEqual([effect, passing, row]);
  });

  it('that ends the session leaves the outcome open', () => {
    for (const severity of ['FATAL', 'PANIC']) {
      for (const code of ['57P01', '53100', '25P03', 'XX000']) expect(hadNoEffect(errorOf(code, severity))).toBe(false);
    }
  });

  it('of a server that speaks another language is told by its code', () => {
    expect(hadNoEffect(errorOf('23514', 'FEHLER'))).toBe(true);
    expect(hadNoEffect(errorOf('57P01', 'SCHWERWIEGEND'))).toBe(false);
  });

  it('is one of the database only if the database sent it', () => {
    expect(hadNoEffect(new Error('Connection terminated unexpectedly'))).toBe(false);
    expect(hadNoEffect(null)).toBe(false);
  });
});
