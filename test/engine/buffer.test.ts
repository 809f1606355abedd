import { describe, expect, it } from 'vitest';
import { partitionOf } from '../../src/engine/buffer-entry.ts';
import type { NewMessage } from '../../src/engine/ports.ts';
import type { RoomlineError } from '../../src/errors.ts';
import { BOUND, countdown, draftOf, LEASE_MS, PARTITIONS, partition, roomsOf, World } from '../support/buffer.ts';
import { CHANNEL, RefusedValueError, settled, withRooms } from '../support/engine.ts';

describe('buffered acceptance', () => {
  it('answers from the streams, and inserts each room in the order of the answers', async () => {
    const world = new World();
    const one = await world.boot('a');
    const rooms = ['r', 's', 't', 'u', 'v'];
    for (const id of countdown(20)) {
      const outcomes = await one.publishing.publishAll(rooms.map((room) => draftOf(room, id)));
      expect(outcomes).toEqual(
        rooms.map((room) => ({
          kind: 'buffered',
          messageId: id,
          partition: partition(room),
          entry: expect.anything(),
        })),
      );
    }
    await world.drain();
    for (const room of rooms) expect(await world.idsOf(room)).toEqual(countdown(20));
    expect(await world.letters()).toEqual([]);
  });

  it('keeps what a message says: order, times, policies, request id and what it supersedes', async () => {
    const world = new World();
    const one = await world.boot('a');
    const appended: NewMessage[] = [];
    const { append } = world.bed.stores.rooms;
    world.bed.stores.rooms.append = async (batch, move) => {
      appended.push(...batch);
      return append.call(world.bed.stores.rooms, batch, move);
    };
    const wishes = {
      order: 1,
      notBefore: 1_700_000_000_005,
      expiresAt: 9_000_000_000_000,
      ackTimeoutMs: 7,
      failurePolicy: 'hold',
      to: '+1',
    };
    const draft = draftOf('r', 'b', { ...wishes, supersedes: 'a' });
    await one.publishing.publish(draft);
    await world.drain();
    const { to: _to, ...stored } = wishes;
    expect(appended[0]).toMatchObject({ ...stored, supersedes: 'a', messageId: 'b', source: 'buffer' });
    expect(Buffer.from(appended[0]?.body ?? []).equals(draft.body)).toBe(true);
    expect(Buffer.from(appended[0]?.digest ?? []).equals(draft.digest)).toBe(true);
  });

  it('goes on to accept while the store is away; what was accepted is inserted once it is back, and nothing is put aside', async () => {
    const world = new World();
    const one = await world.boot('a', { maxTries: 1 });
    one.process.faults = ({ method }) => (method === 'append' ? 'lose_before' : 'run');
    for (const id of countdown(10)) {
      expect((await one.publishing.publish(draftOf('r', id))).kind).toBe('buffered');
      await world.bed.time.advance(60_000);
    }
    one.process.regainStores();
    await world.drain();
    expect(await world.idsOf('r')).toEqual(countdown(10));
    expect((await world.streams.depths(PARTITIONS)).map(({ buried }) => buried)).toEqual([0, 0, 0, 0]);
    expect(one.events('buffer.batch_failed')).toHaveLength(1);
  });

  it('inserts once what was committed by a statement whose answer was lost', async () => {
    const world = new World();
    const one = await world.boot('a');
    let lost = 0;
    one.process.faults = ({ method }) => (method === 'append' && lost++ % 2 === 0 ? 'run_then_fail' : 'run');
    for (const id of countdown(6)) {
      await one.publishing.publish(draftOf('r', id));
      await world.bed.time.advance(1_500);
    }
    await world.drain();
    expect(lost).toBeGreaterThan(6);
    expect(await world.idsOf('r')).toEqual(countdown(6));
    expect(one.events('buffer.overtaken')).toEqual([]);
  });

  it('knows a repeated id when it is inserted: a copy counts as one, another content becomes a dead letter', async () => {
    const world = new World();
    const one = await world.boot('a');
    await one.publishing.publishAll([
      draftOf('r', 'a'),
      draftOf('r', 'a'),
      draftOf('r', 'a', { content: { id: 'other' } }),
    ]);
    await one.publishing.publish(draftOf('r', null));
    await world.drain();
    expect(await world.idsOf('r')).toEqual(['a', 'http:a-1']);
    expect(await world.letters()).toEqual(['message_id_conflict']);
  });

  it('refuses beyond its bound: of one call everything from the first that does not fit, and takes again when there is room', async () => {
    const world = new World();
    const one = await world.boot('a');
    one.process.faults = ({ method }) => (method === 'append' ? 'fail_before' : 'run');
    const ids = countdown(BOUND.entries + 20);
    const outcomes = await one.publishing.publishAll(ids.map((id) => draftOf('r', id)));
    expect(outcomes.map(({ kind }) => kind)).toEqual(ids.map((_, i) => (i < BOUND.entries ? 'buffered' : 'refused')));
    const refused = one.publishing.publish(draftOf('r', 'late'));
    await expect(refused).rejects.toMatchObject({ code: 'overloaded', retryAfterMs: 1_000 });
    const [other = ''] = roomsOf((partition('r') + 1) % PARTITIONS, 1);
    expect((await one.publishing.publish(draftOf(other, 'a'))).kind).toBe('buffered');
    one.process.regainStores();
    await world.drain();
    expect(await world.idsOf('r')).toEqual(ids.slice(0, BOUND.entries));
    expect((await one.publishing.publish(draftOf('r', 'late'))).kind).toBe('buffered');
  });

  it('says that it does not know where the streams do not answer, and goes on with them', async () => {
    const world = new World();
    const one = await world.boot('a');
    world.streams.isAway = true;
    await expect(one.publishing.publish(draftOf('r', 'a'))).rejects.toMatchObject({ code: 'not_ready' });
    await world.bed.time.advance(6_000);
    expect(one.buffer.readiness()).toMatchObject({ ok: false });
    world.streams.isAway = false;
    await world.bed.time.advance(1_000);
    expect(one.buffer.readiness()).toMatchObject({ ok: true });
    await one.publishing.publish(draftOf('r', 'a'));
    await world.drain();
    expect(await world.idsOf('r')).toEqual(['a']);
  });

  it('accepts nothing into streams that may forget it', async () => {
    const world = new World();
    world.streams.unsafe = ['appendonly no'];
    const one = await world.boot('a');
    await expect(one.publishing.publish(draftOf('r', 'a'))).rejects.toMatchObject({ code: 'buffer_unsafe' });
    world.streams.unsafe = [];
    await world.bed.time.advance(5_000);
    expect((await one.publishing.publish(draftOf('r', 'a'))).kind).toBe('buffered');
    expect(one.events('buffer.unsafe')).toEqual([{ reason: 'appendonly no' }]);
    expect(one.events('buffer.safe')).toHaveLength(1);
  });
});

