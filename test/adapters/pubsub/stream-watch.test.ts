import { EventEmitter } from 'node:events';
import { describe, expect, it } from 'vitest';
import { GRACE_MS, SETTLE_MS, StreamWatch } from '../../../src/adapters/pubsub/stream-watch.ts';

/** A watch on a stepped clock, and what it told. */
function newWatch(answers: boolean[] = []) {
  const timers = new Set<{ at: number; run: () => void }>();
  const told: string[] = [];
  let now = 0;
  const watch = new StreamWatch({
    clock: {
      after(delayMs, run) {
        const timer = { at: now + delayMs, run };
        timers.add(timer);
        return () => void timers.delete(timer);
      },
    },
    answers: async () => answers.shift() ?? false,
    onOpen: () => told.push('open'),
    onLost: ({ code }) => told.push(`lost ${code}`),
  });
  return {
    watch,
    told,
    timers,
    /** Lets this many ms pass, and what they set off come to an end. */
    async pass(ms: number): Promise<void> {
      const end = now + ms;
      for (;;) {
        const [next] = [...timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
        if (next === undefined) break;
        timers.delete(next);
        now = next.at;
        next.run();
        for (let turn = 0; turn < 5; turn++) await Promise.resolve();
      }
      now = end;
    },
    call(): EventEmitter {
      const call = new EventEmitter();
      watch.called(call);
      return call;
    },
  };
}

describe('a stream', () => {
  it('is open when the server has answered it', () => {
    const { call, told } = newWatch();
    const stream = call();
    expect(told).toEqual([]);
    stream.emit('metadata');
    expect(told).toEqual(['open']);
  });

  it('is open without an answer when it has held and the server answers otherwise', async () => {
    const { call, told, pass } = newWatch([false, true]);
    call();
    await pass(SETTLE_MS);
    expect(told).toEqual([]);
    await pass(SETTLE_MS);
    expect(told).toEqual(['open']);
  });

  it('is not open when it ended while the server was asked', async () => {
    const { call, told, pass } = newWatch([true]);
    const stream = call();
    const asked = pass(SETTLE_MS);
    stream.emit('status', { code: 7 });
    await asked;
    expect(told).toEqual([]);
    await pass(GRACE_MS);
    expect(told).toEqual(['lost 7']);
  });

  it('may end when another is open soon enough', async () => {
    const { call, told, pass } = newWatch();
    const first = call();
    first.emit('metadata');
    first.emit('status', { code: 14 });
    await pass(GRACE_MS - 1);
    call().emit('metadata');
    await pass(10 * GRACE_MS);
    expect(told).toEqual(['open', 'open']);
  });

  it('is lost when those after it are refused, however often they are tried', async () => {
    const { call, told, pass } = newWatch([true, true, true, true]);
    const first = call();
    first.emit('metadata');
    first.emit('status', { code: 14 });
    for (let tries = 0; tries < 5; tries++) {
      await pass(SETTLE_MS - 1);
      call().emit('status', { code: 8 });
    }
    expect(told).toEqual(['open', 'lost 14']);
  });

  it('does not count when another has taken its place', async () => {
    const { call, told, pass } = newWatch();
    const first = call();
    const second = call();
    first.emit('metadata');
    first.emit('status', { code: 1 });
    await pass(10 * GRACE_MS);
    expect(told).toEqual([]);
    second.emit('metadata');
    expect(told).toEqual(['open']);
  });

  it('proves itself again after a doubt', async () => {
    const { watch, call, told, pass } = newWatch([true]);
    call().emit('metadata');
    watch.doubt();
    await pass(SETTLE_MS);
    expect(told).toEqual(['open', 'open']);
  });

  it('is not watched any more after the close', async () => {
    const { watch, call, told, pass, timers } = newWatch([true, true]);
    const first = call();
    first.emit('metadata');
    first.emit('status', { code: 14 });
    const second = call();
    watch.close();
    second.emit('metadata');
    call().emit('metadata');
    await pass(10 * GRACE_MS);
    expect(told).toEqual(['open']);
    expect(timers.size).toBe(0);
  });
});
