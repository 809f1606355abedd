/** Consumers of the buffer on a real Redis and a real Postgres, each ended or held up at the worst moment. */
import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { RedisBufferStreams } from '../../src/adapters/redis/buffer.ts';
import { Buffer as MessageBuffer } from '../../src/engine/buffer.ts';
import { partitionOf, writeEntry } from '../../src/engine/buffer-entry.ts';
import type { BufferStreams, CursorMove } from '../../src/engine/buffer-ports.ts';
import { type FindChannel, MESSAGE_LIMITS, parseMessage } from '../../src/engine/message.ts';
import type { IntakeResult, NewMessage, Stores } from '../../src/engine/ports.ts';
import { admitted } from '../../src/http/answers.ts';
import { createLog, createMetrics, recipientHasher, Telemetry } from '../../src/telemetry.ts';
import { Database } from '../adapters/postgres/database.ts';
import { Client } from '../adapters/redis/fixture.ts';
import { eventually } from '../support/events.ts';
import { postgresServers } from '../support/postgres.ts';
import { findRedis, startRedis } from '../support/redis.ts';
import { SHARDS } from './world.ts';

const LEASE_MS = 500;
const PARTITIONS = 2;
const ROOMS = ['r', 's', 't', 'u'];
const PER_ROOM = 30;

const program = findRedis();
const findChannel: FindChannel = () => ({ checkContent: null });