describe('another connection to the streams', () => {
  it('is looked at before anything is accepted into what is behind it', async () => {
    const world = new World();
    const one = await world.boot('a');
    expect(one.buffer.readiness().detail).toBe('4 of 4 partitions emptied here; appendfsync always');
    // What waits for its append when the connection ends is not appended to another server unseen.
    world.streams.unsafe = ['appendonly no'];
    const waiting = one.publishing.publish(draftOf('r', 'a'));
    world.streams.connection = null;
    await expect(waiting).rejects.toMatchObject({ code: 'not_ready' });
    await expect(one.publishing.publish(draftOf('r', 'a'))).rejects.toMatchObject({ code: 'not_ready' });
    world.streams.reconnect();
    await expect(one.publishing.publish(draftOf('r', 'a'))).rejects.toMatchObject({ code: 'not_ready' });
    await settled();
    await expect(one.publishing.publish(draftOf('r', 'a'))).rejects.toMatchObject({ code: 'buffer_unsafe' });
    expect(await world.isEmpty()).toBe(true);
    world.streams.unsafe = [];
    world.streams.reconnect();
    await settled();
    expect((await one.publishing.publish(draftOf('r', 'a'))).kind).toBe('buffered');
  });
});

describe('entries that others write', () => {
  const bytes = (message: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(message));

  it('are taken; those that are no messages become dead letters with their reasons, and hold up nothing', async () => {
    const world = new World();
    const one = await world.boot('a');
    const counted: string[] = [];
    one.process.instruments.telemetry.on('intake.refused', ({ source, code }) => counted.push(`${source} ${code}`));
    const message = (id: string) => ({ channel: CHANNEL.channel, room: 'r', messageId: id, content: { id } });
    const mine = partition('r');
    world.streams.write(mine, { message: bytes(message('first')) });
    world.streams.write(mine, {});
    world.streams.write(mine, { message: new Uint8Array([0x7b, 0xff]), requestId: 'req-0' });
    world.streams.write(mine, { message: bytes({ ...message('x'), room: roomsOf((mine + 1) % PARTITIONS, 1)[0] }) });
    world.streams.write(mine, { message: bytes({ ...message('x'), channel: 'nobody' }) });
    world.streams.write(mine, { message: bytes(message('x')), requestId: 'no request id' });
    const { messageId: _none, ...anonymous } = message('last');
    const last = world.streams.write(mine, { message: bytes(anonymous), requestId: 'req-1' });
    await world.drain();
    expect(await world.idsOf('r')).toEqual(['first', `buffer:${mine}:${last}`]);
    const expected = ['body_not_utf8', 'channel_unknown', 'field_invalid', 'field_missing', 'partition_mismatch'];
    expect(await world.letters()).toEqual(expected);
    const refused = one.events('intake.refused');
    expect(refused.map(({ source }) => source)).toEqual(expected.map(() => 'buffer'));
    expect(counted.toSorted()).toEqual(expected.map((code) => `buffer ${code}`));
    expect(refused.map(({ code, requestId }) => [code, requestId])).toContainEqual(['body_not_utf8', 'req-0']);
    expect(refused.map(({ code, requestId }) => [code, requestId])).toContainEqual(['field_invalid', undefined]);
  });

  it('wait for their channel where the store has it, and become dead letters only where it has none', async () => {
    const world = new World();
    const one = await world.boot('a');
    const of = (channel: string) => partitionOf({ ...CHANNEL, channel, room: 'r' }, PARTITIONS);
    const write = (channel: string) =>
      world.streams.write(of(channel), { message: bytes({ channel, room: 'r', messageId: channel, content: {} }) });
    let usable = false;
    world.seekChannel = ({ channel }) => {
      if (channel === 'gone') return 'absent';
      if (channel === 'here' && !usable) return 'unusable';
      world.channels.set(channel, CHANNEL.channel);
      return 'usable';
    };
    for (const channel of ['gone', 'new', 'here']) write(channel);
    await world.bed.time.advance(10_000);
    expect(await world.letters()).toEqual(['channel_unknown']);
    expect((await world.streams.depths(PARTITIONS)).map(({ length }) => length)).toContain(1);
    expect(one.events('buffer.batch_failed')).toMatchObject([{ errorName: 'ChannelUnusableError' }]);
    usable = true;
    await world.drain();
    expect(await world.letters()).toEqual(['channel_unknown']);
    expect(one.events('buffer.entry_buried')).toEqual([]);
    for (const channel of ['new', 'here']) {
      expect((await world.bed.row('r', { tenant: CHANNEL.tenant, channel })).tail).toBe(1);
    }
  });

  it('over which the program fails are put aside, and hold up nothing', async () => {
    const world = new World();
    const one = await world.boot('a', { maxTries: 2 });
    const mine = partitionOf({ ...CHANNEL, channel: 'bad', room: 'r' }, PARTITIONS);
    const [good = ''] = roomsOf(mine, 1);
    for (const [channel, room] of [
      ['bad', 'r'],
      [CHANNEL.channel, good],
    ]) {
      world.streams.write(mine, { message: bytes({ channel, room, messageId: room, content: {} }) });
    }
    const { get } = world.channels;
    world.channels.get = function failing(name) {
      if (name === 'bad') throw new Error('a defect');
      return get.call(this, name);
    };
    await world.drain();
    expect(one.events('buffer.entry_buried')).toMatchObject([{ partition: mine, reason: 'Error', count: 2 }]);
    expect(await world.idsOf(good)).toEqual([good]);
  });

  it('that the store refuses are tried alone, then put aside; replayed once it takes them, they are inserted', async () => {
    const refused = new Set(['m-7']);
    const world = new World({
      database: (stores) =>
        withRooms(stores, {
          append: async (batch, move) => {
            if (batch.some(({ messageId }) => refused.has(messageId)))
              throw new RefusedValueError('no column takes this');
            return stores.rooms.append(batch, move);
          },
        }),
    });
    const one = await world.boot('a', { maxTries: 3 });
    const rooms = roomsOf(0, 20);
    await one.publishing.publishAll(rooms.map((room, i) => draftOf(room, `m-${i + 1}`)));
    await world.drain();
    for (const [i, room] of rooms.entries()) if (i !== 6) expect(await world.idsOf(room)).toEqual([`m-${i + 1}`]);
    const letters = await world.streams.listBuried(0, '0-0', 10);
    expect(letters).toMatchObject([{ reason: 'RefusedValueError' }]);
    expect(one.events('buffer.entry_buried')).toEqual([{ partition: 0, reason: 'RefusedValueError', count: 3 }]);
    expect((await one.buffer.depth()).buried).toBe(1);

    refused.clear();
    expect(
      await world.streams.replayBuried(
        0,
        letters.map(({ id }) => id),
      ),
    ).toBe(1);
    await world.drain();
    expect(await world.idsOf(rooms[6] ?? '')).toEqual(['m-7']);
    expect((await one.buffer.depth()).buried).toBe(0);
  });
});

