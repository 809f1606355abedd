/** Many equal-sized states and what belongs to them, in typed arrays that grow. */

export class Column {
  #values = new Uint32Array(1 << 16);
  length = 0;

  push(value: number): void {
    if (this.length === this.#values.length) {
      const larger = new Uint32Array(this.length * 2);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.length++] = value;
  }

  at(index: number): number {
    return this.#values[index] as number;
  }
}

const CHUNK = 1 << 16;

/** A set of vectors of one width, numbered in the order of their arrival. Compared whole: no two are ever taken for one. */
export class VectorSet {
  readonly #width: number;
  readonly #chunks: Int32Array[] = [];
  #slots = new Uint32Array(1 << 17);
  size = 0;

  constructor(width: number) {
    this.#width = width;
  }

  at(number: number): Int32Array {
    const from = (number % CHUNK) * this.#width;
    return (this.#chunks[Math.floor(number / CHUNK)] as Int32Array).subarray(from, from + this.#width);
  }

  /** @returns the vector's number; a new one equals the former `size` */
  add(vector: Int32Array): number {
    if (this.size * 2 >= this.#slots.length) this.#widen();
    const mask = this.#slots.length - 1;
    for (let slot = this.#hash(vector, 0) & mask; ; slot = (slot + 1) & mask) {
      const taken = this.#slots[slot] as number;
      if (taken === 0) {
        this.#slots[slot] = this.size + 1;
        return this.#append(vector);
      }
      if (this.#equals(taken - 1, vector)) return taken - 1;
    }
  }

  #append(vector: Int32Array): number {
    const number = this.size++;
    if (number % CHUNK === 0) this.#chunks.push(new Int32Array(CHUNK * this.#width));
    (this.#chunks.at(-1) as Int32Array).set(vector, (number % CHUNK) * this.#width);
    return number;
  }

  #equals(number: number, vector: Int32Array): boolean {
    const chunk = this.#chunks[Math.floor(number / CHUNK)] as Int32Array;
    const from = (number % CHUNK) * this.#width;
    for (let at = 0; at < this.#width; at++) if (chunk[from + at] !== vector[at]) return false;
    return true;
  }

  #hash(values: Int32Array, from: number): number {
    let hash = 0x811c9dc5;
    for (let at = 0; at < this.#width; at++) {
      hash = Math.imul(hash ^ (values[from + at] as number), 0x85ebca6b);
      hash ^= hash >>> 15;
    }
    return Math.imul(hash, 0xc2b2ae35) >>> 3;
  }

  #widen(): void {
    this.#slots = new Uint32Array(this.#slots.length * 2);
    const mask = this.#slots.length - 1;
    for (let number = 0; number < this.size; number++) {
      const chunk = this.#chunks[Math.floor(number / CHUNK)] as Int32Array;
      let slot = this.#hash(chunk, (number % CHUNK) * this.#width) & mask;
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
      this.#slots[slot] = number + 1;
    }
  }
}