describe.each(program === null ? [] : [program])('consumers of the buffer', (redis) => {
  const ends: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  });

  async function start() {
    const server = postgresServers()[0];
    if (server === undefined) throw new Error('there is no Postgres');
    const database = await Database.create(server);
    ends.push(() => database.close());
    const running = await startRedis(redis, { appendonly: 'yes' });
    ends.push(() => running.stop());
    const client = await new Client({ url: running.url, commandTimeoutMs: 5_000 }).untilUp();
    ends.push(() => client.connection.close());
    return { database, streams: new RedisBufferStreams(client.connection) };
  }

  type Accept = (messages: readonly NewMessage[], move: CursorMove | null) => Promise<readonly IntakeResult[]>;

  function appending(stores: Stores): Accept {
    return async (messages, move) => {
      const results = await stores.rooms.append(messages, move);
      return results.map((result): IntakeResult => {
        if (result.kind === 'conflict') return { kind: 'conflict', sequence: result.sequence, reference: null };
        const sequence = result.sequence ?? 0;
        const address = 'row' in result ? result.row : result.address;
        return { kind: 'accepted', address, sequence, reference: '', duplicate: result.kind === 'duplicate' };
      });
    };
  }

  /** A process of its own, as far as the buffer is concerned. It is not stopped in good order. */
  async function consumer(database: Database, streams: BufferStreams, accept: (stores: Stores) => Accept = appending) {
    const { stores, bufferCursors } = database.stores();
    const lines: string[] = [];
    let isDead = false;
    const failures: unknown[] = [];
    const buffer = new MessageBuffer({
      streams: dying(streams, () => isDead),
      cursors: dying(bufferCursors, () => isDead),
      accept: accept(stores),
      deadLetters: stores.deadLetters,
      rules: {
        findChannel,
        admit: (draft, fallbackId) =>
          admitted(draft, { shards: SHARDS, now: Date.now(), source: 'buffer', fallbackId }),
      },
      seekChannel: async () => 'absent',
      isPermanent: () => false,
      mayStore: () => true,
      partitions: PARTITIONS,
      consumes: true,
      allowsUnsafe: false,
      maxRows: 7,
      maxTries: 5,
      leaseMs: LEASE_MS,
      consumer: randomUUID(),
      endOfTurn: setImmediate,
      clock: {
        now: () => Date.now(),
        monotonic: () => performance.now(),
        after: (delayMs, callback) => {
          const timer = setTimeout(callback, delayMs);
          return () => clearTimeout(timer);
        },
      },
      instruments: {
        log: createLog({ level: 'debug', destination: { write: (line) => void lines.push(line) } }),
        metrics: createMetrics({ version: 'test' }),
        telemetry: new Telemetry(),
        hash: recipientHasher('a key of this test'),
      },
      onFailure: (error) => failures.push(error),
    });
    await buffer.service.start();
    ends.push(async () => {
      isDead = false;
      await buffer.service.stop();
      expect(failures).toEqual([]);
    });
    return {
      buffer,
      die: () => {
        isDead = true;
      },
      events: (event: string) => lines.filter((line) => line.includes(`"${event}"`)),
    };
  }

  /** Nothing that the dead ask is answered. */
  function dying<T extends object>(target: T, isDead: () => boolean): T {
    return new Proxy(target, {
      get(of, name) {
        const member: unknown = Reflect.get(of, name);
        if (typeof member !== 'function') return member;
        return (...args: unknown[]) => (isDead() ? Promise.reject(new Error('dead')) : member.apply(of, args));
      },
    });
  }

  async function publish(streams: BufferStreams): Promise<void> {
    for (let i = 1; i <= PER_ROOM; i++) {
      for (const room of ROOMS) {
        const raw = JSON.stringify({ channel: 'support', room, messageId: `m-${i}`, content: { i } });
        const parsed = parseMessage(new TextEncoder().encode(raw), MESSAGE_LIMITS, findChannel);
        if ('error' in parsed) throw parsed.error;
        const partition = partitionOf(parsed.ok.key, PARTITIONS);
        const entries = [writeEntry(parsed.ok, `m-${i}`)];
        expect(await streams.append(partition, entries, { entries: 1_000, bytes: 1e9 })).toHaveLength(1);
      }
    }
  }

  async function expectAllOnceInOrder(database: Database): Promise<void> {
    const { rows } = await database.query(
      `SELECT r.room, array_agg(m.message_id ORDER BY m.sequence) AS ids, max(r.tail)::integer AS tail
       FROM rooms r JOIN messages m ON m.shard = r.shard AND m.room_id = r.id GROUP BY r.room ORDER BY r.room`,
    );
    const ids = Array.from({ length: PER_ROOM }, (_, i) => `m-${i + 1}`);
    expect(rows).toEqual(ROOMS.map((room) => ({ room, ids, tail: PER_ROOM })));
  }

  const isEmpty = async (streams: BufferStreams) =>
    (await streams.depths(PARTITIONS)).every(({ length }) => length === 0);

  it('that die between their commit and what follows it leave nothing out and nothing twice', async () => {
    const { database, streams } = await start();
    let commits = 0;
    const { promise: died, resolve } = Promise.withResolvers<void>();
    const first = await consumer(database, streams, (stores) => async (messages, move) => {
      const results = await appending(stores)(messages, move);
      if (++commits === 3) {
        first.die();
        resolve();
      }
      return results;
    });
    await publish(streams);
    await died;
    const second = await consumer(database, streams);
    await eventually('the second has everything', () => second.buffer.held.size === PARTITIONS);
    await eventually('the buffer is empty', () => isEmpty(streams));
    await expectAllOnceInOrder(database);
  });

  it('stale consumer: one that stood still between reading and inserting stores nothing of what its heir did', async () => {
    const { database, streams } = await start();
    const gate = Promise.withResolvers<void>();
    const stood = Promise.withResolvers<void>();
    const refused: string[] = [];
    const stale = await consumer(database, streams, (stores) => async (messages, move) => {
      stale.die();
      stood.resolve();
      await gate.promise;
      return appending(stores)(messages, move).catch((error: Error) => {
        refused.push(error.name);
        throw error;
      });
    });
    await publish(streams);
    await stood.promise;
    const heir = await consumer(database, streams);
    await eventually('the heir has everything', () => heir.buffer.held.size === PARTITIONS);
    await eventually('the buffer is empty', () => isEmpty(streams));
    await expectAllOnceInOrder(database);
    gate.resolve();
    await eventually('the stale one is refused', () => refused.length === PARTITIONS);
    expect(refused).toEqual(Array<string>(PARTITIONS).fill('CursorMovedError'));
    await expectAllOnceInOrder(database);
  });
});
