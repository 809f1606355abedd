/** The tables refuse a state that the engine must never write, whoever writes it. */
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { postgresServers } from '../../support/postgres.ts';
import { Database } from './database.ts';

/** Rooms as a holder writes them: what has to be set for each phase. */
const LEGAL = {
  idle: '',
  ready: `phase = 'ready'`,
  paused: `phase = 'waiting', reason = 'paused', paused = true`,
  limited: `phase = 'waiting', reason = 'limit', until = 9`,
  sending: `phase = 'sending', attempt = 1, first_claim_version = 1, attempts = '[{}]'`,
  awaiting: `phase = 'awaiting_ack', until = 9, attempt = 1, first_claim_version = 1, attempts = '[{}]', level = 'accepted'`,
  'backing off': `phase = 'backing_off', until = 9, attempt = 1, spent = 1, first_claim_version = 1`,
  unknown: `phase = 'unknown', until = 9, attempt = 1, first_claim_version = 1, bytes_left = true`,
  held: `phase = 'held', reason = 'refused', attempt = 1, first_claim_version = 1`,
  marked: `phase = 'sending', mark = 'skip', nack = '{}', attempt = 1, first_claim_version = 1`,
} as const;

const ILLEGAL: readonly (readonly [invariant: string, of: keyof typeof LEGAL, set: string])[] = [
  ...['version', 'settled', 'spent', 'attempt', 'first_claim_version'].map(
    (counter) => ['I1', 'ready', `${counter} = -1`] as const,
  ),
  ['I1', 'ready', 'next_order = 0'],
  ['I3', 'paused', `reason = 'refused'`],
  ['I3', 'paused', 'reason = NULL'],
  ['I3', 'idle', `reason = 'paused'`],
  ['I3', 'held', `reason = 'channel'`],
  ['I3', 'held', 'reason = NULL'],
  ['I4', 'awaiting', 'until = NULL'],
  ['I4', 'backing off', 'until = NULL'],
  ['I4', 'unknown', 'until = NULL'],
  ['I4', 'limited', 'until = NULL'],
  ['I4', 'paused', 'until = 9'],
  ['I4', 'idle', 'until = 9'],
  ['I4', 'ready', 'until = 9'],
  ['I4', 'sending', 'until = 9'],
  ['I4', 'held', 'until = 9'],
  ...(['sending', 'awaiting', 'unknown'] as const).map(
    (phase) => ['I5', phase, 'attempt = 0, first_claim_version = 0'] as const,
  ),
  ['I5', 'backing off', 'attempt = 0, spent = 0, first_claim_version = 0'],
  ['I6', 'idle', `level = 'sent'`],
  ['I6', 'idle', `platform_id = 'gw-1'`],
  ['I6', 'idle', 'spent = 1'],
  ['I6', 'idle', 'attempt = 1, first_claim_version = 1'],
  ['I6', 'idle', `attempts = '[{}]'`],
  ['I7', 'awaiting', `mark = 'skip'`],
  ['I7', 'awaiting', `nack = '{}'`],
  ['I7', 'sending', 'bytes_left = true'],
  ['I7', 'sending', `mark = 'other'`],
  ['I8', 'sending', 'first_claim_version = 0'],
  ['I8', 'ready', 'first_claim_version = 1'],
  ['I11', 'idle', 'paused = true'],
  ['I11', 'ready', 'paused = true'],
];

const ILLEGAL_MESSAGES = [
  'sequence = 0',
  `message_id = ''`,
  `message_id = repeat('x', 257)`,
  `digest = '\\x00'`,
  `failure_policy = 'other'`,
  `source = 'other'`,
  `cancelled_by = 'other'`,
];

describe.each(postgresServers())('$name: what the tables refuse', (server) => {
  let database: Database;
  let session: pg.Client;
  beforeAll(async () => {
    database = await Database.create(server);
    session = await database.session();
    await session.query(
      `INSERT INTO rooms (shard, id, since, created_at, touched_at, tenant, channel, room)
       VALUES (0, 1, 0, 0, 0, 'default', 'chat', 'room')`,
    );
    await session.query('INSERT INTO resting_rooms SELECT * FROM rooms');
    await session.query(
      `INSERT INTO messages (shard, room_id, sequence, accepted_at, message_id, source, digest, body)
       VALUES (0, 1, 1, 0, 'm-1', 'http', decode(repeat('00', 32), 'hex'), '')`,
    );
  });
  afterAll(() => database.close());

  /** Sets the one row of the table, and takes it back whether it was stored or not. */
  async function set(table: string, ...changes: readonly string[]): Promise<void> {
    await session.query('BEGIN');
    try {
      for (const change of changes) if (change !== '') await session.query(`UPDATE ${table} SET ${change}`);
    } finally {
      await session.query('ROLLBACK');
    }
  }

  describe.each(['rooms', 'resting_rooms'])('%s', (table) => {
    it.each(Object.entries(LEGAL))('a room that is %s is stored', (_, legal) => set(table, legal));

    it.each(ILLEGAL)('%s: %s, but %s', async (_, of, illegal) => {
      await expect(set(table, LEGAL[of], illegal)).rejects.toMatchObject({
        code: '23514',
        constraint: 'keeps_invariants',
      });
    });
  });

  it.each(ILLEGAL_MESSAGES)('a message with %s', async (illegal) => {
    await expect(set('messages', illegal)).rejects.toMatchObject({ code: '23514', constraint: 'keeps_limits' });
  });
});
