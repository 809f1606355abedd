/** The live feed over HTTP, of real engines on memory stores: who hears what, and what becomes of those who do not listen. */
import { once } from 'node:events';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import type { Settlement } from '../../src/engine/live-ports.ts';
import type { LiveEvent } from '../../src/http/live-schemas.ts';
import { liveEventSchema } from '../../src/http/live-schemas.ts';
import { CHANNEL, channelOf, nackOf, type Process, SHARDS, settled, statusOf } from '../support/engine.ts';
import { type Feed, type LiveProcess, LiveWire, startLive } from '../support/live.ts';
import { Stage } from '../support/pipeline.ts';
import { bearer, jsonOf, keyEntries, keyOf, open as openRaw } from './fixture.ts';

const OTHER = { tenant: 'other', channel: 'sales' };
const SECOND = { tenant: 'default', channel: 'second' };
const threeChannels = () => new Stage([channelOf(), channelOf({ key: OTHER }), channelOf({ key: SECOND })]);

/** One message is published in a room of the channel, accepted and acked. */
async function deliver(
  { bed, process }: Pick<LiveProcess, 'bed' | 'process'>,
  room: string,
  key: { readonly tenant: string; readonly channel: string } = CHANNEL,
) {
  await process.publish(room, ['m'], { key: { ...key, room } });
  await bed.platform.last.accept();
  const row = await bed.row(room, key);
  const reference = process.references.encode(row, row.tail);
  await process.engine.acks.receive(key, [statusOf({ reference })]);
  await bed.time.advance(50);
  return reference;
}

async function refuse({ bed, process }: Pick<LiveProcess, 'bed' | 'process'>, room: string, code = 'no_such_number') {
  await process.publish(room, ['m']);
  await bed.platform.last.refuse({ permanent: true, code });
  await bed.time.advance(50);
}

const validate = new Ajv2020({ strict: false }).compile(liveEventSchema);
function expectValid(events: readonly LiveEvent[]): void {
  for (const event of events) expect(validate(event), JSON.stringify([event, validate.errors])).toBe(true);
}

const isHeard = ({ process }: { readonly process: Process }): boolean =>
  process.instruments.telemetry.wants('message.settled');

async function count(process: Process, name: 'liveDropped' | 'liveClosed' | 'liveReaders'): Promise<object> {
  const { values } = await process.instruments.metrics[name].get();
  return Object.fromEntries(
    values.map(({ labels, value }) => [(labels as { reason?: string }).reason ?? 'all', value]),
  );
}

