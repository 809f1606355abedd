/** Reads the tags of Postgres' protocol on a proxied connection, so that a fault can strike at one exact message. */
import type { ProxyConnection, Tap } from './proxy.ts';

/**
 * What the client has just asked for. `append`: the end of an append's transaction; `claim` and `settle`: a batch of
 * compare-and-set with a claim in it, or without.
 */
export type Batch = 'append' | 'claim' | 'settle';

/** At the answer of a batch: let it pass (after having acted elsewhere), or cut the connection in its place. */
export type Verdict = 'pass' | 'cut';

/** Strikes once, at the first batch of its kind; the batch has been executed by then, and nobody knows yet. */
export interface Ambush {
  readonly batch: Batch;
  readonly strike: () => Verdict;
}

const STARTUP_HEADER = 8;
const HEADER = 5;
/** Enough of a message to know what it is; of the parameters of a batch, enough to reach which of its writes claim. */
const BODY_READ = 512;
const PARAMETERS_READ = 65_536;
const PROTOCOL_3 = 3;
const BIND = 'B'.charCodeAt(0);
const COMPARE_AND_SET = 'roomline_compare_and_set';
const APPEND = 'roomline_append_messages';

/** All connections of one link: an ambush waits for the first that runs into it. */
export class PostgresAmbushes {
  readonly #waiting: Ambush[] = [];

  lay(ambush: Ambush): void {
    this.#waiting.push(ambush);
  }

  /** Takes it back; true where nobody has run into it. */
  lift(ambush: Ambush): boolean {
    const at = this.#waiting.indexOf(ambush);
    if (at < 0) return false;
    this.#waiting.splice(at, 1);
    return true;
  }

  spring(batch: Batch): Ambush | null {
    const at = this.#waiting.findIndex((ambush) => ambush.batch === batch);
    return at < 0 ? null : (this.#waiting.splice(at, 1)[0] ?? null);
  }

  readonly tap = (connection: ProxyConnection): Tap => new PostgresTap(this, connection);
}

class PostgresTap implements Tap {
  readonly #ambushes: PostgresAmbushes;
  readonly #connection: ProxyConnection;
  readonly #asked: MessageReader;
  readonly #answered: MessageReader;
  /** How often the server will have said, and has said, that it is ready for the next query. */
  #readyDue = 1;
  #ready = 0;
  /** Since the last Sync. */
  #appends = false;
  #sprung: { readonly ambush: Ambush; readonly at: number } | null = null;
  #kept: Buffer[] = [];

  constructor(ambushes: PostgresAmbushes, connection: ProxyConnection) {
    this.#ambushes = ambushes;
    this.#connection = connection;
    this.#asked = new MessageReader(true, (tag, body) => this.#onAsked(tag, body));
    this.#answered = new MessageReader(false, (tag) => {
      if (tag === 'Z') this.#ready++;
    });
  }

  up(bytes: Buffer): Buffer {
    this.#asked.read(bytes);
    return bytes;
  }

  down(bytes: Buffer): Buffer | null {
    this.#answered.read(bytes);
    if (this.#sprung === null) return bytes;
    this.#kept.push(bytes);
    if (this.#ready < this.#sprung.at) return null;
    const { ambush } = this.#sprung;
    const kept = Buffer.concat(this.#kept);
    this.#sprung = null;
    this.#kept = [];
    if (ambush.strike() === 'pass') return kept;
    this.#connection.cut();
    return null;
  }

  #onAsked(tag: string, body: Buffer): void {
    if (tag === 'B') this.#onBind(body);
    else if (tag === 'Q') this.#readyDue++;
    else if (tag === 'S') {
      this.#readyDue++;
      if (this.#appends) this.#meet('append', this.#readyDue);
      this.#appends = false;
    }
  }

  #onBind(body: Buffer): void {
    const portal = untilZero(body, 0);
    const name = untilZero(body, portal.length + 1);
    if (name === APPEND) this.#appends = true;
    if (name !== COMPARE_AND_SET) return;
    // Its answer is complete when the server is ready again, after the Sync that follows.
    this.#meet(hasClaim(body, portal.length + name.length + 2) ? 'claim' : 'settle', this.#readyDue + 1);
  }

  #meet(batch: Batch, at: number): void {
    if (this.#sprung !== null) return;
    const ambush = this.#ambushes.spring(batch);
    if (ambush !== null) this.#sprung = { ambush, at };
  }
}

/** The parameter that says of each write whether it claims: a binary array of booleans. */
const CLAIMS_PARAMETER = 6;
const ARRAY_HEADER = 20;
const BOOLEAN_BYTES = 5;

/** @param at where the formats of the parameters begin */
function hasClaim(body: Buffer, at: number): boolean {
  const formats = body.readInt16BE(at);
  let next = at + 2 + 2 * formats + 2;
  for (let number = 1; number < CLAIMS_PARAMETER; number++) next += 4 + Math.max(0, body.readInt32BE(next));
  const end = next + 4 + body.readInt32BE(next);
  for (let value = next + 4 + ARRAY_HEADER + BOOLEAN_BYTES - 1; value < end; value += BOOLEAN_BYTES) {
    if (body[value] === 1) return true;
  }
  return false;
}

function untilZero(bytes: Buffer, from: number): string {
  const end = bytes.indexOf(0, from);
  return bytes.toString('latin1', from, end < 0 ? bytes.length : end);
}

/** Splits a stream into messages; of each it keeps no more than the beginning. */
class MessageReader {
  readonly #onMessage: (tag: string, body: Buffer) => void;
  #inStartup: boolean;
  #head: Buffer = Buffer.alloc(0);
  /** Bytes of the present message that are still to come. */
  #left = 0;

  constructor(startsUntagged: boolean, onMessage: (tag: string, body: Buffer) => void) {
    this.#inStartup = startsUntagged;
    this.#onMessage = onMessage;
  }

  read(bytes: Buffer): void {
    let rest = bytes;
    while (rest.length > 0) {
      if (this.#left > 0) {
        const skipped = Math.min(this.#left, rest.length);
        this.#left -= skipped;
        rest = rest.subarray(skipped);
        continue;
      }
      this.#head = this.#head.length === 0 ? rest : Buffer.concat([this.#head, rest]);
      const length = this.#messageLength();
      const read = this.#head[0] === BIND ? PARAMETERS_READ : BODY_READ;
      const wanted = length === null ? null : Math.min(length, read);
      if (length === null || wanted === null || this.#head.length < wanted) return;
      const message = this.#head;
      this.#head = Buffer.alloc(0);
      this.#tell(message.subarray(0, wanted));
      this.#left = Math.max(0, length - message.length);
      rest = message.length > length ? message.subarray(length) : Buffer.alloc(0);
    }
  }

  #messageLength(): number | null {
    if (this.#head.length < (this.#inStartup ? STARTUP_HEADER : HEADER)) return null;
    return this.#inStartup ? this.#head.readInt32BE(0) : 1 + this.#head.readInt32BE(1);
  }

  #tell(message: Buffer): void {
    if (!this.#inStartup) {
      this.#onMessage(String.fromCharCode(message[0] ?? 0), message.subarray(HEADER));
      return;
    }
    // A request for TLS or to cancel is no start: a link that is encrypted cannot be read.
    if (message.readInt16BE(4) !== PROTOCOL_3) throw new Error('this link to Postgres is not in plain text');
    this.#inStartup = false;
  }
}
