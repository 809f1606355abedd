import { describe, expect, it } from 'vitest';
import {
  defineService,
  type LoopTimers,
  runLoop,
  type Service,
  ServiceStoppedError,
  serviceGroup,
} from '../../src/engine/service.ts';
import { stressService } from '../support/stress.ts';

/** Time that moves when told to. */
function stepTimers(): LoopTimers & { advance(ms: number): void; pending(): number } {
  let nowMs = 0;
  const timers = new Set<{ at: number; callback: () => void }>();
  return {
    schedule(delayMs, callback) {
      const timer = { at: nowMs + delayMs, callback };
      timers.add(timer);
      return () => void timers.delete(timer);
    },
    advance(ms) {
      nowMs += ms;
      for (const timer of [...timers].filter(({ at }) => at <= nowMs)) {
        timers.delete(timer);
        timer.callback();
      }
    },
    pending: () => timers.size,
  };
}

/** Lets every promise that can settle do so. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function recording(log: string[], name: string, change: { failStart?: boolean; failStop?: boolean } = {}): Service {
  return defineService(name, (scope) => {
    log.push(`${name} starts`);
    if (change.failStart === true) throw new Error(`${name} cannot start`);
    scope.onStop(() => {
      log.push(`${name} stops`);
      if (change.failStop === true) throw new Error(`${name} cannot stop`);
    });
  });
}

describe('a service', () => {
  it('starts and stops once however often it is asked', async () => {
    const log: string[] = [];
    const service = recording(log, 'a');
    await Promise.all([service.start(), service.start()]);
    await service.start();
    await Promise.all([service.stop(), service.stop()]);
    await service.stop();
    expect(log).toEqual(['a starts', 'a stops']);
  });

  it('releases in reverse order, everything even if one release fails', async () => {
    const log: string[] = [];
    const service = defineService('a', (scope) => {
      scope.onStop(() => void log.push('first'));
      scope.onStop(() => Promise.reject(new Error('the middle one fails')));
      scope.onStop(async () => {
        await settle();
        log.push('last');
      });
    });
    await service.start();
    await expect(service.stop()).rejects.toThrow('the middle one fails');
    expect(log).toEqual(['last', 'first']);
  });

  it('has released what it acquired when its start fails', async () => {
    const log: string[] = [];
    const service = defineService('a', async (scope) => {
      scope.onStop(() => void log.push('released'));
      await settle();
      throw new Error('no database');
    });
    await expect(service.start()).rejects.toThrow('no database');
    expect(log).toEqual(['released']);
    await service.stop();
    expect(log).toEqual(['released']);
  });

  it('reports the first error and keeps those of the clean-up', async () => {
    const service = defineService('a', (scope) => {
      scope.onStop(() => {
        throw new Error('and cannot clean up');
      });
      throw new Error('cannot start');
    });
    const error = await service.start().catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(AggregateError);
    expect((error as AggregateError).message).toBe('cannot start');
    expect((error as AggregateError).errors.map(String)).toEqual(['Error: cannot start', 'Error: and cannot clean up']);
  });

  it('aborts the signal of a start under way, waits for it, and then releases', async () => {
    const log: string[] = [];
    const service = defineService('a', async (scope) => {
      await new Promise<void>((resolve) => scope.signal.addEventListener('abort', () => resolve()));
      log.push('gave up');
      scope.onStop(() => void log.push('released'));
    });
    const starting = service.start();
    await service.stop();
    expect(log).toEqual(['gave up', 'released']);
    await starting;
  });

  it('does not start after it was stopped', async () => {
    const log: string[] = [];
    const service = recording(log, 'a');
    await service.stop();
    await expect(service.start()).rejects.toBeInstanceOf(ServiceStoppedError);
    expect(log).toEqual([]);
  });

  it('holds its contract under stress', async () => {
    let open = 0;
    await stressService(
      () =>
        defineService('a', async (scope) => {
          open++;
          scope.onStop(async () => {
            await settle();
            open--;
          });
          await settle();
        }),
      { rounds: 40, assertReleased: () => expect(open).toBe(0) },
    );
  });
});

describe('a group of services', () => {
  it('starts in order and stops in reverse', async () => {
    const log: string[] = [];
    const group = serviceGroup('all', [recording(log, 'a'), recording(log, 'b'), recording(log, 'c')]);
    await group.start();
    await group.stop();
    expect(log).toEqual(['a starts', 'b starts', 'c starts', 'c stops', 'b stops', 'a stops']);
  });

  it('stops those that had started when one fails, and its error wins', async () => {
    const log: string[] = [];
    const group = serviceGroup('all', [
      recording(log, 'a'),
      recording(log, 'b', { failStart: true }),
      recording(log, 'c'),
    ]);
    await expect(group.start()).rejects.toThrow('b cannot start');
    expect(log).toEqual(['a starts', 'b starts', 'a stops']);
  });

  it('stops all members though one of them fails to', async () => {
    const log: string[] = [];
    const group = serviceGroup('all', [
      recording(log, 'a'),
      recording(log, 'b', { failStop: true }),
      recording(log, 'c'),
    ]);
    await group.start();
    await expect(group.stop()).rejects.toThrow('b cannot stop');
    expect(log.slice(3)).toEqual(['c stops', 'b stops', 'a stops']);
  });

  it('passes a stop on to the member that is starting and starts none after it', async () => {
    const log: string[] = [];
    const waiting = defineService('waiting', async (scope) => {
      await new Promise<void>((resolve) => scope.signal.addEventListener('abort', () => resolve()));
      log.push('interrupted');
    });
    const group = serviceGroup('all', [recording(log, 'a'), waiting, recording(log, 'c')]);
    const starting = group.start();
    await settle();
    await group.stop();
    await starting;
    expect(log).toEqual(['a starts', 'interrupted', 'a stops']);
  });

  it('holds the contract under stress', async () => {
    let open = 0;
    const member = (name: string) =>
      defineService(name, async (scope) => {
        open++;
        scope.onStop(() => void open--);
        await settle();
      });
    await stressService(() => serviceGroup('all', [member('a'), member('b'), member('c')]), {
      rounds: 40,
      assertReleased: () => expect(open).toBe(0),
    });
  });
});

describe('a loop', () => {
  const unexpected = (error: unknown) => {
    throw error;
  };

  it('runs at once and then after each delay that the step returns', async () => {
    const timers = stepTimers();
    const delays = [100, 50];
    let steps = 0;
    const loop = runLoop(async () => delays[steps++] ?? Number.POSITIVE_INFINITY, { timers, onFailure: unexpected });
    await settle();
    expect(steps).toBe(1);
    timers.advance(99);
    await settle();
    expect(steps).toBe(1);
    timers.advance(1);
    await settle();
    expect(steps).toBe(2);
    timers.advance(50);
    await settle();
    expect(steps).toBe(3);
    timers.advance(1_000_000);
    await settle();
    expect(steps).toBe(3);
    await loop.stop();
  });

  it('is woken out of its delay, an endless one included', async () => {
    const timers = stepTimers();
    let steps = 0;
    const loop = runLoop(async () => (steps++ === 0 ? 1_000 : Number.POSITIVE_INFINITY), {
      timers,
      onFailure: unexpected,
    });
    for (const expected of [2, 3, 4]) {
      await settle();
      loop.wake();
      await settle();
      expect(steps).toBe(expected);
    }
    expect(timers.pending()).toBe(0);
    await loop.stop();
  });

  it('remembers a wake-up that arrives during a step, and never overlaps steps', async () => {
    const timers = stepTimers();
    const finish: (() => void)[] = [];
    let running = 0;
    let steps = 0;
    const loop = runLoop(
      async () => {
        steps++;
        expect(++running).toBe(1);
        await new Promise<void>((resolve) => finish.push(resolve));
        running--;
        return Number.POSITIVE_INFINITY;
      },
      { timers, onFailure: unexpected },
    );
    loop.wake();
    loop.wake();
    await settle();
    expect(steps).toBe(1);
    finish.shift()?.();
    await settle();
    expect(steps).toBe(2);
    const stopped = loop.stop();
    finish.shift()?.();
    await stopped;
    expect(steps).toBe(2);
  });

  it('waits for the running step when it stops', async () => {
    let finished = false;
    const loop = runLoop(
      async () => {
        await settle();
        finished = true;
        return 0;
      },
      { timers: stepTimers(), onFailure: unexpected },
    );
    await loop.stop();
    expect(finished).toBe(true);
  });

  it('leaves no timer behind', async () => {
    const timers = stepTimers();
    const loop = runLoop(async () => 60_000, { timers, onFailure: unexpected });
    await settle();
    expect(timers.pending()).toBe(1);
    await loop.stop();
    expect(timers.pending()).toBe(0);
  });

  it.each([
    ['throws', () => Promise.reject(new Error('a bug')), 'a bug'],
    ['returns no delay', () => Promise.resolve(Number.NaN), 'NaN'],
  ])('ends and tells its owner when a step %s', async (_what, step, message) => {
    const failures: unknown[] = [];
    let steps = 0;
    const loop = runLoop(
      () => {
        steps++;
        return step();
      },
      { timers: stepTimers(), onFailure: (error) => failures.push(error) },
    );
    await settle();
    loop.wake();
    await settle();
    expect(failures.map(String)).toEqual([expect.stringContaining(message)]);
    expect(steps).toBe(1);
    await loop.stop();
  });
});
