/** What is in the tables of a world when a play has ended, and what must be true of it whatever was played. */

import type { World } from '../../../conformance/world.ts';
import type { Actor, Stage } from './stage.ts';

interface RoomState {
  readonly room: string;
  readonly version: number;
  readonly settled: number;
  readonly tail: number;
  readonly phase: string;
  readonly resting: boolean;
  /** It has a gap. */
  readonly waits: boolean;
  readonly first_claim_version: number;
}

interface MessageState {
  readonly room: string;
  readonly sequence: number;
  readonly message_id: string;
}

interface SettledState extends MessageState {
  readonly level: string;
  readonly outcome: string;
  readonly first_claim_version: number;
  readonly settle_version: number;
}

export interface Final {
  readonly rooms: readonly RoomState[];
  readonly messages: readonly MessageState[];
  readonly history: readonly SettledState[];
  readonly parked: readonly { readonly room: string; readonly message_id: string }[];
  readonly skipped: readonly unknown[];
  readonly late: readonly unknown[];
  readonly platform_ids: readonly Readonly<Record<string, unknown>>[];
  readonly dead_letters: readonly Readonly<Record<string, unknown>>[];
  readonly workers: readonly { readonly worker: string; readonly fenced: boolean; readonly generation: number }[];
  readonly shards: readonly Readonly<Record<string, unknown>>[];
}

/** Ids that differ from play to play are left out, and so are the times of the database's own clock. */
const LOOK = `
  WITH place AS (
    SELECT to_jsonb(r) || jsonb_build_object('resting', false, 'waits', gap_since IS NOT NULL) AS row FROM rooms r WHERE shard = $1 AND channel = $2
    UNION ALL
    SELECT to_jsonb(r) || jsonb_build_object('resting', true, 'waits', gap_since IS NOT NULL) AS row FROM resting_rooms r WHERE shard = $1 AND channel = $2
  ),
  named AS (SELECT DISTINCT (row ->> 'id')::bigint AS id, row ->> 'room' AS room FROM place)
  SELECT
    (SELECT coalesce(jsonb_agg(row - 'id' - 'shard' - 'touched_at' - 'channel' - 'gap_since' ORDER BY row ->> 'room'), '[]')
     FROM place) AS rooms,
    (SELECT coalesce(jsonb_agg(
       jsonb_build_object('room', room) || (to_jsonb(m) - 'shard' - 'room_id' - 'body' - 'digest')
       ORDER BY room, sequence), '[]')
     FROM messages m JOIN named ON id = room_id WHERE shard = $1) AS messages,
    (SELECT coalesce(jsonb_agg(
       jsonb_build_object('room', room) || (to_jsonb(p) - 'shard' - 'room_id' - 'body' - 'digest')
       ORDER BY room, order_number), '[]')
     FROM parked p JOIN named ON id = room_id WHERE shard = $1) AS parked,
    (SELECT coalesce(jsonb_agg(jsonb_build_array(room, first, last) ORDER BY room, first), '[]')
     FROM skipped_orders s JOIN named ON id = room_id WHERE shard = $1) AS skipped,
    (SELECT coalesce(jsonb_agg(jsonb_build_array(room, order_number) ORDER BY room, order_number), '[]')
     FROM late_orders l JOIN named ON id = room_id WHERE shard = $1) AS late,
    (SELECT coalesce(jsonb_agg(
       jsonb_build_object('room', room) || (to_jsonb(h) - 'shard' - 'room_id' - 'body' - 'digest')
       ORDER BY room, sequence, message_id), '[]')
     FROM history h JOIN named ON id = room_id WHERE shard = $1) AS history,
    (SELECT coalesce(jsonb_agg(
       jsonb_build_object('room', room) || (to_jsonb(p) - 'shard' - 'room_id' - 'named_at' - 'channel')
       ORDER BY platform_id), '[]')
     FROM platform_ids p LEFT JOIN named ON id = room_id WHERE channel = $2) AS platform_ids,
    (SELECT coalesce(jsonb_agg(
       jsonb_build_object('room', room) || (to_jsonb(d) - 'id' - 'shard' - 'room_id' - 'channel' - 'dedupe_key')
       ORDER BY sequence, reason), '[]')
     FROM dead_letters d LEFT JOIN named ON named.id = room_id
     WHERE channel = $2 OR dedupe_key = sha256(convert_to($2, 'UTF8'))) AS dead_letters,
    (SELECT coalesce(jsonb_agg(jsonb_build_object(
       'worker', worker, 'fenced', fenced, 'generation', generation, 'alive', lease_until > clock_timestamp()
     ) ORDER BY worker), '[]')
     FROM workers JOIN fences USING (worker) WHERE worker LIKE '%-' || $2) AS workers,
    (SELECT coalesce(jsonb_agg(to_jsonb(s) - 'epoch' - 'moved_at' ORDER BY shard), '[]')
     FROM shards s WHERE owner IS NULL OR owner LIKE '%-' || $2) AS shards`;

export async function look(stage: Stage, world: World): Promise<Final> {
  const { rows } = await stage.director.query({ name: 'look', text: LOOK, values: [world.shard, world.channel] });
  // Workers' names stand in attempts, too.
  return JSON.parse(JSON.stringify(rows[0]).replaceAll(`-${world.channel}"`, '"')) as Final;
}

/** What is wrong, in words; empty where nothing is. */
export function faults(before: Final, final: Final, actors: readonly Actor[]): string[] {
  const found: string[] = [];
  const names = final.rooms.map(({ room }) => room);
  if (new Set(names).size < names.length) found.push('a room has two rows');
  for (const { room } of before.rooms) if (!names.includes(room)) found.push(`the row of ${room} is lost`);

  for (const room of final.rooms) {
    const waiting = final.messages.filter((message) => message.room === room.room);
    const settled = final.history.filter((message) => message.room === room.room);
    const name = `${room.room}: `;
    if (!isRun(settled, 1, room.settled)) found.push(`${name}the history is not 1 to ${room.settled}, each once`);
    if (!isRun(waiting, room.settled + 1, room.tail)) found.push(`${name}what waits is not all up to the tail`);
    const parked = final.parked.filter((message) => message.room === room.room);
    if (room.waits !== parked.length > 0) found.push(`${name}its gap is not what is parked`);
    const ids = [...waiting, ...settled, ...parked].map((message) => message.message_id);
    if (new Set(ids).size < ids.length) found.push(`${name}a message id was accepted twice`);
    const versions = settled.map((message) => message.settle_version);
    if (versions.some((version, i) => version > room.version || version < (versions[i - 1] ?? 0))) {
      found.push(`${name}messages did not settle in their order`);
    }
    const begun = [...settled, room].filter((one) => one.first_claim_version > 0);
    if (begun.some((one, i) => i > 0 && one.first_claim_version < (begun[i - 1] as SettledState).settle_version)) {
      found.push(`${name}a message was claimed before the one before it had settled`);
    }
  }
  const versions = (of: Final) => of.rooms.reduce((sum, room) => sum + room.version, 0);
  const raised = actors.reduce((sum, actor) => sum + actor.versionsRaised, 0);
  if (versions(final) !== versions(before) + raised) found.push('versions did not rise by just what was written');
  for (const actor of actors) {
    if (typeof actor.answer === 'string' && actor.answer.startsWith('failed: '))
      found.push(`${actor.name} ${actor.answer}`);
  }
  return found;
}

function isRun(messages: readonly MessageState[], from: number, to: number): boolean {
  return messages.length === to - from + 1 && messages.every((message, i) => message.sequence === from + i);
}
