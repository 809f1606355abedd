import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Threads } from '../../../src/platforms/messaging/threads.ts';

const echo = (mid: string, sentAt: number) => ({ mid, reference: null, sentAt });
const mids = (echoes: readonly { mid: string }[]) => echoes.map(({ mid }) => mid);

describe('a watermark', () => {
  it('covers what was sent before it, and nothing that was sent at its very time', () => {
    const threads = new Threads();
    for (const each of [echo('a', 100), echo('b', 200), echo('c', 300)]) threads.echoed('t', each);
    expect(mids(threads.marked('t', 'delivered', 200))).toEqual(['a']);
    expect(mids(threads.marked('t', 'delivered', 201))).toEqual(['b']);
    expect(mids(threads.marked('t', 'read', 1_000))).toEqual(['a', 'b', 'c']);
  });

  it('covers an echo that comes later, at each level that was told', () => {
    const threads = new Threads();
    threads.marked('t', 'delivered', 500);
    threads.marked('t', 'read', 300);
    expect(threads.echoed('t', echo('a', 299))).toEqual(['delivered', 'read']);
    expect(threads.echoed('t', echo('b', 300))).toEqual(['delivered']);
    expect(threads.echoed('t', echo('c', 500))).toEqual([]);
  });

  it('that is older takes nothing back', () => {
    const threads = new Threads();
    threads.marked('t', 'delivered', 500);
    expect(threads.marked('t', 'delivered', 200)).toEqual([]);
    expect(threads.echoed('t', echo('a', 400))).toEqual(['delivered']);
  });

  it('is of its own thread alone', () => {
    const threads = new Threads();
    threads.echoed('page/1', echo('a', 100));
    expect(threads.marked('page/2', 'delivered', 1_000)).toEqual([]);
    expect(threads.marked('other/1', 'delivered', 1_000)).toEqual([]);
  });

  it('said twice, or an echo said twice, gives the same again', () => {
    const threads = new Threads();
    threads.echoed('t', echo('a', 100));
    threads.echoed('t', echo('a', 100));
    expect(mids(threads.marked('t', 'delivered', 200))).toEqual(['a']);
    expect(mids(threads.marked('t', 'delivered', 200))).toEqual(['a']);
  });
});

it('a message is told of once, and again where the call that told of it is repeated', () => {
  const threads = new Threads();
  threads.echoed('t', echo('a', 100));
  expect(mids(threads.marked('t', 'delivered', 300))).toEqual(['a']);
  expect(threads.marked('t', 'delivered', 400)).toEqual([]);
  expect(mids(threads.marked('t', 'delivered', 300))).toEqual(['a']);
  // An earlier one comes late: from now on its own call answers for the message.
  expect(mids(threads.marked('t', 'delivered', 200))).toEqual(['a']);
  expect(threads.marked('t', 'delivered', 300)).toEqual([]);
  expect(mids(threads.marked('t', 'read', 400))).toEqual(['a']);
});

describe('what is kept', () => {
  it('is the latest echoes of a thread', () => {
    const threads = new Threads();
    for (let at = 1; at <= 100; at++) threads.echoed('t', echo(`m${at}`, at));
    expect(mids(threads.echoes('t'))).toEqual(['m93', 'm94', 'm95', 'm96', 'm97', 'm98', 'm99', 'm100']);
  });

  it('is the threads used last', () => {
    const threads = new Threads(2);
    threads.echoed('1', echo('a', 1));
    threads.echoed('2', echo('b', 1));
    threads.marked('1', 'delivered', 5);
    threads.echoed('3', echo('c', 1));
    expect(mids(threads.echoes('1'))).toEqual(['a']);
    expect(threads.echoes('2')).toEqual([]);
    expect(mids(threads.echoes('3'))).toEqual(['c']);
  });
});

it('in every order of echoes and watermarks, what is covered is what was sent before some watermark', () => {
  const level = fc.constantFrom('delivered' as const, 'read' as const);
  const time = fc.integer({ min: 1, max: 20 });
  const events = fc.array(fc.oneof(fc.record({ sentAt: time }), fc.record({ level, mark: time })), { maxLength: 8 });
  fc.assert(
    fc.property(events, (steps) => {
      const threads = new Threads();
      const told = new Set<string>();
      const expected = new Set<string>();
      steps.forEach((step, index) => {
        if ('sentAt' in step) {
          for (const each of threads.echoed('t', echo(`m${index}`, step.sentAt))) told.add(`m${index} ${each}`);
        } else for (const { mid } of threads.marked('t', step.level, step.mark)) told.add(`${mid} ${step.level}`);
      });
      steps.forEach((sent, index) => {
        for (const step of steps) {
          if ('sentAt' in sent && 'mark' in step && sent.sentAt < step.mark) expected.add(`m${index} ${step.level}`);
        }
      });
      expect([...told].sort()).toEqual([...expected].sort());
    }),
    { numRuns: 300 },
  );
});
