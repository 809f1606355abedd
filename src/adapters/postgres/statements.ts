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
  addChannelSettings: load('add_channel_settings'),
  appendMessages: load('append_messages'),
  applyPlan: load('apply_plan'),
  beginPlan: load('begin_plan'),
  changeChannelSettings: load('change_channel_settings'),
  changeFleet: load('change_fleet'),
  compareAndSet: load('compare_and_set'),
  countRooms: load('count_rooms'),
  countWaitingRooms: load('count_waiting_rooms'),
  countWork: load('count_work'),
  createRooms: load('create_rooms'),
  drainWorker: load('drain_worker'),
  dropHistoryPartitions: load('drop_history_partitions'),
  endBlockers: load('end_blockers'),
  expiredWorkers: load('expired_workers'),
  fenceWorker: load('fence_worker'),
  findRoom: load('find_room'),
  findWaiting: load('find_waiting'),
  glance: load('glance'),
  handOver: load('hand_over'),
  keepAcks: load('keep_acks'),
  listAudit: load('list_audit'),
  listDecisions: load('list_decisions'),
  listDeadLetters: load('list_dead_letters'),
  listRoom: load('list_room'),
  loadChannelSettings: load('load_channel_settings'),
  loadChannels: load('load_channels'),
  lockRooms: load('lock_rooms'),
  lookAtDeciding: load('look_at_deciding'),
  lookAtServer: load('look_at_server'),
  makeHistoryPartitions: load('make_history_partitions'),
  matchAcks: load('match_acks'),
  nameMessages: load('name_messages'),
  ownShards: load('own_shards'),
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
  readFleet: load('read_fleet'),
  readMembers: load('read_members'),
  readMembership: load('read_membership'),
  readPins: load('read_pins'),
  readRegistered: load('read_registered'),
  readRooms: load('read_rooms'),
  readSettingsRevision: load('read_settings_revision'),
  readSettled: load('read_settled'),
  readShardStates: load('read_shard_states'),
  readShards: load('read_shards'),
  readWaiting: load('read_waiting'),
  readWeights: load('read_weights'),
  recordAudit: load('record_audit'),
  recordDecision: load('record_decision'),
  registerWorker: load('register_worker'),
  releaseWorker: load('release_worker'),
  removeChannelSettings: load('remove_channel_settings'),
  renewWorker: load('renew_worker'),
  restRooms: load('rest_rooms'),
  saveChannel: load('save_channel'),
  scanAll: load('scan_all'),
  scanChanged: load('scan_changed'),
  scanChangedOfFew: load('scan_changed_of_few'),
  scanDue: load('scan_due'),
  shardCount: load('shard_count'),
  takeBackRooms: load('take_back_rooms'),
  updateAttempts: load('update_attempts'),
  updateSettled: load('update_settled'),
  wakeRooms: load('wake_rooms'),
} as const satisfies Record<string, Statement>;

/** @param prepared whether the server is to keep the parsed statement and its plan under its name */
export function queryOf(statement: Statement, values: readonly unknown[], prepared: boolean): QueryConfig {
  const query = { text: statement.text, values: values as unknown[] };
  return prepared ? { name: statement.name, ...query } : query;
}
