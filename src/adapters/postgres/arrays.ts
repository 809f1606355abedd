/**
 * Array literals for statements that take their rows as one array per column. The driver's own encoder quotes and
 * escapes every element; most of ours need neither, and there are some fifty of them per row.
 */

type Nullable<T> = T | null;

/** Times may come as fractions of a millisecond; columns hold whole ones. */
export function integers(values: readonly Nullable<number>[]): string {
  return join(values, (value) => String(Math.round(value)));
}

export function booleans(values: readonly boolean[]): string {
  return join(values, (value) => (value ? 't' : 'f'));
}

/** Words of a closed list, which need no quoting. */
export function words(values: readonly Nullable<string>[]): string {
  return join(values, (value) => value);
}

export function texts(values: readonly Nullable<string>[]): string {
  return join(values, quote);
}

export function bytes(values: readonly Uint8Array[]): string {
  return join(values, (value) => `"\\\\x${Buffer.from(value).toString('hex')}"`);
}

const SPECIAL = /["\\]/;
const ALL_SPECIAL = /["\\]/g;

function quote(value: string): string {
  return SPECIAL.test(value) ? `"${value.replace(ALL_SPECIAL, '\\$&')}"` : `"${value}"`;
}

function join<T>(values: readonly Nullable<T>[], encode: (value: T) => string): string {
  let literal = '{';
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as Nullable<T>;
    if (i > 0) literal += ',';
    literal += value === null ? 'NULL' : encode(value);
  }
  return `${literal}}`;
}
