import { describe, expect, it, onTestFinished } from 'vitest';
import { judge } from '../../../simulators/oracle/oracle.ts';
import { contentHash } from '../../../simulators/platform/content-hash.ts';
import type { GroundTruthRecord } from '../../../simulators/platform/ground-truth.ts';
import { HttpReader, headerOf, UnreadableError } from '../../../simulators/platform/lean/http-reader.ts';
import { LeanPlatform } from '../../../simulators/platform/lean/lean-platform.ts';
import type { ChannelPatch } from '../../../simulators/platform/lean/settings.ts';
import { Wheel } from '../../../simulators/platform/lean/wheel.ts';
import { SECRET, startReceiver } from './support.ts';

const TOKEN = 'a test token';

type Receiver = Awaited<ReturnType<typeof startReceiver>>;

async function startLean(knobs: ChannelPatch = {}, receiver?: Receiver) {
  const webhook = receiver === undefined ? null : { urls: [receiver.url], secret: SECRET };
  const platform = new LeanPlatform('1', { channels: { main: { token: TOKEN, webhook, ...knobs } } });
  const url = await platform.listen(0);
  onTestFinished(() => platform.close());
  return { platform, url, records: () => [...platform.truth.records()] };
}

function content(room: string, index: number) {
  return { key: `run/${room}/${index}`, run: 'run', text: `Grüße ${index}` };
}

async function send(url: string, room: string, index: number, { attempt = 1, token = TOKEN } = {}) {
  const reference = `ref-${room}-${index}`;
  const answer = await fetch(`${url}/v1/messages`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      'idempotency-key': reference,
      'roomline-attempt': String(attempt),
      'roomline-worker': 'worker-1',
      'roomline-generation': '3',
    },
    body: JSON.stringify({ reference, to: room, content: content(room, index) }),
  });
  return { status: answer.status, text: await answer.text(), retryAfter: answer.headers.get('retry-after') };
}

function ofKind<Kind extends GroundTruthRecord['t']>(records: readonly GroundTruthRecord[], kind: Kind) {
  return records.filter((record): record is Extract<GroundTruthRecord, { t: Kind }> => record.t === kind);
}

