/**
 * Arrays for statements that take their rows as one array per column, in the server's binary format: there are some
 * forty of them per batch, and reading numbers from text would cost the server more than storing them. And those in which
 * they answer, as text, which costs this process least to read.
 */
import { Buffer } from 'node:buffer';

type Nullable<T> = T | null;

const BOOL = 16;
const BYTEA = 17;
const INT8 = 20;
const INT4 = 23;
const TEXT = 25;

const HEADER_BYTES = 20;
const LENGTH_BYTES = 4;
const NULL_LENGTH = -1;
const TWO_TO_32 = 2 ** 32;

/** For bigint[]. Times may come as fractions of a millisecond; columns hold whole ones. */
export function bigints(values: readonly Nullable<number>[]): Buffer {
  return encode(INT8, values, 8 * values.length, (value, array, at) => {
    const whole = Math.round(value);
    if (!Number.isSafeInteger(whole)) throw new RangeError(`${value} is no number for a bigint`);
    array.writeInt32BE(Math.floor(whole / TWO_TO_32), at);
    array.writeUInt32BE(whole >>> 0, at + 4);
    return 8;
  });
}

/** For integer[]. */
export function integers(values: readonly Nullable<number>[]): Buffer {
  return encode(INT4, values, 4 * values.length, (value, array, at) => {
    if (!Number.isInteger(value)) throw new RangeError(`${value} is no number for an integer`);
    array.writeInt32BE(value, at);
    return 4;
  });
}

/** For boolean[]. */
export function booleans(values: readonly boolean[]): Buffer {
  return encode(BOOL, values, values.length, (value, array, at) => {
    array[at] = value ? 1 : 0;
    return 1;
  });
}

/** For text[]. */
export function texts(values: readonly Nullable<string>[]): Buffer {
  // No string takes more than three bytes for each of its units.
  const size = values.reduce((sum, value) => sum + (value?.length ?? 0) * 3, 0);
  return encode(TEXT, values, size, (value, array, at) => array.write(value, at));
}

/** For bytea[]. */
export function bytes(values: readonly Nullable<Uint8Array>[]): Buffer {
  const size = values.reduce((sum, value) => sum + (value?.length ?? 0), 0);
  return encode(BYTEA, values, size, (value, array, at) => {
    array.set(value, at);
    return value.length;
  });
}

/**
 * @param size the most bytes that all the values take
 * @param write puts a value at an offset and returns how many bytes it took
 */
function encode<T>(
  type: number,
  values: readonly Nullable<T>[],
  size: number,
  write: (value: T, array: Buffer, at: number) => number,
): Buffer {
  const array = Buffer.allocUnsafe(HEADER_BYTES + values.length * LENGTH_BYTES + size);
  const dimensions = values.length === 0 ? 0 : 1;
  let hasNull = 0;
  let at = HEADER_BYTES;
  // Not by an iterator: arrays of many types come here, and each step of one would be an object.
  for (let index = 0; index < values.length; index++) {
    const value = values[index] as Nullable<T>;
    if (value === null) {
      hasNull = 1;
      array.writeInt32BE(NULL_LENGTH, at);
      at += LENGTH_BYTES;
    } else {
      const length = write(value, array, at + LENGTH_BYTES);
      array.writeInt32BE(length, at);
      at += LENGTH_BYTES + length;
    }
  }
  array.writeInt32BE(dimensions, 0);
  array.writeInt32BE(hasNull, 4);
  array.writeInt32BE(type, 8);
  if (dimensions === 0) return array.subarray(0, 12);
  array.writeInt32BE(values.length, 12);
  array.writeInt32BE(1, 16);
  return array.subarray(0, at);
}

/** The numbers of an array as Postgres writes it, `{1,2}`; none where it is null. */
export function numbers(array: string | null): number[] {
  return array === null ? [] : (JSON.parse(`[${array.slice(1, -1)}]`) as number[]);
}

/** The same for words that need no quotes. */
export function listed(array: string | null): string[] {
  return array === null ? [] : array.slice(1, -1).split(',');
}
