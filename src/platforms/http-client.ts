/**
 * Requests to one platform over kept-alive HTTP/1.1 connections: one request at a time on each, nothing retried,
 * redirects never followed, answers bounded, the whole exchange within one hard timeout. What it reports tells apart
 * what surely was not sent from what may have been.
 */
import type { Readable } from 'node:stream';
import { type Dispatcher, Pool } from 'undici';

export interface HttpRequest {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Of a stream `headers` give the length. */
  readonly body: Uint8Array | Readable | null;
  /** For everything: waiting for a connection, connecting, sending and the whole answer. */
  readonly timeoutMs: number;
  /** Ends it earlier. */
  readonly signal?: AbortSignal;
}

export type HttpOutcome =
  | {
      readonly kind: 'answered';
      readonly status: number;
      readonly headers: Readonly<Record<string, string | string[] | undefined>>;
      /** Null where it was larger than the limit. */
      readonly body: Uint8Array | null;
    }
  /** Not a byte of the request was written. `code` begins with `connect_`. */
  | { readonly kind: 'not_sent'; readonly code: string }
  /** `bytesLeft`: the whole request was handed to an established connection. */
  | { readonly kind: 'no_answer'; readonly code: string; readonly bytesLeft: boolean };

export interface HttpClientOptions {
  readonly origin: string;
  readonly connections: number;
  readonly connectTimeoutMs: number;
  readonly maxAnswerBytes: number;
}

export class HttpClient {
  readonly #pool: Pool;
  readonly #maxAnswerBytes: number;

  constructor(options: HttpClientOptions) {
    this.#maxAnswerBytes = options.maxAnswerBytes;
    this.#pool = new Pool(options.origin, {
      connections: options.connections,
      pipelining: 1,
      // Over HTTP/2 nothing tells whether a stream's bytes were written.
      allowH2: false,
      connect: { timeout: options.connectTimeoutMs },
      // The exchange has one timeout of its own.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }

  exchange(request: HttpRequest): Promise<HttpOutcome> {
    return new Promise((resolve) => {
      const { method, path, headers, body, timeoutMs, signal } = request;
      const handler = new ExchangeHandler(this.#maxAnswerBytes, timeoutMs, resolve, signal);
      this.#pool.dispatch({ method, path, headers, body }, handler);
    });
  }

  /** Ends every connection; an exchange that is open then ends without an answer. */
  close(): Promise<void> {
    return this.#pool.destroy();
  }
}

class GaveUp extends Error {
  override readonly name = 'GaveUp';
}

class ExchangeHandler implements Dispatcher.DispatchHandler {
  readonly #maxAnswerBytes: number;
  readonly #resolve: (outcome: HttpOutcome) => void;
  readonly #timer: NodeJS.Timeout;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort = (): void => this.#giveUp('aborted');
  readonly #chunks: Buffer[] = [];
  #controller: Dispatcher.DispatchController | null = null;
  #settled = false;
  #sent = false;
  #size = 0;
  #status = 0;
  #headers: Readonly<Record<string, string | string[] | undefined>> = {};

  constructor(
    maxAnswerBytes: number,
    timeoutMs: number,
    resolve: (outcome: HttpOutcome) => void,
    signal: AbortSignal | undefined,
  ) {
    this.#maxAnswerBytes = maxAnswerBytes;
    this.#resolve = resolve;
    this.#timer = setTimeout(() => this.#giveUp('timeout'), timeoutMs);
    this.#signal = signal;
    signal?.addEventListener('abort', this.#onAbort, { once: true });
    if (signal?.aborted === true) this.#giveUp('aborted');
  }

  /** Called right before the first byte is written; what is aborted here is not written. */
  onRequestStart(controller: Dispatcher.DispatchController): void {
    const again = this.#controller !== null;
    this.#controller = controller;
    if (this.#settled || again) controller.abort(new GaveUp('never written, and never written twice'));
  }

  onRequestSent(): void {
    this.#sent = true;
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Readonly<Record<string, string | string[] | undefined>>,
  ): void {
    // Informational answers precede the one that counts.
    if (status < 200) return;
    this.#status = status;
    this.#headers = headers;
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#size += chunk.length;
    if (this.#size > this.#maxAnswerBytes) {
      this.#settle({ kind: 'answered', status: this.#status, headers: this.#headers, body: null });
      controller.abort(new GaveUp('the answer is too large'));
      return;
    }
    this.#chunks.push(chunk);
  }

  onResponseEnd(): void {
    const body = Buffer.concat(this.#chunks, this.#size);
    this.#settle({ kind: 'answered', status: this.#status, headers: this.#headers, body });
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    const { code = '' } = error as { code?: string };
    if (this.#controller === null) this.#settle({ kind: 'not_sent', code: connectCode(code) });
    else this.#settle({ kind: 'no_answer', code: breakCode(error, code), bytesLeft: this.#sent });
  }

  #giveUp(code: 'timeout' | 'aborted'): void {
    if (this.#controller === null) {
      // It still waits for a connection: once it gets one, it is aborted before a byte is written.
      this.#settle({ kind: 'not_sent', code: `connect_${code}` });
      return;
    }
    this.#settle({ kind: 'no_answer', code, bytesLeft: this.#sent });
    this.#controller.abort(new GaveUp('no complete answer in time'));
  }

  #settle(outcome: HttpOutcome): void {
    if (this.#settled) return;
    this.#settled = true;
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#resolve(outcome);
  }
}

const TLS_CODES = /^(?:ERR_SSL|ERR_TLS|CERT_|UNABLE_TO_|EPROTO$)|SELF_SIGNED|HOSTNAME_MISMATCH/;

function connectCode(code: string): string {
  if (code === 'ECONNREFUSED') return 'connect_refused';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN' || code === 'ENODATA') return 'connect_dns';
  if (code === 'UND_ERR_CONNECT_TIMEOUT' || code === 'ETIMEDOUT') return 'connect_timeout';
  return TLS_CODES.test(code) ? 'connect_tls' : 'connect_failed';
}

function breakCode(error: Error, code: string): string {
  const malformed = error.name === 'HTTPParserError' || /^UND_ERR_(?:HEADERS|RES)_/.test(code);
  return malformed ? 'answer_malformed' : 'reset';
}
