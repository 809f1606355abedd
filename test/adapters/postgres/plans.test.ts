/** Statements are planned once and run for ever: none may come to read a whole table, however empty it once was. */
import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sessionSettings } from '../../../src/adapters/postgres/options.ts';
import { STATEMENTS } from '../../../src/adapters/postgres/statements.ts';
import { postgresServers } from '../../support/postgres.ts';
import { Database, openOptions } from './database.ts';

const BIG =
  /^(rooms|resting_rooms|messages|parked|skipped_orders|late_orders|platform_ids|dead_letters|history.*|lingering_rooms|channel_minutes|recipients)$/;
/** Housekeeping, what an operator asks for, and the look of a worker that holds most shards may read whole tables. */
const MAY_READ_ALL = [
  'roomline_prune_platform_ids',
  'roomline_prune_acks',
  'roomline_prune_orders',
  'roomline_count_rooms',
  'roomline_count_parked_of_channels',
  'roomline_scan_changed',
];
/** The same of an index, where that is all there is to read. */
const MAY_READ_A_WHOLE_INDEX = [
  ...MAY_READ_ALL,
  'roomline_count_waiting_rooms',
  'roomline_count_work',
  'roomline_prune_minutes',
  'roomline_rest_rooms',
];
const LETTER_INDEXES = [
  'dead_letters_by_channel',
  'dead_letters_by_fingerprint',
  'dead_letters_by_room',
  'dead_letters_by_time',
  'resting_rooms_pkey',
  'rooms_pkey',
];
/** The index that each lookup is to take; another one of the same table may match a part of the key. */
const INDEXES: Readonly<Record<string, readonly string[]>> = {
  roomline_compare_and_set: ['fences_pkey', 'messages_pkey', 'rooms_pkey'],
  roomline_append_messages: ['history.*_expr_expr1_message_id_idx', 'messages_by_message_id', 'parked_by_message_id'],
  roomline_append_ordered: [
    'history.*_expr_expr1_message_id_idx',
    'late_orders_pkey',
    'messages_by_message_id',
    'parked_by_message_id',
    'parked_pkey',
    'skipped_orders_pkey',
  ],
  roomline_skip_gaps: ['parked_pkey', 'rooms_pkey'],
  roomline_lock_gaps: ['rooms_pkey'],
  roomline_count_parked: ['parked_pkey'],
  roomline_find_recipient: ['recipients_pkey', 'resting_rooms_by_key', 'rooms_by_key'],
  roomline_prune_recipients: ['recipients_by_time'],
  roomline_find_message: ['history.*_expr_expr1_message_id_idx', 'messages_by_message_id', 'parked_by_message_id'],
  roomline_lock_rooms: ['rooms_by_key', 'rooms_pkey'],
  roomline_locate_rooms: ['resting_rooms_by_key', 'rooms_by_key'],
  roomline_read_rooms: ['messages_pkey', 'resting_rooms_pkey', 'rooms_pkey'],
  roomline_read_bodies: ['messages_pkey'],
  roomline_find_waiting: ['messages_by_message_id'],
  roomline_scan_all: ['messages_pkey', 'rooms_pkey'],
  roomline_scan_due: ['messages_pkey'],
  roomline_scan_due_of_few: ['messages_pkey', 'rooms_pkey'],
  roomline_scan_changed_of_few: ['rooms_pkey'],
  roomline_unlist_lingering: ['lingering_rooms_pkey'],
  roomline_read_lingering: ['lingering_rooms_by_phase'],
  roomline_read_lingering_of_channel: ['lingering_rooms_by_channel'],
  roomline_read_chart: ['channel_minutes_by_minute'],
  roomline_read_chart_of_channel: ['channel_minutes_pkey'],
  roomline_timeline_newest: ['history.*_pkey', 'messages_pkey'],
  roomline_timeline_oldest: ['history.*_pkey', 'messages_pkey'],
  roomline_newest_letters: LETTER_INDEXES,
  roomline_oldest_letters: LETTER_INDEXES,
  roomline_read_settled: ['history.*_pkey', 'resting_rooms_pkey', 'rooms_pkey'],
  roomline_read_settled_states: ['history.*_pkey'],
  roomline_read_lower_levels: ['history.*_pkey'],
  roomline_update_attempts: ['history.*_pkey'],
  roomline_update_settled: ['history.*_pkey'],
};

