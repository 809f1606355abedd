/** What operators see of the fleet and do with it. Whoever plans carries it out; here it is only said. */
import { RoomlineError } from '../errors.ts';
import { type DecidedChange, decideDrain, decideRebalance, type FleetWishes, find } from './fleet-change.ts';
import type {
  AuditEntry,
  AuditNote,
  AuditStore,
  FleetPicture,
  FleetStore,
  RegisteredWorker,
  ShardState,
  ShardWork,
} from './operator-ports.ts';
import type { Clock, Signals } from './ports.ts';

export interface FleetOperationsOptions {
  readonly store: FleetStore;
  readonly audit: Pick<AuditStore, 'list'>;
  readonly signals: Pick<Signals, 'publish'> | null;
  readonly clock: Pick<Clock, 'monotonic'>;
}

/** Who asks. */
export type Actor = Pick<AuditNote, 'actor' | 'requestId'>;

export interface WorkerSummary extends RegisteredWorker {
  /** Shards that it owns. */
  readonly shards: number;
  /** Of these, those that it is to hand over. */
  readonly leaving: number;
  /** Shards of others that it is to get. */
  readonly promised: number;
  /** Rooms of its shards that have an unsettled message, and such messages. */
  readonly rooms: number;
  readonly waiting: number;
}

export interface WorkerList {
  readonly membership: number;
  /** The shards are distributed for this membership. */
  readonly planned: boolean;
  /** Shards without a live owner. */
  readonly unowned: number;
  readonly workers: readonly WorkerSummary[];
  /** Names of nodes to which an operator has given a weight, with it. */
  readonly weights: ReadonlyMap<string, number>;
}

export interface ShardSummary extends ShardState, ShardWork {
  readonly ownerName: string | null;
  readonly heirName: string | null;
  readonly pin: string | null;
}

export interface ShardFilter {
  /** By id or name. */
  readonly worker: string | null;
  readonly movingOnly: boolean;
  /** Only shards above it. */
  readonly after: number | null;
  readonly limit: number;
}

export interface Rebalanced extends DecidedChange {
  /** What it was decided from. */
  readonly membership: number;
}

export interface Passage {
  readonly from: { readonly worker: string; readonly name: string | null };
  readonly to: { readonly worker: string; readonly name: string | null };
  readonly shards: number;
  /** Until the first of them is late, in ms; below 0 where one is. */
  readonly nextDeadlineMs: number;
}

export interface RebalanceProgress {
  readonly membership: number;
  readonly planned: boolean;
  /** When the membership last changed: by an operator, or by a worker that came or went. */
  readonly changedAt: number;
  readonly unowned: number;
  readonly promised: number;
  /** Shards whose owner has changed since `changedAt`. */
  readonly moved: number;
  readonly passages: readonly Passage[];
  /** The last change by an operator. */
  readonly last: AuditEntry | null;
}

/** The subject under which the audit has every change of the fleet. */
export const FLEET_SUBJECT = 'fleet';
/** Counting reads the hot table as a whole: it is not done more often, and never for more than a tenth of the time. */
const COUNT_EVERY_MS = 2_000;
const COUNT_PAUSE = 10;
/** Those who come and go may change the membership while a drain is decided, so many times at most. */
const MAX_RACES = 5;

export class FleetOperations {
  readonly #to: FleetOperationsOptions;
  #work: { readonly counted: Promise<ReadonlyMap<number, ShardWork>>; until: number } | null = null;

  constructor(options: FleetOperationsOptions) {
    this.#to = options;
  }

