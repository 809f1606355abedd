/**
 * `node simulators/fleet/balance.ts` measures the assignment of shards: how even it is, how much one join or leave moves,
 * and how long it takes. It ends with status 1 where a figure is worse than it may be.
 */
import { assign, type WeightedWorker } from '../../src/room/assignment.ts';

type Owners = readonly (string | null)[];

const SHARDS = 4_096;
const MOST_WORKERS = 64;
const SHOWN = [1, 2, 4, 8, 16, 32, 48, 64];
/** Joins and leaves of workers drawn by chance, before the loads "after a history" are read. */
const CHANGES = 100;
const LIMIT_BALANCE = 1.06;
const LIMIT_MOVED = 1.1;

interface Row {
  readonly workers: number;
  /** Highest load over the mean load: from nothing, and after workers have come and gone for a while. */
  readonly fresh: number;
  readonly used: number;
  /** Moved shards as a multiple of one worker's share, of the larger of the two fleets: the greatest of all changes. */
  readonly joined: number;
  readonly left: number;
}

function measure(count: number, chance: () => number): Row {
  const workers = named(count);
  let owners: Owners = assign({ owners: unowned(SHARDS), workers }).wanted;
  const fresh = unevenness(owners, workers);
  let live = workers;
  let born = count;
  let used = fresh;
  let joined = 0;
  let left = 0;
  for (let change = 0; change < CHANGES; change++) {
    const joins = live.length <= count && (live.length < count || change % 2 === 0);
    const leaver = Math.floor(chance() * live.length);
    const next: WeightedWorker[] = joins
      ? [...live, { worker: `worker-${born++}`, weight: 1 }]
      : live.filter((_, index) => index !== leaver);
    const { wanted, moves } = assign({ owners, workers: next });
    const moved = (moves.length * Math.max(live.length, next.length)) / SHARDS;
    if (joins) joined = Math.max(joined, moved);
    else left = Math.max(left, moved);
    used = Math.max(used, unevenness(wanted, next));
    owners = wanted;
    live = next;
  }
  return { workers: count, fresh, used, joined, left };
}

function unevenness(owners: Owners, workers: readonly WeightedWorker[]): number {
  const loads = new Map<string, number>();
  for (const owner of owners) if (owner !== null) loads.set(owner, (loads.get(owner) ?? 0) + 1);
  return (Math.max(...loads.values()) * workers.length) / owners.length;
}

function named(count: number): WeightedWorker[] {
  return Array.from({ length: count }, (_, n) => ({ worker: `worker-${n}`, weight: 1 }));
}

function unowned(shards: number): null[] {
  return new Array<null>(shards).fill(null);
}

/** A small generator of its own, so that two runs print the same. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

function printTimes(): void {
  const shards = 65_536;
  const workers = named(1_000);
  const full = assign({ owners: unowned(shards), workers }).wanted;
  const cases: [string, Owners, WeightedWorker[]][] = [
    ['from nothing', unowned(shards), workers],
    ['one owns all, 999 join', new Array<string>(shards).fill('worker-0'), workers],
    ['one joins', full, named(1_001)],
    ['one leaves', full, workers.slice(1)],
    ['nothing has changed', full, workers],
  ];
  console.log('\n65,536 shards, 1,000 workers: median of 5');
  for (const [what, owners, live] of cases) {
    const times = Array.from({ length: 5 }, () => {
      const startedAt = performance.now();
      assign({ owners, workers: live });
      return performance.now() - startedAt;
    }).sort((a, b) => a - b);
    const { moves } = assign({ owners, workers: live });
    console.log(`  ${what.padEnd(24)} ${(times[2] ?? 0).toFixed(0).padStart(4)} ms  ${moves.length} moves`);
  }
}

const chance = seeded(1);
const rows = Array.from({ length: MOST_WORKERS }, (_, index) => measure(index + 1, chance));
console.log(
  `${SHARDS} shards, equal workers; moved: greatest of ${CHANGES} changes by one worker, as a multiple of 1/n`,
);
console.log('workers  max/mean  after a history  moved by a join  by a leave');
for (const row of rows.filter(({ workers }) => SHOWN.includes(workers))) print(String(row.workers), row);
const greatest = (of: (row: Row) => number): number => Math.max(...rows.map(of));
const worst: Row = {
  workers: 0,
  fresh: greatest(({ fresh }) => fresh),
  used: greatest(({ used }) => used),
  joined: greatest(({ joined }) => joined),
  left: greatest(({ left }) => left),
};
print('worst', worst);
printTimes();
if (worst.used > LIMIT_BALANCE || worst.joined > LIMIT_MOVED || worst.left > LIMIT_MOVED) {
  console.log(`\nWorse than max/mean ${LIMIT_BALANCE} or ${LIMIT_MOVED}/n moved`);
  process.exitCode = 1;
}

function print(name: string, { fresh, used, joined, left }: Row): void {
  const cells = [fresh, used, joined, left].map((value, index) =>
    value.toFixed(3).padStart([9, 17, 17, 12][index] ?? 0),
  );
  console.log(name.padStart(7) + cells.join(''));
}
