/** What the checker is told: plain records of its own, so that it takes no word and no rule from the engine. */

export interface AttemptRecord {
  readonly number: number;
  readonly worker: string;
  readonly generation: number;
  readonly begunAt: number;
  readonly result: string | null;
}

/** A room's row as a statement left it. */
export interface RowRecord {
  readonly room: string;
  readonly shard: number;
  readonly version: number;
  readonly phase: string;
  readonly reason: string | null;
  readonly settled: number;
  readonly paused: boolean;
  readonly attempt: number;
  readonly level: string;
  readonly mark: string | null;
  readonly nacked: boolean;
  readonly attempts: readonly AttemptRecord[];
}

/** A message that left its room with the same statement. */
export interface SettledRecord {
  readonly sequence: number;
  readonly outcome: string;
  readonly reason: string;
  readonly attempts: readonly AttemptRecord[];
}

export interface MarkRecord {
  readonly sequence: number;
  readonly by: string;
}

/** One committed change of a row. */
export interface ChangeRecord {
  /** The version that the row had to have. */
  readonly expectedVersion: number;
  readonly row: RowRecord;
  readonly settled: readonly SettledRecord[];
  /** Messages that were marked as cancelled, to settle when their turn comes. */
  readonly cancelled: readonly MarkRecord[];
  /** It puts an attempt on disk. */
  readonly claims: boolean;
}

/** A message as its publisher has it. */
export interface PublishedRecord {
  readonly messageId: string;
  readonly body: Uint8Array;
  readonly expiresAt: number | null;
  /** Id of the message that it replaces. */
  readonly supersedes: string | null;
  /** Its publisher's number, if it has one. */
  readonly order?: number;
}

/** What an append made of a message: null where it has no sequence, because it is ahead of its turn. */
export interface PlacedRecord {
  readonly id: string;
  readonly sequence: number | null;
  readonly late: boolean;
}

/** A request as the process hands it to the network. */
export interface RequestRecord {
  readonly room: string;
  readonly messageId: string;
  readonly reference: string;
  readonly body: Uint8Array;
  readonly attempt: number;
  readonly worker: string;
  readonly generation: number;
}