describe('GET /v1/live', () => {
  it('tells of each message that settles or fails, with its exact id', async () => {
    const live = await startLive();
    const feed = await live.open();
    expect(feed.response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    expect(feed.response.headers.get('cache-control')).toBe('no-store');
    const ready = await feed.until('ready');
    expect(ready).toEqual({
      asOf: live.bed.time.now,
      filter: { tenant: null, channel: null, room: null, events: ['totals', 'settled', 'failed'] },
      reach: 'process',
      intervalMs: 500,
      heartbeatMs: 10_000,
      missed: null,
    });
    const id = await deliver(live, 'r');
    expect(await feed.until('settled')).toEqual({
      id,
      ...CHANNEL,
      room: 'r',
      sequence: 1,
      messageId: 'm',
      outcome: 'acked',
      reason: 'ack',
      order: 'proven',
      level: 'delivered',
      code: null,
      attempts: 1,
      possiblyDelivered: false,
      late: false,
      at: live.bed.time.now - 50,
    });
    await refuse(live, 's');
    expect(await feed.until('failed')).toMatchObject({
      room: 's',
      outcome: 'failed',
      code: 'no_such_number',
      order: null,
    });
    expect(feed.of('settled')).toHaveLength(1);
    expectValid(feed.events);
  });

  it('says order assumed where no ack came, and tells of the failure that the platform reports afterwards', async () => {
    const live = await startLive();
    const feed = await live.open('/v1/live?events=settled,failed');
    await live.process.publish('r', ['m']);
    await live.bed.platform.last.accept();
    await live.bed.time.advance(5_100);
    const assumed = await feed.until('settled');
    expect(assumed).toMatchObject({
      outcome: 'assumed',
      order: 'assumed',
      reason: 'ack_timeout',
      possiblyDelivered: true,
    });
    await live.process.ack(live.bed, 'r', 1, { level: null, nack: nackOf({ permanent: true, code: '131026' }) });
    await live.bed.time.advance(50);
    const failed = await feed.until('failed');
    expect(failed).toMatchObject({ id: assumed.id, late: true, reason: 'failed_after_assumed', code: '131026' });
    expectValid(feed.events);
  });

  it('tells only what is asked for', async () => {
    const stage = threeChannels();
    const live = await startLive({ stage });
    const all = await live.open('/v1/live?events=settled');
    const one = await live.open('/v1/live?channel=support&events=settled,failed');
    const room = await live.open('/v1/live?channel=support&room=b&events=settled');
    const tenant = await live.open('/v1/live?tenant=other&events=settled');
    const failures = await live.open('/v1/live?events=failed');
    await Promise.all([all, one, room, tenant, failures].map((feed) => feed.until('ready')));
    await deliver(live, 'a');
    await deliver(live, 'b');
    await deliver(live, 'b', SECOND);
    await deliver(live, 'c', OTHER);
    await refuse(live, 'z');
    await failures.until('failed');
    await all.until('settled', (data) => data.tenant === 'other');
    await one.until('failed');
    const rooms = (feed: Feed): string[] => feed.of('settled').map((data) => `${data.channel}/${data.room}`);
    expect(rooms(all)).toEqual(['support/a', 'support/b', 'second/b', 'sales/c']);
    expect(rooms(one)).toEqual(['support/a', 'support/b']);
    expect(rooms(room)).toEqual(['support/b']);
    expect(rooms(tenant)).toEqual(['sales/c']);
    expect(rooms(failures)).toEqual([]);
  });

  it('tells twice a second how much is where and what happened since', async () => {
    const stage = threeChannels();
    const live = await startLive({ stage });
    const feed = await live.open('/v1/live?events=totals');
    await feed.until('ready');
    await live.bed.time.advance(500);
    const first = await feed.until('totals');
    expect(first).toMatchObject({ intervalMs: null, complete: true, processes: 1, accepting: 0, acceptedPerSecond: 0 });
    await deliver(live, 'a');
    await live.process.publish('b', ['m', 'n']);
    await live.bed.platform.last.accept();
    await live.bed.time.advance(500);
    const next = await feed.until('totals', (data) => data.counts.accepted > 0);
    expect(next).toMatchObject({
      intervalMs: 500,
      shards: { counted: SHARDS, total: SHARDS },
      openSends: 0,
      counts: { accepted: 3, attempts: 2, acked: 1, assumed: 0 },
      acceptedPerSecond: 6,
      sentPerSecond: 4,
      settledPerSecond: 2,
      ackRate: 1,
      stages: { awaitingAck: { rooms: 1, messages: 1 }, waiting: { messages: 1 } },
    });
    expect(next.channels.map(({ channel, state }) => [channel, state])).toEqual([
      ['second', 'open'],
      ['support', 'open'],
      ['sales', 'open'],
    ]);
    expect(next.channels.find(({ channel }) => channel === 'second')?.counts.accepted).toBe(0);
    await live.bed.time.advance(500);
    const last = await feed.until('totals', (data) => data.asOf > next.asOf);
    expect(last).toMatchObject({ counts: { accepted: 0 }, ackRate: null, gapMs: { count: 0, p50: null, p99: null } });
    expectValid(feed.events);
  });

  it('measures the gap from an ack to the next send', async () => {
    const live = await startLive();
    const feed = await live.open('/v1/live?events=totals');
    await live.bed.time.advance(500);
    await live.process.publish('a', ['m', 'n']);
    await live.bed.platform.last.accept();
    await live.process.ack(live.bed, 'a', 1);
    await live.bed.time.advance(500);
    const { gapMs } = await feed.until('totals', (data) => data.gapMs.count > 0);
    expect(gapMs.count).toBe(1);
    expect(gapMs.p99).toBeLessThan(1);
  });

  it('says in what state a channel is', async () => {
    const live = await startLive();
    const feed = await live.open('/v1/live?events=totals');
    await live.process.publish('a', ['m']);
    await live.bed.platform.last.refuse({ scope: 'channel', permanent: true, code: 'revoked' });
    await live.bed.time.advance(1_000);
    const { channels } = await feed.until('totals', (data) => data.channels[0]?.state !== 'open');
    expect(channels[0]).toMatchObject({ ...CHANNEL, state: 'stopped', reason: expect.any(String) });
  });

  it('shows a key that is bound to tenants nothing of others', async () => {
    const stage = threeChannels();
    const keys = keyEntries((entry) => ({ ...entry, tenants: ['other'] }));
    const live = await startLive({ stage, server: { keys } });
    const bound = await live.open();
    const foreign = await live.open('/v1/live?channel=support');
    await deliver(live, 'secret-room');
    await deliver(live, 'mine', OTHER);
    await live.bed.time.advance(500);
    await bound.until('settled');
    const totals = await bound.until('totals');
    expect(totals).toMatchObject({ accepting: null, openSends: null });
    expect(totals.channels.map(({ tenant }) => tenant)).toEqual(['other']);
    expect(bound.of('settled').map(({ room }) => room)).toEqual(['mine']);
    const none = await foreign.until('totals');
    expect(none).toMatchObject({ channels: [], stages: { waiting: { rooms: 0 } } });
    expect(JSON.stringify([bound.events, foreign.events])).not.toContain('secret-room');
    expect(foreign.of('settled')).toEqual([]);
  });

  it.each([
    ['no key', '/v1/live', {}, 401, 'unauthorized'],
    ['a key without the scope', '/v1/live', bearer('publish'), 403, 'forbidden_scope'],
    ['an unknown kind of events', '/v1/live?events=all', bearer('read'), 400, 'field_invalid'],
    ['a query that it does not know', '/v1/live?since=1', bearer('read'), 400, 'field_unknown'],
    ['a room of no channel', '/v1/live?room=r', bearer('read'), 400, 'field_missing'],
    ['a name too long', `/v1/live?channel=${'x'.repeat(257)}`, bearer('read'), 400, 'field_invalid'],
    ['bytes too many', `/v1/live?channel=${encodeURIComponent('ü'.repeat(200))}`, bearer('read'), 400, 'id_too_long'],
  ])('refuses %s', async (_name, path, headers, status, code) => {
    const live = await startLive();
    const response = await live.call(path, { headers: headers as Record<string, string> });
    expect(response.status).toBe(status);
    expect(await jsonOf(response)).toMatchObject({ code });
    expect(isHeard(live)).toBe(false);
  });

  it('answers HEAD without beginning, and other methods not at all', async () => {
    const live = await startLive();
    const head = await live.call('/v1/live', { method: 'HEAD', headers: bearer('read') });
    expect([head.status, head.headers.get('content-type')]).toEqual([200, 'text/event-stream; charset=utf-8']);
    expect((await live.call('/v1/live', { method: 'POST', headers: bearer('read') })).status).toBe(405);
    expect(isHeard(live)).toBe(false);
  });

  it('says after a Last-Event-ID what was missed and where to find it, and repeats nothing', async () => {
    const live = await startLive();
    await deliver(live, 'r');
    const since = String(live.bed.time.now - 10_000);
    const feed = await live.open('/v1/live?channel=support&room=r', { ...bearer('read'), 'last-event-id': since });
    const { missed } = await feed.until('ready');
    expect(missed).toMatchObject({ since: Number(since), note: expect.stringContaining('not a log') });
    const hrefs = missed?.catchUp.map(({ href }) => href) ?? [];
    expect(hrefs).toEqual([
      `/v1/charts?tenant=default&channel=support&from=${since}`,
      `/v1/dead-letters?tenant=default&channel=support&room=r&from=${since}`,
      '/v1/rooms/support/r/timeline?tenant=default',
    ]);
    const strange = await live.open('/v1/live', { ...bearer('read'), 'last-event-id': 'yesterday' });
    expect((await strange.until('ready')).missed).toBeNull();
    await live.bed.time.advance(100);
    expect(feed.of('settled')).toEqual([]);
  });

  it('shows itself alive while nothing happens', async () => {
    const live = await startLive();
    const feed = await live.open('/v1/live?events=failed');
    await feed.until('ready');
    await live.bed.time.advance(10_500);
    expect((await feed.until('heartbeat')).at).toBeGreaterThan(live.bed.time.now - 2_000);
    expectValid(feed.events);
  });

  it('takes so many readers, of one key and in all, and gives their places back', async () => {
    const keys = keyEntries((entry) => ({ ...entry, scopes: ['read'] }));
    const live = await startLive({ hub: { maxReaders: 3, maxReadersPerKey: 2 }, server: { keys } });
    const feeds = [await live.open(), await live.open()];
    const third = await live.call('/v1/live', { headers: bearer('read') });
    expect(third.status).toBe(503);
    expect(await jsonOf(third)).toMatchObject({ code: 'live_readers_exceeded', rule: '2 of one key at a process' });
    expect(third.headers.get('retry-after')).toBe('10');
    const other = await live.open('/v1/live', bearer('publish'));
    await other.until('ready');
    const fourth = await live.call('/v1/live', { headers: bearer('operate') });
    expect(await jsonOf(fourth)).toMatchObject({ rule: '3 at a process' });
    feeds[0]?.close();
    await expect.poll(() => count(live.process, 'liveReaders')).toEqual({ all: 2 });
    await (await live.open()).until('ready');
  });

  it('costs nothing once nobody listens', async () => {
    const live = await startLive();
    await live.bed.time.advance(1);
    const timers = live.bed.time.pending;
    expect(isHeard(live)).toBe(false);
    const feed = await live.open();
    await feed.until('ready');
    expect(isHeard(live)).toBe(true);
    expect(live.bed.time.pending).toBeGreaterThan(timers);
    feed.close();
    await expect.poll(() => isHeard(live)).toBe(false);
    expect(live.bed.time.pending).toBe(timers);
  });

  it('ends with the process, and says so', async () => {
    const live = await startLive();
    const [feed, socket] = [await live.open(), socketOf(live)];
    await feed.until('ready');
    await once(socket, 'message');
    const closed = once(socket, 'close');
    await live.server.service.stop();
    expect(await feed.ended).toBe(true);
    expect(feed.of('closing')).toEqual([{ reason: 'stopping', retryAfterMs: 1_000 }]);
    const [{ code, reason }] = (await closed) as [CloseEvent];
    expect([code, reason]).toEqual([1001, 'stopping']);
    expectValid(feed.events);
  });

  it('has a reader show its key again after an hour', async () => {
    const live = await startLive();
    const feed = await live.open('/v1/live?events=failed');
    await feed.until('ready');
    await live.bed.time.advance(3_600_500);
    expect(await feed.until('closing')).toEqual({ reason: 'renew', retryAfterMs: 0 });
    expect(await feed.ended).toBe(true);
  });
});

describe('A slow reader', () => {
  const KINDS = {
    stream: { path: '/v1/live', headers: '', dropped: /event: dropped\nid: \d+\ndata: (\{.*\})\n/ },
    socket: {
      path: '/v1/live/socket',
      headers:
        'connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n',
      dropped: /\{"event":"dropped","id":"\d+","data":(\{[^}]*\})\}/,
    },
  } as const;

  /** Takes nothing of what comes until it is told to. */
  async function slow(live: LiveProcess, kind: keyof typeof KINDS) {
    const { authorization } = bearer('read');
    const { path, headers } = KINDS[kind];
    const connection = openRaw(live.server.url);
    connection.socket.write(
      `GET ${path}?events=settled HTTP/1.1\r\nhost: x\r\nauthorization: ${authorization}\r\n${headers}\r\n`,
    );
    await once(connection.socket, 'data');
    connection.socket.pause();
    return connection;
  }

  /** Settlements enough to fill every buffer on the way. */
  const FLOOD = 20_000;
  const STEP = 200;
  const ROOM = { ...CHANNEL, room: 'r'.repeat(200) };
  const batch = (from: number): Settlement[] =>
    Array.from({ length: STEP }, (_, index) => ({
      kind: 'settled',
      id: `id-${from + index}`,
      room: ROOM,
      sequence: from + index,
      messageId: null,
      outcome: 'acked',
      reason: 'ack',
      level: 'delivered',
      code: null,
      attempts: 1,
      possiblyDelivered: false,
      late: false,
      at: 1,
    }));

  it.each(['stream', 'socket'] as const)(
    'loses what does not fit, is told how much, and delays nobody: %s',
    async (kind) => {
      const live = await startLive();
      const quick = await live.open('/v1/live?events=settled');
      await quick.until('ready');
      const connection = await slow(live, kind);
      for (let from = 0; from < FLOOD; from += STEP) {
        live.hub.onSettlements(batch(from));
        await quick.next('settled', ({ sequence }) => sequence === from + STEP - 1);
      }
      expect(quick.of('dropped')).toEqual([]);
      connection.socket.resume();
      let text = '';
      connection.socket.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      await expect.poll(() => KINDS[kind].dropped.test(text), { timeout: 10_000 }).toBe(true);
      const dropped = JSON.parse(KINDS[kind].dropped.exec(text)?.[1] ?? '{}') as { count: number };
      const had = [...text.matchAll(/"sequence":(\d+)/g)].map(([, sequence]) => Number(sequence));
      expect(had.length + dropped.count).toBe(FLOOD);
      expect(had).toEqual(had.map((_, index) => index));
      expect(await count(live.process, 'liveDropped')).toMatchObject({ slow_reader: dropped.count });
    },
  );

  it.each(['stream', 'socket'] as const)('that takes nothing for ten seconds is cut off: %s', async (kind) => {
    const live = await startLive();
    const connection = await slow(live, kind);
    for (let from = 0; from < FLOOD; from += STEP) {
      live.hub.onSettlements(batch(from));
      await settled();
    }
    await live.bed.time.advance(9_000);
    expect(await count(live.process, 'liveReaders')).toEqual({ all: 1 });
    await live.bed.time.advance(1_500);
    expect(await count(live.process, 'liveReaders')).toEqual({ all: 0 });
    expect(await count(live.process, 'liveClosed')).toEqual({ slow_reader: 1 });
    expect(isHeard(live)).toBe(false);
    connection.socket.resume();
    expect(await connection.answer).not.toContain('closing');
  });
});

