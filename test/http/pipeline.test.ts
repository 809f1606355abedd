/** Where messages are, asked over HTTP of a real engine on memory stores. */
import { describe, expect, it } from 'vitest';
import type { PipelinePart, PipelineStore } from '../../src/engine/pipeline-ports.ts';
import { createPipelineAnswers, type PipelineSources } from '../../src/http/pipeline-answers.ts';
import type { HttpServerOptions } from '../../src/http/server.ts';
import { CHANNEL, channelOf, messageOf, type Process, SHARDS, START } from '../support/engine.ts';
import { Stage } from '../support/pipeline.ts';
import { Backend, bearer, keyEntries, startServer } from './fixture.ts';

const READ = { headers: bearer('read') };
const OTHER = { tenant: 'other', channel: 'sales' };
const LONG_ACKS = channelOf({ maxConcurrentSends: 2, policy: { ackTimeoutMs: 600_000, failurePolicy: 'hold' } });

type Buffer = NonNullable<PipelineSources['buffer']>;

async function serveLogged(
  stage: Stage,
  process: Process,
  options: Partial<HttpServerOptions> = {},
  buffer: Buffer | null = null,
) {
  const { engine, clock, references } = process;
  const backend = new Backend();
  const { rooms } = stage.bed.stores;
  const { recipients } = stage.bed.operators;
  const sources = { engine, rooms, store: stage.store, recipients, references, clock, shards: SHARDS, buffer };
  backend.dependencies.pipeline = createPipelineAnswers(sources);
  const { call } = await startServer(options, backend);
  const get = async (path: string) => {
    const response = await call(path, READ);
    // biome-ignore lint/suspicious/noExplicitAny: whatever the service answered, for assertions
    return { status: response.status, body: (await response.json()) as any };
  };
  return { get, logged: backend.logged };
}

async function serve(...given: Parameters<typeof serveLogged>) {
  return (await serveLogged(...given)).get;
}

/** One room whose head was accepted, one that is being sent, and one that waits for a permit; 3 s old. */
async function threeRooms(options: Partial<HttpServerOptions> = {}, buffer: Buffer | null = null) {
  const stage = new Stage([LONG_ACKS, channelOf({ key: OTHER })]);
  const { process } = await stage.boot();
  const get = await serve(stage, process, options, buffer);
  await stage.publish(process, 'acking', ['a', 'b']);
  await stage.bed.platform.last.accept();
  await stage.publish(process, 'sending', ['a']);
  await stage.publish(process, 'second', ['a']);
  await stage.publish(process, 'waiting', ['a', 'b', 'c']);
  await stage.bed.time.advance(3_000);
  await stage.round();
  return { stage, process, get };
}

