/** Leases on a real server whose clock is set, by libfaketime where it is installed. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { findLibrary, WallClocks } from '../../simulators/chaos/clocks.ts';
import { type PostgresServer, startPostgres } from '../../simulators/postgres/embedded.ts';
import { migrate } from '../../src/adapters/postgres/migrate.ts';
import { openStores } from '../../src/adapters/postgres/stores.ts';
import { createSystemClock } from '../../src/adapters/system-clock.ts';
import { Ownership } from '../../src/engine/ownership.ts';
import { StoreWork } from '../../src/engine/store-work.ts';
import { createMetrics, recipientHasher, Telemetry } from '../../src/telemetry.ts';
import { leaveOut } from '../support/optional.ts';

const LEASE_MS = 2_000;
const RENEW_MS = 300;
const SHARDS = 8;
const HOUR_S = 3_600;

const library = findLibrary();
if (library === null) leaveOut('faketime', 'libfaketime is not installed', 'no server’s clock is set');

/** A worker on stores of its own. */
class Worker {
  readonly ownership: Ownership;
  readonly clock = createSystemClock();
  readonly #telemetry = new Telemetry();
  readonly #opened: ReturnType<typeof openStores>;
  #reachesStore = true;

  constructor(url: string, name: string) {
    this.#opened = openStores({
      url,
      lanes: 1,
      poolMax: 2,
      connectTimeoutMs: 5_000,
      statementTimeoutMs: 2_000,
      idleInTransactionSessionTimeoutMs: 1_000,
      preparedStatements: true,
      sessionSettings: 'startup',
      shards: SHARDS,
      historyRetentionDays: 30,
      auditRetentionDays: 365,
      dedupeDays: 8,
      allowUnsafeSettings: true,
    });
    const store = this.#opened.stores.ownership;
    this.ownership = new Ownership({
      // Cut off, it hears and says nothing.
      store: new Proxy(store, {
        get:
          (target, method) =>
          (...args: unknown[]) => {
            if (!this.#reachesStore) return Promise.reject(new Error('cut off'));
            return (Reflect.get(target, method) as (...args: unknown[]) => unknown).apply(target, args);
          },
      }),
      clock: this.clock,
      signals: null,
      instruments: {
        log: { event: () => undefined, flush: () => undefined, writes: () => true },
        metrics: createMetrics({ version: 'test' }),
        telemetry: this.#telemetry,
        hash: recipientHasher('a key of this test'),
      },
      chance: Math.random,
      newWorkerId: () => `${name}-${crypto.randomUUID()}`,
      name,
      roles: ['worker'],
      weight: 1,
      leaseMs: LEASE_MS,
      renewEveryMs: RENEW_MS,
      pollEveryMs: 50,
      hears: null,
      work: new StoreWork(this.clock),
      onBegun: () => Promise.resolve(),
      onAcquired: () => Promise.resolve(),
      onLeaving: () => undefined,
      isQuiet: () => true,
      onReleased: () => undefined,
      onTrusted: () => undefined,
      onLost: () => undefined,
      onFailure: (error) => {
        throw error;
      },
    });
  }

  async start(): Promise<void> {
    await this.ownership.service.start();
    onTestFinished(async () => {
      this.#reachesStore = true;
      await this.ownership.service.stop();
      await this.#opened.close();
    });
  }

  cutOff(): void {
    this.#reachesStore = false;
  }

  /** Its lease is trusted for this shard. */
  trusts(shard: number): boolean {
    return this.ownership.outlives(shard, 0);
  }

  async holds(count: number): Promise<void> {
    while (this.ownership.shards.size !== count) {
      const changed = new AbortController();
      const names = ['ownership.acquired', 'ownership.handed_over', 'ownership.lost'] as const;
      await Promise.race(names.map((each) => this.#telemetry.once(each, () => true, changed.signal).catch(() => null)));
      changed.abort();
    }
  }
}

describe.skipIf(library === null)('a server whose clock is set', () => {
  let directory: string;
  let clocks: WallClocks;
  let server: PostgresServer;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'roomline-clock-'));
    // As root, Postgres runs under another account, which must be able to read when it is.
    chmodSync(directory, 0o755);
    clocks = new WallClocks(directory, library);
    for (const [name, value] of Object.entries(clocks.environment('postgres'))) vi.stubEnv(name, value);
    vi.stubEnv('FAKETIME_NO_CACHE', '1');
    server = await startPostgres({ directory: join(directory, 'postgres') });
    vi.unstubAllEnvs();
  });
  afterAll(async () => {
    await server?.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  /** Two workers with half of the shards each, on a database of their own. */
  async function pair(name: string): Promise<[Worker, Worker]> {
    const admin = new pg.Client({ connectionString: server.url() });
    await admin.connect();
    await admin.query(`CREATE DATABASE "${name}"`);
    await admin.end();
    await migrate(server.url(name), { shards: SHARDS });
    const [first, second] = [new Worker(server.url(name), 'first'), new Worker(server.url(name), 'second')];
    await first.start();
    await second.start();
    await Promise.all([first.holds(SHARDS / 2), second.holds(SHARDS / 2)]);
    return [first, second];
  }

  it('back by an hour gives a dead worker’s shards away within two leases, and no live one’s', async () => {
    const [first, second] = await pair('back');
    clocks.set('postgres', -HOUR_S);
    first.cutOff();
    const setAt = performance.now();
    await second.holds(SHARDS);
    expect(performance.now() - setAt).toBeLessThan(2 * LEASE_MS + 1_000);
    for (let shard = 0; shard < SHARDS; shard++) expect(first.trusts(shard)).toBe(false);
    expect(Date.now() - second.clock.now()).toBeLessThan(HOUR_S * 1_000);
    clocks.set('postgres', 0);
  });

  it('ahead by an hour lets nobody hold a shard whose holder still trusts its lease', async () => {
    const [first, second] = await pair('ahead');
    const shards = [...first.ownership.shards];
    const both: number[] = [];
    // Whenever the second has got a shard, the first must not trust its own lease there.
    const taken = second.ownership.shards as Set<number>;
    const add = taken.add.bind(taken);
    taken.add = (shard) => {
      if (first.trusts(shard)) both.push(shard);
      return add(shard);
    };
    first.cutOff();
    clocks.set('postgres', HOUR_S);
    await second.holds(0);
    await second.holds(SHARDS);
    expect(both).toEqual([]);
    expect(shards.every((shard) => second.ownership.holds(shard))).toBe(true);
    clocks.set('postgres', 0);
  });
});
