/** The users' phones: each shows what reaches it in the order of arrival; an offline one shows it when it is back. */
import { chanceFor, type WorldChance } from '../world/chance.ts';
import type { VirtualTime } from '../world/time.ts';
import { logNormal } from './draws.ts';
import type { Judge } from './judge.ts';
import type { Window } from './options.ts';

export interface PhonesOptions {
  readonly seed: number;
  readonly time: VirtualTime;
  readonly openAt: number;
  readonly lengthMs: number;
  readonly judge: Judge;
}

/** On the way from the platform to a phone. */
const TRANSIT = { medianMs: 600, p99Ms: 4_000 };
/** Of the phones are offline once, for a while; of all are offline from some time on. */
const OFFLINE = { share: 0.04, leastMs: 60_000, mostMs: 900_000 };
const GONE = { share: 0.002 };

interface Offline extends Window {
  readonly waiting: (() => void)[];
}

export class Phones {
  readonly #options: PhonesOptions;
  readonly #offline = new Map<number, Offline | null>();

  constructor(options: PhonesOptions) {
    this.#options = options;
  }

  /** The platform has taken a message; `onShown` once the phone shows it. */
  send(message: number, room: number, chance: WorldChance, onShown: () => void): void {
    const { time, judge } = this.#options;
    const show = (): void => {
      judge.shown(message);
      onShown();
    };
    time.after(logNormal(chance, TRANSIT.medianMs, TRANSIT.p99Ms), () => {
      const offline = this.#offlineOf(room);
      const now = time.now - this.#options.openAt;
      if (offline === null || now < offline.from || now >= offline.to) {
        show();
        return;
      }
      judge.waitsForPhone(message);
      offline.waiting.push(show);
      if (offline.waiting.length > 1 || offline.to === Number.POSITIVE_INFINITY) return;
      time.after(offline.to - now, () => {
        for (const one of offline.waiting.splice(0)) one();
      });
    });
  }

  #offlineOf(room: number): Offline | null {
    const known = this.#offline.get(room);
    if (known !== undefined) return known;
    const { seed, lengthMs } = this.#options;
    const chance = chanceFor(seed, 'phone', room);
    const from = chance.uniform() * lengthMs;
    let drawn: Offline | null = null;
    if (chance.hit(GONE.share)) drawn = { from, to: Number.POSITIVE_INFINITY, waiting: [] };
    else if (chance.hit(OFFLINE.share)) {
      const forMs = Math.min(lengthMs / 4, OFFLINE.leastMs + chance.uniform() * (OFFLINE.mostMs - OFFLINE.leastMs));
      drawn = { from, to: from + forMs, waiting: [] };
    }
    this.#offline.set(room, drawn);
    return drawn;
  }
}
