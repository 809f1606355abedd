/**
 * What a watermark covers. It says that everything with a timestamp before it was delivered, or read, and that is a
 * time of the platform's clock, by which only the echo of a message tells when the message was sent: the answer to the
 * send has no time, and every clock of ours is another one. So echoes are kept for a while, and a watermark counts for
 * those of its thread whose time is before it. A message whose echo has not come here is never covered.
 *
 * Kept in memory: an echo told to another process, or before a restart, is not known here. What a watermark covers of it
 * is for the engine to say, which stores the echo's time with its message, and knows a thread by its room's name only.
 */
import type { AckLevel } from '../../room/room.ts';

/** The platform's evidence that it has a message. */
export interface Echo {
  readonly mid: string;
  readonly reference: string | null;
  /** Of the platform's clock, in ms. */
  readonly sentAt: number;
}

export type WatermarkLevel = Extract<AckLevel, 'delivered' | 'read'>;

interface Known {
  readonly echo: Echo;
  /** The least watermark that covered it, by level: the call that carried it has told of it, or will be repeated. */
  readonly said: Map<WatermarkLevel, number>;
}

interface Thread {
  /** The latest ones, oldest first. */
  known: readonly Known[];
  readonly marks: Map<WatermarkLevel, number>;
}

const MAX_THREADS = 20_000;
/** One message of a thread is under way at a time; more are there only where acks did not come. */
const MAX_ECHOES = 8;

export class Threads {
  readonly #threads = new Map<string, Thread>();
  readonly #max: number;

  constructor(max = MAX_THREADS) {
    this.#max = max;
  }

  /**
   * Remembers an echo. The same one again changes nothing.
   * @returns what earlier watermarks already said of it
   */
  echoed(name: string, echo: Echo): readonly WatermarkLevel[] {
    const thread = this.#touch(name);
    const known = thread.known.find(({ echo: { mid } }) => mid === echo.mid);
    if (known === undefined) thread.known = [...thread.known, { echo, said: new Map() }].slice(-MAX_ECHOES);
    return [...thread.marks].filter(([, mark]) => echo.sentAt < mark).map(([level]) => level);
  }

  /** The latest ones of a thread, oldest first. */
  echoes(name: string): readonly Echo[] {
    return (this.#threads.get(name)?.known ?? []).map(({ echo }) => echo);
  }

  /** Whether none is later that the thread has told here. The same one again is: it may not have been stored. */
  isLatest(name: string, level: WatermarkLevel, watermark: number): boolean {
    return watermark >= (this.#threads.get(name)?.marks.get(level) ?? 0);
  }

  /**
   * Remembers a watermark; watermarks are told again and again, also with an older time.
   * @returns what it covers, but for what a lesser one has told already
   */
  marked(name: string, level: WatermarkLevel, watermark: number): readonly Echo[] {
    const thread = this.#touch(name);
    thread.marks.set(level, Math.max(watermark, thread.marks.get(level) ?? 0));
    const news = thread.known.filter(
      ({ echo, said }) => echo.sentAt < watermark && watermark <= (said.get(level) ?? watermark),
    );
    for (const { said } of news) said.set(level, watermark);
    return news.map(({ echo }) => echo);
  }

  /** The thread, as the one used last; the one that was not used for the longest time makes room. */
  #touch(name: string): Thread {
    const thread = this.#threads.get(name) ?? { known: [], marks: new Map() };
    this.#threads.delete(name);
    this.#threads.set(name, thread);
    if (this.#threads.size > this.#max) {
      const [oldest] = this.#threads.keys();
      if (oldest !== undefined) this.#threads.delete(oldest);
    }
    return thread;
  }
}
