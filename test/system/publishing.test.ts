import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type System, startSystem, TEST_TIMEOUT_MS } from '../support/system.ts';

interface Result {
  readonly index: number;
  readonly id?: string;
  readonly sequence?: number;
  readonly duplicate?: boolean;
  readonly error?: { readonly code: string };
}

const PER_BATCH = 200;
const ROOMS = 8;

describe('Publishing over HTTP', { timeout: TEST_TIMEOUT_MS }, () => {
  let system: System;

  beforeAll(async () => {
    system = await startSystem();
  });

  beforeEach(() => system.ensureRunning());
  afterAll(() => system?.stop());

  const post = (messages: readonly object[], headers: object = {}) =>
    system.call('POST', '/v1/messages:batch', { messages }, headers);

  /** Bodies of a room's messages, waiting and settled, in the order of their sequences. */
  const storedIn = async (room: string) => {
    const rows = await system.query<{ body: Buffer; sequence: number; message_id: string }>(
      `SELECT m.* FROM rooms r, LATERAL (
         SELECT shard, room_id, sequence, message_id, body FROM messages
         UNION ALL SELECT shard, room_id, sequence, message_id, body FROM history
       ) AS m WHERE r.room = $1 AND m.shard = r.shard AND m.room_id = r.id ORDER BY m.sequence`,
      [room],
    );
    return rows.map(({ body, message_id }) => ({ ...JSON.parse(body.toString()), messageId: message_id }));
  };

  test('of what is to be sent in an hour is waited for by nobody who waits until all is settled', async () => {
    const notBefore = Date.now() + 3_600_000;
    await post([
      { channel: 'main', room: 'later', content: { text: 'a' }, notBefore },
      { channel: 'main', room: 'later', content: { text: 'b' } },
      { channel: 'main', room: 'now', content: { text: 'a' }, notBefore: Date.now() + 100 },
    ]);
    await system.rig.untilDrained({ deadlineMs: 10_000 });
    const rooms = await system.query(
      `SELECT room, settled::integer FROM rooms WHERE room IN ('later', 'now') ORDER BY room`,
    );
    expect(rooms).toEqual([
      { room: 'later', settled: 0 },
      { room: 'now', settled: 1 },
    ]);
  });

  test('of batches keeps order and loses nothing through kills, and a repeated batch is known by its key', async () => {
    const batchOf = (name: string) =>
      Array.from({ length: PER_BATCH }, (_, index) => ({
        channel: 'main',
        room: `batched-${index % ROOMS}`,
        content: { text: `${name}-${index}` },
      }));
    const names = Array.from({ length: 30 }, (_, index) => `batch-${index}`);
    const answers = new Map<string, Result[]>();
    // A caller that repeats a batch until it is answered, and only then sends the next one.
    const publishing = (async () => {
      for (const name of names) {
        await system.eventually(`${name} is answered`, async () => {
          const key = { 'idempotency-key': name, 'x-request-id': `request-of-${name}` };
          const answer = await post(batchOf(name), key).catch(() => null);
          if (answer?.status !== 202) return false;
          expect(answer.body).toMatchObject({ accepted: PER_BATCH, refused: 0 });
          answers.set(name, answer.body.results);
          return true;
        });
      }
    })();
    for (const answered of [3, 12]) {
      await system.eventually('some batches are answered', () => answers.size >= answered);
      await system.killEngine();
      await system.rig.engine.start();
    }
    await publishing;

    for (let room = 0; room < ROOMS; room++) {
      const expected = names.flatMap((name) =>
        Array.from({ length: PER_BATCH }, (_, index) => index)
          .filter((index) => index % ROOMS === room)
          .map((index) => ({
            messageId: `${name}:${index}`,
            requestId: `request-of-${name}`,
            to: `batched-${room}`,
            content: { text: `${name}-${index}` },
          })),
      );
      expect(await storedIn(`batched-${room}`)).toEqual(expected);
    }
    const again = await post(batchOf('batch-0'), { 'idempotency-key': 'batch-0' });
    const first = answers.get('batch-0')?.map((result) => ({ ...result, duplicate: true }));
    expect(again.body).toEqual({ accepted: PER_BATCH, refused: 0, results: first });
    const changed = await post([{ channel: 'main', room: 'batched-0', content: { text: 'other' } }], {
      'idempotency-key': 'batch-0',
    });
    expect(changed.body).toMatchObject({ refused: 1, results: [{ index: 0, error: { code: 'message_id_conflict' } }] });
  });

  test('answers every message of a batch, good, known, in conflict or bad, and delivers the good ones', async () => {
    const message = (messageId: string, text = messageId) => ({
      channel: 'main',
      room: 'mixed',
      messageId,
      content: { text },
    });
    const headers = { 'x-request-id': 'trace-of-a-batch' };
    const { status, body } = await post(
      [message('a'), { ...message('b'), room: 7 }, message('a'), message('a', 'other'), message('c')],
      headers,
    );
    expect(status).toBe(202);
    expect(body).toMatchObject({
      accepted: 3,
      refused: 2,
      results: [
        { index: 0, sequence: 1, duplicate: false },
        { index: 1, error: { code: 'field_type', field: 'room' } },
        { index: 2, sequence: 1, duplicate: true },
        { index: 3, error: { code: 'message_id_conflict', field: 'messageId' } },
        { index: 4, sequence: 2, duplicate: false },
      ],
    });
    const { status: link } = body.results[4];
    await system.eventually('the last one has settled', async () => {
      return (await system.call('GET', link)).body.state === 'settled';
    });
    const view = await system.call('GET', link);
    expect(view.body).toMatchObject({ messageId: 'c', requestId: 'trace-of-a-batch', outcome: 'acked' });
    expect(await system.leaks()).toEqual([]);
  });

  test('takes 5,000 messages at once, and refuses more', async () => {
    const messages = Array.from({ length: 5_001 }, (_, index) => ({
      channel: 'main',
      room: `many-${index % 500}`,
      content: { text: 'Hello' },
      // Long after the test: they only have to be on disk.
      notBefore: Date.now() + 86_400_000,
    }));
    expect(await post(messages)).toMatchObject({ status: 413, body: { code: 'batch_too_large' } });
    const { status, body } = await post(messages.slice(1));
    expect(status).toBe(202);
    expect(body).toMatchObject({ accepted: 5_000, refused: 0 });
    const stored = await system.query<{ count: number }>(
      "SELECT count(*)::int FROM messages m, rooms r WHERE r.room LIKE 'many-%' AND m.shard = r.shard AND m.room_id = r.id",
    );
    expect(stored).toEqual([{ count: 5_000 }]);
  });
});
