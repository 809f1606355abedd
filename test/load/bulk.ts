/** Batches: how many messages a second become durable, beside COPY into the same table; and how fast a backlog goes. */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { ascending, quantile } from '../bench/figures.ts';
import { type Outcome, run } from './jobs.ts';
import { nameOf } from './publishes.ts';
import type { Cell } from './samples.ts';
import { type Scenario, type ScenarioContext, targetOf } from './scenario.ts';
import { countStatements } from './statements.ts';
import { type Target, withTarget } from './target.ts';

const MESSAGES = 200_000;
const ROOMS = 20_000;
/** Requests at a time: one is being read while another is being stored, for each of two callers. */
const IN_FLIGHT = 4;

export const bulk: Scenario = {
  describe: ({ batch, messages }) =>
    `bulk: ${messages ?? MESSAGES} messages over ${ROOMS} known rooms in batches of ${batch.join(', ')}, ${IN_FLIGHT} at a time, and COPY of the same rows into the same table: at once, and in parts of a batch`,

  async measure(context) {
    const { options } = context;
    const messages = options.messages ?? MESSAGES;
    const rows: Cell[][] = [];
    for (const processes of options.processes) {
      for (const size of options.batch) {
        await withTarget(targetOf(context, processes), async (target) => {
          rows.push([nameOf(processes), size, ...(await besideCopy(target, size, messages, context))]);
        });
        context.say(`  batches of ${size} done`);
      }
    }
    const head = [
      ...['', 'batch', 'messages/s', 'p50 ms', 'p99 ms'],
      ...['COPY rows/s', 'share of it', 'COPY in batches', 'share of it'],
      ...['API µs', 'Postgres µs', 'COPY µs', 'generator µs', 'statements/1,000', 'transactions/1,000'],
    ];
    return [{ title: 'Bulk beside COPY', head, rows }];
  },
};

async function besideCopy(
  target: Target,
  batch: number,
  messages: number,
  { signal }: ScenarioContext,
): Promise<Cell[]> {
  const job = { kind: 'bulk', urls: target.urls, key: target.key, roomPrefix: 'bulk-', rooms: ROOMS } as const;
  const load = (round: number): Promise<Outcome> =>
    run({ ...job, round, batch, messages, inFlight: IN_FLIGHT }, signal);
  // Makes the rooms, and compiles the code.
  const first = await load(1);
  const known = await rowCount(target);
  await target.query('CHECKPOINT');
  const before = target.cpu();
  const transactions = await transactionsOf(target);
  const counting = await countStatements(target);
  const outcome = await load(2);
  const statements = (await counting?.()) ?? Number.NaN;
  const committed = (await transactionsOf(target)) - transactions;
  const after = target.cpu();
  await target.check('bulk-', first.accepted.concat(outcome.accepted));
  const perSecond = (outcome.accepted.length / outcome.tookMs) * 1_000;
  const took = ascending(outcome.samples.map(({ tookMs }) => tookMs));
  const copied = await copy(target, known, batch);
  const us = (ms: number): number => (ms * 1_000) / outcome.accepted.length;
  return [
    ...[Math.round(perSecond), quantile(took, 0.5), quantile(took, 0.99)],
    ...[Math.round(copied.atOnce.perSecond), perSecond / copied.atOnce.perSecond],
    ...[Math.round(copied.inBatches.perSecond), perSecond / copied.inBatches.perSecond],
    ...[us(after.api - before.api), us(after.postgres - before.postgres), copied.inBatches.cpuUs, us(outcome.cpuMs)],
    ...[(statements / outcome.accepted.length) * 1_000, (committed / outcome.accepted.length) * 1_000],
  ];
}

async function rowCount(target: Target): Promise<number> {
  const rows = await target.query<{ count: string }>('SELECT count(*) FROM messages');
  return Number(rows[0]?.count);
}

async function transactionsOf(target: Target): Promise<number> {
  const rows = await target.query<{ count: string }>(
    'SELECT xact_commit AS count FROM pg_stat_database WHERE datname = current_database()',
  );
  return Number(rows[0]?.count);
}

interface Copied {
  readonly perSecond: number;
  /** Of Postgres, for each row. */
  readonly cpuUs: number;
}

