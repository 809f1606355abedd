/**
 * What goes wrong, and when: a pure function of the seed and the length of the run. Time goes in cycles: faults begin in
 * the first part of each, several may overlap, and then comes a breather in which the system makes progress.
 */
import { type Random, seededRandom } from '../pubsub/random.ts';
import type { Batch } from './postgres-wire.ts';
import type { Direction } from './proxy.ts';

/** A link of one engine: to Postgres, Pub/Sub, the platform; and from the platform and publishers to its HTTP server. */
export const LINKS = ['postgres', 'pubsub', 'platform', 'webhooks'] as const;
/** And, in a fleet, to Redis. */
export type Link = (typeof LINKS)[number] | 'redis';

export type Role = 'intake' | 'api' | 'webhook' | 'worker';

/** One of those that hold shards now, of those with a role, or any. */
export interface EngineChoice {
  readonly of: 'holders' | 'all' | Role;
  /** Which of them, as a share of 1. */
  readonly draw: number;
}

/** Where an engine is caught: at the answer of a batch from Postgres, or at the answer of the platform. */
export type Failpoint = Batch | 'answer';

type Both = readonly Direction[];

export type FaultKind =
  | { readonly kind: 'engine_kill'; readonly engine: EngineChoice; readonly awayMs: number }
  | { readonly kind: 'engine_kill_all'; readonly awayMs: number }
  | { readonly kind: 'engine_terminate'; readonly engine: EngineChoice; readonly awayMs: number }
  | { readonly kind: 'engine_freeze'; readonly engine: EngineChoice; readonly leases: number }
  | {
      readonly kind: 'engine_freeze_at';
      readonly engine: EngineChoice;
      readonly point: Failpoint;
      readonly leases: number;
    }
  | {
      readonly kind: 'engine_kill_at';
      readonly engine: EngineChoice;
      readonly point: Failpoint;
      readonly awayMs: number;
    }
  | { readonly kind: 'clock_step'; readonly engine: EngineChoice; readonly byS: number }
  | { readonly kind: 'starvation'; readonly burners: number }
  | { readonly kind: 'postgres_kill'; readonly awayMs: number }
  | { readonly kind: 'postgres_restart' }
  | { readonly kind: 'table_lock'; readonly table: 'rooms' | 'messages' | 'history' }
  | { readonly kind: 'row_lock'; readonly rooms: number }
  | { readonly kind: 'commit_cut'; readonly engine: EngineChoice; readonly batch: Batch }
  | { readonly kind: 'link_cut'; readonly link: Link; readonly engine: EngineChoice }
  | { readonly kind: 'link_cut_after'; readonly link: Link; readonly engine: EngineChoice; readonly bytes: number }
  | {
      readonly kind: 'link_black_hole';
      readonly link: Link;
      readonly engine: EngineChoice;
      readonly directions: Both;
      /** What it held arrives after all, or is lost with its connections. */
      readonly end: 'heals' | 'cuts';
    }
  | { readonly kind: 'link_latency'; readonly link: Link; readonly engine: EngineChoice; readonly ms: number }
  | {
      readonly kind: 'link_trickle';
      readonly link: Link;
      readonly engine: EngineChoice;
      readonly bytesPerSecond: number;
    }
  | { readonly kind: 'link_refuse'; readonly link: Link; readonly engine: EngineChoice }
  | { readonly kind: 'webhooks_refused' }
  | {
      readonly kind: 'platform_outage';
      readonly outage: 'refuse' | 'reset' | 'black_hole' | 'crawl' | 'server_error';
    }
  | { readonly kind: 'platform_errors'; readonly when: 'before_acceptance' | 'after_acceptance' }
  | { readonly kind: 'platform_resets'; readonly when: 'after_read' | 'after_acceptance' | 'mid_response' }
  | { readonly kind: 'platform_429' }
  | { readonly kind: 'ack_outage' }
  | { readonly kind: 'acks_held' }
  | { readonly kind: 'ack_storm'; readonly copies: number; readonly batch: number }
  | { readonly kind: 'pubsub_kill'; readonly awayMs: number }
  | { readonly kind: 'pubsub_streams_lost' }
  | { readonly kind: 'pubsub_redelivery'; readonly rooms: number; readonly count: number }
  | { readonly kind: 'pubsub_duplicates'; readonly probability: number }
  | FleetFaultKind;

