/** The client on the real feed: what it yields, when it connects anew, and when it gives up. */
import { expect, it } from 'vitest';
import { type LiveEvent, type LiveState, RoomlineClient } from '../../src/client/client.ts';
import { RoomlineError } from '../../src/errors.ts';
import { keyOf } from '../http/fixture.ts';
import { type LiveProcess, startLive } from '../support/live.ts';

async function start(change: { readonly fetch?: typeof fetch } = {}) {
  const live = await startLive();
  const slept: number[] = [];
  const client = (scope: 'read' | 'publish') =>
    new RoomlineClient({
      url: live.server.url,
      key: keyOf(scope),
      sleep: async (ms) => void slept.push(ms),
      random: () => 0,
      timeoutMs: 5_000,
      ...change,
    });
  return { live, client, slept };
}

async function settle({ bed, process }: LiveProcess, id: string): Promise<void> {
  await process.publish('r', [id]);
  await bed.platform.last.accept();
  await process.ack(bed, 'r', (await bed.row('r')).tail);
  await bed.time.advance(50);
}

it('yields what happens, until the signal aborts', async () => {
  const { live, client } = await start();
  const abort = new AbortController();
  const states: LiveState['kind'][] = [];
  const seen: LiveEvent[] = [];
  const filter = { channel: 'support', room: 'r', events: 'settled' };
  for await (const event of client('read').live(filter, {
    signal: abort.signal,
    onState: ({ kind }) => states.push(kind),
  })) {
    seen.push(event);
    if (event.event === 'ready') await settle(live, 'a');
    if (event.event === 'settled') abort.abort();
  }
  expect(seen.map(({ event }) => event)).toEqual(['ready', 'settled']);
  expect(seen[0]?.data).toMatchObject({ filter: { ...filter, tenant: 'default', events: ['settled'] } });
  expect(states).toEqual(['connecting', 'open']);
  await expect.poll(() => live.process.instruments.telemetry.wants('message.settled')).toBe(false);
});

it('closes its connection when the loop ends', async () => {
  const { live, client } = await start();
  for await (const event of client('read').live()) {
    expect(event.event).toBe('ready');
    break;
  }
  await expect.poll(() => live.process.instruments.telemetry.wants('message.settled')).toBe(false);
});

it('connects anew after a break, says where it was, and waits longer each time that it fails', async () => {
  let calls = 0;
  const asked: (string | null)[] = [];
  const { live, client, slept } = await start({
    fetch: async (url, init) => {
      asked.push(new Headers(init?.headers).get('last-event-id'));
      calls++;
      if (calls === 2 || calls === 3) throw new TypeError('connection refused');
      const response = await fetch(url, init);
      if (calls !== 1) return response;
      // The first connection breaks after its first event.
      const reader = (response.body as ReadableStream<Uint8Array>).getReader();
      const { value } = await reader.read();
      let given = false;
      const body = new ReadableStream<Uint8Array>({
        pull(controller) {
          if (given) controller.error(new TypeError('terminated'));
          else controller.enqueue(value as Uint8Array);
          given = true;
        },
      });
      return new Response(body, { headers: response.headers });
    },
  });
  const states: string[] = [];
  const since = String(live.bed.time.now);
  for await (const event of client('read').live({}, { onState: ({ kind }) => states.push(kind) })) {
    if (event.event !== 'ready' || event.data.missed === null) continue;
    expect(event.data.missed.since).toBe(Number(since));
    break;
  }
  expect(asked).toEqual([null, since, since, since]);
  expect(slept).toEqual([100, 200, 400]);
  expect(states).toEqual(['connecting', 'open', ...Array(3).fill(['waiting', 'connecting']).flat(), 'open']);
});

it('goes on after the server has ended the feed', async () => {
  const { live, client, slept } = await start();
  let ready = 0;
  const seen: string[] = [];
  for await (const event of client('read').live({ events: 'failed' })) {
    seen.push(event.event);
    if (event.event === 'ready' && ++ready === 2) break;
    if (event.event === 'ready') await live.bed.time.advance(3_600_500);
  }
  expect(seen.filter((event) => event !== 'heartbeat')).toEqual(['ready', 'closing', 'ready']);
  expect(slept).toEqual([100]);
});

it('waits as long as a refusal says, and gives up on one for good', async () => {
  const { live, client, slept } = await start();
  const { admit } = live.hub;
  let refusals = 2;
  live.hub.admit = (key) => {
    if (refusals-- > 0) throw new RoomlineError('live_readers_exceeded', { retryAfterMs: 3_000 });
    admit.call(live.hub, key);
  };
  for await (const event of client('read').live()) {
    expect(event.event).toBe('ready');
    break;
  }
  expect(slept).toEqual([3_100, 3_200]);
  const refused = client('publish').live().next();
  await expect(refused).rejects.toMatchObject({ name: 'RoomlineApiError', code: 'forbidden_scope' });
});

it('ends at once while it waits', async () => {
  const abort = new AbortController();
  const never = new RoomlineClient({
    url: 'http://127.0.0.1:9',
    key: 'k',
    fetch: () => Promise.reject(new TypeError('no')),
    sleep: () => new Promise(() => undefined),
  });
  const states: LiveState[] = [];
  const onState = (state: LiveState): void => {
    states.push(state);
    if (state.kind === 'waiting') abort.abort();
  };
  expect(await never.live({}, { signal: abort.signal, onState }).next()).toEqual({ done: true, value: undefined });
  expect(states.at(-1)).toMatchObject({ kind: 'waiting', error: { name: 'RoomlineConnectionError' } });
});
