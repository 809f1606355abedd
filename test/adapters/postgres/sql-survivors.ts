/** Mutants of the store's statements that no test notices, each with the reason why none can or need. */
const SHARD = 'ids of rooms are unique over all shards: the shard leads to the index, and to the place of the row';
const DAYS = 'it spares their partitions, to which plans.test.ts holds the statement';
const NAME = 'the shard is computed from the rest of the key, which is compared as well';
const EMPTY = 'a look at where nothing can be finds nothing; this spares it';
const ONCE = 'a message settles once: its sequence leads to its one row';
const FIRST = 'the second look, under the lock, decides; this one spares locks';
const SECOND =
  'only a change between the snapshot and the lock of one statement shows it, where nothing can be stopped';

const TURN = 'what is not in its turn is left out of the run; this one spares the look for what is behind it';
const PARKED = 'a number that something is parked under is an order conflict for every other message';
const EPOCH = 'whoever gives a shard another owner or heir raises its epoch, which is compared as well';
const NO_PAST = 'no row compares with no transaction; this spares the look';

export const SURVIVORS: Readonly<Record<string, string>> = {
  'append_messages 1: a.tail > a.settled': EMPTY,
  'append_messages 2: -m.shard = -i.shard': SHARD,
  'append_messages 5: a.settled > 0': EMPTY,
  'append_messages 6: -h.shard = -i.shard': SHARD,
  'append_messages 9: h.settled_at >= a.known_since': `no room has settled anything before it came to be; ${DAYS}`,
  'append_messages 10: h.settled_at >= $2::bigint': `says of days what is said of rows before; ${DAYS}`,
  'append_messages 11: h.settled_at < (extract(epoch FROM now()) * 1000)::bigint + 86400000': `the days to come hold nothing; ${DAYS}`,
  'append_messages 12: a.gap_since >= 0': EMPTY,
  'append_messages 13: -p.shard = -i.shard': SHARD,
  'append_messages 20: waiting.sequence IS NULL': EMPTY,
  'append_ordered 1: a.tail > a.settled': EMPTY,
  'append_ordered 2: -m.shard = -i.shard': SHARD,
  'append_ordered 5: a.settled > 0': EMPTY,
  'append_ordered 6: -h.shard = -i.shard': SHARD,
  'append_ordered 9: h.settled_at >= a.known_since': `no room has settled anything before it came to be; ${DAYS}`,
  'append_ordered 10: h.settled_at >= $2::bigint': `says of days what is said of rows before; ${DAYS}`,
  'append_ordered 11: h.settled_at < (extract(epoch FROM now()) * 1000)::bigint + 86400000': `the days to come hold nothing; ${DAYS}`,
  'append_ordered 12: a.gap_since >= 0': EMPTY,
  'append_ordered 13: -p.shard = -i.shard': SHARD,
  'append_ordered 17: p.shard = c.shard': SHARD,
  'append_ordered 20: s.shard = c.shard': SHARD,
  'append_ordered 23: l.shard = c.shard': SHARD,
  'append_ordered 27: j.gap_since >= 0': EMPTY,
  'append_ordered 28: q.shard = j.shard': SHARD,
  "append_ordered 32: (j.room IN (SELECT c.room FROM judged c WHERE c.fate = 'queued' AND c.order_number = c.next_order)) IS TRUE":
    TURN,
  "append_ordered 33: c.fate = 'queued'": TURN,
  'append_ordered 34: c.order_number = c.next_order': TURN,
  'append_ordered 35: q.shard = b.shard': SHARD,
  'append_ordered 41: f.shard = n.shard': SHARD,
  'append_ordered 44: n.ord = 0': PARKED,
  'append_ordered 49: p.shard = c.shard': SHARD,
  'append_ordered 73: waiting.sequence IS NULL': EMPTY,
  'append_ordered 81: r.ord = 0': PARKED,
  'compare_and_set 12: o.shard = s.shard': SHARD,
  'compare_and_set 19: r.shard = g.shard': SHARD,
  'compare_and_set 22: o.shard = c.shard': SHARD,
  'create_rooms 2: -r.shard = -w.shard': NAME,
  'hand_over 4: s.owner = $1': 'the look at the write decides; this one spares locks',
  'hand_over 5: s.heir IS NOT NULL': 'what nobody is to have fails the comparison of heirs at the write as well',
  'hand_over 6: FOR NO KEY UPDATE OF s':
    'the UPDATE that follows locks the same rows and looks again; the order of the locks is what this is for',
  'hand_over 8: s.owner = $1': EPOCH,
  'hand_over 9: s.heir = p.heir': EPOCH,
  'hand_over 10: s.epoch = p.epoch': 'the row is locked at that epoch by then',
  'lock_rooms 1: w.known_id IS NULL': 'who knows the id need not look; the look finds the same',
  'lock_rooms 2: -r.shard = -w.shard': NAME,
  'lock_rooms 6: r.shard = f.shard': SHARD,
  'lock_rooms 7: r.id = f.id': 'the key, which is compared as well, is one room’s; the id leads to its place',
  'renew_worker 10: s.heir IS NOT NULL': 'leads to the index: only what has an heir has a deadline',
  "rest_rooms 2: r.phase = 'idle'": FIRST,
  'rest_rooms 3: r.settled = r.tail': FIRST,
  'rest_rooms 4: r.since < $2': FIRST,
  'rest_rooms 5: r.touched_at < $2': FIRST,
  'rest_rooms 6: r.shard = i.shard': SHARD,
  "rest_rooms 8: r.phase = 'idle'": SECOND,
  'rest_rooms 9: r.settled = r.tail': SECOND,
  'rest_rooms 10: r.since < $2': SECOND,
  'rest_rooms 11: r.touched_at < $2': SECOND,
  'scan_changed 1: $2::text IS NOT NULL': NO_PAST,
  'scan_changed_of_few 3: $2::text IS NOT NULL': NO_PAST,
  'take_back_rooms 1: -r.shard = -w.shard': NAME,
  'take_back_rooms 5: r.shard = f.shard': SHARD,
  'take_back_rooms 7: FOR UPDATE':
    'the DELETE that follows locks the same rows; the order of the locks is what this is for',
  'update_attempts 1: l.shard = n.shard': SHARD,
  'update_attempts 4: l.settled_at = n.settled_at': ONCE,
  'update_attempts 9: h.revision = n.revision':
    'only a change between the read and the update of one call shows it, where nothing can be stopped',
  'update_settled 1: l.shard = n.shard': SHARD,
  'update_settled 4: l.settled_at = n.settled_at': ONCE,
  'take_shards 9:  SKIP LOCKED': 'a taker then waits for the other one instead of asking again in its next round',
};
