import fc from 'fast-check';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bigints, booleans, bytes, integers, texts } from '../../../src/adapters/postgres/arrays.ts';
import { postgresServers } from '../../support/postgres.ts';
import { Database } from './database.ts';

const maybe = <T>(value: fc.Arbitrary<T>) => fc.array(fc.option(value), { maxLength: 20 });

describe.each(postgresServers())('$name: arrays', (server) => {
  let database: Database;
  let client: pg.Client;
  beforeAll(async () => {
    database = await Database.create(server);
    client = await database.session();
  });
  afterAll(() => database.close());

  async function echo(type: string, array: Buffer): Promise<unknown[]> {
    const { rows } = await client.query(`SELECT to_json($1::${type}[]) AS echo`, [array]);
    return (rows[0] as { echo: unknown[] }).echo;
  }

  it('arrive as they were', async () => {
    await fc.assert(
      fc.asyncProperty(
        maybe(fc.maxSafeInteger()),
        maybe(fc.integer()),
        maybe(fc.string({ unit: 'binary' }).map((text) => text.replaceAll('\u0000', ' '))),
        fc.array(fc.boolean()),
        fc.array(fc.uint8Array()),
        async (longs, ints, strings, flags, blobs) => {
          expect(await echo('bigint', bigints(longs))).toEqual(longs);
          expect(await echo('integer', integers(ints))).toEqual(ints);
          expect(await echo('text', texts(strings))).toEqual(strings);
          expect(await echo('boolean', booleans(flags))).toEqual(flags);
          const hex = blobs.map((blob) => `\\x${Buffer.from(blob).toString('hex')}`);
          expect(await echo('bytea', bytes(blobs))).toEqual(hex);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('round fractions of milliseconds, and refuse what is no number', async () => {
    expect(await echo('bigint', bigints([1.4, -1.6, null]))).toEqual([1, -2, null]);
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, 2 ** 60])
      expect(() => bigints([value])).toThrow(RangeError);
    for (const value of [Number.NaN, 0.5]) expect(() => integers([value])).toThrow(RangeError);
    expect(() => integers([2 ** 31])).toThrow(RangeError);
  });
});