  async workers(): Promise<WorkerList> {
    const [picture, work] = await Promise.all([this.#to.store.look(), this.#countWork()]);
    const tallies = new Map(picture.members.map(({ worker }) => [worker, new Tally()]));
    picture.shards.forEach(({ owner, heir }, shard) => {
      if (owner === null) return;
      tallies.get(owner)?.own(work.get(shard), heir !== null);
      const heirs = tallies.get(heir ?? '');
      if (heirs !== undefined) heirs.promised++;
    });
    return {
      membership: picture.membership,
      planned: isPlanned(picture),
      unowned: picture.shards.filter(({ owner }) => owner === null).length,
      workers: picture.members.map((member) => ({ ...member, ...(tallies.get(member.worker) as Tally) })),
      weights: picture.weights,
    };
  }

  /** @throws RoomlineError `worker_not_found` or `worker_ambiguous` */
  async shards({ worker: named, movingOnly, after, limit }: ShardFilter): Promise<readonly ShardSummary[]> {
    const [picture, work] = await Promise.all([this.#to.store.look(), this.#countWork()]);
    const worker = named === null ? null : find(picture, named).worker;
    const nameOf = namesOf(picture);
    const found: ShardSummary[] = [];
    for (let shard = (after ?? -1) + 1; shard < picture.shards.length && found.length < limit; shard++) {
      const state = picture.shards[shard] as ShardState;
      const { owner, heir } = state;
      if ((worker !== null && owner !== worker && heir !== worker) || (movingOnly && heir === null)) continue;
      found.push({
        ...(work.get(shard) ?? { shard, rooms: 0, waiting: 0 }),
        ...state,
        ownerName: nameOf(owner),
        heirName: nameOf(heir),
        pin: picture.pins.get(shard) ?? null,
      });
    }
    return found;
  }

  /**
   * Has a worker give all its shards away, or no longer.
   * @param named its id, or the name of its node
   * @throws RoomlineError `worker_not_found`, `worker_ambiguous`, `worker_takes_none`, `membership_changed` or, without
   *   `force`, `worker_last`
   */
  async drain(named: string, draining: boolean, force: boolean, by: Actor): Promise<RegisteredWorker> {
    for (let races = 0; races < MAX_RACES; races++) {
      const picture = await this.#to.store.look();
      const decided = decideDrain(picture, named, draining, force);
      const member = find(picture, named);
      if (member.draining === draining) return member;
      const action = draining ? 'fleet.drain' : 'fleet.undrain';
      const detail = { worker: member.worker, name: member.name, force, shards: decided.moves.length };
      if (await this.#store(picture, decided, action, detail, by)) return { ...member, draining };
    }
    throw new RoomlineError('membership_changed');
  }

  /** What `rebalance` would do. Changes nothing. */
  async preview(wishes: FleetWishes, ifMembership: number | null, force: boolean): Promise<Rebalanced> {
    return (await this.#decide(wishes, ifMembership, force)).rebalanced;
  }

  /**
   * Changes weights and pins, moves shards, and has all shards distributed anew: all of it or nothing.
   * @throws RoomlineError as `decideRebalance` does; `membership_changed` where the membership is not `ifMembership`, or
   *   has changed meanwhile
   */
  async rebalance(wishes: FleetWishes, ifMembership: number | null, force: boolean, by: Actor): Promise<Rebalanced> {
    const { picture, rebalanced } = await this.#decide(wishes, ifMembership, force);
    const detail = detailOf(picture, wishes, rebalanced, force);
    if (await this.#store(picture, rebalanced, 'fleet.rebalance', detail, by)) return rebalanced;
    throw new RoomlineError('membership_changed');
  }

  async progress(): Promise<RebalanceProgress> {
    const { store, audit } = this.#to;
    const picture = await store.look();
    const [last = null] = await audit.list({ before: null, limit: 1, subject: FLEET_SUBJECT });
    const { membership, changedAt, shards } = picture;
    const passages = passagesOf(picture);
    return {
      membership,
      planned: isPlanned(picture),
      changedAt,
      unowned: shards.filter(({ owner }) => owner === null).length,
      promised: passages.reduce((sum, passage) => sum + passage.shards, 0),
      moved: shards.filter(({ owner, movedAt }) => owner !== null && movedAt >= changedAt).length,
      passages,
      last,
    };
  }

  async #decide(wishes: FleetWishes, ifMembership: number | null, force: boolean) {
    const picture = await this.#to.store.look();
    const { membership } = picture;
    if (ifMembership !== null && ifMembership !== membership) {
      throw new RoomlineError('membership_changed', { detail: `The membership is ${membership}` });
    }
    return { picture, rebalanced: { membership, ...decideRebalance(picture, wishes, force) } };
  }

  async #store(
    { membership }: FleetPicture,
    { change }: DecidedChange,
    action: string,
    detail: AuditNote['detail'],
    by: Actor,
  ): Promise<boolean> {
    const { store, signals } = this.#to;
    const note = { ...by, action, subject: FLEET_SUBJECT, detail };
    if (!(await store.change(membership, change, note))) return false;
    signals?.publish({ kind: 'ownership', worker: null });
    return true;
  }

  /** As of some seconds ago at most. */
  #countWork(): Promise<ReadonlyMap<number, ShardWork>> {
    const { store, clock } = this.#to;
    const begunAt = clock.monotonic();
    if (this.#work !== null && begunAt < this.#work.until) return this.#work.counted;
    const counted = store.countWork().then((work) => new Map(work.map((each) => [each.shard, each])));
    const current = { counted, until: Number.POSITIVE_INFINITY };
    this.#work = current;
    counted.then(
      () => {
        const now = clock.monotonic();
        current.until = now + Math.max(COUNT_EVERY_MS, (now - begunAt) * COUNT_PAUSE);
      },
      () => {
        // Whoever asked is told; the next one counts again.
        current.until = 0;
      },
    );
    return counted;
  }
}

class Tally {
  shards = 0;
  leaving = 0;
  promised = 0;
  rooms = 0;
  waiting = 0;

  own(work: ShardWork | undefined, leaves: boolean): void {
    this.shards++;
    if (leaves) this.leaving++;
    this.rooms += work?.rooms ?? 0;
    this.waiting += work?.waiting ?? 0;
  }
}

function isPlanned({ planned, membership }: FleetPicture): boolean {
  return planned >= membership;
}

/** Null for nobody, and for one that is fenced. */
function namesOf({ members }: FleetPicture): (worker: string | null) => string | null {
  const names = new Map(members.map(({ worker, name }) => [worker, name]));
  return (worker) => names.get(worker ?? '') ?? null;
}

function passagesOf(picture: FleetPicture): Passage[] {
  const nameOf = namesOf(picture);
  const found = new Map<string, Passage>();
  for (const { owner, heir, heirLeftMs } of picture.shards) {
    if (owner === null || heir === null || heirLeftMs === null) continue;
    const key = JSON.stringify([owner, heir]);
    const { shards, nextDeadlineMs } = found.get(key) ?? { shards: 0, nextDeadlineMs: heirLeftMs };
    found.set(key, {
      from: { worker: owner, name: nameOf(owner) },
      to: { worker: heir, name: nameOf(heir) },
      shards: shards + 1,
      nextDeadlineMs: Math.min(nextDeadlineMs, heirLeftMs),
    });
  }
  return [...found.values()];
}

/** What was said, and what was there before. Ranges stay ranges. */
function detailOf(
  picture: FleetPicture,
  { weights, pins, moves }: FleetWishes,
  decided: Rebalanced,
  force: boolean,
): AuditNote['detail'] {
  const before = [...weights.keys()].map((name) => [name, picture.weights.get(name) ?? null] as const);
  return {
    membership: decided.membership,
    force,
    weights: { before: Object.fromEntries(before), after: Object.fromEntries(weights) },
    pins: pins.map(({ shards, name }) => ({ ...shards, name })),
    moves: moves.map(({ shards, worker }) => ({ ...shards, worker })),
    shards: decided.moves.length,
  };
}