describe('consumers', () => {
  it('share the partitions; what one holds that dies is another’s when its lease ends', async () => {
    const world = new World();
    const a = await world.boot('a');
    expect(a.buffer.held.size).toBe(PARTITIONS);
    const b = await world.boot('b');
    await world.bed.time.advance(3_000);
    expect([a.buffer.held.size, b.buffer.held.size]).toEqual([2, 2]);
    expect([...a.buffer.held].filter((held) => b.buffer.held.has(held))).toEqual([]);

    await a.buffer.service.stop();
    await world.bed.time.advance(2_000);
    expect(b.buffer.held.size).toBe(PARTITIONS);
    const c = await world.boot('c');
    await world.bed.time.advance(3_000);
    expect([b.buffer.held.size, c.buffer.held.size]).toEqual([2, 2]);
  });

  it('let go of what they have stopped, and of nothing that they go on with', async () => {
    const world = new World();
    const a = await world.boot('a');
    const b = await world.boot('b');
    await world.bed.time.advance(3_000);
    // What it has had for longest has the highest numbers.
    expect([...b.buffer.held].sort()).toEqual([2, 3]);
    await a.buffer.service.stop();
    // The two look at different moments.
    await world.bed.time.advance(2_500);
    const c = await world.boot('c');
    for (let step = 0; step < 60; step++) {
      expect([...b.buffer.held].filter((held) => c.buffer.held.has(held))).toEqual([]);
      await world.bed.time.advance(50);
    }
    expect(b.events('buffer.overtaken')).toEqual([]);
    expect([b.buffer.held.size, c.buffer.held.size]).toEqual([2, 2]);
  });

  it('that lost a partition while paused store nothing: stale consumer', async () => {
    const world = new World();
    const stale = await world.boot('stale');
    // Its insert is under way for longer than its lease, and nothing that it does meanwhile arrives.
    let isPaused = false;
    world.bed.bufferCursors.look = overPause(world.bed.bufferCursors.look, () => isPaused);
    stale.process.faults = ({ method }) => (method === 'append' ? { action: 'run', beforeMs: 3 * LEASE_MS } : 'run');
    const ids = countdown(5);
    await stale.publishing.publishAll(ids.map((id) => draftOf('r', id)));
    await world.bed.time.advance(60);
    isPaused = true;
    const heir = await world.boot('heir');
    await world.bed.time.advance(LEASE_MS + 2_000);
    isPaused = false;
    expect(heir.buffer.held.size).toBe(PARTITIONS);
    expect(await world.idsOf('r')).toEqual(ids);
    const { tail } = await world.bed.row('r');

    await world.bed.time.advance(3 * LEASE_MS);
    // Partitions without work learn it from the streams.
    expect(
      stale
        .events('buffer.overtaken')
        .map(({ partition: which }) => which as number)
        .sort(),
    ).toEqual([0, 1, 2, 3]);
    expect((await world.bed.row('r')).tail).toBe(tail);
    expect(await world.idsOf('r')).toEqual(ids);
  });

  it('do what the last one left undone after its commit: conflicts have their letters, rooms are told', async () => {
    const world = new World();
    const first = await world.boot('first');
    // It ends after its commit: nothing that it stores afterwards arrives.
    const { putIntake } = world.bed.stores.deadLetters;
    world.bed.stores.deadLetters.putIntake = () => new Promise(() => undefined);
    await first.publishing.publishAll([
      draftOf('r', 'a'),
      draftOf('r', 'a', { content: { id: 'b' } }),
      draftOf('r', 'c'),
    ]);
    await world.bed.time.advance(100);
    expect(await world.idsOf('r')).toEqual(['a', 'c']);
    expect(await world.isEmpty()).toBe(false);
    world.bed.stores.deadLetters.putIntake = putIntake;
    world.bed.bufferCursors.look = overPause(world.bed.bufferCursors.look, () => true, 'first');

    await world.boot('second');
    await world.bed.time.advance(LEASE_MS + 2_000);
    await world.drain();
    expect(await world.idsOf('r')).toEqual(['a', 'c']);
    expect(await world.letters()).toEqual(['message_id_conflict']);
  });

  it('that end while they work on an entry count as tries of it: it is put aside by the next ones', async () => {
    const world = new World();
    const rooms = roomsOf(1, 3);
    const ids = rooms.map((room) => world.streams.write(1, { message: entryOf(room) }));
    const wish = {
      reader: null,
      history: null,
      after: '0-0',
      upTo: null,
      maxEntries: 100,
      maxBytes: 1e6,
      maxMessageBytes: 1e6,
    };
    // Each of them has read, and never says that what it read did no harm.
    const reads = [];
    for (let life = 0; life < 4; life++) reads.push(await world.streams.read(1, wish));
    expect(reads.map((read) => read.kind === 'read' && [read.tries, read.entries.length])).toEqual([
      [0, 3],
      [1, 3],
      [2, 1],
      [3, 1],
    ]);
    const one = await world.boot('survivor', { maxTries: 3 });
    await world.drain();
    expect(one.events('buffer.entry_buried')).toEqual([{ partition: 1, reason: 'consumer_ended', count: 4 }]);
    expect((await world.streams.listBuried(1, '0-0', 10)).map(({ entry }) => entry)).toEqual(ids.slice(0, 1));
    expect(await world.idsOf(rooms[2] ?? '')).toHaveLength(1);
  });

  /** From now on nothing that it asks is answered. */
  function isolate(world: World, consumer: string): void {
    const { read } = world.streams;
    world.streams.read = function isolated(partition, wish) {
      return wish.reader?.consumer === consumer ? Promise.reject(new Error('dead')) : read.call(this, partition, wish);
    };
    world.bed.bufferCursors.look = overPause(world.bed.bufferCursors.look, () => true, consumer);
  }

  it('that end after an entry was put aside, and before the streams forget it: it is not inserted', async () => {
    let refuses = true;
    const inserted: string[] = [];
    const world = new World({
      database: (stores) =>
        withRooms(stores, {
          append: async (batch, move) => {
            if (refuses) throw new RefusedValueError('no column takes this');
            inserted.push(...batch.map(({ messageId }) => messageId));
            return stores.rooms.append(batch, move);
          },
        }),
    });
    const first = await world.boot('first', { maxTries: 1 });
    const { bury } = world.streams;
    world.streams.bury = async function last(...args) {
      await bury.apply(this, args);
      isolate(world, 'first');
    };
    const [room = ''] = roomsOf(1, 1);
    await first.publishing.publish(draftOf(room, 'a'));
    await world.bed.time.advance(2_000);
    expect(first.events('buffer.entry_buried')).toHaveLength(1);
    expect(await world.isEmpty()).toBe(false);
    refuses = false;
    await world.boot('second');
    await world.bed.time.advance(LEASE_MS + 2_000);
    await world.drain();
    expect((await world.streams.depths(PARTITIONS))[1]?.buried).toBe(1);
    expect(inserted).toEqual([]);
  });

  it('that end over what had been committed before: it is put aside, and the partition goes on', async () => {
    const world = new World();
    const first = await world.boot('first');
    const { accept } = { accept: world.bed.stores.rooms.append };
    world.bed.stores.rooms.append = async function committed(...args) {
      const results = await accept.apply(this, args);
      isolate(world, 'first');
      return results;
    };
    const [room = '', other = ''] = roomsOf(1, 2);
    await first.publishing.publish(draftOf(room, 'a'));
    await world.bed.time.advance(LEASE_MS + 2_000);
    world.bed.stores.rooms.append = accept;
    expect(await world.isEmpty()).toBe(false);
    const wish = { reader: null, history: null, after: '0-0', upTo: null };
    for (let life = 0; life < 4; life++) {
      await world.streams.read(1, { ...wish, maxEntries: 100, maxBytes: 1e6, maxMessageBytes: 1e6 });
    }
    const one = await world.boot('survivor', { maxTries: 3 });
    await one.publishing.publish(draftOf(other, 'b'));
    await world.drain();
    expect(one.events('buffer.entry_buried')).toEqual([{ partition: 1, reason: 'consumer_ended', count: 4 }]);
    expect([await world.idsOf(room), await world.idsOf(other)]).toEqual([['a'], ['b']]);
  });

  it('put nothing aside that another has by now', async () => {
    const world = new World();
    const one = await world.boot('one', { maxTries: 1 });
    one.process.faults = ({ method }) => (method === 'append' ? 'lose_before' : 'run');
    world.bed.stores.rooms.append = () => Promise.reject(new RefusedValueError('no column takes this'));
    const { failed } = world.streams;
    world.streams.failed = async function overtaken(...args) {
      await failed.apply(this, args);
      await world.bed.bufferCursors.release('one', [1]);
      await world.bed.bufferCursors.take('heir', [1], LEASE_MS);
    };
    const [room = ''] = roomsOf(1, 1);
    one.process.regainStores();
    await one.publishing.publish(draftOf(room, 'a'));
    await world.bed.time.advance(600);
    expect(one.events('buffer.overtaken')).toEqual([{ partition: 1 }]);
    expect((await world.streams.depths(PARTITIONS))[1]).toMatchObject({ length: 1, buried: 0 });
  });

  function entryOf(room: string): Uint8Array {
    return new TextEncoder().encode(JSON.stringify({ channel: CHANNEL.channel, room, messageId: room, content: {} }));
  }

  /** Calls of a consumer that is paused hang until it is not. */
  function overPause<A extends unknown[], R>(
    call: (...args: A) => Promise<R>,
    isPaused: () => boolean,
    consumer = 'stale',
  ): (...args: A) => Promise<R> {
    return function paused(this: unknown, ...args: A) {
      if (args[0] === consumer && isPaused()) return Promise.reject(new Error('paused'));
      return call.apply(this, args);
    };
  }
});

