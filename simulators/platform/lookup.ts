import { drawDelayMs } from './delay.ts';
import type { Answer } from './profile.ts';
import { Draws, Purpose } from './random.ts';
import type { Registry } from './registry.ts';
import type { World } from './world.ts';

/** Answers "what became of this reference?", in agreement with the ground truth. */
export class Lookup {
  readonly #world: World;
  readonly #registry: Registry;

  constructor(world: World, registry: Registry) {
    this.#world = world;
    this.#registry = registry;
  }

  handle(channel: string, path: string, reply: (answer: Answer) => void): void {
    const { profile, resolver, scheduler, seed, stats } = this.#world;
    const knobs = resolver.channel(channel).lookup;
    const reference = profile.lookupReference(path) ?? '';
    stats.lookups++;
    const delayMs = drawDelayMs(knobs.delayMs, Draws.of(seed, reference, stats.lookups), Purpose.responseDelay);
    scheduler.after(delayMs, () => {
      const known = this.#registry.find(channel, reference);
      const old = known !== undefined && this.#world.now() - known.acceptedMono >= knobs.lagMs;
      const message = knobs.enabled && old ? known : undefined;
      const found = message ? { m: message.no, status: message.status } : undefined;
      this.#world.truth.append({ t: 'lookup', at: this.#world.now(), channel, reference, ...found });
      reply(profile.lookedUp(message));
    });
  }
}
