/**
 * `node simulators/fleet/costs.ts` asks a real Postgres what the statements of ownership cost in a fleet of 1,000 workers
 * and 65,536 shards, one session, one statement after the other.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { migrate } from '../../src/adapters/postgres/migrate.ts';
import { openStores } from '../../src/adapters/postgres/stores.ts';
import type { OwnershipStore, ShardMove } from '../../src/engine/fleet-ports.ts';
import { planOf } from '../../src/engine/plan.ts';
import { startPostgres } from '../postgres/embedded.ts';

const { values } = parseArgs({
  options: {
    workers: { type: 'string', default: '1000' },
    shards: { type: 'string', default: '65536' },
    /** How often each statement is measured. */
    times: { type: 'string', default: '200' },
  },
});
const [workers, shards, times] = [values.workers, values.shards, values.times].map(Number) as [number, number, number];
/** Longer than any measurement takes. */
const LEASE_MS = 600_000;
const LONG_MS = 60_000;

const directory = mkdtempSync(join(tmpdir(), 'roomline-costs-'));
const server = await startPostgres({ directory });
try {
  await migrate(server.url(), { shards });
  const { stores, close } = openStores({
    url: server.url(),
    lanes: 1,
    poolMax: 8,
    connectTimeoutMs: 5_000,
    statementTimeoutMs: LONG_MS,
    idleInTransactionSessionTimeoutMs: LONG_MS,
    preparedStatements: true,
    dedupeDays: 8,
    historyRetentionDays: 30,
    auditRetentionDays: 365,
    allowUnsafeSettings: false,
  });
  try {
    await measureAll(stores.ownership);
  } finally {
    await close();
  }
} finally {
  await server.stop();
  rmSync(directory, { recursive: true, force: true });
}

async function measureAll(store: OwnershipStore): Promise<void> {
  const names = Array.from({ length: workers }, (_, n) => `worker-${String(n).padStart(5, '0')}`);
  for (const worker of names) await register(store, worker);
  const first = await timed(() => plan(store, names[0] as string));
  print(`the plan that gives ${shards} shards to ${workers} workers`, [first]);

  let next = 0;
  const one = (): string => names[next++ % names.length] as string;
  print('renew', await each(() => store.renew(one(), LEASE_MS)));
  print('glance', await each(() => store.glance(one())));
  print('ownShards', await each(() => store.ownShards(one())));
  print('beginPlan, where nothing is to be planned', await each(() => store.beginPlan(one())));
  print('expiredWorkers', await each(() => store.expiredWorkers()));
  await register(store, 'newcomer');
  const view = await store.beginPlan('newcomer');
  if (view === null) throw new Error('the newcomer may not plan');
  const herd = await timed(() => Promise.all(names.map((name) => store.beginPlan(name))));
  print(`beginPlan of all ${workers} at once, while another is at it`, [herd]);
  await store.applyPlan(view.membership, planOf(view));

  const joins: number[] = [];
  const handOvers: number[] = [];
  for (let n = 0; n < 10; n++) {
    const joined = `joined-${n}`;
    await register(store, joined);
    let moves: readonly ShardMove[] = [];
    joins.push(
      await timed(async () => {
        moves = await plan(store, joined);
      }),
    );
    for (const giver of new Set(moves.map(({ from }) => from))) {
      const leaving = (await store.ownShards(giver as string)).filter(({ heir }) => heir !== null);
      handOvers.push(await timed(() => store.handOver(giver as string, leaving)));
    }
  }
  print('a plan for one more worker, read and stored', joins);
  print('handOver of what one giver gives to it', handOvers);
}

async function register(store: OwnershipStore, worker: string): Promise<void> {
  await store.register({ worker, name: worker, roles: ['worker'], weight: 1, leaseMs: LEASE_MS, hears: null });
}

async function plan(store: OwnershipStore, worker: string): Promise<readonly ShardMove[]> {
  const view = await store.beginPlan(worker);
  if (view === null) throw new Error(`${worker} may not plan`);
  const moves = planOf(view);
  if (!(await store.applyPlan(view.membership, moves))) throw new Error('the plan was refused');
  return moves;
}

async function each(run: () => Promise<unknown>): Promise<number[]> {
  const all: number[] = [];
  for (let n = 0; n < times; n++) all.push(await timed(run));
  return all;
}

async function timed(run: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await run();
  return performance.now() - startedAt;
}

function print(what: string, ms: readonly number[]): void {
  const sorted = [...ms].sort((a, b) => a - b);
  const at = (part: number): string =>
    (sorted[Math.ceil(sorted.length * part) - 1] ?? Number.NaN).toFixed(2).padStart(9);
  console.log(`${what.padEnd(56)} ${at(0.5)} ms p50 ${at(0.99)} ms p99  (${ms.length})`);
}