/** The server's own COPY from a file, on top of as many rows as there were before the bulk load. */
async function copy(target: Target, known: number, batch: number): Promise<{ atOnce: Copied; inBatches: Copied }> {
  const client = new pg.Client({ connectionString: target.databaseUrl });
  await client.connect();
  try {
    const folder = target.rig.postgres.dataDirectory;
    const file = (name: string | number) => client.escapeLiteral(join(folder, `load-${name}.copy`));
    // In the order in which they were inserted.
    await client.query(
      'CREATE TABLE load_rows AS SELECT (row_number() OVER (ORDER BY ctid)) AS load_row, * FROM messages',
    );
    await client.query('ALTER TABLE load_rows ADD PRIMARY KEY (load_row)');
    const columns = (
      await client.query<{ list: string }>(
        `SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) AS list FROM pg_attribute
         WHERE attrelid = 'messages'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''`,
      )
    ).rows[0]?.list;
    const all = Number((await client.query<{ count: string }>('SELECT count(*) FROM load_rows')).rows[0]?.count);
    const write = (name: string | number, from: number, until: number) =>
      client.query(
        `COPY (SELECT ${columns} FROM load_rows WHERE load_row > ${from} AND load_row <= ${until} ORDER BY load_row) TO ${file(name)}`,
      );
    const read = (name: string | number) => client.query(`COPY messages (${columns}) FROM ${file(name)}`);
    await write('known', 0, known);
    await write('all', known, all);
    const parts = Math.ceil((all - known) / batch);
    for (let part = 0; part < parts; part++) {
      await write(part, known + part * batch, Math.min(all, known + (part + 1) * batch));
    }
    const timed = async (names: readonly (string | number)[]): Promise<Copied> => {
      await client.query('TRUNCATE messages');
      await read('known');
      await client.query('CHECKPOINT');
      const before = target.cpu().postgres;
      const startedAt = performance.now();
      for (const name of names) await read(name);
      const tookMs = performance.now() - startedAt;
      const rows = all - known;
      return { perSecond: (rows / tookMs) * 1_000, cpuUs: ((target.cpu().postgres - before) * 1_000) / rows };
    };
    const atOnce = await timed(['all']);
    return { atOnce, inBatches: await timed(Array.from({ length: parts }, (_, part) => part)) };
  } finally {
    await client.end();
  }
}

const BACKLOG = { messages: 100_000, rooms: 2_000, batch: 1_000 } as const;
const LOOK_EVERY_MS = 200;
const DEADLINE_MS = 600_000;

export const backlog: Scenario = {
  describe: ({ messages }) =>
    `backlog: ${messages ?? BACKLOG.messages} messages in ${BACKLOG.rooms} rooms taken while nobody sends; then a worker starts, acks after 0–5 ms: until all are settled`,

  measure: (context) =>
    withTarget(targetOf(context, 1), async (target) => {
      const { signal, options } = context;
      const messages = options.messages ?? BACKLOG.messages;
      const job = { kind: 'bulk', urls: target.urls, key: target.key, roomPrefix: 'backlog-', round: 1 } as const;
      const { rooms, batch } = BACKLOG;
      const { accepted, tookMs } = await run({ ...job, rooms, batch, messages, inFlight: IN_FLIGHT }, signal);
      const startedAt = performance.now();
      await target.startWorker();
      const readyMs = performance.now() - startedAt;
      const deadline = startedAt + DEADLINE_MS;
      while ((await rowCount(target)) > 0) {
        if (performance.now() > deadline) throw new Error('the backlog has not gone in time');
        await delay(LOOK_EVERY_MS, null, { signal });
      }
      const drainedMs = performance.now() - startedAt;
      await target.check('backlog-', accepted);
      const perSecond = (accepted.length / (drainedMs - readyMs)) * 1_000;
      const head = ['messages', 'taken in s', 'worker ready s', 'settled after s', 'messages/s'];
      const row = [accepted.length, tookMs / 1_000, readyMs / 1_000, drainedMs / 1_000, Math.round(perSecond)];
      return [{ title: 'A backlog that is sent', head, rows: [row] }];
    }),
};
