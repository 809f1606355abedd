import { describe, expect, it } from 'vitest';
import { ERRORS, RoomlineError, renderErrorsMarkdown, toProblem } from '../src/errors.ts';

describe('the catalogue', () => {
  it('gives every code a stable form, a status of its class and an action', () => {
    for (const [code, entry] of Object.entries(ERRORS)) {
      expect(code).toMatch(/^[a-z][a-z0-9]*(_[a-z0-9]+)*$/);
      expect(entry.status).toBeGreaterThanOrEqual(400);
      expect(entry.status).toBeLessThan(600);
      expect(entry.title).toMatch(/^[A-Z].*[^.]$/);
      expect(entry.action).toMatch(/^[A-Z].*\.$/);
    }
  });

  it('cannot be changed at run time', () => {
    expect(Object.isFrozen(ERRORS)).toBe(true);
    expect(Object.values(ERRORS).every((entry) => Object.isFrozen(entry))).toBe(true);
  });

  it('tells a wrong signature from a stale one by code only', () => {
    const [invalid, expired] = [ERRORS.signature_invalid, ERRORS.signature_expired];
    expect([expired.status, expired.title]).toEqual([invalid.status, invalid.title]);
  });

  it('is documented', async () => {
    await expect(renderErrorsMarkdown()).toMatchFileSnapshot('../docs/errors.md');
  });
});

describe('toProblem', () => {
  it('renders a known error with all that it carries', () => {
    const error = new RoomlineError('id_too_long', {
      detail: 'The room id has 300 characters',
      field: 'room',
      rule: 'at most 256 characters',
    });
    expect(toProblem(error, 'req-1')).toEqual({
      type: 'urn:roomline:error:id_too_long',
      title: 'An identifier is too long',
      status: 400,
      detail: 'The room id has 300 characters',
      code: 'id_too_long',
      action: 'Shorten it to the length that the rule gives.',
      retryable: false,
      requestId: 'req-1',
      field: 'room',
      rule: 'at most 256 characters',
    });
  });

  it('says when to come back', () => {
    const problem = toProblem(new RoomlineError('overloaded', { retryAfterMs: 250 }), 'req-2');
    expect(problem).toMatchObject({ status: 503, retryable: true, retryAfterMs: 250 });
  });

  it('shows nothing of an unexpected error', () => {
    const error = new Error('duplicate key in table "messages" on db-7.internal', { cause: 'SELECT secret' });
    const text = JSON.stringify(toProblem(error, 'req-3'));
    expect(text).toContain('"code":"internal"');
    expect(text).not.toMatch(/messages|db-7|SELECT|errors\.test/);
  });

  it('shows nothing of the cause of a known error', () => {
    const error = new RoomlineError('not_ready', { cause: new Error('password of db-7.internal') });
    expect(JSON.stringify(toProblem(error, 'req-4'))).not.toContain('db-7');
    expect(error.cause).toBeInstanceOf(Error);
  });

  it.each([undefined, null, 'text', { code: 'not_found' }])('treats a thrown %j as internal', (thrown) => {
    expect(toProblem(thrown, 'req-5')).toMatchObject({ code: 'internal', status: 500 });
  });
});
