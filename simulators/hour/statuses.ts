/**
 * The platform's webhook: statuses gather into calls of up to 1,000, shuffled, some told twice, to whichever process the
 * load balancer picks; a call is repeated until it is answered. In an ack outage everything is held, and then told as
 * fast as calls are answered.
 */
import type { StatusItem } from '../../src/engine/ports.ts';
import { chanceFor, type WorldChance } from '../world/chance.ts';
import type { SimProcess } from '../world/process.ts';
import type { VirtualTime } from '../world/time.ts';
import type { Judge, Level } from './judge.ts';
import { isWithin, type Window } from './options.ts';
import { CHANNEL } from './settings.ts';

export interface StatusesOptions {
  readonly seed: number;
  readonly time: VirtualTime;
  readonly openAt: number;
  readonly outage: Window;
  readonly judge: Judge;
  readonly pick: () => SimProcess | null;
}

/** One status as the platform tells it. */
export interface Told {
  readonly message: number;
  readonly reference: string;
  readonly platformId: string;
  readonly level: Level;
  /** Unix seconds, as the platform gives them. */
  readonly atSeconds: number;
}

const MOST_IN_CALL = 1_000;
const GATHER = { leastMs: 20, mostMs: 500 };
/** On the way from the platform to us. */
const TRAVEL_MS = 40;
/** How many calls are open at once while there is more to tell. */
const LINES = 4;
const ANSWER_TIMEOUT_MS = 10_000;
const REPEAT_MS = 1_000;
const DOUBLED = { share: 0.03, meanMs: 4_000 };
const DELAY = { sentMs: 150, deliveredMs: 200, readMs: 20_000, readAtOnceMs: 800 };
const SHARE = { mute: 0.12, sent: 0.9, chatOpen: 0.1, read: 0.5 };

/** What is told of one message. */
export interface StatusPlan {
  readonly sent: boolean;
  readonly delivered: boolean;
  readonly read: boolean;
}

const SILENCE: StatusPlan = { sent: false, delivered: false, read: false };

/** 12 % of the messages have no status at all; where the chat is open `read` comes without `delivered`. */
export function drawStatuses(chance: WorldChance): StatusPlan {
  if (chance.hit(SHARE.mute)) return SILENCE;
  const chatOpen = chance.hit(SHARE.chatOpen);
  return { sent: chance.hit(SHARE.sent), delivered: !chatOpen, read: chatOpen || chance.hit(SHARE.read) };
}

export class Statuses {
  readonly counts = { statuses: 0, doubled: 0, calls: 0, repeated: 0, largestCall: 0, held: 0, flushedInMs: 0 };
  readonly #options: StatusesOptions;
  readonly #chance: WorldChance;
  #waiting: Told[] = [];
  #gathering = false;
  #openCalls = 0;
  /** Of what was held, what has not been answered yet. */
  #heldLeft = 0;

  constructor(options: StatusesOptions) {
    this.#options = options;
    this.#chance = chanceFor(options.seed, 'webhooks');
    const { time, outage, openAt } = options;
    if (Number.isFinite(outage.to)) time.after(openAt + outage.to - time.now, () => this.#outageEnds());
  }

  get busy(): boolean {
    return this.#waiting.length > 0 || this.#openCalls > 0;
  }

  accepted(of: Omit<Told, 'level' | 'atSeconds'>, plan: StatusPlan, chance: WorldChance): void {
    if (plan.sent) this.#tell({ ...of, level: 'sent' }, chance.around(DELAY.sentMs), chance);
  }

  shown(of: Omit<Told, 'level' | 'atSeconds'>, plan: StatusPlan, chance: WorldChance): void {
    if (plan.delivered) this.#tell({ ...of, level: 'delivered' }, chance.around(DELAY.deliveredMs), chance);
    if (!plan.read) return;
    const delayMs = chance.around(plan.delivered ? DELAY.readMs : DELAY.readAtOnceMs);
    this.#tell({ ...of, level: 'read' }, delayMs, chance);
  }

  #tell(of: Omit<Told, 'atSeconds'>, delayMs: number, chance: WorldChance): void {
    const { time } = this.#options;
    const told = { ...of, atSeconds: Math.floor((time.now + delayMs) / 1_000) };
    time.after(delayMs, () => this.#gather(told));
    if (!chance.hit(DOUBLED.share)) return;
    this.counts.doubled++;
    time.after(delayMs + chance.around(DOUBLED.meanMs), () => this.#gather(told));
  }

  #gather(told: Told): void {
    this.counts.statuses++;
    this.#waiting.push(told);
    if (this.#isOut()) {
      this.counts.held++;
      return;
    }
    if (this.#gathering) return;
    this.#gathering = true;
    const { leastMs, mostMs } = GATHER;
    this.#options.time.after(leastMs + this.#chance.uniform() * (mostMs - leastMs), () => {
      this.#gathering = false;
      this.#call();
    });
  }

  #outageEnds(): void {
    this.#heldLeft = this.#waiting.length;
    for (let line = 0; line < LINES; line++) this.#call();
  }

  #isOut(): boolean {
    const { time, openAt, outage } = this.#options;
    return isWithin(outage, time.now - openAt);
  }

  /** Tells what waits, if a line is free. */
  #call(): void {
    if (this.#isOut() || this.#openCalls >= LINES || this.#waiting.length === 0) return;
    const batch = this.#waiting.splice(0, MOST_IN_CALL);
    this.counts.calls++;
    this.counts.largestCall = Math.max(this.counts.largestCall, batch.length);
    shuffle(batch, this.#chance);
    this.#openCalls++;
    void this.#deliver(batch).then(() => {
      this.#openCalls--;
      const { time, openAt, outage } = this.#options;
      if (this.#heldLeft > 0) this.counts.flushedInMs = time.now - openAt - outage.to;
      this.#heldLeft -= Math.min(this.#heldLeft, batch.length);
      if (!this.#gathering || this.#waiting.length >= MOST_IN_CALL) this.#call();
    });
  }

  async #deliver(batch: readonly Told[]): Promise<void> {
    const { time } = this.#options;
    await time.sleep(TRAVEL_MS);
    while (!(await this.#hand(batch))) {
      this.counts.repeated++;
      await time.sleep(REPEAT_MS);
    }
  }

  /** True where the call was answered with 200. */
  #hand(batch: readonly Told[]): Promise<boolean> {
    const { pick, time, judge } = this.#options;
    const process = pick();
    if (process === null) return Promise.resolve(false);
    for (const { message, level } of batch) judge.told(message, level);
    return new Promise((resolve) => {
      const cancel = time.after(ANSWER_TIMEOUT_MS, () => resolve(false));
      const answer = (ok: boolean): void =>
        process.enter(() => {
          cancel();
          resolve(ok);
        });
      process.enter(() => {
        process.engine?.acks.receive(CHANNEL, batch.map(itemOf)).then(
          () => answer(true),
          () => answer(false),
        );
      });
    });
  }
}

function itemOf({ reference, platformId, level, atSeconds }: Told): StatusItem {
  return { kind: 'status', reference, platformId, level, nack: null, at: atSeconds * 1_000, cumulative: false };
}

function shuffle<T>(items: T[], chance: WorldChance): void {
  for (let last = items.length - 1; last > 0; last--) {
    const other = chance.between(0, last);
    const kept = items[last] as T;
    items[last] = items[other] as T;
    items[other] = kept;
  }
}
