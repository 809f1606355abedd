/** Roomline that answers from the buffer, while everything that it is made of is killed or stands still. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { findRedis, RedisServer } from '../support/redis.ts';
import { type System, startSystem, TEST_TIMEOUT_MS } from '../support/system.ts';

const ROOMS = 10;
const PER_BATCH = 100;
const BATCHES = 30;
const STALL_MS = 4_000;
const INTAKE = { mode: 'buffered', partitions: 4, leaseMs: 1_000 };
const KEEPING = { appendonly: 'yes', appendfsync: 'always' };
const program = findRedis();

describe.each(program === null ? [] : [program])('Buffered publishing', { timeout: TEST_TIMEOUT_MS }, (installed) => {
  let redis: RedisServer;
  let system: System;

  beforeAll(async () => {
    redis = new RedisServer(installed, KEEPING);
    await redis.start();
    system = await startSystem({ settings: { redis: { url: redis.url }, intake: INTAKE } });
  });

  beforeEach(() => system.ensureRunning());

  afterAll(async () => {
    await system?.stop();
    await redis?.stop();
  });

  const roomOf = (run: string, index: number): string => `${run}-${index % ROOMS}`;
  const idOf = (batch: number, index: number): string => `${batch}/${index}`;

  interface Publishing {
    /** Batches that were answered with 202. */
    readonly answered: () => number;
    readonly done: Promise<void>;
    readonly slowestMs: () => number;
  }

  /** Batches one after the other, each repeated until it is answered. Later ones wait for nothing else. */
  function publish(run: string): Publishing {
    let answered = 0;
    let slowestMs = 0;
    const done = (async () => {
      for (let batch = 0; batch < BATCHES; batch++) {
        const messages = Array.from({ length: PER_BATCH }, (_, index) => ({
          channel: 'main',
          room: roomOf(run, index),
          messageId: idOf(batch, index),
          content: { text: `${batch}/${index}` },
        }));
        await system.eventually(`batch ${batch} is answered`, async () => {
          const begun = performance.now();
          const answer = await system.call('POST', '/v1/messages:batch', { messages }).catch(() => null);
          slowestMs = Math.max(slowestMs, performance.now() - begun);
          if (answer?.status !== 202 || answer.body.refused > 0) return false;
          expect(answer.body.results[0]).toMatchObject({ mode: 'buffered', id: null, sequence: null, duplicate: null });
          return true;
        });
        answered++;
      }
    })();
    return { answered: () => answered, done, slowestMs: () => slowestMs };
  }

  /** Message ids of a room in the order of their sequences. */
  async function idsIn(room: string): Promise<string[]> {
    const rows = await system.query<{ message_id: string }>(
      `SELECT m.message_id FROM rooms r, LATERAL (
         SELECT shard, room_id, sequence, message_id FROM messages
         UNION ALL SELECT shard, room_id, sequence, message_id FROM history
       ) AS m WHERE r.room = $1 AND m.shard = r.shard AND m.room_id = r.id ORDER BY m.sequence`,
      [room],
    );
    return rows.map(({ message_id }) => message_id);
  }

  async function expectAllOnceInOrder(run: string): Promise<void> {
    await system.eventually('the buffer is empty', async () => {
      const { body } = await system.call('GET', '/v1/ops/buffer');
      return body.messages === 0;
    });
    for (let room = 0; room < ROOMS; room++) {
      const indexes = Array.from({ length: PER_BATCH }, (_, index) => index).filter((index) => index % ROOMS === room);
      const expected = Array.from({ length: BATCHES }, (_, batch) => indexes.map((index) => idOf(batch, index))).flat();
      expect(await idsIn(roomOf(run, room))).toEqual(expected);
    }
  }

  test('loses nothing that was answered, doubles nothing and keeps order through kills of the process and of Redis', async () => {
    const publishing = publish('killed');
    for (const share of [0.15, 0.4, 0.7]) {
      await system.eventually('some batches are answered', () => publishing.answered() >= BATCHES * share);
      await system.killEngine();
      await system.rig.engine.start();
      await redis.kill();
      system.count('Redis killed');
      await redis.start();
    }
    await publishing.done;
    await expectAllOnceInOrder('killed');
    expect(system.logged('buffer.data_lost')).toEqual([]);
    expect((await system.call('GET', '/v1/ops/buffer')).body.buried).toBe(0);
    expect((await system.call('GET', '/v1/dead-letters')).body.letters).toEqual([]);
  });

  test('answers while Postgres stands still, says how much waits, and stays ready for it', async () => {
    system.rig.postgres.pause();
    const begun = performance.now();
    const message = { channel: 'main', room: 'followed', messageId: 'm', content: { text: 'hello' } };
    const { status: link } = (await system.call('POST', '/v1/messages', message)).body;
    const publishing = publish('stalled');
    try {
      await publishing.done;
      expect(publishing.slowestMs()).toBeLessThan(STALL_MS / 2);
      const { body } = await system.call('GET', '/v1/ops/buffer');
      expect(body.messages).toBeGreaterThanOrEqual(BATCHES * PER_BATCH);
      const followed = await system.call('GET', link);
      expect(followed.status).toBe(200);
      expect(followed.body).toMatchObject({ state: 'buffered', messageId: 'm', sequence: null, outcome: null });
      expect(await system.readiness()).toMatchObject({ ready: true, away: expect.arrayContaining(['postgres']) });
      await system.eventually('it has stood still for long', () => performance.now() - begun > STALL_MS);
    } finally {
      system.rig.postgres.resume();
    }
    await expectAllOnceInOrder('stalled');
    const { body: inserted } = await system.call('GET', link);
    expect(inserted).toMatchObject({ state: expect.stringMatching('waiting|settled'), messageId: 'm', sequence: 1 });
    const pipeline = await system.eventually('the whole is known again', async () => {
      const { body } = await system.call('GET', '/v1/pipeline');
      return body.buffered?.messages === 0 && body;
    });
    expect(pipeline.buffered).toEqual({ messages: 0, buried: 0, oldestAt: null, unassigned: 0 });
    expect(new Set(pipeline.channels.map(({ buffered }: { buffered: number }) => buffered))).toEqual(new Set([0]));
  });

  test('tells of one message by its own id, once it is inserted', async () => {
    const message = { channel: 'main', room: 'asked for', content: { text: 'hello' } };
    const { status, body } = await system.call('POST', '/v1/messages', message, { 'x-request-id': 'req-of-one' });
    expect(status).toBe(202);
    expect(body.status).toMatch(/^\/v1\/rooms\/main\/asked%20for\/messages\/http%3A/);
    const view = await system.eventually('it has settled', async () => {
      const answer = await system.call('GET', body.status);
      return answer.status === 200 && answer.body.outcome !== null && answer.body;
    });
    expect(view).toMatchObject({ requestId: 'req-of-one', sequence: 1, outcome: 'acked' });
  });

  test('says plainly that Redis lost what it held, and goes on', async () => {
    const before = system.logged('buffer.data_lost').length;
    await system.call('POST', '/v1/messages', {
      channel: 'main',
      room: 'emptied',
      messageId: 'a',
      content: { text: 'a' },
    });
    await system.eventually('it is inserted', async () => (await idsIn('emptied')).length === 1);
    await redis.stop();
    redis = new RedisServer(installed, KEEPING, redis.port);
    await redis.start();
    await system.eventually(
      'it is told',
      () => system.logged('buffer.data_lost').length === before + INTAKE.partitions,
    );
    await system.eventually('the next one is taken', async () => {
      const message = { channel: 'main', room: 'emptied', messageId: 'b', content: { text: 'b' } };
      return (await system.call('POST', '/v1/messages', message)).status === 202;
    });
    await system.eventually('and inserted', async () => (await idsIn('emptied')).join() === 'a,b');
  });
});
