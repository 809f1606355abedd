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
  addMinutes: load('add_minutes'),
  appendMessages: load('append_messages'),
  appendOrdered: load('append_ordered'),
  applyPlan: load('apply_plan'),
  beginPlan: load('begin_plan'),
  changeChannelSettings: load('change_channel_settings'),
  changeFleet: load('change_fleet'),
  clearLingering: load('clear_lingering'),
  compareAndSet: load('compare_and_set'),
  countParked: load('count_parked'),
  countParkedOfChannels: load('count_parked_of_channels'),
  countRooms: load('count_rooms'),
  countWaitingRooms: load('count_waiting_rooms'),
  countWork: load('count_work'),
  createRooms: load('create_rooms'),
  discardLetters: load('discard_letters'),
  drainWorker: load('drain_worker'),
  dropHistoryPartitions: load('drop_history_partitions'),
  endBlockers: load('end_blockers'),
  expiredWorkers: load('expired_workers'),
  fenceWorker: load('fence_worker'),
  findMessage: load('find_message'),
  findRecipient: load('find_recipient'),
  findRoom: load('find_room'),
  findWaiting: load('find_waiting'),
  glance: load('glance'),
  handOver: load('hand_over'),
  heldShards: load('held_shards'),
  keepAcks: load('keep_acks'),
  layOutBuffer: load('lay_out_buffer'),
  layOutBufferAnew: load('lay_out_buffer_anew'),
  listAudit: load('list_audit'),
  listDecisions: load('list_decisions'),
  listDeadLetters: load('list_dead_letters'),
  listFailures: load('list_failures'),
  listLingering: load('list_lingering'),
  listRoom: load('list_room'),
  loadChannelSettings: load('load_channel_settings'),
  loadChannels: load('load_channels'),
  locateRooms: load('locate_rooms'),
  lockGaps: load('lock_gaps'),
  lockRooms: load('lock_rooms'),
  lookAtBuffer: load('look_at_buffer'),
  lookAtDeciding: load('look_at_deciding'),
  lookAtServer: load('look_at_server'),
  makeHistoryPartitions: load('make_history_partitions'),
  markReplayed: load('mark_replayed'),
  matchAcks: load('match_acks'),
  mergeFailures: load('merge_failures'),
  moveBufferCursor: load('move_buffer_cursor'),
  nameMessages: load('name_messages'),
  newestLetters: load('newest_letters'),
  noteRecipients: load('note_recipients'),
  oldestLetters: load('oldest_letters'),
  ownShards: load('own_shards'),
  pruneAcks: load('prune_acks'),
  pruneAudit: load('prune_audit'),
  pruneFailures: load('prune_failures'),
  pruneMinutes: load('prune_minutes'),
  pruneOrders: load('prune_orders'),
  prunePlatformIds: load('prune_platform_ids'),
  pruneRecipients: load('prune_recipients'),
  pruneWorkers: load('prune_workers'),
  putIntakeLetters: load('put_intake_letters'),
  raiseGeneration: load('raise_generation'),
  readAcks: load('read_acks'),
  readBodies: load('read_bodies'),
  readBufferPartition: load('read_buffer_partition'),
  readChart: load('read_chart'),
  readChartOfAll: load('read_chart_of_all'),
  readChartOfChannel: load('read_chart_of_channel'),
  readFence: load('read_fence'),
  readFleet: load('read_fleet'),
  readLetters: load('read_letters'),
  readLingering: load('read_lingering'),
  readLingeringOfChannel: load('read_lingering_of_channel'),
  readLowerLevels: load('read_lower_levels'),
  readMembers: load('read_members'),
  readMembership: load('read_membership'),
  readParts: load('read_parts'),
  readPins: load('read_pins'),
  readRegistered: load('read_registered'),
  readRooms: load('read_rooms'),
  readSettingsRevision: load('read_settings_revision'),
  readSettled: load('read_settled'),
  readSettledStates: load('read_settled_states'),
  readShardStates: load('read_shard_states'),
  readShards: load('read_shards'),
  readWaiting: load('read_waiting'),
  readWeights: load('read_weights'),
  recordAudit: load('record_audit'),
  recordDecision: load('record_decision'),
  registerWorker: load('register_worker'),
  releaseBufferPartitions: load('release_buffer_partitions'),
  releaseWorker: load('release_worker'),
  removeBufferConsumer: load('remove_buffer_consumer'),
  removeChannelSettings: load('remove_channel_settings'),
  renewWorker: load('renew_worker'),
  reportPart: load('report_part'),
  restartBufferPartition: load('restart_buffer_partition'),
  restRooms: load('rest_rooms'),
  saveChannel: load('save_channel'),
  scanAll: load('scan_all'),
  scanChanged: load('scan_changed'),
  scanChangedOfFew: load('scan_changed_of_few'),
  scanDue: load('scan_due'),
  scanDueOfFew: load('scan_due_of_few'),
  shardCount: load('shard_count'),
  skipGaps: load('skip_gaps'),
  takeBackRooms: load('take_back_rooms'),
  takeBufferPartitions: load('take_buffer_partitions'),
  timelineNewest: load('timeline_newest'),
  timelineOldest: load('timeline_oldest'),
  unlistLingering: load('unlist_lingering'),
  updateAttempts: load('update_attempts'),
  updateSettled: load('update_settled'),
  wakeRooms: load('wake_rooms'),
  withdrawPart: load('withdraw_part'),
} as const satisfies Record<string, Statement>;

const variants = new Map<string, Statement>();

/**
 * The statement with these of its optional parts only: to start a part takes the server time, however little it then has
 * to do. A part stands between the lines `--[ name` and `--]`; parameters are numbered anew, in their order.
 */
export function withParts(statement: Statement, parts: readonly string[]): Statement {
  const name = [statement.name, ...parts].join('_');
  let variant = variants.get(name);
  if (variant === undefined) {
    const kept = statement.text.replace(/^--\[ (\w+)$([\s\S]*?)^--\]$/gm, (_, part: string, text: string) =>
      parts.includes(part) ? text : '',
    );
    const numbers = [...new Set([...kept.matchAll(/\$(\d+)/g)].map(([, number]) => Number(number)))].sort(
      (a, b) => a - b,
    );
    const text = kept.replace(/\$(\d+)/g, (_, number: string) => `$${numbers.indexOf(Number(number)) + 1}`);
    variant = { name, text };
    variants.set(name, variant);
  }
  return variant;
}

/** @param prepared whether the server is to keep the parsed statement and its plan under its name */
export function queryOf(statement: Statement, values: readonly unknown[], prepared: boolean): QueryConfig {
  const query = { text: statement.text, values: values as unknown[] };
  return prepared ? { name: statement.name, ...query } : query;
}