/** Only where engines are a fleet: several processes by roles, and a Redis. */
export type FleetFaultKind =
  /** Stopped after its last look at its lease, before the first byte of a request has left. */
  | { readonly kind: 'zombie_at_write'; readonly engine: EngineChoice; readonly leases: number }
  | { readonly kind: 'rolling_restart' }
  /** Another process with the same configuration and name comes, and goes in good order or is killed. */
  | { readonly kind: 'twin'; readonly end: 'terminates' | 'is_killed' }
  /** All workers but one go, and come back together. */
  | { readonly kind: 'scale' }
  | { readonly kind: 'intakes_change' }
  | { readonly kind: 'postgres_stall' }
  | { readonly kind: 'redis_flush' }
  | { readonly kind: 'redis_kill'; readonly awayMs: number }
  | { readonly kind: 'redis_freeze' };

export type PlannedFault = FaultKind & {
  /** Counts from 1. */
  readonly number: number;
  /** Since the beginning of the load. */
  readonly atMs: number;
  /** How long it lasts, where it is not over at once. */
  readonly forMs: number;
};

/** Two that use the same do not overlap. */
type Resource =
  | 'engines'
  | 'fronts'
  | 'processor'
  | 'postgres'
  | 'pubsub'
  | 'redis'
  | 'platform'
  | 'sends'
  | 'acks'
  | `link ${Link}`;

export interface Sort {
  /** How often in a bag of all sorts. */
  readonly weight: number;
  readonly uses: (fault: FaultKind) => readonly Resource[];
  /** Least and most ms that it lasts. */
  readonly lasts: readonly [number, number];
  readonly draw: (chance: Chance) => FaultKind;
}

const CYCLE_MS = 30_000;
const FIRST_AT_MS = 3_000;
/** No fault begins later in a cycle, and none lasts longer into it. */
const LAST_BEGIN_MS = 20_000;
const LAST_END_MS = 25_000;
const FAULTS_A_CYCLE = 6;
const ENGINES: readonly Resource[] = ['engines'];

export class Chance {
  readonly random: Random;

  constructor(seed: number) {
    this.random = seededRandom(seed);
  }

  whole(least: number, most: number): number {
    return least + Math.floor(this.random() * (most - least + 1));
  }

  one<T>(from: readonly T[]): T {
    return from[Math.floor(this.random() * from.length)] as T;
  }

  engine(): EngineChoice {
    return { of: this.random() < 0.7 ? 'holders' : 'all', draw: this.random() };
  }

  link(): Link {
    // More on the two links on which more can go wrong.
    return this.one([...LINKS, 'postgres', 'platform']);
  }

  shuffled<T>(from: readonly T[]): T[] {
    const all = [...from];
    for (let last = all.length - 1; last > 0; last--) {
      const other = this.whole(0, last);
      [all[last], all[other]] = [all[other] as T, all[last] as T];
    }
    return all;
  }
}

const POINTS: readonly Failpoint[] = ['claim', 'settle', 'append', 'answer'];
export const linkOf = (fault: FaultKind): readonly Resource[] => ('link' in fault ? [`link ${fault.link}`] : []);

