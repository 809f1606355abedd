import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Consumer } from '../../../simulators/pubsub/consumer.ts';
import { unavailable } from '../../../simulators/pubsub/errors.ts';
import { type FaultSettings, Faults } from '../../../simulators/pubsub/faults.ts';
import { storedMessage } from '../../../simulators/pubsub/message.ts';
import { seededRandom } from '../../../simulators/pubsub/random.ts';
import { Subscription } from '../../../simulators/pubsub/subscription.ts';
import type { DeadLetterPolicy, ReceivedMessage } from '../../../simulators/pubsub/wire.ts';

interface World {
  subscription: Subscription;
  faults: Faults;
  deadLetters: string[];
  publish(key: string, ...data: string[]): void;
  /** Lets pass this much time, then everything that is due happens. */
  pass(ms?: number): void;
}

function world({
  ordered = true,
  faults: settings = {},
  deadLetterPolicy = null,
}: {
  ordered?: boolean;
  faults?: Partial<FaultSettings>;
  deadLetterPolicy?: DeadLetterPolicy | null;
} = {}): World {
  let nowMs = 1_000_000;
  let sequence = 0;
  let due: Array<() => void> = [];
  let timers: Array<{ atMs: number; run: () => void }> = [];
  const deadLetters: string[] = [];
  const faults = new Faults(seededRandom(1), settings);
  const subscription = new Subscription(
    {
      name: 'projects/p/subscriptions/s',
      topic: 'projects/p/topics/t',
      ackDeadlineSeconds: 10,
      enableMessageOrdering: ordered,
      deadLetterPolicy,
    },
    {
      now: () => nowMs,
      faults,
      incarnation: 'run',
      soon: (run) => due.push(run),
      after: (run, delayMs) => timers.push({ atMs: nowMs + delayMs, run }),
      deadLetter: (_subscription, message) => deadLetters.push(message.wire.data.toString()) > 0,
    },
  );
  return {
    subscription,
    faults,
    deadLetters,
    publish(key, ...data) {
      for (const text of data) {
        const content = { data: Buffer.from(text), attributes: {}, orderingKey: key };
        subscription.publish(storedMessage(++sequence, nowMs, content));
      }
    },
    pass(ms = 0) {
      nowMs += ms;
      const ripe = timers.filter(({ atMs }) => atMs <= nowMs);
      timers = timers.filter(({ atMs }) => atMs > nowMs);
      for (const { run } of ripe) run();
      subscription.expire();
      while (due.length > 0) {
        const runs = due;
        due = [];
        for (const run of runs) run();
      }
    },
  };
}

/** A consumer that keeps what it gets, and can be told to accept no more. */
class Reader {
  readonly received: ReceivedMessage[] = [];
  readonly consumer: Consumer;
  accepts = true;
  readonly #subscription: Subscription;

  constructor({ subscription }: World, limits: { maxMessages?: number; maxBytes?: number } = {}) {
    this.#subscription = subscription;
    this.consumer = new Consumer(
      {
        write: (messages) => {
          this.received.push(...messages);
          return this.accepts;
        },
        end: () => subscription.detach(this.consumer),
      },
      { maxMessages: 0, maxBytes: 0, ackDeadlineMs: 10_000, ...limits },
    );
    subscription.attach(this.consumer);
  }

  get texts(): string[] {
    return this.received.map(({ message }) => message.data.toString());
  }

  /** The ack id of the last delivery of this text. */
  id(text: string): string {
    return this.received.findLast(({ message }) => message.data.toString() === text)?.ackId ?? 'never delivered';
  }

  ack(...data: string[]): void {
    this.#subscription.acknowledge(data.map((text) => this.id(text)));
  }

  nack(...data: string[]): void {
    this.#subscription.modifyAckDeadline(
      data.map((text) => this.id(text)),
      0,
    );
  }
}

