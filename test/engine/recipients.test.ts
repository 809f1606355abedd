/** Recipients of rooms: what is written and how often, what bounds it, and which messages are told of. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readEntry, writeEntry } from '../../src/engine/buffer-entry.ts';
import { addresseeOf, MESSAGE_LIMITS, parseMessage, stampWith } from '../../src/engine/message.ts';
import { type Addressed, NOTED_FOR_MS } from '../../src/engine/pipeline-ports.ts';
import { Recipients } from '../../src/engine/recipients.ts';
import { admitted } from '../../src/http/answers.ts';
import { Bed, CHANNEL, messageOf, SHARDS, START, settled } from '../support/engine.ts';

const SECOND = 1_000;

async function start(most?: number) {
  const bed = new Bed();
  const { clock, instruments, logged } = bed.process();
  const written: Addressed[][] = [];
  const failures: unknown[] = [];
  let answer = (): Promise<void> => Promise.resolve();
  const recipients = new Recipients({
    store: {
      note: async (addressed) => {
        written.push([...addressed]);
        await answer();
      },
    },
    clock,
    instruments,
    onFailure: (error) => failures.push(error),
    ...(most === undefined ? {} : { most }),
  });
  await recipients.service.start();
  const see = (id: number, recipient: string, at = bed.time.now): void =>
    recipients.addressed(CHANNEL, { shard: id % SHARDS, id }, recipient, at);
  const answerWith = (next: typeof answer): void => {
    answer = next;
  };
  return { bed, recipients, written, see, answerWith, logged, failures };
}

const namesOf = (batches: readonly (readonly Addressed[])[]): string[] =>
  batches.flat().map(({ id, recipient }) => `${id} ${recipient}`);

describe('recipients of rooms', () => {
  it('are written once a second, each of a room once in a day, and at the stop', async () => {
    const { bed, recipients, written, see, failures } = await start();
    for (let n = 0; n < 1_000; n++) see(n % 2, n % 4 < 2 ? '+49 1' : '+49 2');
    expect(written).toEqual([]);
    await bed.time.advance(SECOND);
    expect(written).toHaveLength(1);
    expect(namesOf(written).toSorted()).toEqual(['0 +49 1', '0 +49 2', '1 +49 1', '1 +49 2']);
    expect(written[0]?.[0]).toEqual({ ...CHANNEL, shard: 0, id: 0, recipient: '+49 1', at: START });
    see(1, '+49 1', START + NOTED_FOR_MS - 1);
    await bed.time.advance(SECOND);
    expect(written).toHaveLength(1);
    see(1, '+49 1', START + NOTED_FOR_MS);
    see(1, '+49 1', START + NOTED_FOR_MS);
    await bed.time.advance(SECOND);
    see(2, '+49 3');
    await recipients.service.stop();
    expect(namesOf(written.slice(1))).toEqual(['1 +49 1', '2 +49 3']);
    expect(failures).toEqual([]);
  });

  it('that a store does not take wait for it, however long, and are told of once', async () => {
    const { bed, recipients, written, see, answerWith, logged, failures } = await start();
    answerWith(() => Promise.reject(new Error('away')));
    for (let id = 0; id < 1_500; id++) see(id, 'to');
    await bed.time.advance(10 * SECOND);
    see(2_000, 'to');
    expect(new Set(namesOf(written)).size).toBe(1_000);
    expect(logged.filter(({ event }) => event === 'postgres.batch_failed')).toMatchObject([
      { fields: { reason: 'recipients', count: 1_500 } },
    ]);
    answerWith(() => Promise.resolve());
    const tried = written.length;
    await bed.time.advance(SECOND);
    expect(namesOf(written.slice(tried)).toSorted()).toEqual(
      [...Array(1_500).keys(), 2_000].map((id) => `${id} to`).toSorted(),
    );
    see(7, 'to');
    see(2_000, 'to');
    await recipients.service.stop();
    expect(namesOf(written)).toHaveLength(tried * 1_000 + 1_501);
    expect(failures).toEqual([]);
  });

  it('that come while others are written wait for the next time', async () => {
    const { bed, written, see, answerWith } = await start();
    const { promise, resolve } = Promise.withResolvers<void>();
    answerWith(() => promise);
    see(1, 'a');
    await bed.time.advance(SECOND);
    see(1, 'a');
    see(1, 'b');
    await bed.time.advance(10 * SECOND);
    expect(namesOf(written)).toEqual(['1 a']);
    resolve();
    await settled();
    await bed.time.advance(SECOND);
    expect(namesOf(written)).toEqual(['1 a', '1 b']);
  });

  it('are bounded: those last seen are remembered, and what does not fit is left to a later message', async () => {
    const { bed, written, see, answerWith } = await start(3);
    for (const id of [1, 2, 3, 4]) see(id, 'to');
    await bed.time.advance(SECOND);
    expect(namesOf(written)).toEqual(['1 to', '2 to', '3 to']);
    see(1, 'to');
    see(4, 'to');
    await bed.time.advance(SECOND);
    // 2 was seen longest ago.
    for (const id of [1, 3, 4, 2]) see(id, 'to');
    await bed.time.advance(SECOND);
    expect(namesOf(written.slice(1))).toEqual(['4 to', '2 to']);
    answerWith(() => Promise.reject(new Error('away')));
    for (let id = 10; id < 20; id++) see(id, 'to');
    await bed.time.advance(5 * SECOND);
    expect(new Set(namesOf(written.slice(3)))).toEqual(new Set(['10 to', '11 to', '12 to']));
  });

  it('are all written in the end, whatever the store does meanwhile, and no more often than needed', async () => {
    const see = fc.record({ id: fc.integer({ min: 1, max: 4 }), recipient: fc.constantFrom('a', 'b') });
    const second = fc.record({ seen: fc.array(see, { maxLength: 6 }), fails: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(fc.array(second, { maxLength: 8 }), async (seconds) => {
        const { bed, recipients, written, see: told, answerWith } = await start();
        const stored: string[] = [];
        for (const { seen, fails } of seconds) {
          const before = written.length;
          answerWith(() => (fails ? Promise.reject(new Error('away')) : Promise.resolve()));
          for (const { id, recipient } of seen) told(id, recipient);
          await bed.time.advance(SECOND);
          if (!fails) stored.push(...namesOf(written.slice(before)));
        }
        const before = written.length;
        answerWith(() => Promise.resolve());
        await recipients.service.stop();
        stored.push(...namesOf(written.slice(before)));
        const all = new Set(seconds.flatMap(({ seen }) => seen.map(({ id, recipient }) => `${id} ${recipient}`)));
        expect(stored.toSorted()).toEqual([...all].toSorted());
      }),
      { numRuns: 50 },
    );
  });
});

describe('intake tells', () => {
  async function booted() {
    const bed = new Bed();
    const process = await bed.boot();
    await process.recipients.service.start();
    const rooms = async (recipient: string) => {
      await bed.time.advance(SECOND);
      const found = await bed.operators.recipients.find({
        tenant: CHANNEL.tenant,
        recipient,
        channels: [{ channel: CHANNEL.channel, shard: 0, after: 0 }],
        limit: 10,
      });
      return found.map(({ id }) => id);
    };
    return { bed, process, rooms };
  }

  it('of messages that go to somebody else than the room is called, parked ones too, and of no other', async () => {
    const { bed, process, rooms } = await booted();
    await process.publish('r', ['a'], { to: '+49 1' });
    await process.publish('r', ['b']);
    await process.publish('s', ['c'], { to: '+49 1', order: 7 });
    const ids = [(await bed.row('r')).id, (await bed.row('s')).id];
    expect(await rooms('+49 1')).toEqual(ids);
    await process.publish('t', ['a']);
    await process.publish('t', ['a'], { to: '+49 2', body: new TextEncoder().encode('{}') });
    expect(await rooms('+49 2')).toEqual([]);
  });

  it('of a message whose commit it learnt of only when it was repeated', async () => {
    const { bed, process, rooms } = await booted();
    process.failNext('rooms', 'append', 'run_then_fail');
    const accepting = process.engine.intake.accept(messageOf('r', 'a', { to: '+49 1' }));
    await bed.time.advance(5_000);
    expect(await accepting).toMatchObject({ duplicate: true });
    expect(await rooms('+49 1')).toEqual([(await bed.row('r')).id]);
  });

  it('nothing before the commit, and accepts as ever while recipients cannot be stored', async () => {
    const { bed, process, rooms } = await booted();
    const { note } = bed.operators.recipients;
    bed.operators.recipients.note = () => Promise.reject(new Error('away'));
    process.failNext('rooms', 'append', 'fail_before');
    const accepting = process.engine.intake.accept(messageOf('r', 'a', { to: '+49 1' }));
    await settled();
    await bed.time.advance(5_000);
    expect(await accepting).toMatchObject({ kind: 'accepted', duplicate: false });
    expect(await rooms('+49 1')).toEqual([]);
    bed.operators.recipients.note = note.bind(bed.operators.recipients);
    expect(await rooms('+49 1')).toEqual([(await bed.row('r')).id]);
    expect(process.failures).toEqual([]);
  });
});

describe('the recipient of a message', () => {
  const parse = (message: object) => {
    const raw = new TextEncoder().encode(JSON.stringify({ ...CHANNEL, room: 'r', content: {}, ...message }));
    const parsed = parseMessage(raw, MESSAGE_LIMITS, () => ({ checkContent: null }));
    if ('error' in parsed) throw parsed.error;
    return parsed.ok;
  };

  it('is carried where it is not the room, with and without an order', () => {
    expect(parse({ to: '+49 1' })).toMatchObject({ to: '+49 1' });
    expect(parse({ to: '+49 1', order: 2 })).toMatchObject({ to: '+49 1', order: 2 });
    for (const same of [parse({}), parse({ to: 'r' }), parse({ to: 'r', order: 2 })])
      expect(same).not.toHaveProperty('to');
  });

  it('is in an entry of the buffer, and in a stored body, as it was', () => {
    for (const to of ['+49 1', 'r', 'ä"\\']) {
      const draft = stampWith('request-1')(parse({ to }));
      const entry = { ...writeEntry(draft, 'm-1'), id: '1-0', tries: 0 };
      const read = readEntry(
        { ...entry, bytes: entry.message.length },
        {
          partition: 0,
          partitions: 1,
          findChannel: () => ({ checkContent: null }),
          admit: (one, fallbackId) => admitted(one, { shards: SHARDS, now: START, source: 'buffer', fallbackId }),
        },
      );
      expect(read).toHaveProperty('messageId', 'm-1');
      expect((read as { to?: string }).to).toBe(to === 'r' ? undefined : to);
      expect(addresseeOf(draft.body, draft.key)).toEqual(to === 'r' ? {} : { to });
    }
  });
});
