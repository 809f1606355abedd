import type { Random } from './random.ts';

/** What the server does wrong on purpose. Probabilities lie between 0 and 1. */
export interface FaultSettings {
  /** Chance that an ack is lost: the message, and with ordering its key's later ones, come again. At most once a message. */
  duplicateProbability: number;
  /** A message becomes deliverable this long after it was published or given back, drawn evenly between the two. */
  deliveryDelayMinMs: number;
  deliveryDelayMaxMs: number;
  /** Chance, per response, that the stream ends with UNAVAILABLE and the response does not arrive. */
  streamLossProbability: number;
  /** What a lost stream held comes again at once, while its client may still be working on it; else when its ack deadline ends. */
  redeliverOnStreamEnd: boolean;
  /** Chance that a publish is refused with UNAVAILABLE and nothing is stored. */
  publishRefusalProbability: number;
  /** Chance that a publish is stored but answered with UNAVAILABLE, so that its publisher sends it again. */
  publishAnswerLossProbability: number;
  /** Pull and StreamingPull answer UNAVAILABLE; open streams are ended. */
  refusePulls: boolean;
}

export const NO_FAULTS: Readonly<FaultSettings> = Object.freeze({
  duplicateProbability: 0,
  deliveryDelayMinMs: 0,
  deliveryDelayMaxMs: 0,
  streamLossProbability: 0,
  redeliverOnStreamEnd: false,
  publishRefusalProbability: 0,
  publishAnswerLossProbability: 0,
  refusePulls: false,
});

/** The settings in force, and the draws made from them. */
export class Faults {
  #settings: FaultSettings;
  readonly #random: Random;

  constructor(random: Random, settings: Partial<FaultSettings> = {}) {
    this.#random = random;
    this.#settings = { ...NO_FAULTS };
    this.set(settings);
  }

  get settings(): Readonly<FaultSettings> {
    return this.#settings;
  }

  /** Changes the named settings and leaves the others. @throws RangeError on a value out of range. */
  set(change: Partial<FaultSettings>): void {
    const next = { ...this.#settings, ...change };
    for (const [name, value] of Object.entries<number | boolean>(next)) {
      if (name.endsWith('Probability') && !(Number(value) >= 0 && Number(value) <= 1))
        throw new RangeError(`${name} must be 0 to 1`);
    }
    if (!(next.deliveryDelayMinMs >= 0 && next.deliveryDelayMaxMs >= next.deliveryDelayMinMs)) {
      throw new RangeError('deliveryDelayMinMs must be at least 0 and at most deliveryDelayMaxMs');
    }
    this.#settings = next;
  }

  /** Draws for one of the probabilities; a probability of 0 uses up no chance. */
  strikes(
    name: { [K in keyof FaultSettings]: K extends `${string}Probability` ? K : never }[keyof FaultSettings],
  ): boolean {
    const probability = this.#settings[name];
    return probability > 0 && this.#random() < probability;
  }

  /** Milliseconds until a message that has just become available may be delivered. */
  deliveryDelayMs(): number {
    const { deliveryDelayMinMs: min, deliveryDelayMaxMs: max } = this.#settings;
    return max === 0 ? 0 : min + this.#random() * (max - min);
  }
}