describe('streams that have lost what they held', () => {
  it('are noticed, said plainly, and read from their beginning: emptied', async () => {
    const world = new World();
    const one = await world.boot('a');
    await one.publishing.publish(draftOf('r', 'a'));
    await world.drain();
    one.process.faults = ({ method }) => (method === 'append' ? 'fail_before' : 'run');
    await one.publishing.publish(draftOf('r', 'gone'));
    world.streams.flush();
    one.process.regainStores();
    expect((await one.publishing.publish(draftOf('r', 'b'))).kind).toBe('buffered');
    await world.drain();
    await world.bed.time.advance(5_000);
    expect(await world.idsOf('r')).toEqual(['a', 'b']);
    const told = one.events('buffer.data_lost');
    expect(told).toContainEqual({ partition: partition('r'), reason: 'another_history' });
    expect(told).toHaveLength(PARTITIONS);
  });

  it('are noticed, said plainly, and read from their beginning: gone back, with ids that come before the cursor', async () => {
    const world = new World();
    const one = await world.boot('a');
    await one.publishing.publish(draftOf('r', 'a'));
    await world.drain();
    const mine = partition('r');
    world.streams.goBack(mine, '5-0');
    world.streamsBehindMs = 3_600_000;
    await world.bed.time.advance(1_000);
    expect(one.events('buffer.data_lost')).toEqual([{ partition: mine, reason: 'went_back' }]);
    await one.publishing.publish(draftOf('r', 'b'));
    await world.drain();
    expect(await world.idsOf('r')).toEqual(['a', 'b']);
    expect(one.events('buffer.data_lost')).toHaveLength(1);
  });
});

