/**
 * Tells whether the stream of messages is open. The client says only when it has given up; it opens a stream that ended
 * for a passing reason again by itself, and of one that is refused each time it says nothing. So the calls themselves
 * are watched.
 *
 * A call is open once the server has answered it. On an idle subscription it need not answer anything: then a call that
 * has held for a while counts as open if the server answers another request meanwhile.
 */
import type { Clock } from '../../engine/ports.ts';

/** What the watch needs of a gRPC call. */
export interface StreamCall {
  once(event: 'metadata', listener: () => void): unknown;
  once(event: 'status', listener: (status: { readonly code: number }) => void): unknown;
}

export interface StreamWatchDependencies {
  readonly clock: Pick<Clock, 'after'>;
  /** Whether the server answers a request that is sent now. Never rejects. */
  readonly answers: () => Promise<boolean>;
  readonly onOpen: () => void;
  /** No call has been open for `GRACE_MS`; `status` is what the first of them ended with. */
  readonly onLost: (status: { readonly code: number }) => void;
}

/** A call that has held for this long, in ms, was not refused. */
export const SETTLE_MS = 500;
/** Streams end in the ordinary course of things: this many ms without one are no trouble. */
export const GRACE_MS = 2_000;

export class StreamWatch {
  readonly #to: StreamWatchDependencies;
  #call: StreamCall | null = null;
  #open = false;
  #closed = false;
  #cancelSettling: (() => void) | null = null;
  #cancelGrace: (() => void) | null = null;

  constructor(dependencies: StreamWatchDependencies) {
    this.#to = dependencies;
  }

  /** A new call has been made, in place of any other. */
  called(call: StreamCall): void {
    if (this.#closed) return;
    this.#call = call;
    this.#open = false;
    call.once('metadata', () => this.#opened(call));
    call.once('status', (status) => this.#ended(call, status));
    this.#settle(call);
  }

  /** Something went wrong: if there is a call still, it has to prove again that it is open. */
  doubt(): void {
    this.#open = false;
    this.#cancelGrace?.();
    this.#cancelGrace = null;
    if (this.#call !== null) this.#settle(this.#call);
  }

  /** Tells nothing any more. */
  close(): void {
    this.#closed = true;
    this.#call = null;
    this.#cancelSettling?.();
    this.#cancelGrace?.();
  }

  #settle(call: StreamCall): void {
    this.#cancelSettling?.();
    this.#cancelSettling = this.#to.clock.after(SETTLE_MS, () => void this.#ask(call));
  }

  async #ask(call: StreamCall): Promise<void> {
    const answered = await this.#to.answers();
    if (call !== this.#call || this.#open) return;
    if (answered) this.#opened(call);
    else this.#settle(call);
  }

  #opened(call: StreamCall): void {
    if (call !== this.#call || this.#open) return;
    this.#open = true;
    this.#cancelSettling?.();
    this.#cancelGrace?.();
    this.#cancelGrace = null;
    this.#to.onOpen();
  }

  #ended(call: StreamCall, status: { readonly code: number }): void {
    if (call !== this.#call) return;
    this.#call = null;
    this.#open = false;
    this.#cancelSettling?.();
    this.#cancelGrace ??= this.#to.clock.after(GRACE_MS, () => {
      this.#cancelGrace = null;
      this.#to.onLost(status);
    });
  }
}
