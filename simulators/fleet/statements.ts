/** What the database is asked: statements by name, and rows of the shards' table that they read and write. */
import type { OwnershipStore } from '../../src/engine/fleet-ports.ts';
import type { WorldChance } from '../world/chance.ts';
import { methodsOf } from '../world/database.ts';
import type { SimProcess } from '../world/process.ts';
import type { VirtualTime } from '../world/time.ts';

export type StatementName = keyof OwnershipStore;

export interface StatementCount {
  statements: number;
  /** Rows of the shards' table. */
  read: number;
  written: number;
}

/** Counts of a stretch of time, and of its busiest second and tenth of a second. */
export class Statements {
  readonly byName = new Map<StatementName, StatementCount>();
  total = 0;
  written = 0;
  /** Times that a worker sent signals to all others. */
  flushes = 0;
  #seconds = new Map<number, StatementCount>();
  #tenths = new Map<number, number>();

  note(name: StatementName, now: number, read: number, written: number): void {
    this.total++;
    this.written += written;
    add(this.byName, name, read, written);
    add(this.#seconds, Math.floor(now / 1_000), read, written);
    const tenth = Math.floor(now / 100);
    this.#tenths.set(tenth, (this.#tenths.get(tenth) ?? 0) + 1);
  }

  /** The most statements, and written rows, of any one second. */
  get busiestSecond(): { readonly statements: number; readonly written: number } {
    let statements = 0;
    let written = 0;
    for (const second of this.#seconds.values()) {
      statements = Math.max(statements, second.statements);
      written = Math.max(written, second.written);
    }
    return { statements, written };
  }

  get busiestTenth(): number {
    let most = 0;
    for (const count of this.#tenths.values()) most = Math.max(most, count);
    return most;
  }
}

function add<Key>(counts: Map<Key, StatementCount>, key: Key, read: number, written: number): void {
  const known = counts.get(key) ?? { statements: 0, read: 0, written: 0 };
  known.statements++;
  known.read += read;
  known.written += written;
  counts.set(key, known);
}

export interface LinkOptions {
  readonly process: SimProcess;
  readonly time: VirtualTime;
  readonly chance: WorldChance;
  readonly shards: number;
  /** Told each statement as it is executed. */
  readonly onStatement: (name: StatementName, read: number, written: number) => void;
}

/** The way from one process to the store: a statement takes as long as a network and a database do, none fails. */
export function linkStore(store: OwnershipStore, options: LinkOptions): OwnershipStore {
  const { process, time, chance } = options;
  const target = store as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>;
  const linked: Record<string, (...args: unknown[]) => Promise<unknown>> = {};
  for (const name of methodsOf(store)) {
    linked[name] = (...args) =>
      new Promise((resolve, reject) => {
        // A plan is visible to others when it is written.
        const moves = name === 'applyPlan' ? (args[1] as readonly unknown[]).length : 0;
        time.after(oneWayMs(chance) + moves * WRITE_ROW_MS, async () => {
          try {
            const answer = await target[name]?.apply(store, args);
            const [read, written] = rowsOf(name as StatementName, args, answer, options.shards);
            options.onStatement(name as StatementName, read, written);
            time.after(oneWayMs(chance) + read * READ_ROW_MS, () => process.enter(() => resolve(answer)));
          } catch (error) {
            reject(error);
          }
        });
      });
  }
  return linked as unknown as OwnershipStore;
}

/** What a row of the shards' table costs, as `costs.ts` shows of a real database. */
const READ_ROW_MS = 0.003;
const WRITE_ROW_MS = 0.016;

/** Half of 1 to 3 ms, with a tail. */
function oneWayMs(chance: WorldChance): number {
  return 0.5 + chance.around(0.3);
}

/** Rows of the shards' table that a statement has read and written. */
function rowsOf(name: StatementName, args: readonly unknown[], answer: unknown, shards: number): [number, number] {
  if (name === 'beginPlan') return [answer === null ? 0 : shards, 0];
  if (name === 'view') return [shards, 0];
  if (name === 'applyPlan') return [0, answer === true ? (args[1] as readonly unknown[]).length : 0];
  if (name === 'handOver') return [0, (answer as readonly unknown[]).length];
  if (name === 'ownShards') return [(answer as readonly unknown[]).length, 0];
  return [0, 0];
}