describe('redelivery of an ordered message', () => {
  it('brings along the later ones of its key, acked, out or waiting, and no others', () => {
    const scene = world();
    scene.publish('k', '1', '2', '3', '4');
    scene.publish('other', 'o1', 'o2');
    const reader = new Reader(scene);
    scene.pass();
    reader.ack('1', '3');
    reader.nack('2');
    scene.publish('k', '5');
    scene.pass();
    expect(reader.texts.slice(6)).toEqual(['2', '3', '4', '5']);
    expect(scene.subscription.stats()).toMatchObject({ backlog: 6, outstanding: 6, redelivered: 3, nacked: 1 });
  });

  it('passes over answers to the deliveries that it made void', () => {
    const scene = world();
    scene.publish('k', '1', '2', '3');
    const reader = new Reader(scene);
    scene.pass();
    const [first, second, third] = ['1', '2', '3'].map((text) => reader.id(text));
    scene.subscription.modifyAckDeadline([first ?? ''], 0);
    expect(scene.subscription.acknowledge([second ?? '', third ?? ''])).toEqual([]);
    scene.subscription.modifyAckDeadline([second ?? '', third ?? ''], 0);
    scene.pass();
    expect(reader.texts).toEqual(['1', '2', '3', '1', '2', '3']);
  });

  it('happens when the ack deadline ends, and not before', () => {
    const scene = world();
    scene.publish('k', '1', '2');
    const reader = new Reader(scene);
    scene.pass();
    scene.pass(9_999);
    expect(reader.texts).toEqual(['1', '2']);
    scene.pass(100);
    expect(reader.texts).toEqual(['1', '2', '1', '2']);
    expect(scene.subscription.stats().expired).toBe(1);
  });

  it('heeds a deadline that was moved out or in', () => {
    const scene = world({ ordered: false });
    scene.publish('', 'long', 'short');
    const reader = new Reader(scene);
    scene.pass();
    scene.subscription.modifyAckDeadline([reader.id('long')], 30);
    scene.subscription.modifyAckDeadline([reader.id('short')], 1);
    scene.pass(1_100);
    expect(reader.texts).toEqual(['long', 'short', 'short']);
    reader.ack('short');
    scene.pass(28_000);
    expect(reader.texts).toHaveLength(3);
    scene.pass(1_100);
    expect(reader.texts).toEqual(['long', 'short', 'short', 'long']);
  });

  it('keeps a thousand acked messages of a key for it, and drops the ones after', () => {
    const scene = world();
    const data = Array.from({ length: 1_501 }, (_, at) => `${at}`);
    scene.publish('k', ...data);
    const reader = new Reader(scene);
    scene.pass();
    reader.ack(...data.slice(1));
    reader.nack('0');
    scene.pass();
    expect(reader.texts.slice(1_501)).toEqual(data.slice(0, 1_001));
    reader.ack(...data.slice(0, 1_001));
    expect(scene.subscription.stats()).toMatchObject({ backlog: 0, outstanding: 0 });
  });

  it('can be ordered for the last messages of a key', () => {
    const scene = world();
    scene.publish('k', '1', '2', '3', '4');
    const reader = new Reader(scene);
    scene.pass();
    reader.ack('2', '3', '4');
    expect(scene.subscription.redeliverKey('k', 2)).toBe(2);
    expect(scene.subscription.redeliverKey('unknown', 2)).toBe(0);
    scene.pass();
    expect(reader.texts).toEqual(['1', '2', '3', '4', '3', '4']);
  });
});

describe('a key with several consumers', () => {
  it('stays with the one that has messages of it out, even when that one is full', () => {
    const scene = world();
    const [full, idle] = [new Reader(scene, { maxMessages: 2 }), new Reader(scene, { maxMessages: 2 })];
    scene.publish('k', '1', '2', '3');
    scene.pass();
    const [owner, other] = full.received.length > 0 ? [full, idle] : [idle, full];
    expect([owner.texts, other.texts]).toEqual([['1', '2'], []]);
    owner.ack('1');
    scene.pass();
    expect([owner.texts, other.texts]).toEqual([['1', '2', '3'], []]);
  });

  it('waits for the deadline when its consumer has gone, then goes to another', () => {
    const scene = world();
    const first = new Reader(scene);
    scene.publish('k', '1', '2');
    scene.pass();
    scene.subscription.detach(first.consumer);
    const second = new Reader(scene);
    scene.publish('k', '3');
    scene.pass(5_000);
    expect(second.texts).toEqual([]);
    scene.pass(5_100);
    expect(second.texts).toEqual(['1', '2', '3']);
  });

  it('goes on as soon as a gone consumer has acked what it held', () => {
    const scene = world();
    const first = new Reader(scene);
    scene.publish('k', '1', '2');
    scene.pass();
    scene.subscription.detach(first.consumer);
    const second = new Reader(scene);
    scene.publish('k', '3');
    first.ack('1', '2');
    scene.pass();
    expect(second.texts).toEqual(['3']);
  });

  it('is free for another once all is acked, when its own takes no more', () => {
    const scene = world();
    const stuck = new Reader(scene);
    stuck.accepts = false;
    scene.publish('k', '1');
    scene.pass();
    scene.publish('k', '2');
    const other = new Reader(scene);
    scene.pass();
    expect(other.texts).toEqual([]);
    stuck.ack('1');
    scene.pass();
    expect(other.texts).toEqual(['2']);
  });

  it('goes to another at once when lost streams are set to redeliver', () => {
    const scene = world({ faults: { redeliverOnStreamEnd: true } });
    const first = new Reader(scene);
    scene.publish('k', '1', '2');
    scene.pass();
    first.ack('1');
    scene.subscription.endConsumers(unavailable('gone'));
    const second = new Reader(scene);
    scene.pass();
    expect(second.texts).toEqual(['2']);
  });
});

