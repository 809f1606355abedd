/** Each kind of fault, and what does it. */
import * as dependency from './dependency-faults.ts';
import * as engine from './engine-faults.ts';
import * as fleet from './fleet-faults.ts';
import * as link from './link-faults.ts';
import type { PlannedFault } from './plan.ts';
import type { Deed, Perform, World } from './world.ts';

const PERFORMERS: { readonly [K in PlannedFault['kind']]: Perform<K> } = {
  engine_kill: engine.killEngine,
  engine_kill_all: engine.killAllEngines,
  engine_terminate: engine.terminateEngine,
  engine_freeze: engine.freezeEngine,
  engine_freeze_at: engine.freezeEngineAt,
  engine_kill_at: engine.killEngineAt,
  clock_step: engine.stepClock,
  starvation: engine.starve,
  postgres_kill: dependency.killPostgres,
  postgres_restart: dependency.restartPostgres,
  table_lock: dependency.lockTable,
  row_lock: dependency.lockRows,
  commit_cut: link.cutAtCommit,
  link_cut: link.cutLink,
  link_cut_after: link.cutLinkAfter,
  link_black_hole: link.blackHole,
  link_latency: link.delayLink,
  link_trickle: link.trickle,
  link_refuse: link.refuseLink,
  webhooks_refused: link.refuseWebhooks,
  platform_outage: dependency.platformOutage,
  platform_errors: dependency.platformErrors,
  platform_resets: dependency.platformResets,
  platform_429: dependency.tooMany,
  ack_outage: dependency.ackOutage,
  acks_held: dependency.holdAcks,
  ack_storm: dependency.ackStorm,
  pubsub_kill: dependency.killPubSub,
  pubsub_streams_lost: dependency.loseStreams,
  pubsub_redelivery: dependency.redeliver,
  pubsub_duplicates: dependency.duplicate,
  zombie_at_write: fleet.sendLate,
  rolling_restart: fleet.restartAll,
  twin: fleet.addTwin,
  scale: fleet.scale,
  intakes_change: fleet.changeIntakes,
  postgres_stall: fleet.stallPostgres,
  redis_flush: fleet.flushRedis,
  redis_kill: fleet.killRedis,
  redis_freeze: fleet.freezeRedis,
};

/** Resolves when the fault is over and undone. */
export function perform(world: World, fault: PlannedFault): Promise<Deed> {
  return (PERFORMERS[fault.kind] as Perform<PlannedFault['kind']>)(world, fault);
}