function socketOf(live: LiveProcess, path = '/v1/live/socket', headers: Record<string, string> = bearer('read')) {
  // Node's own takes headers, which a browser's does not.
  return new WebSocket(`${live.server.url.replace('http', 'ws')}${path}`, { headers } as unknown as string[]);
}

async function eventsOf(socket: WebSocket): Promise<LiveEvent[]> {
  const [message] = (await once(socket, 'message')) as [MessageEvent];
  return JSON.parse(String(message.data)) as LiveEvent[];
}

describe('GET /v1/live/socket', () => {
  it('tells the same over a WebSocket, a key in a header', async () => {
    const live = await startLive();
    const socket = socketOf(live, '/v1/live/socket?events=settled');
    const [ready] = await eventsOf(socket);
    expect(ready).toMatchObject({ event: 'ready', data: { filter: { events: ['settled'] } } });
    const next = eventsOf(socket);
    const id = await deliver(live, 'r');
    const events = await next;
    expect(events).toMatchObject([{ event: 'settled', data: { id, order: 'proven' } }]);
    expectValid(events);
    const closed = once(socket, 'close');
    socket.close();
    await closed;
    await expect.poll(() => isHeard(live)).toBe(false);
  });

  it('takes the key as the first message from those who cannot send headers', async () => {
    const live = await startLive();
    const socket = socketOf(live, '/v1/live/socket', {});
    await once(socket, 'open');
    expect(isHeard(live)).toBe(false);
    const key = keyOf('read');
    socket.send(JSON.stringify({ key, lastEventId: '5' }));
    expect(await eventsOf(socket)).toMatchObject([{ event: 'ready', data: { missed: { since: 5 } } }]);
    const closed = once(socket, 'close');
    socket.send('and more');
    const [{ code }] = (await closed) as [CloseEvent];
    expect(code).toBe(1008);
  });

  it.each([
    ['a wrong key', JSON.stringify({ key: 'rl_wrong' }), 4401, 'unauthorized'],
    ['a key without the scope', JSON.stringify({ key: keyOf('publish') }), 4403, 'forbidden_scope'],
    ['no key', '{}', 4400, 'field_missing'],
    ['no JSON', 'hello', 4400, 'field_missing'],
    ['too much', 'x'.repeat(5_000), 1009, ''],
  ])('closes on %s as the first message', async (_name, text, code, reason) => {
    const live = await startLive();
    const socket = socketOf(live, '/v1/live/socket', {});
    await once(socket, 'open');
    const closed = once(socket, 'close');
    socket.send(text);
    const [event] = (await closed) as [CloseEvent];
    expect([event.code, event.reason]).toEqual([code, reason]);
    expect(isHeard(live)).toBe(false);
  });

  it('counts among those without a key only until it has shown one', async () => {
    const live = await startLive({ hub: { maxReaders: 100, maxReadersPerKey: 100 } });
    for (let each = 0; each < 66; each++) {
      const socket = socketOf(live, '/v1/live/socket', {});
      await once(socket, 'open');
      socket.send(JSON.stringify({ key: keyOf('read') }));
      const [first] = (await once(socket, 'message')) as [MessageEvent];
      expect(String(first.data)).toContain('"event":"ready"');
    }
  });

  it('refuses before it upgrades', async () => {
    const full = await startLive({ hub: { maxReaders: 0 } });
    const live = await startLive();
    const upgrade = (path: string, more = '', at = live) =>
      at.raw(
        `GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n${more}\r\n`,
      );
    const read = `authorization: ${bearer('read').authorization}\r\n`;
    expect(await upgrade('/v1/live/socket', read, full)).toMatch(/^HTTP\/1.1 503 .*"code":"live_readers_exceeded"/s);
    expect(await upgrade('/v1/live/socket', 'authorization: Bearer x\r\n')).toMatch(/^HTTP\/1.1 401 .*"unauthorized"/s);
    expect(await upgrade('/v1/live/socket?events=x', read)).toMatch(/^HTTP\/1.1 400 .*"field_invalid"/s);
    // What is refused before its route is looked at ends like any other request, and keeps no connection open.
    const long = `/v1/live/socket?x=${'x'.repeat(2_100)}`;
    expect(await upgrade(long, 'connection: close\r\n')).toMatch(/^HTTP\/1.1 400 .*"field":"url"/s);
    // Elsewhere it is a request like any other.
    expect(await upgrade('/healthz', 'connection: close\r\n')).toMatch(/^HTTP\/1.1 200 .*alive/s);
    const plain = await live.call('/v1/live/socket', { headers: bearer('read') });
    expect([plain.status, (await jsonOf(plain)).code]).toEqual([426, 'upgrade_required']);
  });
});