describe('flow control', () => {
  it('bounds the messages that are out', () => {
    const scene = world();
    scene.publish('a', '1', '2', '3');
    scene.publish('b', '4', '5', '6');
    const reader = new Reader(scene, { maxMessages: 4 });
    scene.pass();
    expect(reader.received).toHaveLength(4);
    reader.ack('1', '2');
    scene.pass();
    expect(reader.received).toHaveLength(6);
  });

  it('stops once the bytes that are out reach the limit', () => {
    const scene = world({ ordered: false });
    scene.publish('', 'a'.repeat(60), 'b'.repeat(60), 'c'.repeat(60));
    const reader = new Reader(scene, { maxBytes: 100 });
    scene.pass();
    expect(reader.received).toHaveLength(2);
    reader.ack('a'.repeat(60));
    scene.pass();
    expect(reader.received).toHaveLength(3);
  });

  it('waits for a transport that takes no more', () => {
    const scene = world();
    const reader = new Reader(scene);
    reader.accepts = false;
    scene.publish('k', '1');
    scene.pass();
    scene.publish('k', '2');
    scene.pass();
    expect(reader.texts).toEqual(['1']);
    reader.accepts = true;
    reader.consumer.resume();
    scene.subscription.wake();
    scene.pass();
    expect(reader.texts).toEqual(['1', '2']);
  });

  it('lets a key with a long backlog take turns with the others', () => {
    const scene = world();
    scene.publish('hot', ...Array.from({ length: 500 }, (_, at) => `hot-${at}`));
    for (let key = 0; key < 10; key++) scene.publish(`room-${key}`, `cold-${key}`);
    const reader = new Reader(scene, { maxMessages: 100 });
    scene.pass();
    expect(reader.texts.filter((text) => text.startsWith('cold'))).toHaveLength(10);
  });
});

describe('injected faults', () => {
  it('repeat an acked message with its later ones, once', () => {
    const scene = world({ faults: { duplicateProbability: 1 } });
    scene.publish('k', '1', '2');
    const reader = new Reader(scene);
    for (let round = 0; round < 5; round++) {
      scene.pass();
      reader.ack('1');
      scene.pass();
      reader.ack('2');
    }
    expect(reader.texts).toEqual(['1', '2', '1', '2', '2']);
    expect(scene.subscription.stats()).toMatchObject({ backlog: 0, acked: 2, redelivered: 3 });
  });

  it('hold messages back and keep their order', () => {
    const scene = world({ faults: { deliveryDelayMinMs: 100, deliveryDelayMaxMs: 200 } });
    const reader = new Reader(scene);
    scene.publish('k', '1', '2');
    scene.pass(99);
    expect(reader.texts).toEqual([]);
    scene.faults.set({ deliveryDelayMinMs: 0, deliveryDelayMaxMs: 0 });
    scene.publish('k', '3');
    scene.pass(0);
    expect(reader.texts).toEqual([]);
    scene.pass(101);
    expect(reader.texts).toEqual(['1', '2', '3']);
  });

  it('refuse settings out of range and keep the old ones', () => {
    const faults = new Faults(seededRandom(1), { duplicateProbability: 0.5 });
    expect(() => faults.set({ duplicateProbability: 1.5 })).toThrow(RangeError);
    expect(() => faults.set({ streamLossProbability: Number.NaN })).toThrow(RangeError);
    expect(() => faults.set({ deliveryDelayMinMs: 10 })).toThrow(RangeError);
    expect(faults.settings).toMatchObject({ duplicateProbability: 0.5, deliveryDelayMinMs: 0 });
  });
});

