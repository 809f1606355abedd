/** What an error says about the statement it came from. */
import pg from 'pg';

/** Codes and classes of errors that only ever roll a statement back. */
const ROLLED_BACK = /^(22|23|40|42|55|57014)/;
/** Deadlock, serialization failure, lock timeout: the same statement may succeed in a moment. */
const PASSING = /^(40001|40P01|55P03)$/;

/** The statement certainly had no effect. Anything else, such as a broken connection, may have come after a commit. */
export function hadNoEffect(error: unknown): boolean {
  if (!(error instanceof pg.DatabaseError)) return false;
  // A session that ends says so with another severity; elsewhere than in English, ERROR has another name.
  if (error.severity === 'FATAL' || error.severity === 'PANIC') return false;
  return error.severity === 'ERROR' || ROLLED_BACK.test(error.code ?? '');
}

/** It had no effect, for a reason that passes by itself. */
export function mayPass(error: unknown): boolean {
  return hadNoEffect(error) && (PASSING.test((error as pg.DatabaseError).code ?? '') || hasStalePlan(error));
}

/** A migration has added a column since the session prepared the statement: it must be prepared by another session. */
export function hasStalePlan(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === '0A000' && error.routine === 'RevalidateCachedQuery';
}

/** Values that no column takes, a broken constraint, a value too large for its index. */
const REFUSED = /^(22|23(?!505)|54)/;

/** The same row would be refused again: it must be found and taken out of its batch. */
export function refusesRow(error: unknown): boolean {
  return hadNoEffect(error) && REFUSED.test((error as pg.DatabaseError).code ?? '');
}
