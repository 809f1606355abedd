/** Operators at work on a whole Roomline: what failed for good is replayed and arrives in its order. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type System, startSystem, TEST_TIMEOUT_MS } from '../support/system.ts';

const REFUSAL = {
  kind: 'refuse',
  probability: 1,
  status: 422,
  code: 'no_such_number',
  scope: 'message',
  permanent: true,
};
const faultOf = (probability: number) => ({ message: { send: { faults: { gone: { ...REFUSAL, probability } } } } });

describe('An operator', { timeout: TEST_TIMEOUT_MS }, () => {
  let system: System;

  beforeAll(async () => {
    system = await startSystem();
  });
  beforeEach(() => system.ensureRunning());
  afterAll(() => system?.stop());

  const publish = async (room: string, ids: readonly string[]) => {
    const messages = ids.map((id) => ({ channel: 'main', room, messageId: id, content: { text: id } }));
    const { status, body } = await system.call('POST', '/v1/messages:batch', { messages });
    expect(status).toBe(202);
    return body.results.map(({ id }: { id: string }) => id) as string[];
  };
  const messagesOf = async (room: string) =>
    (await system.call('GET', `/v1/rooms/main/${room}/messages`)).body.messages.toReversed();
  const untilSettled = (room: string, count: number) =>
    system.eventually(`${count} messages of ${room} have settled`, async () => {
      const messages = (await messagesOf(room)) as { state: string }[];
      return messages.length === count && messages.every(({ state }) => state === 'settled');
    });

  test('replays what failed for good; it arrives in order, across a kill, and once', async () => {
    await system.channelKnobs('main', faultOf(1));
    await publish('replayed', ['a', 'b', 'c']);
    await untilSettled('replayed', 3);
    await system.channelKnobs('main', faultOf(0));
    await system.eventually('the failures are counted', async () => {
      const { body } = await system.call('GET', '/v1/failures?channel=main');
      const found = body.failures.find(({ code }: { code: string }) => code === 'no_such_number');
      return found?.kind === 'refused' && found.count === 3 && found.deadLetters === 3;
    });

    const failed = await messagesOf('replayed');
    expect(failed).toMatchObject(['a', 'b', 'c'].map((messageId) => ({ messageId, outcome: 'failed' })));
    const filter = { channel: 'main', room: 'replayed' };
    const dry = await system.call('POST', '/v1/dead-letters:replay', { filter, dryRun: true });
    expect(dry.body.letters.map(({ from }: { from: { sequence: number } }) => from.sequence)).toEqual([1, 2, 3]);
    const replay = await system.call('POST', '/v1/dead-letters:replay', { filter, reason: 'the number works again' });
    expect(replay).toMatchObject({ status: 200, body: { replayed: 3, refused: 0 } });
    await system.killEngine();
    await system.rig.engine.start();
    await system.untilReady();
    await untilSettled('replayed', 6);
    const after = await messagesOf('replayed');
    expect(after.slice(3)).toMatchObject(
      failed.map(({ id }: { id: string }, index: number) => ({
        sequence: index + 4,
        replays: id,
        outcome: expect.stringMatching(/^(acked|assumed)$/),
      })),
    );
    const again = await system.call('POST', '/v1/dead-letters:replay', {
      ids: replay.body.letters.map(({ letter }: { letter: number }) => letter),
    });
    expect(again.body).toMatchObject({
      replayed: 0,
      letters: replay.body.letters.map(({ to }: { to: object }) => ({ result: 'already', to })),
    });
    expect(await messagesOf('replayed')).toHaveLength(6);
    const texts = (
      await system.query<{ body: Buffer }>(
        `SELECT h.body FROM history h JOIN rooms r ON r.shard = h.shard AND r.id = h.room_id
       WHERE r.room = 'replayed' ORDER BY h.settled_at, h.sequence`,
      )
    ).map(({ body }) => JSON.parse(body.toString()).content.text);
    expect(texts).toEqual(['a', 'b', 'c', 'a', 'b', 'c']);
  });

  test('pauses a room, cancels what waits in it, and lets it go on', async () => {
    await publish('steered', ['a']);
    await untilSettled('steered', 1);
    const paused = await system.call('POST', '/v1/rooms/main/steered/pause', { reason: 'a wrong text' });
    expect(paused).toMatchObject({ status: 200, body: { changed: true, effect: 'at_once', room: { paused: true } } });
    const [second, third] = await publish('steered', ['b', 'c']);
    expect(await system.call('POST', `/v1/messages/${third}/cancel`)).toMatchObject({
      body: { effect: 'at_its_turn' },
    });
    expect(await system.call('POST', `/v1/messages/${second}/cancel`)).toMatchObject({ body: { effect: 'at_once' } });
    expect(await system.call('POST', '/v1/rooms/main/steered/resume')).toMatchObject({ body: { changed: true } });
    await publish('steered', ['d']);
    await untilSettled('steered', 4);
    expect((await messagesOf('steered')).map(({ outcome }: { outcome: string }) => outcome)).toEqual([
      'acked',
      'cancelled',
      'cancelled',
      'acked',
    ]);
    const { body } = await system.call('GET', '/v1/ops/audit?limit=4');
    expect(body.entries.map(({ action }: { action: string }) => action)).toEqual([
      'room.resume',
      'message.cancel',
      'message.cancel',
      'room.pause',
    ]);
    expect(await system.leaks()).toEqual([]);
  });

  test('replays a payload of the queue that intake refused, corrected', async () => {
    const payload = { channel: 'main', room: 'corrected', content: 'no object' };
    const client = system.rig.pubsub.connect();
    await client.publish({
      topic: system.rig.pubsub.topicName,
      messages: [{ data: Buffer.from(JSON.stringify(payload)), orderingKey: 'corrected' }],
    });
    await client.close();
    const [letter] = await system.eventually('it is a dead letter', async () => {
      const { letters } = (await system.call('GET', '/v1/dead-letters?kind=intake')).body;
      return letters.length > 0 && letters;
    });
    const message = { ...payload, content: { text: 'an object' } };
    const target = `/v1/dead-letters/${letter.id}`;
    expect(await system.call('POST', `${target}/replay`)).toMatchObject({ status: 400, body: { code: 'field_type' } });
    expect(await system.call('POST', `${target}/replay`, { message })).toMatchObject({ body: { replayed: 1 } });
    await untilSettled('corrected', 1);
    expect((await system.call('GET', target)).body).toMatchObject({ state: 'replayed', replayedAs: { sequence: 1 } });
  });
});