describe('Over several processes', () => {
  async function two() {
    const wire = new LiveWire();
    const stage = new Stage();
    const holder = await startLive({ stage, wire, name: 'holder' });
    const process = await stage.bed.boot({ roles: ['api'] });
    const reader = await startLive({ stage, wire, process, name: 'reader' });
    return { wire, stage, holder, reader };
  }

  it('a reader at one hears of what settles at another, once', async () => {
    const { holder, reader, wire } = await two();
    expect(isHeard(holder)).toBe(false);
    const feed = await reader.open();
    const other = await holder.open('/v1/live?events=settled');
    expect((await feed.until('ready')).reach).toBe('fleet');
    await other.until('ready');
    const id = await deliver(holder, 'r');
    expect((await feed.until('settled')).id).toBe(id);
    await reader.bed.time.advance(500);
    expect(await feed.until('totals', ({ complete }) => complete)).toMatchObject({ processes: 2 });
    expect(feed.of('settled')).toHaveLength(1);
    expect(other.of('settled')).toHaveLength(1);
    expect(wire.told.some(({ text }) => text.includes(id))).toBe(true);
  });

  it('nothing is told while nobody listens, nor to a process that died', async () => {
    const { holder, reader, wire, stage } = await two();
    await deliver(holder, 'r');
    await stage.bed.time.advance(2_000);
    expect(wire.told).toEqual([]);
    const feed = await reader.open('/v1/live?events=settled');
    await feed.until('ready');
    expect(isHeard(holder)).toBe(true);
    await stage.bed.time.advance(10_000);
    expect(isHeard(holder)).toBe(true);
    expect(wire.heard('feed')).toBe(0);
    // The reader's process says no more that anything is wanted.
    wire.up = false;
    await stage.bed.time.advance(4_500);
    expect(isHeard(holder)).toBe(false);
    wire.up = true;
    await stage.bed.time.advance(1_000);
    expect(isHeard(holder)).toBe(true);
    feed.close();
    await expect.poll(() => isHeard(holder)).toBe(false);
  });

  it('says where something did not come through', async () => {
    const { holder, reader, wire, stage } = await two();
    const feed = await reader.open('/v1/live?events=settled');
    await feed.until('ready');
    wire.lapse();
    expect(await feed.until('dropped')).toMatchObject({ count: null, reason: 'interrupted' });
    wire.up = false;
    await deliver(holder, 'lost');
    wire.up = true;
    await stage.bed.time.advance(1_000);
    await deliver(holder, 'r');
    expect(await feed.until('dropped', ({ reason }) => reason === 'busy')).toMatchObject({ count: 1 });
    await feed.until('settled', ({ room }) => room === 'r');
    expect(feed.of('settled').map(({ room }) => room)).toEqual(['r']);
    expectValid(feed.events);
  });

  it('is not disturbed by what is not ours', async () => {
    const { holder, reader, wire } = await two();
    const feed = await reader.open('/v1/live?events=settled');
    await feed.until('ready');
    const stranger = wire.port();
    for (const topic of ['interest', 'feed'] as const) {
      for (const text of ['', 'x', '[]', '[1]', '[1,"p",{"totals":1}]', '[1,"p",1,0,[{}],{}]', '[2,"p",null]']) {
        stranger.tell(topic, text);
      }
    }
    await deliver(holder, 'r');
    await feed.until('settled');
    expect([...holder.process.failures, ...reader.process.failures]).toEqual([]);
  });
});
