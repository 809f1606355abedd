import { describe, expect, it } from 'vitest';
import { MemoryBufferStreams } from '../../src/adapters/memory/buffer.ts';
import { Backend, keyOf, NOW_MS, startServer } from '../http/fixture.ts';
import { runRoomline } from '../support/command.ts';

async function start() {
  const backend = new Backend();
  const streams = new MemoryBufferStreams(() => NOW_MS);
  const audit = { record: async () => undefined };
  Object.assign(backend.dependencies, { buffer: { buffer: { partitions: 3 }, streams, audit } });
  const { server } = await startServer({}, backend);
  const run = (...args: string[]) => runRoomline({ url: server.url, key: keyOf('operate') }, args);
  /** Puts so many entries of a partition aside. */
  const bury = async (partition: number, count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      await streams.bury(partition, streams.write(partition, { message: new Uint8Array(7) }), '22P05');
    }
  };
  return { run, streams, bury };
}

const lines = (text: string): string[] => text.split('\n').map((line) => line.replace(/\s+/g, ' ').trim());
const TIME = new Date(NOW_MS).toISOString();

describe('roomline buffer', () => {
  it('shows what waits in each partition', async () => {
    const { run, streams, bury } = await start();
    streams.write(0, {});
    await bury(2, 2);
    const { status, out } = await run('buffer');
    expect(status).toBe(0);
    expect(lines(out)).toEqual([
      'PARTITION MESSAGES OLDEST PUT ASIDE',
      `0 1 ${TIME} 0`,
      '1 0 - 0',
      `2 2 ${TIME} 2`,
      '3 messages wait, 2 entries are put aside',
      '',
    ]);
    expect(JSON.parse((await run('buffer', '--json')).out)).toMatchObject({ messages: 3, buried: 2 });
  });

  it.each([['buffer'], ['buffer', 'dead-letters'], ['buffer', 'discard', '--partition', '1', '1-1']])(
    'says of %s %s that there is no buffer where messages are taken directly',
    async (...args) => {
      const { server } = await startServer();
      const { status, out, error } = await runRoomline({ url: server.url, key: keyOf('operate') }, args);
      expect([status, out]).toEqual([1, '']);
      expect(error).toContain('There is no buffer for this key: messages are taken directly (intake.mode)');
    },
  );

  it('lists what was put aside, puts it back and removes it', async () => {
    const { run, streams, bury } = await start();
    expect((await run('buffer', 'dead-letters')).out).toBe('nothing is put aside\n');
    await bury(1, 1_001);
    await bury(2, 3);
    const all = JSON.parse((await run('buffer', '--json', 'dead-letters')).out) as { letters: unknown[] };
    expect(all.letters).toHaveLength(1_004);
    const listed = lines((await run('buffer', 'dead-letters', '--partition', '2')).out);
    expect(listed[0]).toBe('PARTITION ID AT REASON BYTES');
    expect(listed[1]).toMatch(new RegExp(`^2 [0-9]+-1 ${TIME} 22P05 7$`));
    const ids = listed.slice(1, 4).map((line) => line.split(' ')[1] as string);

    expect((await run('buffer', 'replay', '--partition', '2', ids[0] as string)).out).toBe('1 put back.\n');
    expect((await run('buffer', 'discard', '--partition', '2', ...ids)).out).toBe('2 removed.\n');
    expect((await run('buffer', 'replay')).out).toBe('1001 put back.\n');
    expect((await streams.depths(3)).map(({ buried }) => buried)).toEqual([0, 0, 0]);
  });

  it('refuses ids of it is not said which partition, and says what the API refuses', async () => {
    const { run } = await start();
    expect(await run('buffer', 'replay', '1-1')).toMatchObject({
      status: 1,
      error: expect.stringContaining('--partition'),
    });
    expect((await run('buffer', 'discard', '1-1')).status).toBe(1);
    const refused = await run('buffer', 'discard', '--partition', '9', '1-1');
    expect(refused).toMatchObject({ status: 1, error: expect.stringContaining('field_invalid') });
  });
});
