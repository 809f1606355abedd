import type { GroundTruthRecord } from '../../simulators/platform/ground-truth.ts';

/** A message as the platform saw it, in milliseconds on the platform's clock. */
interface Seen {
  readonly receivedAt: number;
  /** The first webhook call that told of its delivery began. */
  ackAt: number | null;
  /** Such a call was answered 2xx: whoever sends has settled it on disk. */
  settledAt: number | null;
}

/** What the platform's log says of one load, whose keys are `run/room/index` with indexes from 1. */
export class Observations {
  readonly #run: string;
  readonly #byKey = new Map<string, Seen>();
  readonly #byNumber = new Map<number, Seen>();
  readonly #calls = new Map<number, Seen[]>();
  #wallOffsetMs = 0;

  constructor(run: string) {
    this.#run = `${run}/`;
  }

  /** In the order of the log. */
  record(record: GroundTruthRecord): void {
    switch (record.t) {
      case 'start':
        this.#wallOffsetMs = record.wall - record.at;
        return;
      case 'receipt': {
        const { key, m, at } = record;
        if (key === undefined || m === undefined || !key.startsWith(this.#run) || this.#byKey.has(key)) return;
        const seen = { receivedAt: at, ackAt: null, settledAt: null };
        this.#byKey.set(key, seen);
        this.#byNumber.set(m, seen);
        return;
      }
      case 'call': {
        const told = record.m.flatMap((m, index) => (record.s[index] === 'd' ? (this.#byNumber.get(m) ?? []) : []));
        for (const seen of told) seen.ackAt ??= record.at;
        this.#calls.set(record.call, told);
        return;
      }
      case 'called':
        if (record.status < 200 || record.status > 299) return;
        for (const seen of this.#calls.get(record.call) ?? []) seen.settledAt ??= record.at;
        this.#calls.delete(record.call);
        return;
      default:
        return;
    }
  }

  /** Unix time of every message's settling, ascending. */
  settledAt(): number[] {
    return [...this.#byKey.values()]
      .flatMap(({ settledAt }) => (settledAt === null ? [] : settledAt + this.#wallOffsetMs))
      .sort((a, b) => a - b);
  }

  /** Unix time at which the platform first received the message. */
  receivedAt(key: string): number | null {
    const seen = this.#byKey.get(key);
    return seen === undefined ? null : seen.receivedAt + this.#wallOffsetMs;
  }

  /** From the ack of each of these messages to the next message of its room, where there is one; ascending. */
  gapsMs(after: Iterable<string> = this.#byKey.keys()): number[] {
    const gaps: number[] = [];
    for (const key of after) {
      const slash = key.lastIndexOf('/');
      const ackAt = this.#byKey.get(key)?.ackAt ?? null;
      const next = this.#byKey.get(`${key.slice(0, slash)}/${Number(key.slice(slash + 1)) + 1}`);
      if (next !== undefined && ackAt !== null) gaps.push(next.receivedAt - ackAt);
    }
    return gaps.sort((a, b) => a - b);
  }
}
