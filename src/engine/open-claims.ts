/** Claims of this process whose outcome is not stored yet, counted by shard: what a hand-over waits for. */
export class OpenClaims {
  readonly #counts = new Map<number, number>();
  readonly #onQuiet: (shard: number) => void;

  constructor(onQuiet: (shard: number) => void) {
    this.#onQuiet = onQuiet;
  }

  begin(shard: number): void {
    this.#counts.set(shard, (this.#counts.get(shard) ?? 0) + 1);
  }

  end(shard: number): void {
    const left = (this.#counts.get(shard) ?? 0) - 1;
    if (left > 0) {
      this.#counts.set(shard, left);
      return;
    }
    this.#counts.delete(shard);
    this.#onQuiet(shard);
  }

  isQuiet(shard: number): boolean {
    return !this.#counts.has(shard);
  }
}
