import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Recent } from '../../src/engine/recent.ts';

describe('what was set last', () => {
  it('is known with its last value, at least so many names and at most twice as many', () => {
    const sets = fc.array(fc.tuple(fc.integer({ min: 0, max: 30 }), fc.integer()), { maxLength: 200 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), sets, (least, all) => {
        const recent = new Recent<number>(least);
        const last = new Map<string, number>();
        for (const [name, value] of all) {
          recent.set(`${name}`, value);
          // A map keeps the place of a name that it has: the newest is to come last.
          last.delete(`${name}`);
          last.set(`${name}`, value);
        }
        const known = [...last.keys()].filter((name) => recent.get(name) !== undefined);
        expect(known.slice(-least)).toEqual([...last.keys()].slice(-least));
        expect(known.length).toBeLessThanOrEqual(2 * least);
        for (const name of known) expect(recent.get(name)).toBe(last.get(name));
      }),
    );
  });

  it('is unknown once it was deleted, whenever it was set', () => {
    const recent = new Recent<number>(1);
    recent.set('a', 1);
    recent.set('b', 2);
    recent.delete('a');
    recent.delete('b');
    expect([recent.get('a'), recent.get('b')]).toEqual([undefined, undefined]);
  });
});
