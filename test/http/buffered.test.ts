/** Answers of a deployment that buffers, and what its operators see of the buffer. */
import { describe, expect, it } from 'vitest';
import { MemoryBufferStreams } from '../../src/adapters/memory/buffer.ts';
import { nameOfPlace, partitionOf } from '../../src/engine/buffer-entry.ts';
import { BufferedPublishing } from '../../src/engine/buffer-publishing.ts';
import type { AuditNote } from '../../src/engine/operator-ports.ts';
import { RoomlineError } from '../../src/errors.ts';
import { findInStoreOrBuffer } from '../../src/http/buffered-messages.ts';
import { createLog, createMetrics, recipientHasher, Telemetry } from '../../src/telemetry.ts';
import { Backend, bearer, jsonOf, NOW_MS, PUBLISH, startServer } from './fixture.ts';

const PARTITIONS = 4;
const ENTRIES = 3;

async function startBuffering() {
  const backend = new Backend();
  const streams = new MemoryBufferStreams(() => NOW_MS);
  const publishing = new BufferedPublishing({
    streams,
    partitions: PARTITIONS,
    bound: { entries: ENTRIES, bytes: 1_000_000 },
    maxWaiting: 100,
    refusal: () => null,
    newMessageId: () => 'made up',
    instruments: {
      log: createLog({ level: 'error', destination: { write: () => undefined } }),
      metrics: createMetrics({ version: 'test' }),
      telemetry: new Telemetry(),
      hash: recipientHasher('a key of this test'),
    },
  });
  const notes: AuditNote[] = [];
  const { findRoomMessage } = backend.dependencies;
  const store = {
    find: (...asked: Parameters<typeof findRoomMessage>) => findRoomMessage(...asked),
    isWaitedFor: true,
  };
  Object.assign(backend.dependencies, {
    publish: publishing.publish.bind(publishing),
    publishAll: publishing.publishAll.bind(publishing),
    findRoomMessage: findInStoreOrBuffer({
      find: (...asked) => store.find(...asked),
      streams,
      partitions: PARTITIONS,
      clock: {
        now: () => NOW_MS,
        after: (_delayMs, callback) => {
          if (!store.isWaitedFor) setImmediate(callback);
          return () => undefined;
        },
      },
    }),
    buffer: {
      buffer: { partitions: PARTITIONS },
      streams,
      audit: { record: async (note: AuditNote) => void notes.push(note) },
    },
  });
  const { call } = await startServer({}, backend);
  const post = (path: string, body: unknown, headers: object = PUBLISH) =>
    call(path, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  return { backend, streams, store, notes, call, post };
}

const message = (room: string, more: object = {}) => ({
  channel: 'support',
  room,
  content: { text: 'Hello' },
  ...more,
});
const partition = (room: string) => partitionOf({ tenant: 'default', channel: 'support', room }, PARTITIONS);

describe('publishing where messages are buffered', () => {
  it('refuses a message that would supersede itself by its idempotency key', async () => {
    const { post, streams } = await startBuffering();
    const keyed = { ...PUBLISH, 'idempotency-key': 'k' };
    const answer = await post('/v1/messages', message('r', { supersedes: 'k' }), keyed);
    expect([answer.status, await jsonOf(answer)]).toEqual([
      400,
      expect.objectContaining({ code: 'field_invalid', field: 'supersedes' }),
    ]);
    const batch = await post(
      '/v1/messages:batch',
      { messages: [message('r', { supersedes: 'k:0' }), message('r')] },
      keyed,
    );
    expect(await jsonOf(batch)).toMatchObject({
      accepted: 1,
      results: [{ index: 0, error: { code: 'field_invalid', field: 'supersedes' } }, { index: 1 }],
    });
    expect((await streams.depths(PARTITIONS)).map(({ length }) => length).reduce((a, b) => a + b)).toBe(1);
  });

  it('answers without a number, and with the message id to ask by', async () => {
    const { post, streams } = await startBuffering();
    const named = await post('/v1/messages', message('ü/1', { messageId: 'm 1' }), {
      ...PUBLISH,
      'x-request-id': 'req-1',
    });
    const entry = (number: number) => nameOfPlace({ partition: partition('ü/1'), entry: `${NOW_MS}-${number}` });
    const status = `/v1/rooms/support/%C3%BC%2F1/messages/m%201?entry=${entry(0)}`;
    const answer = { id: null, room: 'ü/1', sequence: null, duplicate: null, status, mode: 'buffered' };
    expect([named.status, named.headers.get('location')]).toEqual([202, status]);
    expect(await named.json()).toEqual(answer);
    const anonymous = await jsonOf(await post('/v1/messages', message('ü/1')));
    expect(anonymous.status).toBe(`/v1/rooms/support/%C3%BC%2F1/messages/made%20up?entry=${entry(1)}`);
    const keyed = await post('/v1/messages', message('ü/1'), { ...PUBLISH, 'idempotency-key': 'key-1' });
    expect(await jsonOf(keyed)).toMatchObject({
      status: `/v1/rooms/support/%C3%BC%2F1/messages/key-1?entry=${entry(2)}`,
    });
    const wish = {
      reader: null,
      history: null,
      after: '0-0',
      upTo: null,
      maxEntries: 10,
      maxBytes: 1e6,
      maxMessageBytes: 1e6,
    };
    const read = await streams.read(partition('ü/1'), wish);
    expect(read.kind === 'read' && read.entries.map(({ messageId, requestId }) => [messageId, requestId])).toEqual([
      ['m 1', 'req-1'],
      ['made up', expect.any(String)],
      ['key-1', expect.any(String)],
    ]);
  });

  it('answers each message of a batch, those that do not fit by 503', async () => {
    const { post } = await startBuffering();
    const messages = Array.from({ length: ENTRIES + 2 }, (_, i) => message('r', { messageId: `${i}` }));
    const answer = await jsonOf(
      await post('/v1/messages:batch', { messages: [...messages, message('r', { content: 7 })] }),
    );
    expect(answer).toMatchObject({ accepted: ENTRIES, refused: 3 });
    const results = answer.results as { mode?: string; error?: { code: string } }[];
    expect(results.map(({ mode, error }) => mode ?? error?.code)).toEqual([
      ...Array<string>(ENTRIES).fill('buffered'),
      'overloaded',
      'overloaded',
      'field_type',
    ]);
    const refused = await post('/v1/messages', message('r'));
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await refused.json()).toMatchObject({ code: 'overloaded', detail: 'the buffer is full' });
    const none = await post('/v1/messages:batch', { messages: [message('r'), message('r')] });
    expect([none.status, none.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await none.json()).toMatchObject({ code: 'overloaded', detail: 'the buffer is full' });
    const mixed = await jsonOf(
      await post('/v1/messages:batch', { messages: [message('r'), message('r', { content: 7 })] }),
    );
    expect(mixed).toMatchObject({ accepted: 0, refused: 2 });
  });

  it('answers 503 while Redis is away', async () => {
    const { post, streams } = await startBuffering();
    streams.isAway = true;
    const single = await post('/v1/messages', message('r'));
    expect([single.status, await single.json()]).toEqual([503, expect.objectContaining({ code: 'not_ready' })]);
    const batch = await post('/v1/messages:batch', { messages: [message('r'), message('s')] });
    expect([batch.status, batch.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await batch.json()).toMatchObject({ code: 'not_ready', retryable: true, detail: expect.any(String) });
    const mixed = await jsonOf(
      await post('/v1/messages:batch', { messages: [message('r'), message('r', { content: 7 })] }),
    );
    expect(mixed).toMatchObject({
      accepted: 0,
      refused: 2,
      results: [{ error: { code: 'not_ready' } }, { error: { code: 'field_type' } }],
    });
  });
});

describe('the status link of a buffered message', () => {
  const read = bearer('read');
  const WISHES = { notBefore: 1_700_000_000_005, expiresAt: 9_000_000_000_000, order: 7 };

  async function startWithOne() {
    const started = await startBuffering();
    const { post, call } = started;
    const headers = { ...PUBLISH, 'x-request-id': 'req-1' };
    const { status } = await jsonOf(await post('/v1/messages', message('r', { messageId: 'm', ...WISHES }), headers));
    const link = String(status);
    const follow = async (path = link) => {
      const answer = await call(path, { headers: read });
      return { code: answer.status, body: await jsonOf(answer) };
    };
    return { ...started, link, entry: `${NOW_MS}-0`, follow };
  }

  const BUFFERED = {
    id: null,
    tenant: 'default',
    channel: 'support',
    room: 'r',
    sequence: null,
    messageId: 'm',
    requestId: 'req-1',
    publisherOrder: WISHES.order,
    asOf: NOW_MS,
    state: 'buffered',
    outcome: null,
    order: null,
    reason: null,
    code: null,
    level: 'none',
    levelAt: null,
    platformId: null,
    acceptedAt: null,
    notBefore: WISHES.notBefore,
    expiresAt: WISHES.expiresAt,
    cancelled: false,
    cancelledBy: null,
    settledAt: null,
    possiblyDelivered: false,
    attempts: [],
  };
  const storeIsAway = async () => {
    throw new RoomlineError('not_ready');
  };

  it('says that it waits in the buffer, or was put aside there, also while the store is away or stands still', async () => {
    const { follow, streams, store, entry } = await startWithOne();
    expect(await follow()).toEqual({ code: 200, body: BUFFERED });
    await streams.bury(partition('r'), entry, '22P05');
    const aside = { code: 200, body: { ...BUFFERED, state: 'set_aside', reason: '22P05' } };
    expect(await follow()).toEqual(aside);
    store.find = storeIsAway;
    expect(await follow()).toEqual(aside);
    Object.assign(store, { find: () => new Promise(() => undefined), isWaitedFor: false });
    expect(await follow()).toEqual(aside);
  });

  it('tells of the stored message from its insert on, also where that comes between the two looks', async () => {
    const { backend, follow, streams, store } = await startWithOne();
    const stored = { ...BUFFERED, id: 'ref', sequence: 1, state: 'waiting', acceptedAt: NOW_MS };
    let looks = 0;
    store.find = async () => {
      if (++looks === 1) streams.flush();
      return looks === 1 ? null : (stored as never);
    };
    expect(await follow()).toEqual({ code: 200, body: stored });
    expect(looks).toBe(2);
    expect(await follow()).toEqual({ code: 200, body: stored });
    expect([looks, backend.logged.filter(({ event }) => event === 'http.failed')]).toEqual([3, []]);
  });

  it('answers 404 where it is nowhere, and 503 where that is not known', async () => {
    const { follow, streams, store } = await startWithOne();
    streams.isAway = true;
    expect(await follow()).toMatchObject({ code: 503, body: { code: 'not_ready', detail: 'Redis is away' } });
    streams.isAway = false;
    streams.flush();
    expect(await follow()).toMatchObject({ code: 404, body: { code: 'message_not_found' } });
    store.find = storeIsAway;
    expect(await follow()).toMatchObject({ code: 503, body: { code: 'not_ready' } });
  });

  it('shows an entry to nobody who asks for another message, or in another room', async () => {
    const { follow, link, streams, entry, post } = await startWithOne();
    const neighbour = Array.from({ length: 100 }, (_, i) => `r-${i}`).find(
      (room) => partition(room) === partition('r'),
    );
    const elsewhere = Array.from({ length: 100 }, (_, i) => `r-${i}`).find(
      (room) => partition(room) !== partition('r'),
    );
    const name = nameOfPlace({ partition: partition('r'), entry });
    streams.write(partition('r'), { message: new TextEncoder().encode('{'), messageId: 'm' });
    await post('/v1/messages', message(String(elsewhere), { messageId: 'm' }));
    for (const path of [
      '/v1/rooms/support/r/messages/m',
      `/v1/rooms/support/r/messages/other?entry=${name}`,
      `/v1/rooms/support/${neighbour}/messages/m?entry=${name}`,
      `/v1/rooms/support/${elsewhere}/messages/m?entry=${name}`,
      link.replace('-0', '-1'),
    ]) {
      expect(await follow(path), path).toMatchObject({ code: 404, body: { code: 'message_not_found' } });
    }
  });

  it.each(['', '0', '1-1', '0.1', '0.1-1-1', '0.01-1', '-1.1-1', '1000.1-1', '0.18446744073709551616-0', '0.1-1\n'])(
    'refuses entry=%j',
    async (entry) => {
      const { follow } = await startWithOne();
      const answer = await follow(`/v1/rooms/support/r/messages/m?entry=${encodeURIComponent(entry)}`);
      expect(answer).toMatchObject({ code: 400, body: { code: 'field_invalid', field: 'entry' } });
    },
  );
});

describe('GET /v1/ops/buffer', () => {
  it('says what waits in each partition, and what was put aside, which goes back or away', async () => {
    const { call, post, streams, notes } = await startBuffering();
    const mine = partition('r');
    const entry = streams.write(mine, { message: new TextEncoder().encode('{}'), messageId: 'm' });
    streams.write(mine, {});
    await streams.bury(mine, entry, '22P05');
    await streams.bury(mine, entry, '22P05');
    const operate = bearer('operate');
    const get = async (path: string) => jsonOf(await call(path, { headers: operate }));
    const partitions = Array.from({ length: PARTITIONS }, (_, one) => ({
      partition: one,
      messages: 0,
      oldestAt: null,
      buried: 0,
    }));
    partitions[mine] = { ...partitions[mine], messages: 2, oldestAt: NOW_MS, buried: 1 } as never;
    expect(await get('/v1/ops/buffer')).toEqual({ asOf: NOW_MS, messages: 2, oldestAt: NOW_MS, buried: 1, partitions });

    const letters = `/v1/ops/buffer/${mine}/dead-letters`;
    const listed = (await get(letters)) as { letters: { id: string }[] };
    expect(listed).toEqual({
      asOf: NOW_MS,
      letters: [{ id: expect.any(String), entry, reason: '22P05', bytes: 2, at: NOW_MS }],
      after: null,
    });
    const ids = listed.letters.map(({ id }) => id);
    expect((await get(`${letters}?limit=1`)).after).toBe(ids[0]);
    expect(await get(`${letters}?after=${ids[0]}`)).toEqual({ asOf: NOW_MS, letters: [], after: null });
    expect(await jsonOf(await post(`${letters}/replay`, { ids }, operate))).toEqual({ count: 1 });
    expect(await jsonOf(await post(`${letters}/discard`, { ids }, operate))).toEqual({ count: 0 });
    expect(notes.map(({ action, subject }) => [action, subject])).toEqual([
      ['buffer.replay', `buffer:${mine}`],
      ['buffer.discard', `buffer:${mine}`],
    ]);
    expect((await get('/v1/ops/buffer')).messages).toBe(3);
  });

  it.each([
    ['/v1/ops/buffer/9/dead-letters/replay', { ids: ['1-1'] }, 'field_invalid'],
    ['/v1/ops/buffer/x/dead-letters/replay', { ids: ['1-1'] }, 'field_type'],
    ['/v1/ops/buffer/0/dead-letters/replay', { ids: ['1'] }, 'field_invalid'],
    ['/v1/ops/buffer/0/dead-letters/replay', { ids: [] }, 'field_invalid'],
    ['/v1/ops/buffer/0/dead-letters/replay', {}, 'field_missing'],
    ['/v1/ops/buffer/0/dead-letters/discard', { ids: ['1-1'], all: true }, 'field_unknown'],
  ])('refuses POST %s %j by %s', async (path, body, code) => {
    const { post, streams, notes } = await startBuffering();
    const answer = await post(path, body, bearer('operate'));
    expect([answer.status, await answer.json()]).toEqual([400, expect.objectContaining({ code })]);
    expect(notes).toEqual([]);
    streams.isAway = true;
    const away = await post('/v1/ops/buffer/0/dead-letters/discard', { ids: ['1-1'] }, bearer('operate'));
    expect([away.status, await away.json()]).toEqual([503, expect.objectContaining({ code: 'not_ready' })]);
    expect((await post(path, body)).status).toBe(403);
  });
});
