/** What every implementation of the buffer's streams keeps of single entries. */
import { describe, expect, it } from 'vitest';
import { BEGINNING, type BufferStreams, type NewEntry, type ReadWish } from '../../src/engine/buffer-ports.ts';

const BOUND = { entries: 3, bytes: 1_000_000 };
const WISH: ReadWish = {
  reader: null,
  history: null,
  after: BEGINNING,
  upTo: null,
  maxEntries: 100,
  maxBytes: 1_000_000,
  maxMessageBytes: 1_000,
};
const entry = (text: string, requestId: string | null = null): NewEntry => ({
  message: Buffer.from(text),
  messageId: `id-${text}`,
  requestId,
});

export function describeBufferStreams(open: () => Promise<BufferStreams>): void {
  describe('entries of the buffer', () => {
    it('are found by the ids that their append told, until they are done with', async () => {
      const streams = await open();
      const given = [entry('a', 'req-1'), entry('b'), entry('c'), entry('d')];
      const ids = await streams.append(2, given, BOUND);
      expect(ids).toHaveLength(3);
      const read = await streams.read(2, WISH);
      expect(read.kind === 'read' && read.entries.map(({ id }) => id)).toEqual(ids);
      const found = await Promise.all(ids.map((id) => streams.find(2, id, 1_000)));
      expect(found).toEqual(ids.map((id, index) => ({ entry: { id, ...given[index], bytes: 1 }, buriedFor: null })));
      const [first = '', second = ''] = ids;
      expect(await streams.find(1, first, 1_000)).toBeNull();
      expect(await streams.find(2, '1-1', 1_000)).toBeNull();
      expect(await streams.find(2, first, 0)).toMatchObject({ entry: { message: null, bytes: 1 } });
      await streams.read(2, { ...WISH, after: first });
      expect(await streams.find(2, first, 1_000)).toBeNull();
      expect(await streams.find(2, second, 1_000)).not.toBeNull();
    });

    it('are found where they were put aside, until they are replayed or discarded', async () => {
      const streams = await open();
      const ids = await streams.append(0, [entry('a', 'req-1'), entry('b')], BOUND);
      const [first = '', second = ''] = ids;
      for (const id of ids) await streams.bury(0, id, `reason of ${id}`);
      const expected = { entry: { id: first, ...entry('a', 'req-1'), bytes: 1 }, buriedFor: `reason of ${first}` };
      expect(await streams.find(0, first, 1_000)).toEqual(expected);
      await streams.read(0, { ...WISH, after: second });
      expect(await streams.find(0, first, 1_000)).toEqual(expected);
      const [replayed = '', discarded = ''] = (await streams.listBuried(0, BEGINNING, 10)).map(({ id }) => id);
      await streams.replayBuried(0, [replayed]);
      await streams.discardBuried(0, [discarded]);
      for (const id of ids) expect(await streams.find(0, id, 1_000)).toBeNull();
    });

    it('count for their channels as long as they are in the stream, once each, and again when they come back', async () => {
      const streams = await open();
      const roomy = { ...BOUND, entries: 30 };
      const of = (channel: string) => ({ channel: { tenant: 'ä"', channel } });
      const counts = async () => {
        const [, { length = 0, channels = [] } = {}] = await streams.depths(2);
        const named = channels.map(({ tenant, channel, messages }) => [`${tenant}/${channel}`, messages]);
        return [length, Object.fromEntries(named.toSorted())] as const;
      };
      const done = (after: string) => streams.read(1, { ...WISH, after });
      const many = Array.from({ length: 20 }, (_, i) => ({ ...entry(`a-${i}`), ...of('a') }));
      const first = await streams.append(1, many, roomy);
      const last = await streams.append(1, [{ ...entry('b'), ...of('b') }, entry('of none'), ...many], roomy);
      expect(last).toHaveLength(10);
      expect(await counts()).toEqual([30, { 'ä"/a': 28, 'ä"/b': 1 }]);
      await done(first[18] ?? '');
      await done(first[18] ?? '');
      expect(await counts()).toEqual([11, { 'ä"/a': 9, 'ä"/b': 1 }]);
      const [ofB = '', ofNone = ''] = last;
      await streams.bury(1, ofB, 'reason');
      await streams.bury(1, ofNone, 'reason');
      expect(await counts()).toEqual([11, { 'ä"/a': 9, 'ä"/b': 1 }]);
      await done(ofNone);
      expect(await counts()).toEqual([8, { 'ä"/a': 8 }]);
      const buried = (await streams.listBuried(1, BEGINNING, 10)).map(({ id }) => id);
      await streams.replayBuried(1, buried);
      expect(await counts()).toEqual([10, { 'ä"/a': 8, 'ä"/b': 1 }]);
      await done(last.at(-1) ?? '');
      expect(await counts()).toEqual([2, { 'ä"/b': 1 }]);
      const all = await streams.read(1, WISH);
      await done(all.kind === 'read' ? (all.entries.at(-1)?.id ?? '') : '');
      expect(await counts()).toEqual([0, {}]);
    });
  });
}
