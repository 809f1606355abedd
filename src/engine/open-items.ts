import { OpenWork } from './open-work.ts';

/**
 * Things under way, each in a place that another one takes later. Where thousands come and go in a second, a Set is dear:
 * it leaves tables behind, each of which points to the next, so that all of them, and whatever was in them, outlive every
 * collection but a full one.
 */
export class OpenItems<Item> {
  readonly #items: (Item | null)[] = [];
  readonly #free: number[] = [];
  readonly #work = new OpenWork();

  get size(): number {
    return this.#work.count;
  }

  /** @returns its place, to be given up once */
  add(item: Item): number {
    const place = this.#free.pop() ?? this.#items.length;
    this.#items[place] = item;
    this.#work.begin();
    return place;
  }

  remove(place: number): void {
    this.#items[place] = null;
    this.#free.push(place);
    this.#work.end();
  }

  /** In no particular order. */
  *[Symbol.iterator](): Generator<Item> {
    for (const item of this.#items) if (item !== null) yield item;
  }

  /** Resolves at the next moment at which there is none; at once where there is none now. */
  none(): Promise<void> {
    return this.#work.none();
  }
}