describe('the lean platform', () => {
  it('accepts a message, tells of it by a signed call, and keeps a ground truth that the oracle finds clean', async () => {
    const receiver = await startReceiver();
    const { url, records } = await startLean({}, receiver);
    for (const index of [1, 2]) {
      expect((await send(url, 'anna', index)).status).toBe(200);
      await receiver.until((calls) => calls.length === index);
    }
    expect(receiver.calls.map(({ signed }) => signed)).toEqual([true, true]);
    expect(receiver.statuses().map(({ reference, status }) => [reference, status])).toEqual([
      ['ref-anna-1', 'delivered'],
      ['ref-anna-2', 'delivered'],
    ]);
    const [receipt] = ofKind(records(), 'receipt');
    expect(receipt).toMatchObject({
      ...{ channel: 'main', reference: 'ref-anna-1', attempt: 1, worker: 'worker-1', generation: '3', to: 'anna' },
      ...{ hash: contentHash(content('anna', 1)), key: 'run/anna/1', run: 'run', decision: 'accepted' },
    });
    expect(receiver.statuses()[0]?.id).toBe(receipt?.id);
    const published = [1, 2].map((index) => ({ key: `run/anna/${index}`, run: 'run', room: 'anna' }));
    const verdict = await judge({ published, records: records() });
    expect(verdict.violations).toEqual([]);
    expect(verdict.messages).toMatchObject({ reachedPlatform: 2, shown: 2, orderProven: 1 });
  });

  it('shows the oracle a second message that did not wait for the first one', async () => {
    const { url, records } = await startLean({ ackDelayMs: 60_000 });
    await send(url, 'anna', 1);
    await send(url, 'anna', 2);
    const published = [1, 2].map((index) => ({ key: `run/anna/${index}`, run: 'run', room: 'anna' }));
    const { broken } = await judge({ published, records: records() }, { ackTimeoutMs: 30_000 });
    expect(Object.keys(broken)).toContain('R3_two_in_flight');
  });

  it('puts as many statuses into a call as it is told to, and tells the rest after a moment', async () => {
    const receiver = await startReceiver();
    const { url, records } = await startLean({ ackDelayMs: 100, batch: { size: 10, lingerMs: 20 } }, receiver);
    await Promise.all(Array.from({ length: 25 }, (_, room) => send(url, `room-${room}`, 1)));
    await receiver.until(() => receiver.statuses().length === 25);
    const sizes = receiver.calls.map(({ statuses }) => statuses.length);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(10);
    expect(Math.max(...sizes)).toBeGreaterThan(1);
    expect(ofKind(records(), 'call').map(({ m }) => m.length)).toEqual(sizes);
  });

  it('tells again what was not answered 2xx', async () => {
    const receiver = await startReceiver((_call, number) => (number === 1 ? 503 : 200));
    const { platform, url, records } = await startLean({}, receiver);
    await send(url, 'anna', 1);
    await receiver.until((calls) => calls.length === 2);
    expect(receiver.calls[0]?.headers['webhook-id']).toBe(receiver.calls[1]?.headers['webhook-id']);
    await expect.poll(() => platform.stats().webhooksActive).toBe(0);
    expect(ofKind(records(), 'called').map(({ attempt, status }) => [attempt, status])).toEqual([
      [1, 503],
      [2, 200],
    ]);
  });

  it('never tells of silent rooms, nor of what it loses, but shows it on the phone', async () => {
    const receiver = await startReceiver();
    const { platform, url, records } = await startLean({ silentRooms: 'silent-' }, receiver);
    await send(url, 'silent-1', 1);
    await expect.poll(() => platform.stats().shown).toBe(1);
    platform.change({ channels: { main: { lossShare: 1 } } });
    await send(url, 'anna', 1);
    await expect.poll(() => platform.stats().shown).toBe(2);
    expect(ofKind(records(), 'status').map(({ lost }) => lost)).toEqual([true, true]);
    expect(receiver.calls).toEqual([]);
  });

  it('refuses what it is told to refuse, and says how sure the sender may be of that', async () => {
    const { platform, url, records } = await startLean({ refusal: { status: 429, retryAfterMs: 2_000, share: 1 } });
    expect(await send(url, 'anna', 1)).toMatchObject({ status: 429, retryAfter: '2' });
    platform.change({ channels: { main: { refusal: { status: 503, retryAfterMs: null, share: 1 } } } });
    expect((await send(url, 'anna', 1)).status).toBe(503);
    platform.change({ channels: { main: { refusal: { status: 0, retryAfterMs: null, share: 1 } } } });
    await expect(send(url, 'anna', 1)).rejects.toThrow();
    platform.change({ channels: { main: { refusal: null } } });
    expect((await send(url, 'anna', 1)).status).toBe(200);
    expect((await send(url, 'anna', 2, { token: 'wrong' })).status).toBe(401);
    expect(ofKind(records(), 'answer').map(({ status, unknownOutcome }) => [status, unknownOutcome])).toEqual([
      [429, false],
      [503, true],
      [0, true],
      [200, false],
      [401, false],
    ]);
  });

  it('refuses a knob that does not exist', async () => {
    const { platform } = await startLean();
    const patch = { channels: { main: { lossShar: 1 } as ChannelPatch } };
    expect(() => platform.change(patch)).toThrow('there is no knob "lossShar"');
  });
});

describe('messages of a connection', () => {
  const TWO =
    'POST /a HTTP/1.1\r\nContent-Length: 3\r\nX: 1\r\n\r\nabcHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nde\r\n1\r\nf\r\n0\r\n\r\n';

  it.each([1, 2, 7, TWO.length])('are cut apart where %i bytes arrive at a time', (size) => {
    const read: string[] = [];
    const reader = new HttpReader((message) => {
      read.push(`${message.head.split('\r\n')[0]} ${headerOf(message, 'x')} ${message.body}`);
    });
    for (let from = 0; from < TWO.length; from += size) reader.push(Buffer.from(TWO.slice(from, from + size)));
    expect(read).toEqual(['POST /a HTTP/1.1 1 abc', 'HTTP/1.1 200 OK  def']);
  });

  it('end where a length is no number', () => {
    const reader = new HttpReader(() => undefined);
    expect(() => reader.push(Buffer.from('GET / HTTP/1.1\r\ncontent-length: -1\r\n\r\n'))).toThrow(UnreadableError);
  });
});

it('the wheel gives back each number once, not before its time, in the order of the times', async () => {
  const begun = performance.now();
  const delays = [30, 5, 0, 80, 5, 31];
  const early: number[] = [];
  const fired: number[] = [];
  await new Promise<void>((resolve) => {
    const wheel = new Wheel((due) => {
      for (const delay of due) {
        if (performance.now() < begun + delay) early.push(delay);
        fired.push(delay);
      }
      if (fired.length === delays.length) resolve();
    });
    for (const delay of delays) wheel.add(begun + delay, delay);
  });
  expect(early).toEqual([]);
  expect(fired).toEqual([...delays].sort((a, b) => a - b));
});
