/** Errors of the Graph API: `{"error":{"message","type","code","error_subcode","error_data","fbtrace_id"}}`. */
import { digestOf, type Said } from '../failure-text.ts';
import { type Fields, isFields } from '../fields.ts';

export interface GraphError {
  readonly code: number;
  readonly subcode: number | null;
  /** Meta's own word that the same request may succeed later. */
  readonly transient: boolean;
  readonly said: Said;
}

/**
 * The error that a body, or one item of an `errors` list, tells of. An error can come with any HTTP status, 200 too.
 * Null where there is none that can be read.
 */
export function readGraphError(value: unknown): GraphError | null {
  if (!isFields(value)) return null;
  const error: Fields = isFields(value.error) ? value.error : value;
  const code = wholeNumber(error.code);
  if (code === null) return null;
  const subcode = wholeNumber(error.error_subcode);
  const { details } = isFields(error.error_data) ? error.error_data : {};
  const said = digestOf(error.title, error.message, details);
  return { code, subcode, transient: error.is_transient === true, said };
}

function wholeNumber(value: unknown): number | null {
  if (typeof value === 'string' && /^\d{1,9}$/.test(value)) return Number(value);
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : null;
}
