/**
 * How many failures of a channel are told apart: whatever a platform makes up, their groups stay few. The limit is here,
 * before anything is counted or stored, so that a dead letter and the count of its group agree in every process.
 */
import { OTHER_CODE, OTHER_TEXT } from '../engine/fingerprint.ts';
import type { PlatformChannel } from '../engine/ports.ts';

/** Of one channel, in one process, in one window. */
const MAX_CODES = 100;
const MAX_TEXTS = 200;
const MAX_TEXTS_OF_A_CODE = 20;
const WINDOW_MS = 86_400_000;

interface Said {
  readonly code: string;
  readonly textDigest?: string;
}

/** @param nowMs the time of any clock, in ms */
export function boundVariety(channel: PlatformChannel, nowMs: () => number): PlatformChannel {
  const variety = new Variety(nowMs);
  const { send, lookup, readStatuses } = channel;
  return {
    ...channel,
    send: async (request) => {
      const result = await send(request);
      if (result.kind === 'accepted') return result;
      return result.kind === 'unknown' ? variety.bound(result) : { ...result, nack: variety.bound(result.nack) };
    },
    lookup:
      lookup === null
        ? null
        : async (reference, timeoutMs) => {
            const result = await lookup(reference, timeoutMs);
            return result.kind === 'failed' ? { ...result, nack: variety.bound(result.nack) } : result;
          },
    readStatuses: (call) =>
      readStatuses(call).map((item) =>
        item.kind === 'status' && item.nack !== null ? { ...item, nack: variety.bound(item.nack) } : item,
      ),
  };
}

class Variety {
  readonly #nowMs: () => number;
  readonly #textsOf = new Map<string, Set<string>>();
  #texts = 0;
  #since: number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
    this.#since = nowMs();
  }

  /** The same, with a word for all others where it is one too many. */
  bound<T extends Said>(said: T): T {
    this.#turn();
    const { code, textDigest } = said;
    let texts = this.#textsOf.get(code);
    if (texts === undefined) {
      if (this.#textsOf.size >= MAX_CODES) return { ...said, textDigest: OTHER_CODE };
      texts = new Set();
      this.#textsOf.set(code, texts);
    }
    if (textDigest === undefined || texts.has(textDigest)) return said;
    if (this.#texts >= MAX_TEXTS || texts.size >= MAX_TEXTS_OF_A_CODE) return { ...said, textDigest: OTHER_TEXT };
    texts.add(textDigest);
    this.#texts++;
    return said;
  }

  #turn(): void {
    const now = this.#nowMs();
    if (Math.abs(now - this.#since) < WINDOW_MS) return;
    this.#textsOf.clear();
    this.#texts = 0;
    this.#since = now;
  }
}
