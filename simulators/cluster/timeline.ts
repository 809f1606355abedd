/** What the platform saw, room by room: when each message came, from whom, and when its ack was taken. */
import type { GroundTruthRecord } from '../platform/ground-truth.ts';

/** Times are Unix ms on the platform's clock. */
export interface Seen {
  readonly key: string;
  readonly worker: string | undefined;
  readonly at: number;
  /** The end of the request; null while it is open. */
  answeredAt: number | null;
  /** When the webhook call began that first told of its delivery and was answered with 200, and when it was answered. */
  ack: { readonly calledAt: number; readonly takenAt: number } | null;
}

interface Call {
  readonly at: number;
  readonly messages: readonly number[];
}

const TELLS_OF_DELIVERY = /[dr]/i;

export class Timeline {
  /** The requests of each room, in the order in which they came. */
  readonly rooms = new Map<string, Seen[]>();
  readonly #roomOf: (key: string) => string | null;
  readonly #byRequest = new Map<number, Seen>();
  readonly #byMessage = new Map<number, Seen[]>();
  readonly #calls = new Map<string, Call>();
  #toWall = 0;

  /** @param roomOf null for messages that are not asked about */
  constructor(roomOf: (key: string) => string | null) {
    this.#roomOf = roomOf;
  }

  record(record: GroundTruthRecord): void {
    const at = record.at + this.#toWall;
    switch (record.t) {
      case 'start':
        this.#toWall = record.wall - record.at;
        return;
      case 'receipt': {
        const room = record.key === undefined ? null : this.#roomOf(record.key);
        if (room === null || record.key === undefined) return;
        const seen: Seen = { key: record.key, worker: record.worker, at, answeredAt: null, ack: null };
        append(this.rooms, room, seen);
        this.#byRequest.set(record.r, seen);
        if (record.m !== undefined) append(this.#byMessage, record.m, seen);
        return;
      }
      case 'answer': {
        const seen = this.#byRequest.get(record.r);
        if (seen !== undefined) seen.answeredAt = at;
        return;
      }
      case 'call': {
        if (record.signature !== 'right') return;
        const messages = record.m.filter((_, position) => TELLS_OF_DELIVERY.test(record.s[position] ?? ''));
        this.#calls.set(`${record.call}/${record.attempt}`, { at, messages });
        return;
      }
      case 'called': {
        const name = `${record.call}/${record.attempt}`;
        const call = this.#calls.get(name);
        this.#calls.delete(name);
        if (call === undefined || record.status !== 200) return;
        for (const message of call.messages) {
          for (const seen of this.#byMessage.get(message) ?? []) seen.ack ??= { calledAt: call.at, takenAt: at };
        }
        return;
      }
      default:
    }
  }
}

function append<K, V>(lists: Map<K, V[]>, key: K, value: V): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}
