import { Redis } from 'ioredis';
import { afterEach, expect, it } from 'vitest';
import { RedisBufferStreams } from '../../../src/adapters/redis/buffer.ts';
import {
  BEGINNING,
  type BufferRead,
  compareEntries,
  type EntryId,
  type NewEntry,
  OtherLayoutError,
  type ReadWish,
} from '../../../src/engine/buffer-ports.ts';
import { describeBufferStreams } from '../../conformance/buffer-streams.ts';
import { describeRedis } from '../../support/describe-redis.ts';
import { eventually } from '../../support/events.ts';
import { type RedisServer, startRedis } from '../../support/redis.ts';
import { Client } from './fixture.ts';

const KEEPING = { appendonly: 'yes', appendfsync: 'always' };
const ROOMY = { entries: 1_000_000, bytes: 1_000_000_000 };
const WISH: ReadWish = {
  reader: null,
  history: null,
  after: BEGINNING,
  upTo: null,
  maxEntries: 100,
  maxBytes: 1_000_000,
  maxMessageBytes: 10_000,
};

const entry = (text: string): NewEntry => ({ message: Buffer.from(text), messageId: `id-${text}`, requestId: null });
const entries = (count: number, from = 1): NewEntry[] =>
  Array.from({ length: count }, (_, i) => entry(`m-${from + i}`));

