/** The client on the real server: what it sends, what it repeats and what it does not. */
import { describe, expect, it } from 'vitest';
import {
  type ClientOptions,
  type MessageRequest,
  type PublishResult,
  RoomlineApiError,
  RoomlineClient,
  RoomlineConnectionError,
} from '../../src/client/client.ts';
import { Publisher } from '../../src/client/publisher.ts';
import { RoomlineError } from '../../src/errors.ts';
import type { Scope } from '../../src/http/keys.ts';
import { Backend, keyEntries, keyOf, startServer } from '../http/fixture.ts';
import { startWhole } from '../http/whole.ts';
import { Fleet, settingsOf } from '../support/channel-admin.ts';

const MESSAGE: MessageRequest = { channel: 'support', room: 'r', content: { text: 'Hello' } };

async function start(change: Partial<ClientOptions> = {}, backend = new Backend()) {
  const { server } = await startServer({}, backend);
  const slept: number[] = [];
  const client = (scope: Scope, more: Partial<ClientOptions> = {}) =>
    new RoomlineClient({
      url: server.url,
      key: keyOf(scope),
      sleep: async (ms) => void slept.push(ms),
      random: () => 0,
      ...change,
      ...more,
    });
  return { backend, server, slept, client };
}

/** A connection that breaks after the request has had its effect. */
function losing(times: number): typeof fetch {
  let left = times;
  return async (...args) => {
    const response = await fetch(...args);
    await response.clone().text();
    if (left-- > 0) throw new TypeError('connection reset');
    return response;
  };
}

const failureOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => null,
    (error: unknown) => error,
  );

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

describe('publish', () => {
  it('hands a message in and tells where it is', async () => {
    const { client } = await start();
    const { id } = await client('publish').publish({ ...MESSAGE, messageId: 'm-1' });
    expect(await client('read').messages.get(id ?? '')).toMatchObject({ id, messageId: 'm-1', sequence: 1 });
  });

  it('repeats a request whose answer was lost under the same key, so that nothing is doubled', async () => {
    const { backend, client, slept } = await start({ fetch: losing(2) });
    const accepted = await client('publish').publish(MESSAGE);
    expect(accepted).toMatchObject({ sequence: 1, duplicate: true });
    expect(new Set(backend.published.map(({ messageId }) => messageId)).size).toBe(1);
    expect(backend.published).toHaveLength(3);
    expect(slept).toEqual([100, 200]);
  });

  it('waits as long as a refusal says, and gives up after so many times', async () => {
    const { backend, client, slept } = await start();
    let refusals = 1;
    backend.onPublish = async () => {
      if (refusals-- > 0) throw new RoomlineError('overloaded', { retryAfterMs: 2_500 });
      throw new RoomlineError('not_ready');
    };
    const failure = await failureOf(client('publish', { retries: 2 }).publish(MESSAGE));
    expect(failure).toMatchObject({ code: 'not_ready', status: 503, retryable: true });
    // What a header says in whole seconds is kept, too.
    expect(slept).toEqual([2_600, 1_200]);
  });

  it('tells a refusal in all its parts, without repeating it', async () => {
    const { backend, client, slept } = await start();
    const failure = await failureOf(client('publish').publish({ ...MESSAGE, room: '' }));
    expect(failure).toBeInstanceOf(RoomlineApiError);
    expect(failure).toMatchObject({ code: 'field_invalid', status: 400, field: 'room', rule: '1 to 256 bytes' });
    expect((failure as RoomlineApiError).requestId).toBeTruthy();
    expect([backend.published, slept]).toEqual([[], []]);
  });

  it('tells that nobody is there, or somebody else', async () => {
    const { client, server } = await start({ retries: 0 });
    const page = (async () => new Response('<html>')) as typeof fetch;
    expect(await failureOf(client('read', { fetch: page }).channels.list())).toBeInstanceOf(RoomlineConnectionError);
    const stranger = (async () => Response.json({ hello: 1 }, { status: 502 })) as typeof fetch;
    expect(await failureOf(client('read', { fetch: stranger }).channels.list())).toMatchObject({
      code: 'unknown',
      status: 502,
      retryable: true,
    });
    await server.service.stop();
    expect(await failureOf(client('publish').publish(MESSAGE))).toBeInstanceOf(RoomlineConnectionError);
  });
});

