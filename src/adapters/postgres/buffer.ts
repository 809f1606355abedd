import {
  type BufferCursors,
  type CursorMove,
  CursorMovedError,
  type PartitionState,
  type PartitionsView,
} from '../../engine/buffer-ports.ts';
import { integers } from './arrays.ts';
import type { Command } from './exchange.ts';
import type { Pool } from './pool.ts';
import { STATEMENTS } from './statements.ts';

interface SeenRecord extends PartitionState {
  readonly held: boolean;
  readonly free: boolean;
  readonly consumers: number;
}

export class PostgresBufferCursors implements BufferCursors {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  async layOut(partitions: number): Promise<number> {
    for (;;) {
      const { rows } = await this.#pool.run(STATEMENTS.layOutBuffer, [partitions]);
      const count = (rows[0] as { partitions: number }).partitions;
      // Where another process made them at this moment, this statement saw none and made none.
      if (count > 0 || partitions === 0) return count;
    }
  }

  async layOutAnew(partitions: number): Promise<boolean> {
    const { rows } = await this.#pool.run(STATEMENTS.layOutBufferAnew, [partitions]);
    return (rows[0] as { done: boolean }).done;
  }

  async look(consumer: string, leaseMs: number): Promise<PartitionsView> {
    const rows = (await this.#pool.run(STATEMENTS.lookAtBuffer, [consumer, leaseMs])).rows as SeenRecord[];
    return {
      consumers: rows[0]?.consumers ?? 1,
      held: rows.filter(({ held }) => held).map(stateOf),
      free: rows.filter(({ held, free }) => free && !held).map(({ partition }) => partition),
    };
  }

  async take(consumer: string, partitions: readonly number[], leaseMs: number): Promise<readonly PartitionState[]> {
    const values = [consumer, integers(partitions), leaseMs];
    const { rows } = await this.#pool.run(STATEMENTS.takeBufferPartitions, values);
    return (rows as PartitionState[]).map(stateOf);
  }

  async release(consumer: string, partitions: readonly number[]): Promise<void> {
    await this.#pool.run(STATEMENTS.releaseBufferPartitions, [consumer, integers(partitions)]);
  }

  async leave(consumer: string): Promise<void> {
    await this.#pool.run(STATEMENTS.releaseBufferPartitions, [consumer, null]);
    await this.#pool.run(STATEMENTS.removeBufferConsumer, [consumer]);
  }

  async read(partition: number): Promise<PartitionState | null> {
    const { rows } = await this.#pool.run(STATEMENTS.readBufferPartition, [partition]);
    return rows.length === 0 ? null : stateOf(rows[0] as PartitionState);
  }

  async move(move: CursorMove): Promise<void> {
    const [statement, values] = moveCommand(move, 0);
    await this.#pool.run(statement, values).catch(throwMoved);
  }

  async restart({ partition, term, from, to }: CursorMove, history: string): Promise<void> {
    const values = [partition, term, from, to, history];
    const { rowCount } = await this.#pool.run(STATEMENTS.restartBufferPartition, values);
    if (rowCount !== 1) throw new CursorMovedError();
  }
}

function stateOf({ partition, term, cursor, history }: PartitionState): PartitionState {
  return { partition, term, cursor, history };
}

/** Moves a cursor in the transaction of an append to so many rooms; alone, of none. */
export function moveCommand({ partition, term, from, to }: CursorMove, rooms: number): Command {
  return [STATEMENTS.moveBufferCursor, [partition, term, from, to, rooms]];
}

/** What the function of the database refuses with. */
const MOVED = 'RL001';

/** @throws CursorMovedError where that is what the error says; else the error */
export function throwMoved(error: unknown): never {
  throw (error as { code?: unknown }).code === MOVED ? new CursorMovedError('the cursor has moved') : error;
}
