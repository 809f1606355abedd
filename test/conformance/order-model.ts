/** A publisher's order against a model of it that has no database: whatever comes in whatever batches. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AppendResult, Stores } from '../../src/engine/ports.ts';
import { ordered, told } from './orders.ts';
import { World } from './world.ts';

type Step =
  | { readonly kind: 'append'; readonly batch: readonly Item[] }
  /** Of what the room waits for, or, stale, of a number that it waited for before. */
  | { readonly kind: 'skip'; readonly stale: boolean };

interface Item {
  /** Null: a message without an order. */
  readonly order: number | null;
  readonly id: string;
}

/** What is said of each message, and where each ends up. */
class Model {
  readonly numbered: string[] = [];
  readonly #parked = new Map<number, string>();
  readonly #known = new Map<string, number | null>();
  readonly #taken = new Map<number, string>();
  readonly #skipped = new Set<number>();
  next = 1;

  get waitsFor(): number | null {
    return this.#parked.size === 0 ? null : this.next;
  }

  append(batch: readonly Item[]): string[] {
    // Of an id that is refused, the first one of a batch decides for all.
    const refused = new Map<string, number | null>();
    const became = batch.map((item) => {
      const first = refused.get(item.id);
      if (first !== undefined) return first === item.order ? 'order conflict' : 'conflict';
      const what = this.#place(item);
      if (what === 'order conflict') refused.set(item.id, item.order);
      return what;
    });
    return batch.map(({ id, order }, index) => {
      const what = became[index] as string;
      if (what === 'order conflict') return `${what} ${order}`;
      const sequence = this.numbered.indexOf(id) + 1;
      if (what === 'conflict') return `conflict ${sequence === 0 ? 'parked' : sequence}`;
      if (sequence === 0) return `parked${what === 'known' ? ' again' : ''}, waits for ${this.next}`;
      return what === 'known' ? `duplicate ${sequence}` : `${sequence}${what === 'late' ? ' late' : ''}`;
    });
  }

  skip(waitsFor: number): readonly [number, number] | null {
    if (this.waitsFor !== waitsFor) return null;
    const last = Math.min(...this.#parked.keys()) - 1;
    for (let order = waitsFor; order <= last; order++) this.#skipped.add(order);
    this.next = last + 1;
    this.#release();
    return [waitsFor, last];
  }

  #place({ order, id }: Item): string {
    const known = this.#known.get(id);
    if (known !== undefined) return known === order ? 'known' : 'conflict';
    if (order !== null && this.#taken.has(order)) return 'order conflict';
    const late = order !== null && this.#skipped.has(order);
    this.#known.set(id, order);
    if (order !== null) this.#taken.set(order, id);
    if (order === null || late) this.numbered.push(id);
    else {
      this.#parked.set(order, id);
      this.#release();
    }
    return late ? 'late' : 'new';
  }

  #release(): void {
    for (let id = this.#parked.get(this.next); id !== undefined; id = this.#parked.get(this.next)) {
      this.#parked.delete(this.next++);
      this.numbered.push(id);
    }
  }
}

const item = fc.record({
  order: fc.option(fc.integer({ min: 1, max: 9 }), { nil: null, freq: 6 }),
  copy: fc.integer({ min: 0, max: 12 }),
});
const items = fc
  .array(item, { minLength: 1, maxLength: 6 })
  // Most numbers have one message; now and then another one claims it, or an id comes with another number.
  .map((batch) =>
    batch.map(({ order, copy }): Item => {
      if (copy === 0) return { order, id: 'claims all' };
      if (order === null) return { order, id: `plain-${copy % 4}` };
      return { order, id: copy === 1 ? `other-${order}` : `o-${order}` };
    }),
  );
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: items.map((batch): Step => ({ kind: 'append', batch })) },
    { weight: 1, arbitrary: fc.boolean().map((stale): Step => ({ kind: 'skip', stale })) },
  ),
  { minLength: 1, maxLength: 12 },
);

export function describeOrderModel(stores: () => Stores, runs: number): void {
  describe('a publisher’s order, beside its model', () => {
    it('comes to the same, whatever comes in whatever batches', async () => {
      await fc.assert(
        fc.asyncProperty(steps, async (script) => {
          const world = new World(stores());
          const model = new Model();
          await world.append(world.message('first'));
          model.append([{ order: null, id: 'first' }]);
          for (const step of script) await play(world, model, step);
          await demandSame(world, model);
        }),
        { numRuns: runs },
      );
    });
  });
}

async function play(world: World, model: Model, step: Step): Promise<void> {
  if (step.kind === 'append') {
    const batch = step.batch.map(({ order, id }) =>
      order === null ? world.message(id) : ordered(world, order, { id, body: Buffer.from(id) }),
    );
    const results: AppendResult[] = await world.append(...batch);
    expect(told(results)).toEqual(model.append(step.batch));
    return;
  }
  const { row } = await world.stored();
  const waitsFor = model.next - (step.stale ? 1 : 0);
  const [skipped] = await world.stores.rooms.skipGaps([{ shard: row.shard, id: row.id, waitsFor }]);
  const expected = model.skip(waitsFor);
  expect(skipped?.skipped).toEqual(expected === null ? null : { first: expected[0], last: expected[1] });
}

async function demandSame(world: World, model: Model): Promise<void> {
  const { row, gap } = await world.stored();
  expect(gap?.waitsFor ?? null).toBe(model.waitsFor);
  const listed = await world.stores.history.listRoom(row, null, 200);
  expect(listed.map(({ messageId }) => messageId).reverse()).toEqual(model.numbered);
  const inOrder = listed
    .filter(({ order, late }) => order !== undefined && late !== true)
    .map(({ order }) => order ?? 0);
  expect(inOrder).toEqual(inOrder.toSorted((a, b) => b - a));
}