describe('GET /v1/pipeline', () => {
  it('says how many messages are in each stage, in all and by channel, and that all of them are counted', async () => {
    const { stage, get } = await threeRooms();
    const { status, body } = await get('/v1/pipeline');
    expect(status).toBe(200);
    const depth = (messages: number) => ({ rooms: messages, messages });
    const whole = {
      stages: {
        waiting: { rooms: 1, messages: 4, ready: 1, notBefore: 0, limit: 0, channel: 0, paused: 0 },
        sending: depth(2),
        awaitingAck: depth(1),
        backingOff: depth(0),
        unknown: depth(0),
        held: depth(0),
      },
      permitQueue: 1,
      lastMinute: { accepted: 7, settled: 0, failed: 0 },
    };
    expect(body).toMatchObject({
      asOf: stage.bed.time.now,
      complete: true,
      missing: [],
      shards: { counted: SHARDS, total: SHARDS },
      accepting: 0,
      ...whole,
    });
    expect(body.channels).toMatchObject([
      { ...CHANNEL, ...whole },
      { ...OTHER, stages: { waiting: { rooms: 0, messages: 0 } } },
    ]);
  });

  it('names the processes that it does not count, and since when', async () => {
    const stage = new Stage();
    let silent = false;
    const failing = new Proxy(stage.store, {
      get(target, name: keyof PipelineStore) {
        if (name !== 'report') return target[name].bind(target);
        return (part: PipelinePart) => (silent ? Promise.reject(new Error('away')) : target.report(part));
      },
    });
    const { process } = await stage.boot(failing);
    const get = await serve(stage, process);
    expect((await get('/v1/pipeline')).body.complete).toBe(true);
    silent = true;
    const lastSeen = stage.bed.time.now;
    const { worker } = process.engine.ownership;
    await stage.bed.time.advance(6_000);
    expect((await get('/v1/pipeline')).body).toMatchObject({
      complete: false,
      missing: [{ worker, name: 'node-1', lastSeen }],
      shards: { counted: 0, total: SHARDS },
    });
    silent = false;
    const other = await stage.bed.boot();
    await stage.round();
    expect((await get('/v1/pipeline')).body.missing).toEqual([
      { worker: other.engine.ownership.worker, name: 'node-2', lastSeen: null },
    ]);
  });

  it('shows a key that is bound to tenants what is theirs', async () => {
    const keys = keyEntries((entry) => ({ ...entry, tenants: ['other'] }));
    const { get } = await threeRooms({ keys });
    const { body } = await get('/v1/pipeline');
    expect(body.channels).toMatchObject([OTHER]);
    expect(body).toMatchObject({ accepting: null, stages: { sending: { messages: 0 } }, lastMinute: { accepted: 0 } });
  });

  it('says what is buffered and what is being accepted by channel, and whose of it is of no channel', async () => {
    const depth = async () => ({
      messages: 9,
      buried: 1,
      oldestAt: START,
      unassigned: 2,
      channels: [
        { ...CHANNEL, messages: 4 },
        { ...OTHER, messages: 2 },
        { tenant: 'gone', channel: 'gone', messages: 1 },
      ],
    });
    const { stage, process, get } = await threeRooms({}, { depth });
    process.loseStores();
    void process.engine.intake.accept(messageOf('more', 'a'));
    const part = await stage.reporter(process).glance(0);
    if (part !== null) await stage.store.report(part);
    const { body } = await get('/v1/pipeline');
    expect(body).toMatchObject({
      buffered: { messages: 9, buried: 1, oldestAt: START, unassigned: 2 },
      accepting: 1,
      openSends: 2,
    });
    expect(body.buffered).not.toHaveProperty('channels');
    expect(body.channels).toMatchObject([
      { ...CHANNEL, buffered: 4, accepting: 1 },
      { tenant: 'gone', channel: 'gone', buffered: 1, accepting: 0, permitQueue: 0 },
      { ...OTHER, buffered: 2, accepting: 0 },
    ]);
  });

  it('says so while Redis is away, and shows a key that is bound to tenants what of the buffer is theirs', async () => {
    const away = await threeRooms({}, { depth: () => Promise.reject(new Error('away')) });
    expect((await away.get('/v1/pipeline')).body).toMatchObject({
      complete: false,
      buffered: { messages: null, unassigned: null },
      channels: [{ buffered: null }, { buffered: null }],
    });
    const keys = keyEntries((entry) => ({ ...entry, tenants: ['other'] }));
    const channels = [
      { ...CHANNEL, messages: 4 },
      { ...OTHER, messages: 2 },
    ];
    const depth = async () => ({ messages: 6, buried: 0, oldestAt: START, unassigned: 0, channels });
    const bound = await threeRooms({ keys }, { depth });
    const { body } = await bound.get('/v1/pipeline');
    expect(body).toMatchObject({ buffered: null, openSends: null, channels: [{ ...OTHER, buffered: 2 }] });
  });
});

