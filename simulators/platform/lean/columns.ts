/** Lists of numbers and bytes outside the JavaScript heap, so that a long run does not burden the garbage collector. */

const BITS = 16;
const SIZE = 1 << BITS;
const MASK = SIZE - 1;
const CHUNK_BYTES = 1 << 20;

export class Numbers {
  readonly #make: () => Int32Array | Float64Array;
  readonly #chunks: (Int32Array | Float64Array)[] = [];
  #length = 0;

  private constructor(make: () => Int32Array | Float64Array) {
    this.#make = make;
  }

  static integers(): Numbers {
    return new Numbers(() => new Int32Array(SIZE));
  }

  static reals(): Numbers {
    return new Numbers(() => new Float64Array(SIZE));
  }

  get length(): number {
    return this.#length;
  }

  push(value: number): void {
    const at = this.#length++;
    if ((at & MASK) === 0) this.#chunks.push(this.#make());
    (this.#chunks[at >>> BITS] as Int32Array)[at & MASK] = value;
  }

  at(index: number): number {
    return this.#chunks[index >>> BITS]?.[index & MASK] ?? Number.NaN;
  }
}

/** Byte strings, by number in the order in which they came. */
export class ByteStrings {
  readonly #chunks: Buffer[] = [];
  readonly #chunkOf = Numbers.integers();
  readonly #from = Numbers.integers();
  readonly #lengths = Numbers.integers();
  #current = Buffer.alloc(0);
  #used = 0;

  /** Keeps a copy. */
  push(bytes: Buffer): void {
    if (this.#used + bytes.length > this.#current.length) {
      this.#current = Buffer.allocUnsafeSlow(Math.max(CHUNK_BYTES, bytes.length));
      this.#chunks.push(this.#current);
      this.#used = 0;
    }
    bytes.copy(this.#current, this.#used);
    this.#chunkOf.push(this.#chunks.length - 1);
    this.#from.push(this.#used);
    this.#lengths.push(bytes.length);
    this.#used += bytes.length;
  }

  at(index: number): Buffer {
    const from = this.#from.at(index);
    const chunk = this.#chunks[this.#chunkOf.at(index)] ?? Buffer.alloc(0);
    return chunk.subarray(from, from + this.#lengths.at(index));
  }
}
