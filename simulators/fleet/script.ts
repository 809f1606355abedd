/** What happens to a fleet, one phase after the other, and what came of each. */
import { shardOf } from '../../src/room/shard.ts';
import { chanceFor } from '../world/chance.ts';
import { Fleet, type FleetSettings } from './fleet.ts';
import { type Cause, quantileOverRooms, type Standstill } from './standstill.ts';
import { Statements } from './statements.ts';

export interface ScriptSettings extends FleetSettings {
  /** The fleet grows from `few` workers to `many` and back. */
  readonly few: number;
  readonly many: number;
}

export interface Quantiles {
  readonly rooms: number;
  /** Over rooms, in ms. */
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export interface PhaseFigures {
  readonly name: string;
  readonly seconds: number;
  readonly workers: number;
  readonly moved: number;
  /** The least that its steps can move, each by itself: what leavers hold, and the share of those that join. */
  readonly least: number;
  /** After its last step, until every shard is worked on and none is to move; null for a phase without steps. */
  readonly settledMs: number | null;
  readonly unevenness: { readonly shards: number; readonly rooms: number };
  readonly standstill: Readonly<Record<Cause, Quantiles | null>>;
  readonly statements: Statements;
}

export interface FleetFigures {
  readonly settings: ScriptSettings;
  readonly phases: readonly PhaseFigures[];
  readonly broken: readonly string[];
  readonly events: number;
}

const LIMIT_MS = 120_000;
const LOOK_MS = 10;

export async function runScript(
  settings: ScriptSettings,
  onPhase: (figures: PhaseFigures) => void,
): Promise<FleetFigures> {
  const script = new Script(settings, onPhase);
  await script.run();
  const { fleet, phases } = script;
  return { settings, phases, broken: fleet.broken, events: fleet.time.events };
}

class Script {
  readonly phases: PhaseFigures[] = [];
  readonly fleet: Fleet;
  readonly #settings: ScriptSettings;
  readonly #onPhase: (figures: PhaseFigures) => void;
  readonly #pick;
  #least = 0;

  constructor(settings: ScriptSettings, onPhase: (figures: PhaseFigures) => void) {
    this.#settings = settings;
    this.#onPhase = onPhase;
    this.fleet = new Fleet(settings, roomsByShard(settings.rooms, settings.shards));
    this.#pick = chanceFor(settings.seed, 'script');
  }

