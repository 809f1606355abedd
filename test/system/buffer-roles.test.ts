/**
 * Buffered acceptance by processes of their own: one accepts over HTTP, two take from the buffer, and each of them, Redis
 * and Postgres are killed while messages come in. The oracle decides what came of every message that was answered.
 */
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Fleet } from '../../simulators/cluster/fleet.ts';
import { contentHash } from '../../simulators/platform/content-hash.ts';
import { DATABASE } from '../../simulators/rig/database.ts';
import type { LoadMessage } from '../../simulators/rig/publisher.ts';
import { PublisherLog } from '../../simulators/rig/publisher-log.ts';
import { session } from '../adapters/postgres/database.ts';
import { AppendLink } from '../support/append-link.ts';
import { eventually } from '../support/events.ts';
import { findRedis } from '../support/redis.ts';
import { type Answer, QUICK_PLATFORM, SETTINGS, TEST_TIMEOUT_MS } from '../support/system.ts';

const ROOMS = 30;
const PARTITIONS = 4;
/** Between an answer and the next message of its room. */
const PACE_MS = 150;
const RETRY_MS = 20;
/** Longer than anything here is down: no message need be assumed. */
const ACK_TIMEOUT_MS = 20_000;
const DEADLINE = { deadlineMs: 60_000, everyMs: 50 };
/** What Postgres refuses a consumer with that has its partition no more. */
const CURSOR_MOVED = 'RL001';

const program = findRedis();

