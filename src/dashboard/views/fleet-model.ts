/** What the fleet's lists come to, for eyes. */
import type { RebalancedView } from '../../http/fleet-schemas.ts';
import { count, counted } from '../format.ts';
import type { Shard, Worker } from './fleet-data.ts';

/** Owners have one of so many colours; further ones begin again, and are told apart by their names. */
export const OWNER_COLOURS = 8;

/** A colour for each worker that has, gets or had shards: by the order of their names, so that it stays as they come and go. */
export function coloursOf(workers: readonly Worker[]): ReadonlyMap<string, number> {
  const holders = workers
    .filter(({ roles, shards, promised }) => roles.includes('worker') || shards > 0 || promised > 0)
    .toSorted((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }) || a.registeredAt - b.registeredAt);
  return new Map(holders.map(({ worker }, index) => [worker, index % OWNER_COLOURS]));
}

/** `0–9, 12, 20–31`: numbers as people write them, in their order. */
export function rangesOf(numbers: readonly number[]): string {
  const ranges: [first: number, last: number][] = [];
  for (const number of numbers) {
    const open = ranges.at(-1);
    if (open !== undefined && open[1] === number - 1) open[1] = number;
    else ranges.push([number, number]);
  }
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}–${last}`)).join(', ');
}

export interface OwnerRow {
  /** Null: nobody. */
  readonly worker: string | null;
  readonly name: string;
  readonly shards: number;
  /** Of these, those that are to be handed over. */
  readonly leaving: number;
  readonly pinned: number;
  readonly rooms: number;
  readonly waiting: number;
}

/** The shards by their owners, the fullest first, those of nobody before all. */
export function ownersOf(shards: readonly Shard[]): OwnerRow[] {
  const rows = new Map<string | null, { -readonly [K in keyof OwnerRow]: OwnerRow[K] }>();
  for (const { owner, heir, pin, rooms, waiting } of shards) {
    const worker = owner?.worker ?? null;
    const row = rows.get(worker) ?? {
      worker,
      name: owner === null ? 'nobody' : (owner.name ?? owner.worker),
      ...{ shards: 0, leaving: 0, pinned: 0, rooms: 0, waiting: 0 },
    };
    row.shards++;
    row.leaving += heir === null ? 0 : 1;
    row.pinned += pin === null ? 0 : 1;
    row.rooms += rooms;
    row.waiting += waiting;
    rows.set(worker, row);
  }
  return [...rows.values()].toSorted(
    (a, b) => Number(a.worker !== null) - Number(b.worker !== null) || b.shards - a.shards,
  );
}

/** How many columns a map of so many shards has: as many as rows, in powers of two. */
export function columnsFor(shards: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, Math.sqrt(shards))));
}

/** The one line that says what a rebalance comes to. */
export function movesLine({ moved, moves }: Pick<RebalancedView, 'moved' | 'moves'>): string {
  if (moved === 0) return 'Nothing moves: the shards are where they are to be.';
  const ways = new Map<string, number>();
  for (const { from, to } of moves) {
    const way = `${from?.name ?? from?.worker ?? 'nobody'} → ${to?.name ?? to?.worker ?? 'stays'}`;
    ways.set(way, (ways.get(way) ?? 0) + 1);
  }
  const named = [...ways].toSorted(([, a], [, b]) => b - a).map(([way, times]) => `${way}: ${count(times)}`);
  const all = moves.length === moved ? '' : `, of the first ${count(moves.length)}`;
  return `${counted(moved, 'shard')} ${moved === 1 ? 'moves' : 'move'} (${named.join('; ')}${all}).`;
}

/** What a text such as `7` or `100-199` names. Null where it is neither. */
export function rangeIn(text: string): { readonly first: number; readonly last: number } | null {
  const [, first, last = first] = /^\s*(\d{1,5})\s*(?:[-–]\s*(\d{1,5})\s*)?$/.exec(text) ?? [];
  if (first === undefined || Number(last) < Number(first)) return null;
  return { first: Number(first), last: Number(last) };
}
