/** The SQL of the store: one statement per file, named after it. */
import { readFileSync } from 'node:fs';
import type { QueryConfig } from 'pg';

export interface Statement {
  readonly name: string;
  readonly text: string;
}

function load(name: string): Statement {
  return { name: `roomline_${name}`, text: readFileSync(new URL(`sql/${name}.sql`, import.meta.url), 'utf8') };
}

export const STATEMENTS = {
  appendMessages: load('append_messages'),
  compareAndSet: load('compare_and_set'),
  countRooms: load('count_rooms'),
  createRooms: load('create_rooms'),
  dropHistoryPartitions: load('drop_history_partitions'),
  endBlockers: load('end_blockers'),
  expiredWorkers: load('expired_workers'),
  fenceWorker: load('fence_worker'),
  findRoom: load('find_room'),
  findWaiting: load('find_waiting'),
  keepAcks: load('keep_acks'),
  listDecisions: load('list_decisions'),
  listDeadLetters: load('list_dead_letters'),
  listRoom: load('list_room'),
  loadChannels: load('load_channels'),
  lockRooms: load('lock_rooms'),
  lookAtDeciding: load('look_at_deciding'),
  lookAtServer: load('look_at_server'),
  makeHistoryPartitions: load('make_history_partitions'),
  matchAcks: load('match_acks'),
  nameMessages: load('name_messages'),
  pruneAcks: load('prune_acks'),
  prunePlatformIds: load('prune_platform_ids'),
  pruneWorkers: load('prune_workers'),
  putIntakeLetters: load('put_intake_letters'),
  raiseGeneration: load('raise_generation'),
  raiseLevels: load('raise_levels'),
  readAcks: load('read_acks'),
  readAttempts: load('read_attempts'),
  readBodies: load('read_bodies'),
  readFence: load('read_fence'),
  readRooms: load('read_rooms'),
  readSettled: load('read_settled'),
  readWaiting: load('read_waiting'),
  recordDecision: load('record_decision'),
  registerWorker: load('register_worker'),
  releaseWorker: load('release_worker'),
  renewWorker: load('renew_worker'),
  restRooms: load('rest_rooms'),
  saveChannel: load('save_channel'),
  scanAll: load('scan_all'),
  scanDue: load('scan_due'),
  shardCount: load('shard_count'),
  takeBackRooms: load('take_back_rooms'),
  takeShards: load('take_shards'),
  updateAttempts: load('update_attempts'),
  updateSettled: load('update_settled'),
  wakeRooms: load('wake_rooms'),
} as const satisfies Record<string, Statement>;

/** @param prepared whether the server is to keep the parsed statement and its plan under its name */
export function queryOf(statement: Statement, values: readonly unknown[], prepared: boolean): QueryConfig {
  const query = { text: statement.text, values: values as unknown[] };
  return prepared ? { name: statement.name, ...query } : query;
}
