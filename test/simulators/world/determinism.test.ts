import { afterEach, describe, expect, it, vi } from 'vitest';
import { runWorld } from '../../../simulators/world/world.ts';

async function outputOf(seed: number): Promise<string[]> {
  const lines: string[] = [];
  const { trace, events } = await runWorld(seed, (line) => lines.push(line));
  return [...lines, `${trace} ${events}`];
}

describe('a seed', () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it('gives the same output, byte for byte, and another seed another', async () => {
    for (const seed of [3, 14, 207, 330]) {
      const first = await outputOf(seed);
      expect(first.length).toBeGreaterThan(20);
      expect(await outputOf(seed)).toEqual(first);
    }
    expect(await outputOf(3)).not.toEqual(await outputOf(4));
  });

  it('gives the same output after other worlds have run', async () => {
    const first = await outputOf(5);
    for (let seed = 20; seed < 30; seed++) await runWorld(seed);
    expect(await outputOf(5)).toEqual(first);
  });

  it('is all that a world gets time and chance from', async () => {
    const used = new Set<string>();
    // The test runner's own timers go on beside the world; what counts is who asks. The permit queue notes when each of
    // its tasks began, for its own listing alone.
    const trap = (name: string): void => {
      const frames = (new Error().stack ?? '').split('\n').slice(1);
      const asker = frames.find((frame) => !/determinism\.test|\/@?vitest\/|\/tinyspy\//.test(frame)) ?? '';
      const noted = name === 'now' && asker.includes('/p-queue/');
      const isOurs = /\/(src|simulators)\//.test(asker) && !asker.includes('/node_modules/');
      if ((isOurs || asker.includes('/p-queue/')) && !noted) used.add(`${name} ${asker.trim()}`);
    };
    const watch = <T extends object>(target: T, name: keyof T & string): void => {
      const real = target[name] as (...args: unknown[]) => unknown;
      vi.spyOn(target as Record<string, () => unknown>, name).mockImplementation((...args: unknown[]) => {
        trap(name);
        return real.apply(target, args);
      });
    };
    watch(Date, 'now');
    watch(Math, 'random');
    watch(performance, 'now');
    watch(globalThis, 'setTimeout');
    watch(globalThis, 'setInterval');
    for (let seed = 1; seed <= 10; seed++) await runWorld(seed);
    expect([...used]).toEqual([]);
    // A world that does ask is seen.
    await runWorld(1, Date.now);
    expect([...used].join()).toContain('simulators/world/world.ts');
  });
});
