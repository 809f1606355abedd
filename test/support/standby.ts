/** A second server on a copy of the first one's data: its asynchronous standby, that can be promoted. */
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { type PostgresServer, startPostgres } from '../../simulators/postgres/embedded.ts';
import { eventually } from './events.ts';

export interface StandbyOptions {
  readonly directory: string;
  readonly binaries: 'embedded' | string;
}

/**
 * Takes a base backup of the running server, as pg_basebackup does (which not every set of programs has), and starts
 * it as a standby that streams from there.
 */
export async function startStandby(primary: PostgresServer, options: StandbyOptions): Promise<PostgresServer> {
  const { directory, binaries } = options;
  mkdirSync(directory, { recursive: true });
  const data = join(directory, 'data');
  await query(primary.url(), async (client) => {
    await client.query(`SELECT pg_backup_start('standby', true)`);
    copy(primary.dataDirectory, data);
    copy(join(dirname(primary.dataDirectory), 'password'), join(directory, 'password'));
    const { rows } = await client.query<{ labelfile: string }>('SELECT labelfile FROM pg_backup_stop(false)');
    writeFile(data, 'backup_label', rows[0]?.labelfile ?? '');
  });
  rmSync(join(data, 'postmaster.pid'), { force: true });
  writeFile(data, 'standby.signal', '');
  const { user, password, host, port } = primary;
  const connection = `user=${user} password=${password} host=${host} port=${port} application_name=standby`;
  return startPostgres({ directory, binaries, settings: { primary_conninfo: connection, hot_standby: 'on' } });
}

/** Resolves when the standby has everything that is committed on the primary by now. */
export async function caughtUp(primary: PostgresServer, standby: PostgresServer): Promise<void> {
  const { rows } = await query(primary.url(), (client) =>
    client.query<{ lsn: string }>('SELECT pg_current_wal_flush_lsn() AS lsn'),
  );
  await query(standby.url(), (client) =>
    eventually('the standby has caught up', async () => {
      const replayed = await client.query<{ done: boolean }>('SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS done', [
        rows[0]?.lsn,
      ]);
      return replayed.rows[0]?.done;
    }),
  );
}

/** Resolves when the standby takes writes, on a timeline of its own. */
export async function promote(standby: PostgresServer): Promise<void> {
  await query(standby.url(), (client) => client.query('SELECT pg_promote(true)'));
}

async function query<T>(url: string, run: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, application_name: 'roomline-test-standby' });
  await client.connect();
  try {
    return await run(client);
  } finally {
    await client.end();
  }
}

/** With owners and rights: as root, servers run under another account. */
function copy(from: string, to: string): void {
  const { status, stderr } = spawnSync('cp', ['-a', from, to], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${from} could not be copied: ${stderr}`);
}

function writeFile(data: string, name: string, text: string): void {
  const file = join(data, name);
  writeFileSync(file, text);
  const { uid, gid } = statSync(data);
  chownSync(file, uid, gid);
  chmodSync(file, 0o600);
}
