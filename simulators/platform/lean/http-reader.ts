const HEAD_END = Buffer.from('\r\n\r\n');
const LINE_END = Buffer.from('\r\n');
const LENGTH = '\r\ncontent-length:';
const CHUNKED = '\r\ntransfer-encoding: chunked';
const NO_BODY = Buffer.alloc(0);

/** What one HTTP/1.1 message holds. */
export interface HttpMessage {
  /** First line and headers, without the empty line at their end. */
  readonly head: string;
  /** The same in lower case, for looking up names. */
  readonly lower: string;
  /** A window on the bytes that were read: to be copied by who keeps it. */
  readonly body: Buffer;
}

/** The other end sent something that cannot be read. */
export class UnreadableError extends Error {
  override name = 'UnreadableError';
}

/**
 * Cuts the bytes of one connection into messages, requests or answers alike, however they arrive; several may come in
 * one piece. A body without a content-length that is not chunked counts as empty.
 */
export class HttpReader {
  readonly #onMessage: (message: HttpMessage) => void;
  #rest: Buffer | null = null;

  constructor(onMessage: (message: HttpMessage) => void) {
    this.#onMessage = onMessage;
  }

  /** @throws UnreadableError: nothing that follows on this connection can be read either */
  push(piece: Buffer): void {
    const bytes = this.#rest === null ? piece : Buffer.concat([this.#rest, piece]);
    let from = 0;
    while (from < bytes.length) {
      const headEnd = bytes.indexOf(HEAD_END, from);
      if (headEnd < 0) break;
      const head = bytes.toString('latin1', from, headEnd);
      const lower = head.toLowerCase();
      const found = bodyAt(bytes, headEnd + HEAD_END.length, lower);
      if (found === null) break;
      this.#onMessage({ head, lower, body: found.body });
      from = found.end;
    }
    this.#rest = from === bytes.length ? null : bytes.subarray(from);
  }
}

interface Body {
  readonly body: Buffer;
  readonly end: number;
}

/** Null while it is not whole. */
function bodyAt(bytes: Buffer, from: number, lower: string): Body | null {
  const at = lower.indexOf(LENGTH);
  if (at < 0) return lower.includes(CHUNKED) ? chunksAt(bytes, from) : { body: NO_BODY, end: from };
  const end = from + size(valueAt(lower, at + LENGTH.length), 10);
  return end > bytes.length ? null : { body: bytes.subarray(from, end), end };
}

/** Trailers are not read: nobody sends any. */
function chunksAt(bytes: Buffer, from: number): Body | null {
  const chunks: Buffer[] = [];
  for (let at = from; ; ) {
    const lineEnd = bytes.indexOf(LINE_END, at);
    if (lineEnd < 0) return null;
    const begins = lineEnd + LINE_END.length;
    const ends = begins + size(bytes.toString('latin1', at, lineEnd), 16);
    at = ends + LINE_END.length;
    if (at > bytes.length) return null;
    if (ends === begins) return { body: Buffer.concat(chunks), end: at };
    chunks.push(bytes.subarray(begins, ends));
  }
}

function size(text: string, base: 10 | 16): number {
  const digits = base === 10 ? /^\d{1,15}$/ : /^[\da-f]{1,8}$/i;
  if (!digits.test(text)) throw new UnreadableError('a length is no number');
  return Number.parseInt(text, base);
}

/** Of the first header of that name, which is given in lower case; empty where there is none. */
export function headerOf({ head, lower }: HttpMessage, name: string): string {
  const at = lower.indexOf(`\r\n${name}:`);
  return at < 0 ? '' : valueAt(head, at + name.length + 3);
}

function valueAt(text: string, from: number): string {
  const end = text.indexOf('\r\n', from);
  return text.slice(from, end < 0 ? text.length : end).trim();
}