describe('publishAll', () => {
  it('splits what is many, keeps the order and gives ids to those without', async () => {
    const { backend, client } = await start();
    const sizes: number[] = [];
    const counting: typeof fetch = async (url, init) => {
      sizes.push((JSON.parse(String(init?.body)) as { messages: unknown[] }).messages.length);
      return fetch(url, init);
    };
    const messages = Array.from({ length: 5_003 }, (_, index) => ({ ...MESSAGE, content: { index } }));
    const results = await all(client('publish', { fetch: counting }).publishAll(messages));
    expect(sizes).toEqual([5_000, 3]);
    expect(results.map(({ index }) => index)).toEqual(messages.map((_, index) => index));
    expect(results.map((each) => 'accepted' in each && each.accepted.sequence)).toEqual(messages.map((_, i) => i + 1));
    expect(new Set(backend.published.map(({ messageId }) => messageId)).size).toBe(5_003);
  });

  it('splits by bytes, too', async () => {
    const { backend, client } = await start();
    const text = 'x'.repeat(250_000);
    const results = await all(
      client('publish').publishAll(Array.from({ length: 70 }, () => ({ ...MESSAGE, content: { text } }))),
    );
    expect(results.every((each) => 'accepted' in each)).toBe(true);
    expect(backend.published).toHaveLength(70);
  });

  it('doubles nothing where answers are lost', async () => {
    const { backend, client } = await start({ fetch: losing(1) });
    const results = await all(client('publish').publishAll([MESSAGE, { ...MESSAGE, room: 's' }]));
    expect(results.map((each) => 'accepted' in each && each.accepted.duplicate)).toEqual([true, true]);
    expect([...backend.rooms.values()].map((room) => room.length)).toEqual([1, 1]);
  });

  it('tells of each refusal and goes on', async () => {
    const { client } = await start();
    const results = await all(client('publish').publishAll([MESSAGE, { ...MESSAGE, channel: 'sales' }, MESSAGE]));
    expect(results.map((each) => ('error' in each ? each.error.code : each.accepted.sequence))).toEqual([
      1,
      'channel_unknown',
      2,
    ]);
  });

  it('repeats what may succeed later, unless a later message of its room has gone before it', async () => {
    const sent: string[][] = [];
    const problem = { code: 'overloaded', status: 503, retryable: true, retryAfterMs: 300 };
    const publisher = new Publisher({
      send: async ({ messages }) => {
        const ids = messages.map(({ messageId }) => messageId ?? '');
        const first = sent.push(ids) === 1;
        const results = ids.map((id, index) => {
          const refused = first && ['a1', 'b1', 'b2'].includes(id);
          return refused ? { index, error: problem as never } : { index, id, sequence: 1, duplicate: false };
        });
        return { accepted: 0, refused: 0, results };
      },
      pause: async (attempt, ms) => void expect([attempt, ms]).toEqual([0, 300]),
      retries: 3,
      newId: () => 'new',
    });
    const of = (room: string, messageId: string) => ({ ...MESSAGE, room, messageId });
    const batch = [of('a', 'a1'), of('b', 'b1'), of('a', 'a2'), of('b', 'b2'), of('c', 'c1')];
    const results: PublishResult[] = await all(publisher.publish(batch));
    expect(sent).toEqual([
      ['a1', 'b1', 'a2', 'b2', 'c1'],
      ['b1', 'b2'],
    ]);
    expect(results.map((each) => ('error' in each ? each.error.code : each.message.messageId))).toEqual([
      'overloaded',
      'b1',
      'a2',
      'b2',
      'c1',
    ]);
  });
});