export const SORTS: readonly Sort[] = [
  sort(6, ENGINES, [0, 0], (c) => ({ kind: 'engine_kill', engine: c.engine(), awayMs: c.whole(0, 3_000) })),
  sort(1, ENGINES, [0, 0], (c) => ({ kind: 'engine_kill_all', awayMs: c.whole(0, 1_500) })),
  sort(2, ENGINES, [0, 0], (c) => ({ kind: 'engine_terminate', engine: c.engine(), awayMs: c.whole(0, 1_000) })),
  sort(5, ENGINES, [0, 0], (c) => ({ kind: 'engine_freeze', engine: c.engine(), leases: c.one([0.5, 1.5, 3]) })),
  sort(4, ENGINES, [0, 0], (c) => ({
    kind: 'engine_freeze_at',
    engine: holders(c),
    point: c.one(['claim', 'claim', 'answer', 'answer', 'settle', 'append']),
    leases: c.one([1.5, 2]),
  })),
  sort(3, ENGINES, [0, 0], (c) => ({
    kind: 'engine_kill_at',
    engine: holders(c),
    point: c.one(POINTS),
    awayMs: c.whole(0, 1_000),
  })),
  sort(2, ['link webhooks'], [3_000, 6_000], (c) => ({
    kind: 'clock_step',
    engine: c.engine(),
    byS: c.one([-3_600, -240, 240, 3_600]),
  })),
  sort(2, ['processor'], [2_000, 4_000], (c) => ({ kind: 'starvation', burners: c.whole(1, 3) })),
  sort(2, ['postgres'], [0, 0], (c) => ({ kind: 'postgres_kill', awayMs: c.whole(0, 2_500) })),
  sort(2, ['postgres'], [0, 0], () => ({ kind: 'postgres_restart' })),
  sort(1, ['postgres'], [1_000, 3_000], (c) => ({
    kind: 'table_lock',
    table: c.one(['rooms', 'messages', 'history']),
  })),
  sort(1, ['postgres'], [2_000, 4_000], () => ({ kind: 'row_lock', rooms: 20 })),
  sort(4, ['link postgres'], [0, 0], (c) => ({
    kind: 'commit_cut',
    engine: holders(c),
    batch: c.one(['claim', 'settle', 'append']),
  })),
  sort(2, linkOf, [0, 0], (c) => ({ kind: 'link_cut', link: c.link(), engine: c.engine() })),
  sort(2, linkOf, [0, 0], (c) => ({
    kind: 'link_cut_after',
    link: c.link(),
    engine: c.engine(),
    bytes: c.whole(1, 20_000),
  })),
  sort(3, linkOf, [1_000, 5_000], (c) => ({
    kind: 'link_black_hole',
    link: c.link(),
    engine: c.engine(),
    directions: c.one<Both>([['up', 'down'], ['up'], ['down']]),
    end: c.one(['heals', 'cuts']),
  })),
  sort(3, linkOf, [2_000, 5_000], (c) => ({
    kind: 'link_latency',
    link: c.link(),
    engine: c.engine(),
    ms: c.whole(200, 2_000),
  })),
  sort(1, linkOf, [2_000, 4_000], (c) => ({
    kind: 'link_trickle',
    link: c.link(),
    engine: c.engine(),
    bytesPerSecond: 1_000,
  })),
  sort(1, linkOf, [1_000, 3_000], (c) => ({ kind: 'link_refuse', link: c.link(), engine: c.engine() })),
  sort(1, ['link webhooks'], [2_000, 4_000], () => ({ kind: 'webhooks_refused' })),
  sort(3, ['platform'], [2_000, 5_000], (c) => ({
    kind: 'platform_outage',
    outage: c.one(['refuse', 'reset', 'black_hole', 'crawl', 'server_error']),
  })),
  sort(2, ['sends'], [2_000, 4_000], (c) => ({
    kind: 'platform_errors',
    when: c.one(['before_acceptance', 'after_acceptance']),
  })),
  sort(2, ['sends'], [2_000, 4_000], (c) => ({
    kind: 'platform_resets',
    when: c.one(['after_read', 'after_acceptance', 'mid_response']),
  })),
  sort(1, ['sends'], [1_000, 3_000], () => ({ kind: 'platform_429' })),
  sort(2, ['acks'], [2_000, 6_000], () => ({ kind: 'ack_outage' })),
  sort(1, ['acks'], [1_000, 4_000], () => ({ kind: 'acks_held' })),
  sort(2, ['acks'], [2_000, 5_000], (c) => ({ kind: 'ack_storm', copies: c.whole(2, 5), batch: c.whole(1, 50) })),
  sort(1, ['pubsub'], [0, 0], (c) => ({ kind: 'pubsub_kill', awayMs: c.whole(0, 2_000) })),
  sort(1, ['pubsub'], [0, 0], () => ({ kind: 'pubsub_streams_lost' })),
  sort(1, ['pubsub'], [0, 0], (c) => ({ kind: 'pubsub_redelivery', rooms: 50, count: c.whole(1, 5) })),
  sort(1, ['pubsub'], [3_000, 6_000], () => ({ kind: 'pubsub_duplicates', probability: 0.3 })),
];

/** Kinds of faults that exist. */
export const KINDS: readonly FaultKind['kind'][] = SORTS.map(({ draw }) => draw(new Chance(1)).kind);