describe('GET /v1/rooms', () => {
  it('lists rooms that linger with the line that says why, page by page', async () => {
    const { get } = await threeRooms();
    const seen: { phase: string; room: string; explanation: string; asOf: number }[] = [];
    let cursor: string | null = null;
    let pages = 0;
    do {
      const mark: string = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`;
      const { status, body } = await get(`/v1/rooms?limit=1${mark}`);
      expect(status).toBe(200);
      seen.push(...body.rooms);
      cursor = body.cursor;
      pages++;
    } while (cursor !== null);
    expect(pages).toBe(5);
    expect(seen.map(({ phase, room }) => [phase, room])).toEqual([
      ['idle', 'waiting'],
      ['sending', 'sending'],
      ['sending', 'second'],
      ['awaiting_ack', 'acking'],
    ]);
    expect(seen[0]?.explanation).toBe('message 1 waits for a permit (2 more wait behind it)');
    expect(seen[3]?.explanation).toContain('was accepted and waits up to');
  });

  it('keeps to a channel, a phase and an age', async () => {
    const { stage, get } = await threeRooms();
    const rooms = async (query: string) =>
      (await get(`/v1/rooms?${query}`)).body.rooms.map(({ room }: { room: string }) => room);
    expect(await rooms('phase=awaiting_ack')).toEqual(['acking']);
    expect(await rooms('channel=support&phase=sending')).toEqual(['sending', 'second']);
    expect(await rooms('channel=sales&tenant=other')).toEqual([]);
    expect(await rooms('tenant=other')).toEqual([]);
    expect(await rooms('olderThan=60')).toEqual([]);
    await stage.bed.time.advance(60_000);
    expect(await rooms('olderThan=60&phase=awaiting_ack')).toEqual(['acking']);
  });

  it('lists those of all tenants that there are for the key', async () => {
    const { stage, process, get } = await threeRooms();
    await process.publish('theirs', ['a'], { key: { ...OTHER, room: 'theirs' } });
    await stage.bed.time.advance(3_000);
    await stage.round();
    const roomsOf = async (path: string, as = get) =>
      (await as(path)).body.rooms.map(({ tenant, room }: { tenant: string; room: string }) => `${tenant}/${room}`);
    const all = await roomsOf('/v1/rooms');
    expect(all.toSorted()).toEqual([
      'default/acking',
      'default/second',
      'default/sending',
      'default/waiting',
      'other/theirs',
    ]);
    const paged: string[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const { body } = await get(`/v1/rooms?limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`);
      paged.push(...body.rooms.map(({ tenant, room }: { tenant: string; room: string }) => `${tenant}/${room}`));
      cursor = body.cursor;
    }
    expect(paged).toEqual(all);
    expect(await roomsOf('/v1/rooms?tenant=other')).toEqual(['other/theirs']);
    expect(await roomsOf('/v1/rooms?tenant=default')).toHaveLength(4);

    const bound = await serve(stage, process, { keys: keyEntries((entry) => ({ ...entry, tenants: ['other'] })) });
    expect(await roomsOf('/v1/rooms', bound)).toEqual(['other/theirs']);
    expect(await roomsOf('/v1/rooms?channel=support', bound)).toEqual([]);
    const foreign = await serve(stage, process, { keys: keyEntries((entry) => ({ ...entry, tenants: ['x'] })) });
    expect(await roomsOf('/v1/rooms', foreign)).toEqual([]);

    await stage.bed.time.advance(61_000);
    const accepted = async (path: string, as = get) =>
      (await as(path)).body.points.reduce(
        (sum: number, { totals }: { totals: { accepted: number } }) => sum + totals.accepted,
        0,
      );
    expect(await accepted('/v1/charts')).toBe(8);
    expect(await accepted('/v1/charts?tenant=default')).toBe(7);
    expect(await accepted('/v1/charts', bound)).toBe(1);
    expect(await accepted('/v1/charts?tenant=default', bound)).toBe(0);
    expect(await accepted('/v1/charts', foreign)).toBe(0);
  });

  it('leaves out what has moved on since it was listed', async () => {
    const { stage, get } = await threeRooms();
    await stage.bed.platform.sends[1]?.accept();
    const { body } = await get('/v1/rooms?phase=sending');
    expect(body.rooms.map(({ room }: { room: string }) => room)).toEqual(['second']);
  });

  it('says that a room waits for a worker where none holds its shard', async () => {
    const { stage, process, get } = await threeRooms();
    process.loseStores();
    await stage.bed.time.advance(11_000);
    const { body } = await get('/v1/rooms?phase=ready');
    expect(body.rooms[0].explanation).toContain('waits for a worker to take over its shard');
  });

  it.each([
    ['cursor=nonsense', 'field_invalid'],
    ['cursor=idle.1.1', 'field_invalid'],
    ['cursor=held.1.1&phase=sending', 'field_invalid'],
    ['cursor=held.1.1.1', 'field_invalid'],
    ['phase=idle', 'field_invalid'],
    ['limit=0', 'field_invalid'],
    ['limit=Infinity', 'field_type'],
    ['olderThan=-1', 'field_invalid'],
    ['olderThan=Infinity', 'field_type'],
    ['chanel=a', 'field_unknown'],
    [`channel=${'x'.repeat(300)}`, 'id_too_long'],
  ])('refuses %s', async (query, code) => {
    const stage = new Stage();
    const { process } = await stage.boot();
    const get = await serve(stage, process);
    const { status, body } = await get(`/v1/rooms?${query}`);
    expect([status, body.code]).toEqual([400, code]);
  });
});

describe('while the store is away', () => {
  it.each(['/v1/pipeline', '/v1/rooms', '/v1/charts?channel=support', '/v1/rooms/support/acking/timeline'])(
    '%s says to come again',
    async (path) => {
      const { stage, get } = await threeRooms();
      const away = () => Promise.reject(new Error('away'));
      Object.assign(stage.store, { members: away, lingering: away, chart: away });
      stage.bed.stores.rooms.findRoom = away;
      expect(await get(path)).toMatchObject({ status: 503, body: { code: 'not_ready' } });
    },
  );
});

describe('GET /v1/rooms of a recipient', () => {
  const TO = '+49 170/123456';
  const SALES = { tenant: 'default', channel: 'sales' };

  /** Rooms of one recipient on two channels, one of which has its name, and one of another tenant. */
  async function recipients(options: Partial<HttpServerOptions> = {}) {
    const stage = new Stage([channelOf(), channelOf({ key: SALES }), channelOf({ key: OTHER })]);
    const { process } = await stage.boot();
    await process.recipients.service.start();
    const served = await serveLogged(stage, process, options);
    const publish = (room: string, key: { readonly tenant: string; readonly channel: string }, to?: string) =>
      process.publish(room, ['a'], { key: { ...key, room }, ...(to === undefined ? {} : { to }) });
    await publish('second', SALES, TO);
    await publish('first', CHANNEL, TO);
    await publish(TO, CHANNEL);
    await publish('third', CHANNEL, TO);
    await publish('another', CHANNEL, '+49 1');
    await publish('theirs', OTHER, TO);
    await stage.bed.time.advance(1_000);
    const rooms = async (query: string) =>
      (await served.get(`/v1/rooms?recipient=${encodeURIComponent(TO)}&${query}`)).body.rooms.map(
        ({ channel, room }: { channel: string; room: string }) => `${channel}/${room}`,
      );
    return { stage, process, rooms, ...served };
  }

  it('finds those that messages to it were in and those of its name, whatever they do', async () => {
    const { stage, get, rooms } = await recipients();
    expect(await rooms('')).toEqual(['sales/second', 'support/first', `support/${TO}`, 'support/third']);
    expect(await rooms('channel=sales')).toEqual(['sales/second']);
    expect(await rooms('tenant=other')).toEqual(['sales/theirs']);
    expect(await rooms('tenant=nobody')).toEqual([]);
    for (const send of stage.bed.platform.sends) await send.refuse({ permanent: true });
    const { body } = await get('/v1/rooms?recipient=%2B49%201');
    expect(body).toMatchObject({ asOf: stage.bed.time.now, unlisted: 0, cursor: null });
    expect(body.rooms).toMatchObject([{ room: 'another', phase: 'idle', counts: { accepted: 1, waiting: 0 } }]);
  });

  it('gives them page by page', async () => {
    const { get } = await recipients();
    const pages: string[][] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const mark: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
      const { body } = await get(`/v1/rooms?limit=2&recipient=${encodeURIComponent(TO)}${mark}`);
      pages.push(body.rooms.map(({ room }: { room: string }) => room));
      cursor = body.cursor;
    }
    expect(pages).toEqual([['second', 'first'], [TO, 'third'], []]);
  });

  it('shows a key that is bound to tenants what is theirs', async () => {
    const { rooms } = await recipients({ keys: keyEntries((entry) => ({ ...entry, tenants: ['other'] })) });
    expect(await rooms('')).toEqual([]);
    expect(await rooms('tenant=other')).toEqual(['sales/theirs']);
  });

  it('leaves no trace of it in the log, whatever came of the question', async () => {
    const { stage, process, get, logged } = await recipients();
    const asked = `/v1/rooms?recipient=${encodeURIComponent(TO)}`;
    expect((await get(asked)).status).toBe(200);
    expect((await get(`${asked}&phase=held`)).status).toBe(400);
    expect((await get(`${asked}&${encodeURIComponent(TO)}=1`)).status).toBe(400);
    expect((await get(`/v1/rooms?recipient=${encodeURIComponent(`${TO}\n`)}`)).status).toBe(400);
    const cause = new Error(`no answer for ${TO}`);
    stage.bed.operators.recipients.find = () => Promise.reject(cause);
    expect((await get(asked)).status).toBe(503);
    stage.bed.operators.recipients.find = () => Promise.reject(new TypeError(`${TO} is undefined`));
    expect((await get(asked)).status).toBe(500);
    stage.bed.operators.recipients.note = () => Promise.reject(cause);
    await process.publish('fourth', ['a'], { to: TO });
    await stage.bed.time.advance(1_000);
    const events = [...logged, ...process.logged];
    expect(events.map(({ event }) => event)).toEqual(
      expect.arrayContaining(['http.request_refused', 'http.request_failed', 'postgres.batch_failed']),
    );
    expect(JSON.stringify(events)).not.toMatch(/123456|%2B49/);
  });

  it.each([
    ['phase=held', 'field_invalid', 'phase'],
    ['olderThan=0', 'field_invalid', 'olderThan'],
    ['cursor=held.1.1', 'field_invalid', 'cursor'],
    ['cursor=1.', 'field_invalid', 'cursor'],
    ['recipient=b', 'field_type', 'recipient'],
  ])('refuses %s beside it', async (query, code, field) => {
    const stage = new Stage();
    const { process } = await stage.boot();
    const get = await serve(stage, process);
    expect(await get(`/v1/rooms?recipient=a&${query}`)).toMatchObject({ status: 400, body: { code, field } });
  });

  it.each([
    ['', 'field_invalid'],
    ['%0A', 'id_invalid'],
    ['%00', 'text_nul_or_surrogate'],
    ['x'.repeat(257), 'id_too_long'],
  ])('refuses the recipient "%s"', async (recipient, code) => {
    const stage = new Stage();
    const { process } = await stage.boot();
    const get = await serve(stage, process);
    const { status, body } = await get(`/v1/rooms?recipient=${recipient}`);
    expect([status, body.code, body.field]).toEqual([400, code, 'recipient']);
  });
});

describe('GET /v1/rooms/{channel}/{room}/timeline', () => {
  it('tells what happened to each message, late acks and the open attempt included', async () => {
    const stage = new Stage([channelOf()]);
    const { process } = await stage.boot();
    const get = await serve(stage, process);
    await stage.publish(process, 'r1', ['a', 'b', 'c']);
    const at: number[] = [stage.bed.time.now];
    await stage.bed.time.advance(100);
    await stage.bed.platform.last.accept();
    await stage.bed.time.advance(5_100);
    await stage.bed.platform.last.accept();
    await stage.bed.time.advance(300);
    await process.ack(stage.bed, 'r1', 1);
    await process.ack(stage.bed, 'r1', 2);
    const begun = at[0] ?? 0;
    const second = begun + 5_100;
    const path = '/v1/rooms/support/r1/timeline';
    const { body } = await get(`${path}?order=oldest`);
    expect(body.asOf).toBe(stage.bed.time.now);
    expect(body.messages).toMatchObject([
      {
        sequence: 1,
        messageId: 'a',
        outcome: 'assumed',
        lateFailure: null,
        events: [
          { event: 'accepted', at: START },
          { event: 'attempt_begun', at: begun, attempt: 1 },
          { event: 'attempt_ended', at: begun + 100, attempt: 1, result: 'accepted' },
          { event: 'settled', at: second, outcome: 'assumed', reason: 'ack_timeout' },
          { event: 'acked', level: 'delivered', late: true },
        ],
      },
      {
        sequence: 2,
        outcome: 'acked',
        events: [
          { event: 'accepted' },
          { event: 'attempt_begun', at: second },
          { event: 'attempt_ended', at: second + 100 },
          { event: 'acked', level: 'delivered', late: false },
          { event: 'settled', outcome: 'acked' },
        ],
      },
      { sequence: 3, outcome: null, events: [{ event: 'accepted' }, { event: 'attempt_begun' }] },
    ]);
    const newest = (await get(`${path}?limit=2`)).body;
    expect(newest.messages.map(({ sequence }: { sequence: number }) => sequence)).toEqual([3, 2]);
    const rest = (await get(`${path}?limit=2&cursor=${newest.cursor}`)).body;
    expect(rest).toMatchObject({ messages: [{ sequence: 1 }], cursor: null });
    const last = (await get(`${path}?order=oldest&cursor=2`)).body;
    expect(last.messages.map(({ sequence }: { sequence: number }) => sequence)).toEqual([3]);
  });

  it.each([
    ['none/timeline', 404, 'room_not_found'],
    ['r1/timeline?order=random', 400, 'field_invalid'],
    ['r1/timeline?cursor=0', 400, 'field_invalid'],
    ['r1/timeline?cursor=Infinity', 400, 'field_type'],
  ])('refuses %s', async (path, status, code) => {
    const stage = new Stage();
    const { process } = await stage.boot();
    await stage.publish(process, 'r1', ['a']);
    const get = await serve(stage, process);
    const answer = await get(`/v1/rooms/support/${path}`);
    expect([answer.status, answer.body.code]).toEqual([status, code]);
  });
});

describe('GET /v1/charts', () => {
  it('gives totals and latencies of each step', async () => {
    const { stage, get } = await threeRooms();
    await stage.bed.time.advance(61_000);
    const { status, body } = await get('/v1/charts?channel=support');
    expect(status).toBe(200);
    expect(body).toMatchObject({ stepMs: 60_000, to: stage.bed.time.now, asOf: stage.bed.time.now });
    expect(body.points).toHaveLength(1);
    const [{ at, totals, latencies }] = body.points;
    expect(at % 60_000).toBe(0);
    expect(totals).toMatchObject({ accepted: 7, attempts: 3, acked: 0 });
    expect(latencies.acceptToFirstSend).toMatchObject({ count: 3 });
    // What the bed publishes was accepted a second before.
    expect(latencies.acceptToFirstSend.p50).toBeCloseTo(1_000, -3);
    expect(latencies.ackDelay).toEqual({ count: 0, p50: null, p95: null, p99: null, counts: [] });
    const other = await get('/v1/charts?channel=sales&tenant=other');
    expect(other.body.points).toEqual([]);
    const coarse = await get(`/v1/charts?step=3600&from=${START - 7_200_000}`);
    expect(coarse.body.points).toHaveLength(1);
  });

  it.each([
    ['step=61', 'field_invalid'],
    ['step=0', 'field_invalid'],
    ['step=Infinity', 'field_type'],
    ['from=5&to=5', 'field_invalid'],
    [`from=0&to=${START}`, 'field_invalid'],
    ['to=Infinity', 'field_type'],
    ['from=x', 'field_type'],
  ])('refuses %s', async (query, code) => {
    const stage = new Stage();
    const { process } = await stage.boot();
    const get = await serve(stage, process);
    const { status, body } = await get(`/v1/charts?${query}`);
    expect([status, body.code]).toEqual([400, code]);
  });
});
