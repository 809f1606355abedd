/** What was set last, by name: at least `least` entries and at most twice as many, the oldest forgotten in one go. */
export class Recent<Value> {
  readonly #least: number;
  #now = new Map<string, Value>();
  #before = new Map<string, Value>();

  constructor(least: number) {
    this.#least = least;
  }

  get(name: string): Value | undefined {
    return this.#now.get(name) ?? this.#before.get(name);
  }

  set(name: string, value: Value): void {
    if (this.#now.size >= this.#least && !this.#now.has(name)) {
      this.#before = this.#now;
      this.#now = new Map();
    }
    this.#now.set(name, value);
  }

  delete(name: string): void {
    this.#now.delete(name);
    this.#before.delete(name);
  }
}
