/** Group commit: one flush in flight; what arrives meanwhile forms the next batch. */

import type { Clock, EndOfTurn } from './ports.ts';

/** A flush's answer for an item that could not be taken now: it rides in the next batch, in its old place. */
export const AGAIN: unique symbol = Symbol('again');

export interface BatcherOptions<Item, Result> {
  readonly maxRows: number;
  /** Answers in the order of the items. A rejection rejects every item of the batch. */
  readonly flush: (items: readonly Item[]) => Promise<readonly (Result | typeof AGAIN)[]>;
  /** A batch ends before the item that would make it heavier than this; one item always goes. */
  readonly weight?: { readonly of: (item: Item) => number; readonly most: number };
  /** Absent: a batch goes as soon as no flush is in flight, with what is there. */
  readonly company?: Company;
  /** Waits before the next try after a batch of which no item was taken; that one is half as large. */
  readonly pauseBeforeAgain?: () => Promise<void>;
}

/**
 * Who waits for an answer sends the next item when it is there: as many as were open when the last flush ended are
 * expected again, and a batch waits for them. An item that nobody else is expected beside goes at once.
 */
export interface Company {
  /** What came in one turn of the event loop goes together. */
  readonly endOfTurn: EndOfTurn;
  /** Longest wait for those that do not come, in ms. */
  readonly mostMs: number;
  readonly after: Clock['after'];
}

/** More than these fill their batches by themselves. */
export const MOST_EXPECTED = 64;

interface Waiting<Item, Result> {
  readonly item: Item;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

export class Batcher<Item, Result> {
  readonly #options: BatcherOptions<Item, Result>;
  #waiting: Waiting<Item, Result>[] = [];
  #running: Promise<void> | null = null;
  /** Fewer than `maxRows` after a batch that did nothing: the next ones are smaller, until they go through. */
  #most: number;
  /** How many were open when the last flush ended. */
  #expected = 0;
  /** Ends the wait for company; null where nobody waits for it. */
  #complete: (() => void) | null = null;

  constructor(options: BatcherOptions<Item, Result>) {
    this.#options = options;
    this.#most = options.maxRows;
  }

  /** Items that no flush has taken up yet. */
  get waiting(): number {
    return this.#waiting.length;
  }

  submit(item: Item): Promise<Result> {
    return new Promise((resolve, reject) => this.enqueue(item, resolve, reject));
  }

  /** The same for whom a promise would be one too many. What is called back later must not throw. */
  enqueue(item: Item, resolve: (result: Result) => void, reject: (error: unknown) => void): void {
    this.#waiting.push({ item, resolve, reject });
    this.#begin();
  }

  /**
   * Many items as one unit of work: they stand behind each other, and one promise answers them all in their order.
   * @param rejected the result of an item whose flush was rejected
   */
  submitAll(items: readonly Item[], rejected: (error: unknown) => Result): Promise<Result[]> {
    if (items.length === 0) return Promise.resolve([]);
    return new Promise((resolveAll) => {
      const results = new Array<Result>(items.length);
      let open = items.length;
      items.forEach((item, index) => {
        const resolve = (result: Result): void => {
          results[index] = result;
          if (--open === 0) resolveAll(results);
        };
        this.#waiting.push({ item, resolve, reject: (error) => resolve(rejected(error)) });
      });
      this.#begin();
    });
  }

  /** Resolves when nothing waits and no flush is in flight. */
  async idle(): Promise<void> {
    while (this.#running !== null) await this.#running;
  }

  #begin(): void {
    this.#running ??= this.#run();
    if (!this.#lacksCompany()) this.#complete?.();
  }

  async #run(): Promise<void> {
    const { company } = this.#options;
    // Lets everything that this turn of the event loop brings ride in the first batch.
    await (company === undefined ? Promise.resolve() : new Promise<void>((resolve) => company.endOfTurn(resolve)));
    while (this.#waiting.length > 0) {
      if (company !== undefined && this.#lacksCompany()) await this.#forCompany(company);
      const batch = this.#waiting.splice(0, this.#fitting());
      const again = await this.#flush(batch);
      this.#expected = batch.length + this.#waiting.length;
      if (again.length < batch.length) this.#most = Math.min(this.#options.maxRows, this.#most * 2);
      if (again.length === 0) continue;
      this.#waiting.unshift(...again);
      if (again.length < batch.length) continue;
      this.#most = Math.max(1, batch.length >> 1);
      await this.#options.pauseBeforeAgain?.();
    }
    this.#running = null;
  }

  #lacksCompany(): boolean {
    return this.#expected <= MOST_EXPECTED && this.#waiting.length < Math.min(this.#expected, this.#options.maxRows);
  }

  #forCompany({ endOfTurn, mostMs, after }: Company): Promise<void> {
    return new Promise((resolve) => {
      const over = (): void => {
        this.#complete = null;
        resolve();
      };
      const cancel = after(mostMs, over);
      this.#complete = () => {
        cancel();
        this.#complete = null;
        endOfTurn(resolve);
      };
    });
  }

  /** How many of those that wait make a batch. */
  #fitting(): number {
    const { weight } = this.#options;
    const most = Math.min(this.#most, this.#waiting.length);
    if (weight === undefined) return most;
    let sum = 0;
    for (let count = 0; count < most; count++) {
      sum += weight.of((this.#waiting[count] as Waiting<Item, Result>).item);
      if (sum > weight.most && count > 0) return count;
    }
    return most;
  }

  async #flush(batch: readonly Waiting<Item, Result>[]): Promise<Waiting<Item, Result>[]> {
    const again: Waiting<Item, Result>[] = [];
    let results: readonly (Result | typeof AGAIN)[];
    try {
      results = await this.#options.flush(batch.map((one) => one.item));
      if (results.length !== batch.length)
        throw new Error(`a flush answered ${results.length} of ${batch.length} items`);
    } catch (error) {
      for (const one of batch) one.reject(error);
      return again;
    }
    batch.forEach((one, index) => {
      const result = results[index] as Result | typeof AGAIN;
      if (result === AGAIN) again.push(one);
      else apart(() => one.resolve(result));
    });
    return again;
  }
}

/** Runs one of many that are called in a row: its error is reported as a rejection that nobody handles, and the next are called. */
export function apart(run: () => void): void {
  try {
    run();
  } catch (error) {
    void Promise.reject(error);
  }
}