  async run(): Promise<void> {
    const { few, many } = this.#settings;
    const step = Math.max(1, Math.round(many / 20));
    await this.#phase(`${few} start`, () => this.#join(few, 5_000));
    await this.#phase(`grow to ${many}, ${step} each 5 s`, async () => {
      while (this.fleet.size < many) {
        await this.#join(Math.min(step, many - this.fleet.size), 2_000);
        await this.#wait(3_000);
      }
    });
    await this.#phase('nothing happens', () => this.#wait(30_000), false);
    await this.#phase('one joins', () => this.#join(1, 0));
    await this.#phase('one leaves', () => this.#leave(1));
    await this.#phase('one is killed', () => this.#kill(1));
    await this.#phase('one takes its place', () => this.#join(1, 0));
    await this.#phase(`${many / 10} are killed at once`, () => this.#kill(many / 10));
    await this.#phase(`${many / 10} take their place`, () => this.#join(many / 10, 5_000));
    await this.#phase(`rolling restart, ${step} each 10 s`, () => this.#restart(step));
    await this.#phase(`shrink to ${few}, ${step} each 5 s`, async () => {
      while (this.fleet.size > few) {
        await this.#leave(Math.min(step, this.fleet.size - few));
        await this.#wait(4_000);
      }
    });
  }

  async #phase(name: string, act: () => Promise<void>, settles = true): Promise<void> {
    const { fleet } = this;
    fleet.statements = new Statements();
    fleet.service.take();
    this.#least = 0;
    const began = fleet.time.now;
    await act();
    const acted = fleet.time.now;
    if (settles) await this.#settle(name);
    const settledMs = settles ? fleet.time.now - acted : null;
    // What it still causes after that is counted, too.
    await this.#wait(5_000);
    const { standstills, moved } = fleet.service.take();
    const figures: PhaseFigures = {
      name,
      seconds: (fleet.time.now - began) / 1_000,
      workers: fleet.size,
      moved,
      least: Math.round(this.#least),
      settledMs,
      unevenness: fleet.service.unevenness(fleet.size),
      standstill: { 'hand-over': quantiles(standstills, 'hand-over'), death: quantiles(standstills, 'death') },
      statements: fleet.statements,
    };
    this.phases.push(figures);
    this.#onPhase(figures);
  }

  async #settle(name: string): Promise<void> {
    const { fleet } = this;
    const end = fleet.time.now + LIMIT_MS;
    while (!(await fleet.isSettled())) {
      if (fleet.time.now >= end) {
        fleet.broken.push(`${name}: not settled after ${LIMIT_MS} ms, ${fleet.service.idle} shards without a worker`);
        return;
      }
      await this.#wait(LOOK_MS);
    }
  }

  #wait(ms: number): Promise<void> {
    return this.fleet.time.runUntil(this.fleet.time.now + ms, () => false);
  }

  async #join(count: number, withinMs: number): Promise<void> {
    const before = this.fleet.size;
    this.fleet.join(count, withinMs);
    await this.#wait(withinMs + 1);
    if (before > 0) this.#least += (this.#settings.shards * count) / (before + count);
  }

  async #leave(count: number): Promise<void> {
    const leaving = this.#chosen(count);
    let left = 0;
    for (const node of leaving) {
      void this.fleet.leave(node).then(() => left++);
    }
    const end = this.fleet.time.now + LIMIT_MS;
    await this.fleet.time.runUntil(end, () => left === count);
    if (left < count) this.fleet.broken.push(`${count - left} workers have not left after ${LIMIT_MS} ms`);
  }

  async #kill(count: number): Promise<void> {
    for (const node of this.#chosen(count)) this.fleet.crash(node);
    await this.#wait(1);
  }

  /** Each is replaced by a new one as soon as it has gone. */
  async #restart(batch: number): Promise<void> {
    const old = this.fleet.nodes;
    for (let from = 0; from < old.length; from += batch) {
      const began = this.fleet.time.now;
      const nodes = old.slice(from, from + batch);
      let left = 0;
      for (const node of nodes) {
        this.#least += this.fleet.shardsOf(node) + this.#settings.shards / old.length;
        void this.fleet.leave(node).then(() => {
          left++;
          this.fleet.join(1, 0);
        });
      }
      await this.fleet.time.runUntil(began + LIMIT_MS, () => left === nodes.length);
      await this.#wait(Math.max(0, began + 10_000 - this.fleet.time.now));
    }
  }

  #chosen(count: number): readonly string[] {
    const nodes = [...this.fleet.nodes];
    const chosen: string[] = [];
    for (let n = 0; n < count; n++) {
      const [node] = nodes.splice(this.#pick.between(0, nodes.length - 1), 1);
      if (node === undefined) throw new Error('there are not so many workers');
      this.#least += this.fleet.shardsOf(node);
      chosen.push(node);
    }
    return chosen;
  }
}

function quantiles(standstills: readonly Standstill[], cause: Cause): Quantiles | null {
  const own = standstills.filter((each) => each.cause === cause);
  const [p50, p99, max] = [0.5, 0.99, 1].map((part) => quantileOverRooms(own, part));
  if (p50 == null || p99 == null || max == null) return null;
  return { rooms: own.reduce((sum, { rooms }) => sum + rooms, 0), p50, p99, max };
}

/** Rooms as counts: how many of so many hash to each shard. */
function roomsByShard(rooms: number, shards: number): Uint32Array {
  const counts = new Uint32Array(shards);
  for (let n = 0; n < rooms; n++) {
    const shard = shardOf({ tenant: 'default', channel: 'whatsapp-1', room: `room-${n}` }, shards);
    counts[shard] = (counts[shard] ?? 0) + 1;
  }
  return counts;
}
