/** What was answered with 2xx must be in the database: exactly once, under the sequence of the answer, and in order. */
import pg from 'pg';

/** An accepted message, as its publisher was told. */
export interface Accepted {
  readonly room: string;
  readonly messageId: string;
  /** Null where the answer told none: it was buffered. */
  readonly sequence: number | null;
}

export interface Stored extends Accepted {
  readonly sequence: number;
}

export interface Finding {
  /** Answers that were looked up. */
  readonly accepted: number;
  readonly stored: number;
  /** In words, at most ten of them. */
  readonly wrong: readonly string[];
}

const MOST_TOLD = 10;

/**
 * @param accepted in the order in which each room's answers came to its publisher, who sends the next one after that
 * @param stored everything of those rooms; what was never answered may be among it
 */
export function check(accepted: Iterable<Accepted>, stored: Iterable<Stored>): Finding {
  const wrong: string[] = [];
  const byId = new Map<string, Stored>();
  const places = new Set<string>();
  const tails = new Map<string, { count: number; last: number }>();
  let rows = 0;
  for (const one of stored) {
    rows++;
    const place = `${one.room} ${one.sequence}`;
    if (byId.has(nameOf(one))) wrong.push(`${nameOf(one)} is stored twice`);
    if (places.has(place)) wrong.push(`two messages have the place ${place}`);
    byId.set(nameOf(one), one);
    places.add(place);
    const tail = tails.get(one.room) ?? { count: 0, last: 0 };
    tails.set(one.room, { count: tail.count + 1, last: Math.max(tail.last, one.sequence) });
  }
  for (const [room, { count, last }] of tails) {
    if (count !== last) wrong.push(`${room} has ${count} messages and numbers up to ${last}`);
  }
  const last = new Map<string, number>();
  let answers = 0;
  for (const one of accepted) {
    answers++;
    const found = byId.get(nameOf(one));
    if (found === undefined) wrong.push(`${nameOf(one)} was accepted and is not stored`);
    else if (one.sequence !== null && found.sequence !== one.sequence) {
      wrong.push(`${nameOf(one)} was answered ${one.sequence} and is stored as ${found.sequence}`);
    }
    const before = last.get(one.room) ?? 0;
    const sequence = one.sequence ?? found?.sequence ?? before + 1;
    if (sequence <= before) wrong.push(`${nameOf(one)} was sent after number ${before} and became ${sequence}`);
    last.set(one.room, sequence);
  }
  return { accepted: answers, stored: rows, wrong: wrong.slice(0, MOST_TOLD) };
}

function nameOf({ room, messageId }: Pick<Accepted, 'room' | 'messageId'>): string {
  return `${room} ${messageId}`;
}

/** Everything of the rooms whose names begin so, waiting and settled. */
export async function storedIn(databaseUrl: string, roomPrefix: string): Promise<Stored[]> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const { rows } = await client.query<{ room: string; messageId: string; sequence: string }>(
      `SELECT r.room, m.message_id AS "messageId", m.sequence
       FROM (SELECT shard, id, room FROM rooms UNION ALL SELECT shard, id, room FROM resting_rooms) AS r
       JOIN (
         SELECT shard, room_id, sequence, message_id FROM messages
         UNION ALL SELECT shard, room_id, sequence, message_id FROM history
       ) AS m ON m.shard = r.shard AND m.room_id = r.id
       WHERE starts_with(r.room, $1)`,
      [roomPrefix],
    );
    return rows.map(({ room, messageId, sequence }) => ({ room, messageId, sequence: Number(sequence) }));
  } finally {
    await client.end();
  }
}