export interface PlanOptions {
  readonly seed: number;
  readonly minutes: number;
  /** Kinds that this machine cannot do. */
  readonly without?: readonly FaultKind['kind'][];
  /** What is drawn from; those of a run without a fleet by default. */
  readonly sorts?: readonly Sort[];
}

/** The same seed, minutes and exceptions give the same plan. */
export function makePlan({ seed, minutes, without = [], sorts = SORTS }: PlanOptions): PlannedFault[] {
  const chance = new Chance(seed);
  const lengthMs = minutes * 60_000;
  const all = sorts.flatMap((each) => Array.from({ length: each.weight }, () => each));
  let bag: Sort[] = [];
  const planned: PlannedFault[] = [];
  for (let cycleAt = 0; cycleAt < lengthMs; cycleAt += CYCLE_MS) {
    const taken: { readonly resource: Resource; readonly untilMs: number }[] = [];
    const lastEnd = Math.min(cycleAt + LAST_END_MS, lengthMs);
    const lastBegin = Math.min(cycleAt + LAST_BEGIN_MS, lengthMs - (LAST_END_MS - LAST_BEGIN_MS));
    const begins = Array.from({ length: FAULTS_A_CYCLE }, () =>
      Math.round(cycleAt + FIRST_AT_MS + chance.random() * (LAST_BEGIN_MS - FIRST_AT_MS)),
    ).sort((a, b) => a - b);
    for (const atMs of begins) {
      if (bag.length === 0) bag = chance.shuffled(all);
      const isFree = (resource: Resource): boolean =>
        !taken.some((other) => other.resource === resource && other.untilMs > atMs);
      const drawn = drawFree(bag, chance, isFree, without);
      if (drawn === null || atMs > lastBegin) continue;
      const { fault, sort: chosen } = drawn;
      const [least, most] = chosen.lasts;
      const forMs = Math.min(chance.whole(least, most), lastEnd - atMs);
      planned.push({ ...fault, number: planned.length + 1, atMs, forMs });
      const untilMs = atMs + Math.max(forMs, USUAL_MS);
      taken.push(...chosen.uses(fault).map((resource) => ({ resource, untilMs })));
    }
  }
  return planned;
}

/** What a fault without a length keeps busy: a process that ends and starts again, for instance. */
const USUAL_MS = 5_000;

/** Takes the first of the bag whose resources are free. */
function drawFree(
  bag: Sort[],
  chance: Chance,
  isFree: (resource: Resource) => boolean,
  without: readonly FaultKind['kind'][],
): { readonly fault: FaultKind; readonly sort: Sort } | null {
  for (const [index, each] of bag.entries()) {
    const fault = each.draw(chance);
    if (!each.uses(fault).every(isFree)) continue;
    bag.splice(index, 1);
    return without.includes(fault.kind) ? null : { fault, sort: each };
  }
  return null;
}

export function holders(chance: Chance): EngineChoice {
  return { of: 'holders', draw: chance.random() };
}

export function sort(
  weight: number,
  uses: readonly Resource[] | Sort['uses'],
  lasts: readonly [number, number],
  draw: (chance: Chance) => FaultKind,
): Sort {
  return { weight, uses: typeof uses === 'function' ? uses : () => uses, lasts, draw };
}

/** One line: when, what, and how. */
export function describeFault(fault: PlannedFault): string {
  const { kind, number, atMs, forMs, ...how } = fault;
  const words = Object.entries(how).map(([name, value]) => {
    if (name === 'engine') return `engine ${NAMES[(value as EngineChoice).of] ?? (value as EngineChoice).of}`;
    return `${name} ${Array.isArray(value) ? value.join('+') : String(value)}`;
  });
  const length = forMs === 0 ? [] : [`for ${(forMs / 1_000).toFixed(1)} s`];
  return `${clockText(atMs)} ${kind} ${[...words, ...length].join(', ')}`.trim();
}

const NAMES: Readonly<Record<string, string>> = { holders: 'that holds', all: 'any' };

/** Minutes and seconds. */
export function clockText(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  return `${String(Math.floor(seconds / 60)).padStart(2)}:${String(seconds % 60).padStart(2, '0')}`;
}
