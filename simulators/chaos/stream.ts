/** One direction of a proxied connection: what comes in goes out now, later, slowly or never. */
import type { Socket } from 'node:net';

/** What happens to bytes while a fault lasts. */
export type Treatment =
  | { readonly kind: 'pass' }
  /** Each byte arrives so much later, in order. */
  | { readonly kind: 'latency'; readonly ms: number }
  /** At most so many bytes a second get through. */
  | { readonly kind: 'trickle'; readonly bytesPerSecond: number }
  /** Nothing arrives; the sender is not told. */
  | { readonly kind: 'black_hole' }
  /** So many bytes more, then both ends are reset. */
  | { readonly kind: 'cut_after'; readonly bytes: number };

export const PASS: Treatment = { kind: 'pass' };

/** Bytes with the moment at which they may leave; null is the sender's last word. */
interface Held {
  readonly bytes: Buffer | null;
  readonly dueAt: number;
}

export interface StreamCounts {
  /** Bytes that arrived late. */
  delayedBytes: number;
  /** Bytes that a black hole took; those of a healed one arrive after all. */
  swallowedBytes: number;
}

const PIECES_A_SECOND = 20;
/** More is not taken from a sender until some of it has gone. */
const MOST_HELD_BYTES = 1_048_576;

export class ProxyStream {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #counts: StreamCounts;
  readonly #cut: () => void;
  readonly #held: Held[] = [];
  #heldBytes = 0;
  #treatment: Treatment = PASS;
  #bytesLeft = 0;
  #lastDueAt = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(from: Socket, to: Socket, counts: StreamCounts, cut: () => void) {
    this.#from = from;
    this.#to = to;
    this.#counts = counts;
    this.#cut = cut;
    to.on('drain', () => this.#resume());
  }

  /** What is held by the treatment that ends leaves at once. */
  treat(treatment: Treatment): void {
    if (treatment.kind === 'pass') this.#release();
    if (treatment.kind === 'cut_after') this.#bytesLeft = treatment.bytes;
    this.#treatment = treatment;
  }

  push(bytes: Buffer): void {
    const treatment = this.#treatment;
    switch (treatment.kind) {
      case 'pass':
        this.#write(bytes);
        return;
      case 'cut_after':
        this.#write(bytes.subarray(0, this.#bytesLeft));
        this.#bytesLeft -= bytes.length;
        if (this.#bytesLeft <= 0) this.#cut();
        return;
      case 'latency':
        this.#counts.delayedBytes += bytes.length;
        this.#hold(bytes, performance.now() + treatment.ms);
        return;
      case 'black_hole':
        this.#counts.swallowedBytes += bytes.length;
        this.#hold(bytes, Number.POSITIVE_INFINITY);
        return;
      case 'trickle': {
        this.#counts.delayedBytes += bytes.length;
        const piece = Math.max(1, Math.floor(treatment.bytesPerSecond / PIECES_A_SECOND));
        for (let from = 0; from < bytes.length; from += piece) {
          const due = Math.max(this.#lastDueAt, performance.now()) + 1_000 / PIECES_A_SECOND;
          this.#hold(bytes.subarray(from, from + piece), due);
        }
      }
    }
  }

  /** The sender has said its last word. */
  end(): void {
    if (this.#held.length === 0 && this.#treatment.kind !== 'black_hole') this.#to.end();
    else this.#hold(null, this.#treatment.kind === 'black_hole' ? Number.POSITIVE_INFINITY : this.#lastDueAt);
  }

  /** Nothing leaves any more. */
  drop(): void {
    this.#held.length = 0;
    this.#heldBytes = 0;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #hold(bytes: Buffer | null, dueAt: number): void {
    this.#lastDueAt = Math.max(this.#lastDueAt, dueAt);
    this.#held.push({ bytes, dueAt: this.#lastDueAt });
    this.#heldBytes += bytes?.length ?? 0;
    if (this.#heldBytes > MOST_HELD_BYTES) this.#from.pause();
    this.#schedule();
  }

  #schedule(): void {
    const [first] = this.#held;
    if (this.#timer !== null || first === undefined || first.dueAt === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(
      () => {
        this.#timer = null;
        this.#send((dueAt) => dueAt <= performance.now());
        this.#schedule();
      },
      Math.max(1, first.dueAt - performance.now()),
    );
  }

  #release(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#lastDueAt = 0;
    this.#send(() => true);
  }

  #send(isDue: (dueAt: number) => boolean): void {
    for (let first = this.#held[0]; first !== undefined && isDue(first.dueAt); first = this.#held[0]) {
      this.#held.shift();
      this.#heldBytes -= first.bytes?.length ?? 0;
      if (first.bytes === null) this.#to.end();
      else this.#write(first.bytes);
    }
    this.#resume();
  }

  #write(bytes: Buffer): void {
    if (bytes.length > 0 && !this.#to.write(bytes)) this.#from.pause();
  }

  #resume(): void {
    if (this.#heldBytes <= MOST_HELD_BYTES && !this.#to.writableNeedDrain) this.#from.resume();
  }
}