describeRedis('the buffer in Redis', (program) => {
  const ends: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  });

  async function start(settings: Readonly<Record<string, string>> = KEEPING): Promise<RedisServer> {
    const server = await startRedis(program, settings);
    ends.push(() => server.stop());
    return server;
  }

  async function connected(server: RedisServer): Promise<RedisBufferStreams> {
    const client = new Client({ url: server.url, commandTimeoutMs: 5_000 });
    ends.push(() => client.connection.close());
    await client.untilUp();
    return new RedisBufferStreams(client.connection);
  }

  async function plain(server: RedisServer): Promise<Redis> {
    const client = new Redis(server.url);
    ends.push(async () => client.disconnect());
    return client;
  }

  describeBufferStreams(async () => connected(await start()));

  const textsOf = (read: BufferRead): string[] => {
    if (read.kind !== 'read') throw new Error('another history');
    return read.entries.map(({ message }) => String(message));
  };
  const lastOf = (read: BufferRead): EntryId => (read.kind === 'read' ? (read.entries.at(-1)?.id ?? '') : '');

  it('keeps entries in their order, byte by byte, and lets go of what is done with', async () => {
    const streams = await connected(await start());
    const odd = { message: Buffer.from([0xff, 0x00, 0x7b]), messageId: 'ä', requestId: 'req-1' };
    expect(await streams.append(3, [...entries(4), odd], ROOMY)).toHaveLength(5);
    const all = await streams.read(3, WISH);
    if (all.kind !== 'read') throw new Error('another history');
    expect(all.entries.at(-1)).toEqual({ id: lastOf(all), ...odd, bytes: 3 });
    expect(all.length).toBe(5);
    const after = all.entries[1]?.id ?? '';
    expect(textsOf(await streams.read(3, { ...WISH, after, upTo: all.entries[3]?.id ?? null }))).toEqual([
      'm-3',
      'm-4',
    ]);
    expect(await streams.depths(4)).toEqual([
      ...[0, 1, 2].map((partition) => ({ partition, length: 0, oldest: null, buried: 0, channels: [] })),
      { partition: 3, length: 3, oldest: all.entries[2]?.id, buried: 0, channels: [] },
    ]);
    const rest = await streams.read(3, { ...WISH, after: lastOf(all), history: all.history });
    expect(rest).toEqual({ kind: 'read', history: all.history, entries: [], length: 0, tries: 0, buried: null });
    // What comes next comes after all that ever was.
    await streams.append(3, entries(1), ROOMY);
    expect(compareEntries(lastOf(await streams.read(3, WISH)), lastOf(all))).toBeGreaterThan(0);
  });

  it('counts by channel what is its own, whatever others write into the stream or take out of it', async () => {
    const server = await start();
    const streams = await connected(server);
    const client = await plain(server);
    const channel = { tenant: 'default', channel: 'support' };
    const ofChannel = (text: string): NewEntry => ({ ...entry(text), channel });
    const counts = async () => (await streams.depths(1)).map(({ length, channels }) => [length, channels]);
    await streams.append(0, [ofChannel('a'), ofChannel('b')], ROOMY);
    const [key = ''] = await client.keys('*buffer:{0}');
    const foreign = String(await client.xadd(key, '*', 'message', '{}', 'countsFor', 'whatever it is'));
    expect(await counts()).toEqual([[3, [{ ...channel, messages: 2 }]]]);
    await streams.bury(0, foreign, 'reason');
    const [letter] = await streams.listBuried(0, BEGINNING, 1);
    await streams.replayBuried(0, [letter?.id ?? '']);
    expect(await counts()).toEqual([[4, [{ ...channel, messages: 2 }]]]);
    await client.del(key);
    expect(await counts()).toEqual([[0, []]]);
    await streams.read(0, WISH);
    await streams.append(0, [ofChannel('c')], ROOMY);
    expect(await counts()).toEqual([[1, [{ ...channel, messages: 1 }]]]);
  });

  it('takes from the first on what its bounds leave room for, and forgets nothing for it', async () => {
    const streams = await connected(await start());
    expect(await streams.append(0, entries(3), { ...ROOMY, entries: 5 })).toHaveLength(3);
    expect(await streams.append(0, entries(3, 4), { ...ROOMY, entries: 5 })).toHaveLength(2);
    expect(await streams.append(0, entries(3, 6), { ...ROOMY, entries: 5 })).toHaveLength(0);
    expect(textsOf(await streams.read(0, WISH))).toEqual(['m-1', 'm-2', 'm-3', 'm-4', 'm-5']);
    const message = Buffer.alloc(5_000, 'x');
    const large = Array.from({ length: 50 }, (_, i) => ({ ...entry(`${i}`), message }));
    let taken = 0;
    for (let call = 0; call < 4; call++) {
      const more = await streams.append(1, large, { ...ROOMY, bytes: 500_000 });
      taken += more.length;
    }
    expect(taken).toBeGreaterThan(80);
    expect(taken).toBeLessThan(110);
  });

  it('hands out no more than it is asked for: entries, bytes, and no message beyond its bound', async () => {
    const server = await start();
    const streams = await connected(server);
    await streams.append(0, entries(40), ROOMY);
    expect(textsOf(await streams.read(0, { ...WISH, maxEntries: 33 }))).toHaveLength(33);
    const some = await streams.read(0, { ...WISH, maxBytes: 12 });
    expect(textsOf(some)).toEqual(['m-1', 'm-2', 'm-3', 'm-4']);
    const writer = await plain(server);
    await writer.xadd(
      'test:buffer:{1}',
      '*',
      'message',
      'y'.repeat(20_000),
      'messageId',
      'z'.repeat(9_000),
      'other',
      'o',
    );
    await writer.xadd('test:buffer:{1}', '*', 'nothing', 'known');
    const read = await streams.read(1, WISH);
    expect(read.kind === 'read' && read.entries).toEqual([
      { id: expect.anything(), message: null, bytes: 20_000, messageId: 'z'.repeat(1_024), requestId: null },
      { id: expect.anything(), message: null, bytes: null, messageId: null, requestId: null },
    ]);
  });

  it('counts work that failed or never ended, and brings less of it each time; once it is done, no more', async () => {
    const streams = await connected(await start());
    await streams.append(0, entries(100), ROOMY);
    const tried = async (wish = WISH): Promise<readonly [number, number]> => {
      const read = await streams.read(0, wish);
      if (read.kind !== 'read') throw new Error('another history');
      return [read.tries, read.entries.length];
    };
    expect(await tried()).toEqual([0, 100]);
    expect(await tried()).toEqual([1, 12]);
    await streams.prepared(0, BEGINNING);
    expect(await tried()).toEqual([1, 12]);
    await streams.failed(0, BEGINNING);
    expect(await tried()).toEqual([2, 1]);
    const after = lastOf(await streams.read(0, WISH));
    expect(await tried({ ...WISH, after })).toEqual([0, 99]);
    // About something else than what is worked on.
    await streams.failed(0, '1-1');
    await streams.prepared(0, after);
    expect(await tried({ ...WISH, after })).toEqual([0, 99]);
  });

  it('counts work whose answer was lost only against a consumer that ended', async () => {
    const streams = await connected(await start());
    await streams.append(0, entries(3), ROOMY);
    const tries = async (consumer: string, term: number): Promise<number> => {
      const read = await streams.read(0, { ...WISH, reader: { consumer, term, isSure: false } });
      return read.kind === 'read' ? read.tries : -1;
    };
    expect([await tries('a', 1), await tries('a', 1), await tries('a', 2)]).toEqual([0, 0, 0]);
    expect([await tries('b', 3), await tries('b', 3), await tries('c', 4)]).toEqual([1, 1, 2]);
  });

  it('removes nothing for whoever was overtaken, unless the store has said that it was not', async () => {
    const streams = await connected(await start());
    await streams.append(0, entries(3), ROOMY);
    const { history } = await streams.read(0, WISH);
    const read = (term: number, after: EntryId, isSure = false) =>
      streams.read(0, { ...WISH, history, after, reader: { consumer: `c${term}`, term, isSure } });
    const last = lastOf(await read(9, BEGINNING));
    expect(await read(10, last)).toMatchObject({ kind: 'read', entries: [], length: 0 });
    await streams.append(0, entries(2, 4), ROOMY);
    const newer = lastOf(await streams.read(0, { ...WISH, history, after: last }));
    expect(await read(9, newer)).toEqual({ kind: 'overtaken', history });
    expect((await streams.depths(1))[0]?.length).toBe(2);
    expect(await read(9, newer, true)).toMatchObject({ kind: 'read', length: 0 });
    expect((await read(9, newer)).kind).toBe('read');
  });

  it('puts an entry aside once, and takes it back or drops it', async () => {
    const streams = await connected(await start());
    await streams.append(0, entries(3), ROOMY);
    const read = await streams.read(0, WISH);
    const ids = read.kind === 'read' ? read.entries.map(({ id }) => id) : [];
    for (let time = 0; time < 2; time++) await streams.bury(0, ids[0] ?? '', '22P05');
    await streams.bury(0, ids[1] ?? '', 'other');
    await streams.bury(0, '1-1', 'not there');
    const buried = await streams.listBuried(0, BEGINNING, 10);
    expect(buried).toEqual([
      { id: buried[0]?.id, entry: ids[0], reason: '22P05', bytes: 3 },
      { id: buried[1]?.id, entry: ids[1], reason: 'other', bytes: 3 },
    ]);
    expect(await streams.listBuried(0, buried[0]?.id ?? '', 1)).toEqual([buried[1]]);
    expect(await streams.replayBuried(0, [buried[0]?.id ?? '', '1-1'])).toBe(1);
    expect(await streams.discardBuried(0, [buried[0]?.id ?? '', buried[1]?.id ?? ''])).toBe(1);
    expect(await streams.listBuried(0, BEGINNING, 10)).toEqual([]);
    const again = await streams.read(0, { ...WISH, after: ids[2] ?? '' });
    expect(again.kind === 'read' && again.entries[0]).toMatchObject({ messageId: 'id-m-1', requestId: null });
    expect(textsOf(again)).toEqual(['m-1']);
  });

  it('shuts a stream for those who know of another number of partitions, in the step that finds it empty', async () => {
    const streams = await connected(await start());
    expect(await streams.append(0, entries(1), ROOMY, 8)).toHaveLength(1);
    expect(await streams.layOut(8, 8, false)).toBe(true);
    expect(await streams.layOut(8, 4, false)).toBe(false);
    expect(await streams.layOut(8, 4, true)).toBe(false);
    const after = lastOf(await streams.read(0, WISH));
    await streams.bury(0, after, 'other');
    await streams.read(0, { ...WISH, after });
    expect(await streams.layOut(8, 4, true)).toBe(false);
    expect(await streams.append(7, entries(1), ROOMY, 8)).toHaveLength(1);
    await streams.discardBuried(0, [(await streams.listBuried(0, BEGINNING, 1))[0]?.id ?? '']);
    await streams.read(7, { ...WISH, after: lastOf(await streams.read(7, WISH)) });
    expect(await streams.layOut(8, 4, true)).toBe(true);
    for (const partition of [0, 7]) {
      const late = streams.append(partition, entries(1), ROOMY, 8);
      await expect(late).rejects.toBeInstanceOf(OtherLayoutError);
    }
    expect(await streams.append(0, entries(1), ROOMY, 4)).toHaveLength(1);
  });

  it('is another one after it was emptied', async () => {
    const server = await start();
    const streams = await connected(server);
    await streams.append(0, entries(1), ROOMY);
    const before = await streams.read(0, WISH);
    const history = before.history;
    expect((await streams.read(0, { ...WISH, history })).kind).toBe('read');
    await (await plain(server)).flushall();
    await streams.append(0, entries(1, 2), ROOMY);
    const after = await streams.read(0, { ...WISH, history });
    expect(after).toEqual({ kind: 'another_history', history: expect.any(String) });
    expect(after.history).not.toBe(history);
    expect(textsOf(await streams.read(0, { ...WISH, history: after.history }))).toEqual(['m-2']);
  });

  it('shows by its last id that its stream alone is gone', async () => {
    const server = await start();
    const streams = await connected(server);
    await streams.append(0, entries(1), ROOMY);
    const before = await streams.read(0, WISH);
    await (await plain(server)).del('test:buffer:{0}');
    const after = await streams.read(0, { ...WISH, history: before.history, after: lastOf(before) });
    expect(after).toEqual({ kind: 'went_back', history: before.history });
    // What has come since is not removed.
    await (await plain(server)).xadd('test:buffer:{0}', '5-0', 'message', 'fresh');
    for (const upTo of [null, lastOf(before)]) {
      const after = upTo === null ? lastOf(before) : BEGINNING;
      const again = await streams.read(0, { ...WISH, history: before.history, after, upTo });
      expect(again.kind).toBe('went_back');
    }
    expect(textsOf(await streams.read(0, WISH))).toEqual(['fresh']);
  });

  it('keeps through kill -9 of Redis what it has said to have taken', async () => {
    const server = await start();
    const streams = await connected(server);
    const taken = new Set<string>();
    const work = Array.from({ length: 4 }, async (_, writer) => {
      for (let i = 0; ; i++) {
        try {
          await streams.append(0, [entry(`${writer}-${i}`)], ROOMY);
          taken.add(`${writer}-${i}`);
        } catch {
          return;
        }
      }
    });
    await eventually('it has taken some', () => taken.size > 200);
    await server.kill();
    await Promise.all(work);
    await server.start();
    const found = await eventually('Redis is back', () => streams.depths(1).catch(() => null));
    expect(found[0]?.length).toBeGreaterThanOrEqual(taken.size);
    expect(found[0]?.length).toBeLessThanOrEqual(taken.size + 4);
  });

  it('names settings of its server under which it could lose what it holds', async () => {
    const [keeping, forgetting] = [
      await start(),
      await start({ maxmemory: '100mb', 'maxmemory-policy': 'allkeys-lru' }),
    ];
    expect(await (await connected(keeping)).safety()).toEqual({ unsafe: [], unknown: [], appendfsync: 'always' });
    const streams = await connected(forgetting);
    expect((await streams.safety()).unsafe).toEqual(['appendonly no', 'maxmemory-policy allkeys-lru']);
    const admin = await plain(forgetting);
    await admin.config('SET', 'maxmemory-policy', 'volatile-lru');
    await admin.config('SET', 'appendonly', 'yes');
    await admin.config('SET', 'appendfsync', 'no');
    expect(await streams.safety()).toEqual({ unsafe: ['appendfsync no'], unknown: [], appendfsync: 'no' });
    await admin.config('SET', 'appendfsync', 'everysec');
    expect((await streams.safety()).unsafe).toEqual(['appendfsync everysec']);
    await admin.config('SET', 'appendfsync', 'always');
    expect(await streams.safety()).toEqual({ unsafe: [], unknown: [], appendfsync: 'always' });
    await admin.acl('SETUSER', 'default', '-info', '-config');
    const unknown = ['appendonly', 'appendfsync', 'maxmemory-policy'];
    expect(await streams.safety()).toEqual({ unsafe: [], unknown, appendfsync: null });
  });

  it('tells of each connection, and one from another', async () => {
    const server = await start();
    const streams = await connected(server);
    const first = streams.connection;
    let told = 0;
    streams.onConnected(() => told++);
    await server.kill();
    await eventually('the connection has ended', () => streams.connection === null);
    await server.start();
    await eventually('there is another one', () => told === 1);
    expect(streams.connection).not.toBe(first);
    expect(streams.connection).not.toBeNull();
  });

  it('refuses, and forgets nothing, where Redis itself is full', async () => {
    const server = await start({ ...KEEPING, maxmemory: '3mb', 'maxmemory-policy': 'noeviction' });
    const streams = await connected(server);
    const large = entry('x'.repeat(100_000));
    let taken = 0;
    await expect(
      (async () => {
        for (;;) taken += (await streams.append(0, [large], ROOMY)).length;
      })(),
    ).rejects.toMatchObject({ kind: 'refused', code: 'OOM' });
    expect(taken).toBeGreaterThan(5);
    expect((await streams.depths(1))[0]?.length).toBe(taken);
    // To note how work went and to put aside needs no memory that would be refused.
    const first = await streams.read(0, { ...WISH, maxMessageBytes: 200_000, maxBytes: 200_000 });
    await streams.failed(0, BEGINNING);
    await streams.bury(0, lastOf(first), 'other');
    expect(await streams.listBuried(0, BEGINNING, 10)).toHaveLength(1);
    expect(await streams.read(0, WISH)).toMatchObject({ tries: 1, buried: lastOf(first) });
    // Nor to read and to let go.
    const read = await streams.read(0, { ...WISH, maxMessageBytes: 200_000, maxBytes: 200_000 });
    expect((await streams.read(0, { ...WISH, after: lastOf(read) })).kind).toBe('read');
    expect((await streams.depths(1))[0]?.length).toBeLessThan(taken);
  });
});
