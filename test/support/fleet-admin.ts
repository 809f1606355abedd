/** A fleet on memory stores behind an HTTP server, for tests of what operators see and do. No process runs in it. */
import { onTestFinished } from 'vitest';
import { openMemoryStores } from '../../src/adapters/memory/stores.ts';
import { FleetOperations } from '../../src/engine/fleet-operations.ts';
import type { FleetStore } from '../../src/engine/operator-ports.ts';
import { planOf } from '../../src/engine/plan.ts';
import type { Signal } from '../../src/engine/ports.ts';
import { handOverLimitMs } from '../../src/room/shard.ts';
import { Backend, makeServer } from '../http/fixture.ts';
import { registrationOf } from './fleet.ts';

export const SHARDS = 256;
const LEASE_MS = 10_000;
export const HAND_OVER_MS = handOverLimitMs(LEASE_MS);
const START_MS = Date.UTC(2026, 0, 1);

export class FleetBed {
  /** The database's clock. */
  now = START_MS;
  /** Monotonic, of the process that is asked. */
  ticks = 0;
  readonly signals: Signal[] = [];
  readonly backend = new Backend();
  readonly #memory: ReturnType<typeof openMemoryStores>;
  readonly #fleet: FleetStore;

  /** @param over replaces calls of the store */
  constructor(over: (store: FleetStore) => Partial<FleetStore> = () => ({}), shards = SHARDS) {
    this.#memory = openMemoryStores({ shards, now: () => this.now });
    const store = this.#memory.operators.fleet;
    this.#fleet = {
      look: () => store.look(),
      countWork: () => store.countWork(),
      change: (...args) => store.change(...args),
      ...over(store),
    };
    this.backend.dependencies.fleet = new FleetOperations({
      store: this.#fleet,
      audit: this.#memory.operators.audit,
      signals: { publish: (signal) => void this.signals.push(signal) },
      clock: { monotonic: () => this.ticks },
    });
  }

  get stores() {
    return this.#memory.stores;
  }

  look() {
    return this.#memory.operators.fleet.look();
  }

  audit() {
    return this.#memory.operators.audit.list({ before: null, limit: 100, subject: null });
  }

  /** Starts a server for it and returns its address. */
  async serve(): Promise<string> {
    const { server } = makeServer({}, this.backend);
    await server.service.start();
    onTestFinished(() => server.service.stop());
    return server.url;
  }

  /** Registers a worker on a node of this name; its id is the name and `-1`. */
  async join(name: string, more: Parameters<typeof registrationOf>[2] = {}): Promise<void> {
    await this.stores.ownership.register(registrationOf(`${name}-1`, LEASE_MS, { name, ...more }));
  }

  /** What workers do by themselves: plan where a plan is due. */
  async plan(): Promise<void> {
    const { ownership } = this.stores;
    const view = await ownership.beginPlan('a planner');
    if (view !== null) await ownership.applyPlan(view.membership, planOf(view));
  }

  /** And hand over what has an heir. */
  async handOver(): Promise<void> {
    const { ownership } = this.stores;
    for (const { worker } of (await ownership.view()).members) {
      await ownership.handOver(worker, await ownership.ownShards(worker));
    }
  }

  /** Workers of these names, with all shards distributed. */
  async withWorkers(...names: readonly string[]): Promise<this> {
    for (const name of names) await this.join(name);
    await this.plan();
    await this.handOver();
    return this;
  }

  /** How many shards each worker owns. */
  async owned(): Promise<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (const { owner } of (await this.look()).shards)
      counts[owner ?? 'nobody'] = (counts[owner ?? 'nobody'] ?? 0) + 1;
    return counts;
  }

  /** Everything that a change may change. */
  async rows(): Promise<unknown> {
    return { picture: await this.look(), audit: await this.audit(), signals: [...this.signals] };
  }
}