describe('a dead letter policy', () => {
  it('counts attempts, and takes a message away when they are used up', () => {
    const scene = world({ deadLetterPolicy: { deadLetterTopic: 'projects/p/topics/dead', maxDeliveryAttempts: 3 } });
    scene.publish('k', '1', '2');
    const reader = new Reader(scene);
    for (let attempt = 1; attempt <= 3; attempt++) {
      scene.pass();
      reader.nack('1');
    }
    scene.pass();
    expect(scene.deadLetters).toEqual(['1']);
    expect(reader.texts).toEqual(['1', '2', '1', '2', '1', '2', '2']);
    expect(reader.received.map(({ deliveryAttempt }) => deliveryAttempt)).toEqual([1, 1, 2, 1, 3, 1, 1]);
    expect(scene.subscription.stats().backlog).toBe(1);
  });
});

describe('the age of the oldest unacked message', () => {
  it('counts from its publish time and is 0 without one', () => {
    const scene = world();
    expect(scene.subscription.stats().oldestUnackedAgeMs).toBe(0);
    scene.publish('a', '1');
    scene.pass(700);
    scene.publish('b', '2');
    scene.pass(300);
    expect(scene.subscription.stats().oldestUnackedAgeMs).toBe(1_000);
    const reader = new Reader(scene);
    scene.pass();
    reader.ack('1');
    expect(scene.subscription.stats().oldestUnackedAgeMs).toBe(300);
  });
});

describe('any history', () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ do: fc.constant('publish' as const), key: fc.nat(2) }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('ack' as const), reader: fc.nat(1), which: fc.nat(20) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('nack' as const), reader: fc.nat(1), which: fc.nat(20) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.nat(12_000) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('replace' as const), reader: fc.nat(1) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('redeliver' as const), key: fc.nat(2), count: fc.nat(4) }) },
  );

  it('delivers each key in order, repeats only suffixes, and loses nothing', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.nat(), fc.boolean(), (steps, limit, duplicates) => {
        const scene = world({ faults: { duplicateProbability: duplicates ? 0.3 : 0 } });
        const log: ReceivedMessage[] = [];
        const open = (): Reader => {
          const reader = new Reader(scene, { maxMessages: limit % 8 });
          const { push } = reader.received;
          reader.received.push = (...messages) => {
            log.push(...messages);
            return push.apply(reader.received, messages);
          };
          return reader;
        };
        const readers = [open(), open()];
        const published = new Map<string, number>();
        const perform = (act: (typeof steps)[number]): void => {
          if (act.do === 'publish') {
            const key = `key-${act.key}`;
            const number = (published.get(key) ?? 0) + 1;
            published.set(key, number);
            scene.publish(key, `${number}`);
          } else if (act.do === 'pass') scene.pass(act.ms);
          else if (act.do === 'redeliver') scene.subscription.redeliverKey(`key-${act.key}`, act.count);
          else if (act.do === 'replace') {
            scene.subscription.detach((readers[act.reader] as Reader).consumer);
            readers[act.reader] = open();
          } else {
            const { received } = readers[act.reader] as Reader;
            const ackId = received.at(-1 - (act.which % Math.max(1, received.length)))?.ackId;
            if (ackId && act.do === 'ack') scene.subscription.acknowledge([ackId]);
            else if (ackId) scene.subscription.modifyAckDeadline([ackId], 0);
          }
          if (act.do !== 'publish') scene.pass();
        };
        for (const act of steps) perform(act);

        // In the end everything is acked, the oldest delivery first.
        for (let round = 0; scene.subscription.stats().backlog > 0; round++) {
          expect(round).toBeLessThan(2_000);
          scene.pass(1_000);
          for (const reader of readers)
            for (const { ackId } of reader.received) scene.subscription.acknowledge([ackId]);
        }
        scene.pass();

        for (const [key, count] of published) {
          const numbers = log.filter(({ message }) => message.orderingKey === key).map(({ message }) => +message.data);
          let highest = 0;
          let previous = 0;
          for (const number of numbers) {
            // Each delivery is the successor of the one before, or steps back to repeat; it never jumps ahead.
            expect(number).toBeLessThanOrEqual(previous + 1);
            highest = Math.max(highest, number);
            previous = number;
          }
          expect(highest).toBe(count);
          expect(previous).toBe(count);
        }
        expect(scene.subscription.stats()).toMatchObject({ backlog: 0, outstanding: 0, oldestUnackedAgeMs: 0 });
      }),
      { numRuns: 300 },
    );
  });
});
