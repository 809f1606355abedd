/** The fleet as operators see and change it. */
import type {
  AuditNote,
  FleetChange,
  FleetPicture,
  FleetStore,
  RegisteredWorker,
  ShardState,
  ShardWork,
} from '../../engine/operator-ports.ts';
import { integers, texts } from './arrays.ts';
import type { Pool } from './pool.ts';
import { STATEMENTS } from './statements.ts';

interface RegisteredRecord {
  readonly worker: string;
  readonly name: string;
  readonly roles: string[];
  readonly draining: boolean;
  readonly own_weight: number;
  readonly operator_weight: number | null;
  readonly generation: number;
  readonly registered_at: number;
  readonly lease_left: number;
}

interface ShardRecord {
  readonly owner: string | null;
  readonly heir: string | null;
  readonly epoch: number;
  readonly heir_left: number | null;
  readonly moved_at: number;
}

export class PostgresFleetStore implements FleetStore {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  async look(): Promise<FleetPicture> {
    const pool = this.#pool;
    // The membership first: what changes meanwhile changes that, too, and what is decided from this is refused for it.
    const fleet = (await pool.run(STATEMENTS.readFleet, [])).rows[0] as {
      membership: number;
      planned: number;
      changed_at: number;
    };
    const [registered, states, pins, weights] = await Promise.all([
      pool.run(STATEMENTS.readRegistered, []),
      pool.run(STATEMENTS.readShardStates, []),
      pool.run(STATEMENTS.readPins, []),
      pool.run(STATEMENTS.readWeights, []),
    ]);
    return {
      membership: fleet.membership,
      planned: fleet.planned,
      changedAt: fleet.changed_at,
      members: (registered.rows as RegisteredRecord[]).map(registeredOf),
      shards: (states.rows as ShardRecord[]).map(stateOf),
      pins: new Map((pins.rows as { shard: number; name: string }[]).map(({ shard, name }) => [shard, name])),
      weights: new Map((weights.rows as { name: string; weight: number }[]).map(({ name, weight }) => [name, weight])),
    };
  }

  async countWork(): Promise<ShardWork[]> {
    return (await this.#pool.run(STATEMENTS.countWork, [])).rows as ShardWork[];
  }

  async change(membership: number, change: FleetChange, note: AuditNote): Promise<boolean> {
    const { weights, pins, drain, moves } = change;
    const { actor, action, subject, detail, requestId } = note;
    const { rows } = await this.#pool.run(STATEMENTS.changeFleet, [
      membership,
      texts([...weights.keys()]),
      [...weights.values()],
      integers([...pins.keys()]),
      texts([...pins.values()]),
      drain?.worker ?? null,
      drain?.draining ?? null,
      integers(moves.map(({ shard }) => shard)),
      texts(moves.map(({ from }) => from)),
      texts(moves.map(({ to }) => to)),
      actor,
      action,
      subject,
      JSON.stringify(detail),
      requestId,
    ]);
    return rows.length === 1;
  }
}

function registeredOf(record: RegisteredRecord): RegisteredWorker {
  const { own_weight, operator_weight, registered_at, lease_left, ...rest } = record;
  return {
    ...rest,
    weight: operator_weight ?? own_weight,
    ownWeight: own_weight,
    operatorWeight: operator_weight,
    registeredAt: registered_at,
    leaseLeftMs: lease_left,
  };
}

function stateOf({ heir_left, moved_at, ...rest }: ShardRecord): ShardState {
  return { ...rest, heirLeftMs: heir_left, movedAt: moved_at };
}