describe('reading', () => {
  it('walks all pages of a room', async () => {
    const { client } = await start();
    await all(client('publish').publishAll(Array.from({ length: 450 }, () => MESSAGE)));
    const { rooms } = client('read');
    expect(await rooms.get('support', 'r', { tenant: 'default' })).toMatchObject({ tail: 450 });
    const sequences = (await all(rooms.allMessages('support', 'r'))).map(({ sequence }) => sequence);
    expect(sequences).toEqual(Array.from({ length: 450 }, (_, index) => 450 - index));
  });

  it('follows a status link, with its place in the buffer', async () => {
    const { backend, client } = await start();
    const accepted = await client('publish').publish({ ...MESSAGE, messageId: 'm-1' });
    const { messages, rooms } = client('read');
    expect(await messages.follow(accepted)).toMatchObject({ messageId: 'm-1', sequence: 1 });
    const asked: unknown[] = [];
    backend.dependencies.findRoomMessage = async (key, messageId, place) => {
      asked.push([key.room, messageId, place]);
      return null;
    };
    const link = { status: '/v1/rooms/support/a%2Fb/messages/m%201?tenant=default&entry=3.1700000000000-2' };
    expect(await failureOf(messages.follow(link))).toMatchObject({ code: 'message_not_found' });
    const entry = '3.1700000000000-2';
    expect(await failureOf(rooms.message('support', 'a/b', 'm 1', { entry }))).toMatchObject({ status: 404 });
    const expected = ['a/b', 'm 1', { partition: 3, entry: '1700000000000-2' }];
    expect(asked).toEqual([expected, expected]);
  });

  it('escapes what stands in a path', async () => {
    const { client } = await start();
    await client('publish').publish({ ...MESSAGE, room: 'a/b?c#ü' });
    expect(await client('read').rooms.get('support', 'a/b?c#ü')).toMatchObject({ room: 'a/b?c#ü' });
  });
});

describe('operations', () => {
  it('configure channels by their revisions, and are not repeated where that may do more', async () => {
    const backend = new Backend();
    const { registry } = await new Fleet().start();
    backend.dependencies.channelAdmin = registry;
    const { client } = await start({}, backend);
    const { operations } = client('operate');
    const settings = settingsOf({});
    expect(await operations.previewChannel('default', 'sales', settings)).toMatchObject({ effect: 'create' });
    const made = await operations.putChannel('default', 'sales', settings, { expected: 'absent' });
    expect(await operations.channel('default', 'sales')).toMatchObject({ revision: made.revision });
    const stale = operations.putChannel('default', 'sales', settingsOf({ ackTimeoutMs: 1_500 }), { expected: 99 });
    expect(await failureOf(stale)).toMatchObject({ code: 'revision_mismatch', status: 412 });
    const lost = client('operate', { fetch: losing(1) });
    expect(await failureOf(lost.operations.removeChannel('default', 'sales'))).toBeInstanceOf(RoomlineConnectionError);
    expect((await operations.channels()).channels.map(({ channel }) => channel)).not.toContain('sales');
    const { entries } = await operations.audit({ subject: 'channel:default/sales' });
    expect(entries.map(({ action }) => action)).toEqual(['channel.delete', 'channel.put']);
  });
});

describe('steering', () => {
  it('holds rooms, orders messages, reads what failed and replays it', async () => {
    const keys = keyEntries((entry) => ({ ...entry, scopes: ['publish', 'read', 'operate'] }));
    const { server, steered } = await startWhole({ keys });
    const client = new RoomlineClient({ url: server.url, key: keyOf('operate'), retries: 0 });
    await steered.process.publish('r', ['a', 'b']);
    expect(await client.rooms.pause('support', 'r', { reason: 'wrong text' })).toMatchObject({ changed: true });
    expect(await client.messages.cancel(await steered.id('r', 2))).toMatchObject({ effect: 'at_its_turn' });
    expect(await client.rooms.resume('support', 'r', { tenant: 'default' })).toMatchObject({ changed: true });
    expect((await client.rooms.timeline('support', 'r')).messages).toHaveLength(2);
    expect(await client.rooms.lingering({ limit: 1 })).toMatchObject({ cursor: null });
    expect((await client.rooms.ofRecipient('r', { limit: 2 })).rooms).toMatchObject([{ room: 'r' }]);
    expect((await client.pipeline()).channels).toHaveLength(1);
    expect(await client.charts({ step: 60 })).toMatchObject({ stepMs: 60_000 });
    await steered.fail('s', ['c']);
    const { letters } = await client.deadLetters.list({ tenant: 'default', channel: 'support' });
    const id = letters[0]?.id ?? 0;
    expect(await client.deadLetters.get(id)).toMatchObject({ id, room: 's' });
    expect(await client.deadLetters.replay(id, { dryRun: true })).toMatchObject({ dryRun: true });
    expect(await client.deadLetters.discardMany({ ids: [id] })).toMatchObject({ discarded: [id] });
    expect(await client.failures({ channel: 'support', tenant: 'default' })).toHaveProperty('failures');
    expect((await client.operations.workers()).workers).toHaveLength(2);
  });
});
