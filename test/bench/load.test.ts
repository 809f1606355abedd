import { describe, expect, it } from 'vitest';
import { contentHash } from '../../simulators/platform/content-hash.ts';
import { loadOf, Publisher, publishedOf } from './load.ts';

const SHAPE = { run: 'r', channel: 'bench', rooms: 3, messages: 4 } as const;
const SIGNAL = new AbortController().signal;

function keysOf(load: ReturnType<typeof loadOf>): string[] {
  return [...load.messages()].map(({ messageId }) => messageId.replace('r/r-', ''));
}

describe('a load', () => {
  it('gives every room its first messages before any gets its next ones', () => {
    expect(keysOf(loadOf({ ...SHAPE, messages: 2 }))).toEqual(['1/1', '2/1', '3/1', '1/2', '2/2', '3/2']);
    expect(keysOf(loadOf({ ...SHAPE, rooms: 2, messages: 3, burst: 2 }))).toEqual([
      ...['1/1', '1/2', '2/1', '2/2'],
      ...['1/3', '2/3'],
    ]);
  });

  it('counts what it holds, and is the same at every reading', () => {
    const load = loadOf({ ...SHAPE, burst: 3 });
    expect(keysOf(load)).toHaveLength(load.count);
    expect(keysOf(load)).toEqual(keysOf(load));
  });

  it('tells the oracle what its messages hold', () => {
    const load = loadOf({ ...SHAPE, roomPrefix: 'shared-' });
    const [first] = [...load.messages()];
    expect([...publishedOf(load)][0]).toEqual({
      key: 'r/shared-1/1',
      room: 'shared-1',
      run: 'r',
      hash: contentHash(first?.content),
    });
  });
});

function publisher() {
  const batches: string[][] = [];
  const made = Publisher.of(
    'pubsub',
    async (messages) => void batches.push(messages.map(({ data }) => JSON.parse(data.toString()).messageId as string)),
    async () => undefined,
  );
  return { made, batches };
}

describe('the publisher', () => {
  it('sends everything at once, each room in order', async () => {
    const { made, batches } = publisher();
    const load = loadOf({ ...SHAPE, messages: 1_000 });
    const { times } = await made.publish(load, SIGNAL);
    expect(times.every((at) => at > 0)).toBe(true);
    expect(batches.every(({ length }) => length <= 1_000)).toBe(true);
    const sent = batches.flat();
    expect(sent).toHaveLength(load.count);
    const ofRoom = (keys: string[]) => keys.filter((key) => key.startsWith('r/r-2/'));
    expect(ofRoom(sent)).toEqual(ofRoom([...load.messages()].map(({ messageId }) => messageId)));
  });

  it('lets messages of a burst leave together, and none before its time', async () => {
    const { made, batches } = publisher();
    const load = loadOf({ ...SHAPE, burst: 2, perSecond: 100 });
    const begun = performance.timeOrigin + performance.now();
    const { times } = await made.publish(load, SIGNAL);
    expect(batches.flat()).toEqual([...load.messages()].map(({ messageId }) => messageId));
    for (let index = 0; index < load.count; index++) {
      expect(times[index]).toBeGreaterThanOrEqual(begun + Math.floor(index / 2) * 20);
      if (index % 2 === 1) expect(times[index]).toBe(times[index - 1]);
    }
  });

  it('ends with the reason of an interruption', async () => {
    const { made } = publisher();
    const load = loadOf({ ...SHAPE, perSecond: 1 });
    await expect(made.publish(load, AbortSignal.abort(new Error('enough')))).rejects.toThrow(/abort/i);
  });
});
