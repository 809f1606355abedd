/**
 * Named points at the engine's seams, all at its ports. In some worlds some of them are armed: then a part of their
 * passes crashes or pauses the process exactly there, or delays just that answer.
 */
import { chanceFor, type WorldChance } from './chance.ts';
import type { FailpointPlan } from './plan.ts';

export const FAILPOINTS = [
  // A statement was executed; its answer is on the way.
  'claim.committed',
  'settle.committed',
  'row.committed',
  'append.committed',
  'inbox.kept',
  'history.written',
  'worker.registered',
  'lease.renewed',
  'worker.fenced',
  'plan.applied',
  'shards.handed_over',
  'generation.raised',
  'shards.released',
  'rooms.scanned',
  'body.read',
  // The claim is on disk and the lease was looked at; the platform does not have the bytes yet.
  'send.leaving',
  'send.answered',
  'lookup.answered',
  // Everything is on disk; the caller has not been told.
  'webhook.committed',
  'intake.committed',
] as const;
export type FailpointName = (typeof FAILPOINTS)[number];

/** What a failpoint may do to the process that passes it. */
export interface Victim {
  crash(downMs: number): void;
  pause(forMs: number): void;
}

interface Armed {
  readonly plan: FailpointPlan;
  readonly chance: WorldChance;
  left: number;
}

export class Failpoints {
  readonly #armed = new Map<FailpointName, Armed>();
  readonly #onFired: (name: FailpointName, plan: FailpointPlan) => void;

  constructor(
    seed: number,
    plans: readonly FailpointPlan[],
    onFired: (name: FailpointName, plan: FailpointPlan) => void,
  ) {
    this.#onFired = onFired;
    for (const plan of plans) {
      this.#armed.set(plan.name, { plan, chance: chanceFor(seed, 'failpoint', plan.name), left: plan.most });
    }
  }

  disarm(): void {
    this.#armed.clear();
  }

  /** @returns by how many ms the answer is delayed */
  pass(name: FailpointName, victim: Victim): number {
    const armed = this.#armed.get(name);
    if (armed === undefined || armed.left === 0 || !armed.chance.hit(armed.plan.probability)) return 0;
    armed.left--;
    const { plan } = armed;
    this.#onFired(name, plan);
    if (plan.effect === 'crash') victim.crash(plan.forMs);
    if (plan.effect === 'pause') victim.pause(plan.forMs);
    return plan.effect === 'delay' ? plan.forMs : 0;
  }
}