describe('the number of partitions', () => {
  it('stays while anything waits or anybody consumes, and may change then', async () => {
    const world = new World();
    const one = await world.boot('a');
    await one.publishing.publish(draftOf('r', 'a'));
    const mismatch = expect.objectContaining({ code: 'buffer_partitions_mismatch' }) as RoomlineError;
    await expect(world.boot('b', { partitions: 2 })).rejects.toEqual(mismatch);
    await world.drain();
    await expect(world.boot('c', { partitions: 2 })).rejects.toEqual(mismatch);
    await one.buffer.service.stop();
    const changed = await world.boot('d', { partitions: 2 });
    expect(changed.buffer.held.size).toBe(2);
    await changed.buffer.service.stop();
    const more = await world.boot('e', { partitions: 6 });
    expect(more.buffer.held.size).toBe(6);
  });

  it('that is no longer the one it knows lets a process accept nothing', async () => {
    const world = new World();
    const one = await world.boot('a');
    const { publishing } = one;
    await publishing.publish(draftOf('r', 'a'));
    await world.drain();
    await one.buffer.service.stop();
    const changed = await world.boot('b', { partitions: 2 });
    for (const room of ['r', 's', 't', 'u', 'v', 'w']) {
      const late = publishing.publish(draftOf(room, 'late'));
      await expect(late).rejects.toMatchObject({ code: 'not_ready', retryAfterMs: 1_000 });
    }
    expect(await world.isEmpty()).toBe(true);
    // One that goes on finds out, and says so.
    await world.bed.bufferCursors.leave('b');
    await world.bed.bufferCursors.layOutAnew(3);
    await world.bed.time.advance(6_000);
    expect(changed.buffer.readiness()).toMatchObject({ ok: false, detail: expect.stringContaining('3 partitions') });
  });

  it('stays while anything is put aside, and everything is accepted as before', async () => {
    const world = new World();
    const one = await world.boot('a');
    await world.streams.bury(3, world.streams.write(3, { message: new Uint8Array(1) }), 'other');
    await world.drain();
    await one.buffer.service.stop();
    const mismatch = expect.objectContaining({ code: 'buffer_partitions_mismatch' }) as RoomlineError;
    await expect(world.boot('b', { partitions: 2 })).rejects.toEqual(mismatch);
    for (const room of ['r', 's', 't', 'u', 'v', 'w']) await one.publishing.publish(draftOf(room, 'a'));
    const again = await world.boot('c');
    await world.drain();
    expect(again.events('buffer.entry_buried')).toEqual([]);
    expect(await world.idsOf('r')).toEqual(['a']);
  });
});
