/** What of dead letters only a database has: pages that look at a bounded number of them, and their indexes. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PostgresLetterStore } from '../../../src/adapters/postgres/letters.ts';
import { Pool } from '../../../src/adapters/postgres/pool.ts';
import type { LetterFilter, LetterPlace } from '../../../src/engine/operator-ports.ts';
import { postgresServers } from '../../support/postgres.ts';
import { Database, openOptions } from './database.ts';

const LETTERS = 1_000;
const ALL: LetterFilter = {
  channel: null,
  tenants: null,
  room: null,
  kind: null,
  reason: null,
  code: null,
  fingerprint: null,
  state: null,
  from: null,
  until: null,
};

describe.each(postgresServers())('$name: dead letters', (server) => {
  let database: Database;
  let pool: Pool;
  beforeAll(async () => {
    database = await Database.create(server);
    pool = new Pool(openOptions(database.url), 2, { epoch: 0 });
    // Of two channels by turns, ten of a time, one in a hundred of another reason.
    await database.query(
      `INSERT INTO dead_letters (at, kind, reason, detail, tenant, channel, shard, room_id, sequence)
       SELECT 1000 + n / 10, 'message', CASE WHEN n % 100 = 0 THEN 'rare' ELSE 'refused' END, 'code', 'default',
         'channel-' || n % 2, 1, n % 7, n
       FROM generate_series(1, $1::integer) AS n`,
      [LETTERS],
    );
  });
  afterAll(async () => {
    await pool.close();
    await database.close();
  });

  it.each(['newest', 'oldest'] as const)('a page looks at so many, and goes on from there (%s)', async (order) => {
    const store = new PostgresLetterStore(pool, 70);
    const filter = { ...ALL, reason: 'rare' };
    const found: number[] = [];
    let pages = 0;
    for (let after: LetterPlace | null = null; ; pages++) {
      const page = await store.page(filter, order, after, 5);
      found.push(...page.letters.map(({ sequence }) => sequence ?? 0));
      expect(page.letters.length).toBeLessThanOrEqual(1);
      after = page.next;
      if (after === null) break;
    }
    const expected = Array.from({ length: LETTERS / 100 }, (_, index) => 100 * (index + 1));
    expect(found).toEqual(order === 'oldest' ? expected : expected.toReversed());
    expect(pages).toBe(Math.floor(LETTERS / 70));
  });

  it('a page that is larger than what is looked at is whole all the same', async () => {
    const store = new PostgresLetterStore(pool, 10);
    const { letters, next } = await store.page(ALL, 'newest', null, 50);
    expect(letters).toHaveLength(50);
    // As versions before fingerprints wrote them.
    expect(letters.every(({ fingerprint }) => fingerprint === null)).toBe(true);
    expect(next).toEqual({ at: letters.at(-1)?.at, id: letters.at(-1)?.id });
    const rest = await store.page({ ...ALL, room: { shard: 1, id: 3 } }, 'oldest', null, 200);
    expect(rest.letters.map(({ sequence }) => sequence)).toEqual(
      Array.from({ length: LETTERS }, (_, index) => index + 1).filter((n) => n % 7 === 3),
    );
    expect(rest.next).toBeNull();
  });

  it('failures that were not seen for as long as the history is kept are dropped', async () => {
    const { operators, maintenance } = database.stores({ historyRetentionDays: 30 });
    const DAY_MS = 86_400_000;
    const now = Date.now();
    const group = { channel: null, kind: 'intake', count: 1, deadLetters: 1, firstSeen: 0, sample: null } as const;
    await operators.failures.merge([
      { ...group, fingerprint: '1'.repeat(32), code: 'old', lastSeen: now - 31 * DAY_MS },
      { ...group, fingerprint: '2'.repeat(32), code: 'new', lastSeen: now - 29 * DAY_MS },
    ]);
    await maintenance.dropExpired(now);
    expect((await operators.failures.list({ channel: null, tenants: null }, 0, 10)).map(({ code }) => code)).toEqual([
      'new',
    ]);
  });
});
