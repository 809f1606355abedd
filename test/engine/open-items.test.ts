import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OpenItems } from '../../src/engine/open-items.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as (options?: { readonly type: 'minor' }) => void;
const ITEM_BYTES = 8_000;
const item = (): object => new Array(ITEM_BYTES / 8).fill(0);
const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('things under way', () => {
  it('are those that came and have not gone, whatever places they took', () => {
    const steps = fc.array(fc.nat({ max: 30 }), { maxLength: 200 });
    fc.assert(
      fc.property(steps, (all) => {
        const open = new OpenItems<number>();
        const expected = new Map<number, number>();
        for (const item of all) {
          const place = expected.get(item);
          if (place === undefined) expected.set(item, open.add(item));
          else {
            open.remove(place);
            expected.delete(item);
          }
          expect(open.size).toBe(expected.size);
          expect([...open].sort((a, b) => a - b)).toEqual([...expected.keys()].sort((a, b) => a - b));
        }
      }),
    );
  });

  it('are waited for until there is none', async () => {
    const open = new OpenItems<string>();
    await open.none();
    const [first, second] = [open.add('first'), open.add('second')];
    let none = false;
    const waiting = open.none().then(() => {
      none = true;
    });
    open.remove(first);
    await nextTurn();
    expect(none).toBe(false);
    open.remove(second);
    await waiting;
    await open.none();
  });

  it('are forgotten, once they have gone, by the next quick collection, though thousands have come and gone since a full one', () => {
    const open = new OpenItems<object>();
    const under = Array.from({ length: 100 }, () => open.add(item()));
    collect();
    const before = process.memoryUsage().heapUsed;
    for (let turn = 0; turn < 200; turn++) {
      for (let count = 0; count < 150; count++) {
        open.remove(under.shift() as number);
        under.push(open.add(item()));
      }
      collect({ type: 'minor' });
    }
    // A Set would have kept some 4,000.
    const keptBytes = process.memoryUsage().heapUsed - before;
    expect(keptBytes / ITEM_BYTES).toBeLessThan(300);
  });
});
