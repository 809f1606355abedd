/** Counts what is under way, for whoever waits until nothing is. */
export class OpenWork {
  #count = 0;
  #whenNone: (() => void)[] = [];

  get count(): number {
    return this.#count;
  }

  begin(): void {
    this.#count++;
  }

  end(): void {
    this.#count--;
    if (this.#count > 0) return;
    for (const resolve of this.#whenNone.splice(0)) resolve();
  }

  /** Resolves at the next moment at which none is; at once where none is now. */
  none(): Promise<void> {
    if (this.#count === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenNone.push(resolve));
  }
}