describe.each(program === null ? [] : [program])('Buffered acceptance by roles', { timeout: TEST_TIMEOUT_MS }, () => {
  let directory: string;
  let fleet: Fleet;
  /** Between the consumer and Postgres. */
  let link: AppendLink;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'roomline-buffer-roles-'));
    // As root, Postgres runs under another account, which must be able to enter.
    chmodSync(directory, 0o755);
    fleet = await Fleet.start({
      directory,
      seed: 1,
      nodes: [
        { name: 'front', roles: ['api'] },
        { name: 'worker', roles: ['intake', 'webhook', 'worker'] },
      ],
      channels: { main: {} },
      settings: {
        ...SETTINGS,
        intake: { mode: 'buffered', partitions: PARTITIONS, leaseMs: 1_000 },
        channelDefaults: { ...SETTINGS.channelDefaults, ackTimeoutMs: ACK_TIMEOUT_MS },
      },
      redis: { appendonly: 'yes', appendfsync: 'always' },
      platform: [QUICK_PLATFORM],
    });
    const { postgres } = fleet.rig;
    link = new AppendLink(() => ({ host: postgres.host, port: postgres.port }));
    await link.listen();
    const url = new URL(postgres.url(DATABASE));
    url.port = String(link.port);
    await fleet.add({ name: 'consumer', roles: ['intake'], settings: { postgres: { url: url.href } } });
    await untilShared();
  }, TEST_TIMEOUT_MS);

  afterAll(async () => {
    await fleet?.stop();
    await link?.close();
    rmSync(directory, { recursive: true, force: true });
  });

  /** How many partitions each consumer has. */
  function shares(): Promise<number[]> {
    return session(fleet.rig.postgres.url(DATABASE), async (client) => {
      const { rows } = await client.query<{ held: number }>(
        'SELECT count(*)::integer AS held FROM buffer_partitions WHERE lease_until > now() GROUP BY consumer',
      );
      return rows.map(({ held }) => held);
    });
  }

  /** Both consumers have their half. */
  function untilShared(): Promise<unknown> {
    const half = PARTITIONS / 2;
    const isShared = async () => (await shares()).join() === [half, half].join();
    return eventually('the partitions are shared', isShared, DEADLINE);
  }

  async function call(method: string, path: string, body?: object): Promise<Answer> {
    const response = await fetch(`${fleet.node('front').process.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${fleet.rig.apiKey}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: await response.json() };
  }

  interface Publishing {
    /** Resolves when so many more have been answered with 202. */
    more(count: number): Promise<void>;
    /** No room begins another message. Resolves with the log when each of those begun has been answered with 202. */
    end(): Promise<PublisherLog>;
  }

  /** One message after the other in each room, each repeated until it is answered with 202. */
  function publish(run: string): Publishing {
    const log = new PublisherLog(join(directory, `${run}.ndjson`));
    const waiting = new Set<{ at: number; resolve: () => void }>();
    let isEnding = false;

    async function accept(message: LoadMessage): Promise<void> {
      const { messageId: key, room, channel, content } = message;
      const entries = [{ key, room, channel, run, hash: contentHash(content) }];
      log.publishing(entries);
      for (;;) {
        // A process that is killed answers nothing, and one that has just come back nothing but 503.
        const answer = await call('POST', '/v1/messages', message).catch(() => null);
        if (answer?.status === 202) {
          expect(answer.body).toMatchObject({ mode: 'buffered', sequence: null });
          break;
        }
        if (answer !== null) expect(answer.status).toBe(503);
        await delay(RETRY_MS);
      }
      log.confirm(entries);
      for (const one of waiting) if (log.confirmed >= one.at) one.resolve();
    }

    const rooms = Array.from({ length: ROOMS }, async (_, number) => {
      const room = `${run}-${number}`;
      for (let index = 1; !isEnding; index++) {
        const key = `${room}/${index}`;
        await accept({ channel: 'main', room, messageId: key, content: { key, run, index, text: `${index}` } });
        await delay(PACE_MS);
      }
    });
    const done = Promise.all(rooms);
    // What went wrong is told to whoever waits, too.
    const failed = done.then(() => new Promise<never>(() => undefined));
    return {
      async more(count) {
        const { promise, resolve } = Promise.withResolvers<void>();
        const one = { at: log.confirmed + count, resolve };
        waiting.add(one);
        await Promise.race([promise, failed]);
        waiting.delete(one);
      },
      async end() {
        isEnding = true;
        await done;
        expect(log.confirmed).toBe(log.size);
        return log;
      },
    };
  }

  function untilBufferIsEmpty(): Promise<unknown> {
    const isEmpty = async () => (await call('GET', '/v1/ops/buffer')).body.messages === 0;
    return eventually('the buffer is empty', isEmpty, DEADLINE);
  }

  async function expectClean(run: string, log: PublisherLog): Promise<void> {
    const { rig } = fleet;
    await untilBufferIsEmpty();
    await rig.untilDrained({ deadlineMs: DEADLINE.deadlineMs });
    await rig.untilQuiet({ deadlineMs: DEADLINE.deadlineMs });
    const [verdict] = await rig.judge([
      {
        published: log.entries(),
        final: await rig.database.finalState('main', `${run}-`),
        inbox: await rig.database.inbox('main'),
        fences: await rig.database.fences(),
        options: {
          ackTimeoutMs: ACK_TIMEOUT_MS,
          expectedMessages: log.size,
          required: ['C1', 'C2', 'C3', 'C4', 'C5', 'C6', 'C7', 'C8', 'C9'],
        },
      },
    ]);
    if (verdict === undefined) throw new Error('the oracle said nothing');
    expect({ broken: verdict.broken, violations: verdict.violations }).toEqual({ broken: {}, violations: [] });
    expect(verdict.messages.outcomes).toEqual({ acked: log.size });
    expect(await rig.database.deadLetters()).toEqual([]);
    const { body } = await call('GET', '/v1/ops/buffer');
    expect(body).toMatchObject({ messages: 0, buried: 0 });
  }

  const logOf = (name: string): string => readFileSync(join(directory, 'logs', `engine-${name}.log`), 'utf8');

  test('loses nothing that was answered and keeps the order, whatever is killed', async () => {
    const { rig, redis } = fleet;
    const front = fleet.node('front').process;
    const consumer = fleet.node('consumer').process;
    const publishing = publish('killed');

    await publishing.more(3 * ROOMS);
    await front.kill9();
    await front.start();

    // It has read what it will never insert.
    await publishing.more(ROOMS);
    await link.holdNext();
    await consumer.kill9();
    await consumer.start();
    await untilShared();

    await publishing.more(ROOMS);
    await link.afterNextCommit(() => rig.postgres.kill9());
    await publishing.more(5 * ROOMS);
    await rig.postgres.restart();

    await publishing.more(ROOMS);
    await redis?.kill();
    await redis?.start();

    // What it has read is in the store, and it does not know; the other one takes its partitions.
    await publishing.more(ROOMS);
    await untilShared();
    await link.afterNextCommit(() => consumer.kill9());
    await publishing.more(3 * ROOMS);

    const judged = publishing.end().then((log) => expectClean('killed', log));
    await Promise.all([judged, consumer.start()]);
    for (const { name } of fleet.nodes.values()) expect(logOf(name)).not.toContain('"buffer.data_lost"');
  });

  test('stores nothing of a consumer that stood still while the other one took its partitions', async () => {
    await untilShared();
    const { process: consumer } = fleet.node('consumer');
    const publishing = publish('paused');
    await publishing.more(ROOMS);
    const append = await link.holdNext();
    consumer.child?.pause();
    try {
      await eventually('the other one has all', async () => (await shares()).join() === `${PARTITIONS}`, DEADLINE);
      await publishing.more(ROOMS);
      const log = await publishing.end();
      await untilBufferIsEmpty();
      expect(await append.release()).toBe(CURSOR_MOVED);
      consumer.child?.resume();
      await untilShared();
      await expectClean('paused', log);
    } finally {
      consumer.child?.resume();
    }
  });
});
