/** A transaction-mode pooler in front of a test Postgres: PgBouncer with a configuration of its own. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import pg from 'pg';
import { freePort } from '../../simulators/free-port.ts';
import { type Account, serverAccount } from '../../simulators/postgres/account.ts';

const HOST = '127.0.0.1';
const PORT_ATTEMPTS = 5;
const STOP_DEADLINE_MS = 5_000;

export interface Pgbouncer {
  /** The address of a Postgres server's database, through the pooler. */
  url(direct: string): string;
  stop(): Promise<void>;
}

/** Where the program is; null where it is not installed. Debian keeps it where only root's PATH leads. */
export function findPgbouncer(): string | null {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin', '/opt/homebrew/bin'];
  const programs = folders.filter((folder) => folder !== '').map((folder) => join(folder, 'pgbouncer'));
  return programs.find((program) => existsSync(program) && spawnSync(program, ['--version']).status === 0) ?? null;
}

/**
 * Starts a pooler for every database of one server, its files in a new folder.
 * @param server an address of the server with the user and password that everybody connects as
 */
export async function startPgbouncer(program: string, folder: string, server: string): Promise<Pgbouncer> {
  const account = serverAccount(folder);
  mkdirSync(folder);
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    const file = configure(folder, account, port, new URL(server));
    const { child, failure } = await launch(program, file, account);
    if (failure === null) {
      return {
        url: (direct) => {
          const url = new URL(direct);
          url.port = String(port);
          return url.href;
        },
        stop: () => stop(child),
      };
    }
    if (attempt === PORT_ATTEMPTS || !/in use/.test(failure)) throw new Error(`PgBouncer did not start: ${failure}`);
  }
}

/** Closes the pooler's connections to one database, which it would keep for later. */
export async function closePooled(pooled: string): Promise<void> {
  const url = new URL(pooled);
  const database = url.pathname.slice(1);
  url.pathname = '/pgbouncer';
  const console = new pg.Client({ connectionString: url.href });
  await console.connect();
  try {
    const known = await console.query('SHOW DATABASES');
    if (known.rows.some((row: { name: string }) => row.name === database)) await console.query(`KILL ${database}`);
  } finally {
    await console.end();
  }
}

function configure(folder: string, account: Account | null, port: number, server: URL): string {
  const users = join(folder, 'users.txt');
  const user = decodeURIComponent(server.username);
  const file = join(folder, 'pgbouncer.ini');
  const lines = [
    '[databases]',
    `* = host=${server.hostname} port=${server.port}`,
    '[pgbouncer]',
    `listen_addr = ${HOST}`,
    `listen_port = ${port}`,
    'unix_socket_dir =',
    'auth_type = trust',
    `auth_file = ${users}`,
    `admin_users = ${user}`,
    'pool_mode = transaction',
    'max_client_conn = 1000',
    'default_pool_size = 40',
    // Nothing is let through that the pooler cannot keep: a start-up parameter too many is an error.
    'ignore_startup_parameters =',
  ];
  // The password is what the pooler logs on to the server with.
  writeFileSync(users, `"${user}" "${decodeURIComponent(server.password)}"\n`, { mode: 0o600 });
  writeFileSync(file, `${lines.join('\n')}\n`, { mode: 0o600 });
  for (const path of [folder, users, file]) if (account !== null) chownSync(path, account.uid, account.gid);
  return file;
}

/** Starts the process. `failure`: null when it listens, else what it said before it ended. */
async function launch(
  program: string,
  file: string,
  account: Account | null,
): Promise<{ child: ChildProcess; failure: string | null }> {
  const child = spawn(program, [file], { ...account, cwd: '/', stdio: ['ignore', 'ignore', 'pipe'] });
  const stopWithUs = () => child.kill('SIGKILL');
  process.once('exit', stopWithUs);
  child.once('close', () => process.removeListener('exit', stopWithUs));
  const said: string[] = [];
  const up = new Promise<boolean>((resolve) => {
    createInterface({ input: child.stderr }).on('line', (line) => {
      if (said.length < 50) said.push(line);
      if (line.includes('process up')) resolve(true);
    });
    child.once('close', () => resolve(false));
  });
  return { child, failure: (await up) ? null : said.join(' ') };
}

/** Closes every connection at once. */
async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const closed = once(child, 'close');
  child.kill('SIGTERM');
  const late = setTimeout(() => child.kill('SIGKILL'), STOP_DEADLINE_MS);
  await closed;
  clearTimeout(late);
}
