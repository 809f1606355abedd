/** How many cases were tried, by kind: one line at the end of a file's run. */
export class Tally {
  readonly #counts = new Map<string, number>();

  add(kind: string, count = 1): void {
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + count);
  }

  print(what: string): void {
    const kinds = [...this.#counts].map(([kind, count]) => `${kind} ${count}`);
    const total = [...this.#counts.values()].reduce((sum, count) => sum + count, 0);
    process.stdout.write(`${what}: ${total} cases (${kinds.join(', ')})\n`);
  }
}