/** Parameters by their numbers without which no partition of the history would be left in the plan. */
const GIVEN: Readonly<Record<string, Readonly<Record<number, number>>>> = {
  roomline_append_messages: { 2: 0 },
  roomline_append_ordered: { 2: 0 },
  roomline_read_settled_states: { 4: Number.MAX_SAFE_INTEGER },
  roomline_update_attempts: { 8: 0, 9: Number.MAX_SAFE_INTEGER },
  roomline_update_settled: { 10: 0, 11: Number.MAX_SAFE_INTEGER },
};

const DAY_MS = 86_400_000;
/** What publishers and webhooks call for all the time, each with the times of the last day. */
const OF_THE_LAST_DAY = (now: number): Readonly<Record<string, Readonly<Record<number, number>>>> => ({
  roomline_append_messages: { 2: now - DAY_MS },
  roomline_append_ordered: { 2: now - DAY_MS },
  roomline_read_settled_states: { 4: DAY_MS },
  roomline_update_attempts: { 8: now - DAY_MS, 9: now },
  roomline_update_settled: { 10: now - DAY_MS, 11: now },
});

interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly 'Index Cond'?: string;
  readonly 'Presorted Key'?: readonly string[];
  readonly 'Actual Loops'?: number;
  readonly Plans?: readonly PlanNode[];
}

