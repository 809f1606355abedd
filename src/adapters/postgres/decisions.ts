/** What operators decide about a database that may have lost commits, and what they need to know for it. */
import type { DatabaseIdentity } from '../../engine/fleet-ports.ts';
import type { Pool } from './pool.ts';
import { STATEMENTS } from './statements.ts';

export interface RoomCount {
  readonly phase: string;
  readonly reason: string | null;
  readonly rooms: number;
  readonly messages: number;
}

export type DecisionName = 'hold' | 'resend' | 'retry' | 'skip' | 'cancel';

export interface NewDecision {
  readonly decision: DecisionName;
  readonly decidedBy: string;
  readonly reason: string;
  /** What was stored when it was decided. */
  readonly before: DatabaseIdentity | null;
  /** What is stored from now on. */
  readonly after: DatabaseIdentity | null;
  readonly roomsOpen: number;
  readonly roomsChanged: number;
}

export interface Decision extends NewDecision {
  readonly at: Date;
}

interface DecisionRecord {
  readonly at: Date;
  readonly decision: DecisionName;
  readonly decided_by: string;
  readonly reason: string;
  readonly old_system_identifier: string | null;
  readonly old_timeline: number | null;
  readonly new_system_identifier: string | null;
  readonly new_timeline: number | null;
  readonly rooms_open: number;
  readonly rooms_changed: number;
}

export class PostgresDecisions {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  /** Rooms that have an unsettled message. */
  async countRooms(): Promise<RoomCount[]> {
    return (await this.#pool.run(STATEMENTS.countRooms, [])).rows as RoomCount[];
  }

  /** Whether the role may record a decision, and how many workers have a lease that is alive. */
  async look(): Promise<{ readonly mayDecide: boolean; readonly liveWorkers: number }> {
    const { rows } = await this.#pool.run(STATEMENTS.lookAtDeciding, []);
    const record = rows[0] as { may_decide: boolean; live_workers: number };
    return { mayDecide: record.may_decide, liveWorkers: record.live_workers };
  }

  /** The decision and the identity that it makes the known one, in one statement; false where another came first. */
  async record(decision: NewDecision): Promise<boolean> {
    const { before, after } = decision;
    const result = await this.#pool.run(STATEMENTS.recordDecision, [
      decision.decision,
      decision.decidedBy,
      decision.reason,
      before?.systemIdentifier ?? null,
      before?.timeline ?? null,
      after?.systemIdentifier ?? null,
      after?.timeline ?? null,
      decision.roomsOpen,
      decision.roomsChanged,
    ]);
    return result.rowCount === 1;
  }

  /** Newest first. */
  async list(limit: number): Promise<Decision[]> {
    const result = await this.#pool.run(STATEMENTS.listDecisions, [limit]);
    return (result.rows as DecisionRecord[]).map((record) => ({
      at: record.at,
      decision: record.decision,
      decidedBy: record.decided_by,
      reason: record.reason,
      before: identityOf(record.old_system_identifier, record.old_timeline),
      after: identityOf(record.new_system_identifier, record.new_timeline),
      roomsOpen: record.rooms_open,
      roomsChanged: record.rooms_changed,
    }));
  }
}

function identityOf(systemIdentifier: string | null, timeline: number | null): DatabaseIdentity | null {
  return systemIdentifier === null || timeline === null ? null : { systemIdentifier, timeline };
}
