/** One process's way to Postgres, on which an append is caught at the worst moments. */
import { type Batch, PostgresAmbushes } from '../../simulators/chaos/postgres-wire.ts';
import { type ProxyConnection, type Tap, TcpProxy } from '../../simulators/chaos/proxy.ts';

/** An append that has left its process, and of which nothing has arrived. */
export interface HeldAppend {
  /** Lets it arrive. Resolves when the server is done with it: with the SQLSTATE of its refusal, null where it committed. */
  release(): Promise<string | null>;
}

/** Bytes of one connection from the first append that was held on; `answer` is what the server has said since its release. */
interface Held {
  kept: Buffer[] | null;
  /** To be told once its end is there, too. */
  readonly onWhole: (append: HeldAppend) => void;
  answer: Buffer;
  onAnswer: () => void;
}

const APPENDS: Batch = 'append';
/** The prepared statement that only connections for appends have, and the one that an append begins with. */
const APPEND_STATEMENT = 'roomline_append_messages';
const FIRST_BOUND = '0\0roomline_lock_rooms\0';
/** The tag of a message and its length; what it binds follows. */
const HEADER_BYTES = 5;
/** What ends a transaction, and what Postgres says in the end of its answer. */
const SYNC = Buffer.from('S\0\0\0\x04', 'latin1');
const READY = 'Z\0\0\0\x05I';
/** Of Postgres's answers: the fields of a refusal. */
const REFUSED = /\0VERROR\0C([0-9A-Z]{5})\0/;

export class AppendLink {
  readonly #ambushes = new PostgresAmbushes();
  readonly #proxy: TcpProxy;
  #onHeld: ((append: HeldAppend) => void) | null = null;

  constructor(target: () => { readonly host: string; readonly port: number }) {
    this.#proxy = new TcpProxy({ target, tap: (connection) => this.#tap(connection) });
  }

  get port(): number {
    return this.#proxy.port;
  }

  listen(): Promise<void> {
    return this.#proxy.listen();
  }

  close(): Promise<void> {
    return this.#proxy.close();
  }

  /** Acts when the next append has committed. Its process never gets the answer: the connection is cut. */
  afterNextCommit(act: () => Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      const strike = () => {
        act().then(resolve, reject);
        return 'cut' as const;
      };
      this.#ambushes.lay({ batch: APPENDS, strike });
    });
  }

  /** Resolves when the whole of the next append is on its way; it stays there, and so does what its connection sends after it. */
  holdNext(): Promise<HeldAppend> {
    return new Promise((resolve) => {
      this.#onHeld = resolve;
    });
  }

  #tap(connection: ProxyConnection): Tap {
    const ambushed = this.#ambushes.tap(connection);
    let isForAppends = false;
    let held: Held | null = null;
    const keep = (one: Held, kept: Buffer[], bytes: Buffer): void => {
      kept.push(bytes);
      const isWhole = Buffer.concat(kept).subarray(-SYNC.length).equals(SYNC);
      if (isWhole) one.onWhole({ release: () => release(connection, one) });
    };
    return {
      up: (bytes) => {
        if (held !== null && held.kept !== null) {
          keep(held, held.kept, bytes);
          return null;
        }
        // The transaction before it may end in the same bytes.
        const begin = isForAppends && held === null ? beginOfAppend(bytes) : -1;
        if (this.#onHeld !== null && begin >= 0) {
          const kept: Buffer[] = [];
          held = { kept, onWhole: this.#onHeld, answer: Buffer.alloc(0), onAnswer: () => undefined };
          this.#onHeld = null;
          keep(held, kept, bytes.subarray(begin));
          return begin === 0 ? null : ambushed.up(bytes.subarray(0, begin));
        }
        isForAppends ||= bytes.includes(APPEND_STATEMENT);
        return ambushed.up(bytes);
      },
      down: (bytes) => {
        if (held !== null && held.kept === null) {
          held.answer = Buffer.concat([held.answer, bytes]);
          held.onAnswer();
        }
        return ambushed.down(bytes);
      },
    };
  }
}

function release(connection: ProxyConnection, held: Held): Promise<string | null> {
  return new Promise((resolve) => {
    held.onAnswer = () => {
      const said = held.answer.toString('latin1');
      if (said.endsWith(READY)) resolve(REFUSED.exec(said)?.[1] ?? null);
    };
    const bytes = Buffer.concat(held.kept ?? []);
    held.kept = null;
    connection.pass('up', bytes);
  });
}

/** Where the first message of an append begins; negative where there is none. */
function beginOfAppend(bytes: Buffer): number {
  return bytes.indexOf(FIRST_BOUND, 0, 'latin1') - HEADER_BYTES;
}
