import { createWriteStream, type WriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';

/**
 * What really happened, one record after the other, in the order in which the platform saw it. Later records name a
 * request by its number `r` and an accepted message by its number `m`, which keeps 200,000 messages in some 150 MB.
 * `at` is milliseconds since the platform's start, on its monotonic clock.
 */
export type GroundTruthRecord =
  | StartRecord
  | ReceiptRecord
  | AnswerRecord
  | DoubtRecord
  | ShownRecord
  | DroppedRecord
  | StatusRecord
  | CallRecord
  | CalledRecord
  | LookupRecord
  | UploadRecord
  | EventRecord;

export interface StartRecord {
  t: 'start';
  at: number;
  wall: number;
  seed: string;
  profile: string;
}

/** A send request that was read, or at least its head (then `to`, `hash` and `key` are missing). */
export interface ReceiptRecord {
  t: 'receipt';
  r: number;
  at: number;
  wall: number;
  /** Number of the connection. */
  conn: number;
  channel?: string;
  account?: string;
  reference?: string;
  attempt?: number;
  worker?: string;
  generation?: string;
  to?: string;
  /** Of the content as parsed: see `contentHash`. */
  hash?: string;
  /** The publisher's name for the message, when the content carries one. */
  key?: string;
  /** The publisher's run, when the content carries one: other runs may use the same keys. */
  run?: string;
  decision: 'accepted' | 'duplicate' | 'refused' | 'dropped';
  /** Uploaded files that it names. */
  media?: string[];
  /** The accepted message, or the one that a duplicate repeats. */
  m?: number;
  /** The id that the platform gives it. */
  id?: string;
  /** A refusal that settles the message for good. */
  permanent?: boolean;
  /** Name of the injected fault, limit or outage, or of the rule that the request broke. */
  fault?: string;
  /** The network held the request so long before it took effect (now). */
  heldMs?: number;
}

/** The answer to a request has been written, or it is certain that none will be. */
export interface AnswerRecord {
  t: 'answer';
  r: number;
  at: number;
  /** 0: no answer, or not a whole one. */
  status: number;
  /** The sender cannot know whether the message was accepted. */
  unknownOutcome: boolean;
}

/** The client's connection ended so soon after the answer that it may not have read it: the outcome may be unknown to it. */
export interface DoubtRecord {
  t: 'doubt';
  r: number;
  at: number;
}

export interface ShownRecord {
  t: 'shown';
  m: number;
  at: number;
  /** 1, 2, 3 … on this phone. */
  order: number;
}

export interface DroppedRecord {
  t: 'dropped';
  m: number;
  at: number;
  reason: string;
}

export interface StatusRecord {
  t: 'status';
  m: number;
  at: number;
  status: string;
  /** Its webhook will never be sent. */
  lost?: true;
}

/** A webhook call (one attempt of it) starts. */
export interface CallRecord {
  t: 'call';
  call: number;
  attempt: number;
  at: number;
  channel: string;
  signature: SignatureMode;
  /** Messages named, and for each one a letter: s(ent), d(elivered), r(ead), f(ailed); a capital covers all earlier ones of the phone, too. */
  m: number[];
  s: string;
  /** Items that name no message of this platform, or are malformed. */
  junk: number;
}

/** A webhook call ended: with an HTTP status, or with 0 and an error code. */
export interface CalledRecord {
  t: 'called';
  call: number;
  attempt: number;
  at: number;
  status: number;
  error?: string;
}

export interface LookupRecord {
  t: 'lookup';
  at: number;
  channel: string;
  reference: string;
  m?: number;
  /** What was answered; missing: 404. */
  status?: string;
}

/** A file was uploaded, or is not: the client went away (`broken`), or was refused. `at` is the end. */
export interface UploadRecord {
  t: 'upload';
  u: number;
  at: number;
  begunAt: number;
  channel: string;
  decision: 'accepted' | 'refused' | 'broken';
  /** Under which messages name it. */
  id?: string;
  contentType?: string;
  bytes?: number;
  /** Where the platform is to fetch it. */
  link?: string;
  fault?: string;
}

/** Outages, each handshake that one broke (with `conn` and `how` in its detail), held webhooks, changed settings. */
export interface EventRecord {
  t: 'event';
  at: number;
  event: string;
  detail?: unknown;
}

export type SignatureMode = 'right' | 'previous' | 'wrong_key' | 'tampered' | 'missing' | 'expired';

export interface GroundTruth {
  /** All records so far. Needs `keepInMemory`. */
  records(): Iterable<GroundTruthRecord>;
  /** The same as NDJSON, in pieces. */
  ndjson(): Iterable<Buffer>;
  /** Calls back for each record from now on; returns how to stop that. */
  onRecord(listener: (record: GroundTruthRecord) => void): () => void;
}

const CHUNK_BYTES = 262_144;
const FLUSH_CHARACTERS = 65_536;
const FLUSH_MS = 20;

export interface GroundTruthOptions {
  /** NDJSON is appended here. */
  file?: string | undefined;
  keepInMemory: boolean;
}

/** Records as NDJSON bytes outside the JavaScript heap, so that a long run does not burden the garbage collector. */
export class GroundTruthLog implements GroundTruth {
  readonly #keep: boolean;
  readonly #full: Buffer[] = [];
  #current = Buffer.allocUnsafe(CHUNK_BYTES);
  #used = 0;
  readonly #listeners = new Set<(record: GroundTruthRecord) => void>();
  readonly #file: WriteStream | undefined;
  #unwritten = '';
  #flushTimer: NodeJS.Timeout | undefined;
  #failure: Error | undefined;

  constructor(options: GroundTruthOptions) {
    this.#keep = options.keepInMemory;
    if (options.file !== undefined) {
      this.#file = createWriteStream(options.file, { flags: 'a' });
      this.#file.on('error', (error) => {
        this.#failure = error;
      });
    }
  }

  /** Throws when an earlier write to the file failed: a gap in the truth must not go unnoticed. */
  append(record: GroundTruthRecord): void {
    if (this.#failure) throw this.#failure;
    const line = `${JSON.stringify(record)}\n`;
    if (this.#keep) this.#remember(line);
    if (this.#file) this.#write(line);
    for (const listener of this.#listeners) listener(record);
  }

  *ndjson(): Iterable<Buffer> {
    if (!this.#keep) throw new Error('the ground truth is kept in its file only');
    yield* this.#full;
    yield this.#current.subarray(0, this.#used);
  }

  *records(): Iterable<GroundTruthRecord> {
    for (const chunk of this.ndjson()) {
      for (const line of chunk.toString().split('\n')) if (line !== '') yield JSON.parse(line) as GroundTruthRecord;
    }
  }

  onRecord(listener: (record: GroundTruthRecord) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Resolves when the file holds everything. */
  async close(): Promise<void> {
    if (!this.#file || this.#file.closed) return;
    this.#flush();
    this.#file.end();
    await finished(this.#file);
    if (this.#failure) throw this.#failure;
  }

  #remember(line: string): void {
    const most = line.length * 3;
    if (this.#used + most > this.#current.length) {
      this.#full.push(this.#current.subarray(0, this.#used));
      this.#current = Buffer.allocUnsafe(Math.max(CHUNK_BYTES, most));
      this.#used = 0;
    }
    this.#used += this.#current.write(line, this.#used);
  }

  #write(line: string): void {
    this.#unwritten += line;
    if (this.#unwritten.length >= FLUSH_CHARACTERS) this.#flush();
    else this.#flushTimer ??= setTimeout(() => this.#flush(), FLUSH_MS);
  }

  #flush(): void {
    clearTimeout(this.#flushTimer);
    this.#flushTimer = undefined;
    if (this.#unwritten === '') return;
    this.#file?.write(this.#unwritten);
    this.#unwritten = '';
  }
}
