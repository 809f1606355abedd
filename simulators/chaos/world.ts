/** What the faults act upon, and how each tells what it did. */
import { setTimeout as delay } from 'node:timers/promises';
import type { RedisServer } from '../rig/redis.ts';
import type { Rig } from '../rig/rig.ts';
import type { WallClocks } from './clocks.ts';
import { choose, type Engine } from './engines.ts';
import type { Load } from './load.ts';
import type { EngineChoice, PlannedFault } from './plan.ts';
import type { Batch } from './postgres-wire.ts';

export interface World {
  readonly rig: Rig;
  readonly engines: readonly Engine[];
  /** What only a fleet has; null where the engines are none. */
  readonly fleet: FleetParts | null;
  readonly load: Load;
  readonly clocks: WallClocks;
  readonly leaseMs: number;
  /** Aborts when the run is interrupted; what a fault has done is undone all the same. */
  readonly signal: AbortSignal;
  /** A worker that held shards was killed: somebody has to take over from it. */
  readonly onHolderKilled: (worker: string) => void;
}

export interface FleetParts {
  readonly redis: RedisServer;
  /** A process that is configured like one of the workers, and does not run. */
  readonly twin: Engine;
  /** Workers that do not run, until the fleet grows. */
  readonly reserves: readonly Engine[];
}

/** What a fault did. It fired only if something or somebody was hit. */
export interface Deed {
  readonly fired: boolean;
  readonly did: string;
}

export type Fault<K extends PlannedFault['kind']> = Extract<PlannedFault, { kind: K }>;

export type Perform<K extends PlannedFault['kind']> = (world: World, fault: Fault<K>) => Promise<Deed>;

/** So much longer than planned a fault waits for somebody whom it hits. */
const PATIENCE_MS = 12_000;
const POLL_MS = 25;

/** Resolves with true as soon as it is so, with false after the patience of a fault. */
export async function waitFor(world: World, is: () => boolean | Promise<boolean>): Promise<boolean> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!(await is())) {
    if (performance.now() > deadline || world.signal.aborted) return false;
    await pause(world, POLL_MS);
  }
  return true;
}

/** Lasts as long as planned, and until it has hit somebody. Resolves with whether it has. */
export async function last(world: World, forMs: number, hasHit: () => boolean | Promise<boolean>): Promise<boolean> {
  await pause(world, forMs);
  return waitFor(world, hasHit);
}

export interface Aim {
  readonly engine: EngineChoice;
  readonly forMs?: number;
  /** Only an engine that holds shards can be hit. */
  readonly atHolder: boolean;
  /** Only such an engine can be hit. */
  readonly suits?: (engine: Engine) => boolean;
  /** Begins the fault at this engine, and gives how to end it. */
  readonly begin: (engine: Engine) => () => void;
  readonly hasHit: () => boolean;
}

/**
 * A fault of one engine, for as long as planned and until it has hit. Where other faults take the shards from that
 * engine before, it moves on to the one that holds them now. Resolves with the engine, and whether it has hit.
 */
export async function aimAt(world: World, aim: Aim): Promise<{ readonly engine: Engine; readonly hit: boolean }> {
  const engines = aim.suits === undefined ? world.engines : world.engines.filter(aim.suits);
  const isThere = () => !aim.atHolder || engines.some(({ holder }) => holder !== null);
  await waitFor(world, isThere);
  const choice: EngineChoice = aim.atHolder ? { ...aim.engine, of: 'holders' } : aim.engine;
  let engine = choose(engines, choice);
  let end = aim.begin(engine);
  try {
    const hit = await last(world, aim.forMs ?? 0, () => {
      if (aim.hasHit()) return true;
      if (aim.atHolder && engine.holder === null && isThere()) {
        end();
        engine = choose(engines, choice);
        end = aim.begin(engine);
      }
      return false;
    });
    return { engine, hit };
  } finally {
    end();
  }
}

/**
 * Who writes such batches: in a fleet an intake appends, and who holds shards does the rest; without one it is whoever
 * holds shards that a batch is waited for at.
 */
export function whereBatches(world: World, batch: Batch): Pick<Aim, 'atHolder' | 'suits'> {
  if (world.fleet === null || batch !== 'append') return { atHolder: true };
  return { atHolder: false, suits: ({ roles }) => roles.has('intake') };
}

/** Shorter where the run is interrupted. */
export async function pause({ signal }: World, ms: number): Promise<void> {
  await delay(ms, null, { signal }).catch(() => undefined);
}

export function deed(fired: boolean, did: string): Deed {
  return { fired, did };
}
