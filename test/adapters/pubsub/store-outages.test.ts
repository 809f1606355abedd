/** What intake makes of a store that fails, on the embedded server. */
import { describe, expect, it } from 'vitest';
import type { PubSubServer } from '../../../simulators/pubsub/server.ts';
import { createSystemClock } from '../../../src/adapters/system-clock.ts';
import type { Clock } from '../../../src/engine/ports.ts';
import { eventually, nextEvent } from '../../support/events.ts';
import { begin, load, rooms, timesLogged } from './embedded.ts';
import { inOrder, messages, payload, untilFlowing, untilLost, type World } from './fixture.ts';

/** A store that can be away. */
function switchedStore() {
  const store = { away: false, refused: 0 };
  const check = (): void => {
    if (!store.away) return;
    store.refused++;
    throw new Error('the store is away');
  };
  return { store, options: { beforeAppend: check, beforeLetters: check } };
}

const acked = (server: PubSubServer): number => server.control.stats()[0]?.acked ?? 0;
const storeFailures = (world: World): number => timesLogged(world, 'intake.batch_failed');

describe('the store', () => {
  it('may be away: nothing is acked, no more is held than allowed, and then all is accepted in order', async () => {
    const { store, options } = switchedStore();
    const { server, publish, world, at } = await begin({}, options);
    store.away = true;
    const { queue, mostOutstanding } = world.process({ ...at, maxOutstandingMessages: 50 });
    await queue.service.start();
    await publish(load(10, 1, 30));
    await eventually('intake is full', () => mostOutstanding() >= 50);
    // What comes again on a new stream counts towards the same limit.
    server.control.setFaults({ redeliverOnStreamEnd: true });
    server.control.loseStreams();
    const { refused } = store;
    await eventually('the store was tried again', () => store.refused >= refused + 5);
    // It is said once, not with every try.
    expect(timesLogged(world, 'intake.batch_failed')).toBe(1);
    expect(acked(server)).toBe(0);
    expect(world.committed).toEqual([]);

    store.away = false;
    await world.untilCommitted(300);
    await eventually('everything is acked', () => server.control.stats()[0]?.backlog === 0);
    for (const room of rooms(10)) expect(world.room(room)).toEqual(inOrder(30));
    expect(mostOutstanding()).toBe(50);
  });

  it('may be away while the subscription is deleted and made anew: no second load comes on top', async () => {
    const { store, options } = switchedStore();
    const { pubsub, topic, publish, world, at } = await begin({}, options);
    store.away = true;
    const { queue, outstanding, mostOutstanding } = world.process({ ...at, maxOutstandingMessages: 20 });
    await queue.service.start();
    await publish(messages('a', 1, 15));
    await eventually('intake has them', () => outstanding() === 15);
    const lost = untilLost(world);
    await pubsub.subscription(at.subscription).delete();
    await lost;
    await topic.createSubscription(at.subscription, { enableMessageOrdering: true });
    await publish(messages('b', 1, 40));
    // More than the client takes to give up on the first ones.
    const { refused } = store;
    await eventually('the store was tried again', () => store.refused >= refused + 15);
    expect(mostOutstanding()).toBe(15);
    expect(queue.trouble()).toBe('NOT_FOUND: the subscription does not exist');
    store.away = false;
    await untilFlowing(world, queue);
    await world.untilCommitted(55);
    expect(world.room('a')).toEqual(inOrder(15));
    expect(world.room('b')).toEqual(inOrder(40));
  });

  it('may be away for dead letters: they are written once, and acked then', async () => {
    const { store, options } = switchedStore();
    const { server, publish, world, at } = await begin({}, options);
    store.away = true;
    const timers = new Set<object>();
    const clock = createSystemClock();
    const after: Clock['after'] = (delayMs, callback) => {
      const timer = {};
      timers.add(timer);
      const cancel = clock.after(delayMs, () => {
        timers.delete(timer);
        callback();
      });
      return () => {
        timers.delete(timer);
        cancel();
      };
    };
    const first = world.process(at, { clock: { ...clock, after } });
    await first.queue.service.start();
    await publish([
      ['a', 'no JSON'],
      ['a', 'nor this'],
    ]);
    await eventually('the dead letters were tried', () => storeFailures(world) >= 1);
    await first.queue.service.stop();
    expect(timers.size, 'timers left behind').toBe(0);
    expect(acked(server)).toBe(0);
    const second = world.process(at);
    await second.queue.service.start();
    const { telemetry } = world.instruments;
    const refused = [1, 2].map(() => nextEvent(telemetry, 'intake.refused'));
    store.away = false;
    await Promise.all(refused);
    await eventually('both are acked', () => acked(server) === 2);
    expect(await world.deadLetters()).toHaveLength(2);
  });

  it('may refuse one message for good: that one becomes a dead letter, the others of its batch go on', async () => {
    const { publish, world, at } = await begin(
      {},
      {
        isPermanent: () => true,
        beforeAppend(batch) {
          if (batch.some(({ messageId }) => messageId === 'poison')) throw new Error('a value that no column takes');
        },
      },
    );
    const { queue } = world.process(at);
    await queue.service.start();
    await publish([...messages('a', 1, 5), ['a', payload('a', 'poison')], ...messages('a', 6, 9)]);
    await world.untilCommitted(9);
    const letters = await world.untilRefused(1);
    expect(letters).toMatchObject([{ reason: 'field_invalid', detail: expect.stringMatching(/^body: storable: /) }]);
    expect(world.room('a')).toEqual(inOrder(9));
  });

  it('may be away at the stop: what intake gives up then is no dead letter', async () => {
    let away = true;
    const { publish, world, at } = await begin(
      {},
      {
        beforeAppend() {
          if (away) throw new Error('the store is away');
        },
      },
    );
    const first = world.process(at);
    await first.queue.service.start();
    await publish(messages('a', 1, 5));
    await eventually('the messages wait', () => first.outstanding() === 5);
    await Promise.all([first.queue.service.stop(), first.intake.close()]);
    expect(first.outstanding()).toBe(0);
    expect(await world.deadLetters()).toEqual([]);
    away = false;
    const second = world.process(at);
    await second.queue.service.start();
    await world.untilCommitted(5);
    expect(world.room('a')).toEqual(inOrder(5));
  });
});
