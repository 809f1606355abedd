import type { PubSubError } from './errors.ts';
import { LaneQueue } from './lane.ts';
import type { ReceivedMessage } from './wire.ts';

/** Where a consumer's messages go. */
export interface Sink {
  /** Takes one batch; false asks for no more until `Consumer.resume`. */
  write(messages: ReceivedMessage[]): boolean;
  /** Tells the client that there will be no more, and why. */
  end(error: PubSubError): void;
}

export interface ConsumerLimits {
  /** Messages out and not yet answered; 0 or less is no limit. */
  maxMessages: number;
  /** The same in bytes; what crosses the limit is still sent. */
  maxBytes: number;
  ackDeadlineMs: number;
}

const BATCH_MESSAGES = 500;
const BATCH_BYTES = 512 * 1024;

/** One streaming pull, or one unary pull: flow control and batching. */
export class Consumer {
  ackDeadlineMs: number;
  open = true;
  /** Lanes that have messages out to this consumer and more to send, waiting for room. */
  readonly lanes = new LaneQueue();
  readonly #sink: Sink;
  readonly #maxMessages: number;
  readonly #maxBytes: number;
  #outstandingMessages = 0;
  #outstandingBytes = 0;
  #writable = true;
  #batch: ReceivedMessage[] = [];
  #batchBytes = 0;

  constructor(sink: Sink, limits: ConsumerLimits) {
    this.#sink = sink;
    this.#maxMessages = limits.maxMessages > 0 ? limits.maxMessages : Number.POSITIVE_INFINITY;
    this.#maxBytes = limits.maxBytes > 0 ? limits.maxBytes : Number.POSITIVE_INFINITY;
    this.ackDeadlineMs = limits.ackDeadlineMs;
  }

  get hasRoom(): boolean {
    return (
      this.open &&
      this.#writable &&
      this.#outstandingMessages < this.#maxMessages &&
      this.#outstandingBytes < this.#maxBytes
    );
  }

  send(received: ReceivedMessage, size: number): void {
    this.#outstandingMessages++;
    this.#outstandingBytes += size;
    this.#batch.push(received);
    this.#batchBytes += size;
    if (this.#batch.length >= BATCH_MESSAGES || this.#batchBytes >= BATCH_BYTES) this.flush();
  }

  /** A message of this size was answered, or its deadline ended. */
  release(size: number): void {
    this.#outstandingMessages--;
    this.#outstandingBytes -= size;
  }

  flush(): void {
    if (this.#batch.length === 0) return;
    const batch = this.#batch;
    this.#batch = [];
    this.#batchBytes = 0;
    if (this.open && !this.#sink.write(batch)) this.#writable = false;
  }

  end(error: PubSubError): void {
    this.#sink.end(error);
  }

  /** The sink takes more. */
  resume(): void {
    this.#writable = true;
  }
}