describe.each(postgresServers())('$name: plans', (server) => {
  let database: Database;
  /** Of each index its table and its first column or expression. */
  let leading: ReadonlyMap<string, { readonly table: string; readonly column: string }>;
  beforeAll(async () => {
    database = await Database.create(server);
    const { rows } = await (await database.session()).query<{ name: string; table: string; column: string }>(
      `SELECT indexrelid::regclass::text AS name, indrelid::regclass::text AS table,
         pg_get_indexdef(indexrelid, 1, true) AS column
       FROM pg_index WHERE indrelid::regclass::text NOT LIKE 'pg_%'`,
    );
    leading = new Map(rows.map(({ name, ...of }) => [name, of]));
  });
  afterAll(() => database.close());

  /** The plan that a prepared statement keeps, made while every table is empty. */
  async function planOf(text: string, given: Readonly<Record<number, number>> = {}): Promise<PlanNode[]> {
    const client = await database.session();
    for (const [name, value] of Object.entries(sessionSettings(openOptions(database.url)))) {
      await client.query('SELECT set_config($1, $2, false)', [name, value]);
    }
    await client.query('SET plan_cache_mode = force_generic_plan');
    await client.query(`PREPARE statement AS ${text}`);
    const { rows: found } = await client.query(
      `SELECT cardinality(parameter_types) AS count FROM pg_prepared_statements WHERE name = 'statement'`,
    );
    const { count } = found[0] as { count: number };
    const parameters =
      count === 0 ? '' : `(${Array.from({ length: count }, (_, i) => given[i + 1] ?? 'NULL').join(', ')})`;
    const { rows } = await client.query(`EXPLAIN (FORMAT JSON) EXECUTE statement${parameters}`);
    await client.query('DEALLOCATE statement');
    const [{ Plan }] = (rows[0] as { 'QUERY PLAN': [{ Plan: PlanNode }] })['QUERY PLAN'];
    return flatten(Plan);
  }

  it.each(Object.values(STATEMENTS))('$name reads no whole table', async ({ name, text }) => {
    const nodes = await planOf(text, GIVEN[name]);
    const whole = nodes
      .filter((node) => node['Node Type'] === 'Seq Scan' && BIG.test(node['Relation Name'] ?? ''))
      .map((node) => node['Relation Name']);
    expect(MAY_READ_ALL.includes(name) ? [] : whole).toEqual([]);
    // Without its first column an index is read from end to end, unless only its beginning is wanted.
    const wholeIndexes = nodes
      .filter((node) => BIG.test(leading.get(node['Index Name'] ?? '')?.table ?? ''))
      .filter((node) => node['Index Cond']?.includes(leading.get(node['Index Name'] ?? '')?.column ?? '') !== true)
      .map((node) => `${node['Index Name']} ${node['Index Cond']}`);
    expect(MAY_READ_A_WHOLE_INDEX.includes(name) ? [] : wholeIndexes).toEqual([]);

    const wanted = INDEXES[name];
    if (wanted === undefined) return;
    const used = [...new Set(nodes.map((node) => node['Index Name'] ?? '').filter((index) => index !== ''))].sort();
    for (const index of used)
      expect(
        wanted.some((pattern) => new RegExp(`^${pattern}$`).test(index)),
        index,
      ).toBe(true);
    for (const pattern of wanted)
      expect(
        used.some((index) => new RegExp(`^${pattern}$`).test(index)),
        pattern,
      ).toBe(true);
  });

  it.each(Object.keys(OF_THE_LAST_DAY(0)))('%s opens no other days of the history than it asks for', async (name) => {
    const now = Date.now();
    const text = Object.values(STATEMENTS).find((statement) => statement.name === name)?.text ?? '';
    const scanned = (await planOf(text, OF_THE_LAST_DAY(now)[name]))
      .filter((node) => node['Node Type'] === 'Index Scan')
      .map((node) => node['Relation Name'] ?? '')
      .filter((table) => table.startsWith('history_'));
    // Clocks may be ahead.
    const days = [-1, 0, 1].map((day) => new Date(now + day * DAY_MS).toISOString().slice(0, 10).replaceAll('-', ''));
    expect(scanned.length).toBeGreaterThan(0);
    expect(scanned.filter((table) => !days.includes(table.slice('history_'.length)))).toEqual([]);
  });

  /** Of an append to one room with this history behind it, the days that are opened in earnest. */
  async function daysOpened(text: string, room: { readonly createdAt: number; readonly since: number }) {
    const client = await database.session();
    await client.query('SELECT make_history_partitions(CURRENT_DATE - 9, CURRENT_DATE - 1)');
    await client.query('SET plan_cache_mode = force_generic_plan');
    await client.query(`PREPARE statement AS ${text}`);
    await client.query('BEGIN');
    // What lock_rooms leaves: ids, tails, when they came to be, next orders, gaps, places, what has settled last.
    const locked = `{1} {1} {${room.createdAt}} {1} {-1} {"(0,0)"} {1}`;
    await client.query("SELECT set_config('roomline.locked', $1, true)", [locked]);
    const values = [
      ...[
        1,
        room.since,
        "'{1}'",
        "'{0}'",
        "'{m}'",
        `'{${room.since}}'`,
        "'{NULL}'",
        "'{NULL}'",
        "'{NULL}'",
        "'{NULL}'",
      ],
      ...["'{http}'", "'{1}'", "'{1}'", `'\\x${'00'.repeat(32)}'`, "'\\x00'"],
      ...(text.includes('$16') ? ["'{NULL}'"] : []),
    ];
    const explained = `EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE statement(${values.join(', ')})`;
    const { rows } = await client.query(explained);
    await client.query('ROLLBACK');
    await client.query('DEALLOCATE statement');
    const [{ Plan }] = (rows[0] as { 'QUERY PLAN': [{ Plan: PlanNode }] })['QUERY PLAN'];
    return flatten(Plan)
      .filter((node) => (node['Actual Loops'] ?? 0) > 0)
      .map((node) => /^history_(\d+)$/.exec(node['Relation Name'] ?? '')?.[1])
      .filter((day) => day !== undefined);
  }

  it.each([STATEMENTS.appendMessages, STATEMENTS.appendOrdered])(
    '$name opens no days from before its room came to be',
    async ({ text }) => {
      const now = Date.now();
      const createdAt = now - 2 * DAY_MS;
      const dayOf = (at: number): string => new Date(at).toISOString().slice(0, 10).replaceAll('-', '');
      const opened = await daysOpened(text, { createdAt, since: now - 8 * DAY_MS });
      expect(opened).toContain(dayOf(createdAt));
      // A day is allowed for clocks that differ.
      expect(opened.filter((day) => day < dayOf(createdAt - DAY_MS))).toEqual([]);
    },
  );
});

describe('statements', () => {
  it('are one file each, all of them loaded', () => {
    const directory = new URL('../../../src/adapters/postgres/sql', import.meta.url);
    const files = readdirSync(directory).map((file) => `roomline_${file.replace('.sql', '')}`);
    expect(
      Object.values(STATEMENTS)
        .map((statement) => statement.name)
        .sort(),
    ).toEqual(files.sort());
  });
});

function flatten(node: PlanNode): PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(flatten)];
}
