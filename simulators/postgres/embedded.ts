/**
 * A real Postgres server as a child process, for `npm start` and for tests. It listens on the loopback address only,
 * asks for a password, keeps fsync on, and stands in a session of its own, so that Ctrl-C in a terminal does not reach
 * it before Roomline has stopped.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../free-port.ts';
import { type Account, canEnter, serverAccount } from './account.ts';
import { type Binaries, binariesIn, embeddedBinaries, outsideFolder, type Say, shortHash } from './binaries.ts';
import { commandLine, takeLock } from './lock.ts';

export interface PostgresOptions {
  /** Folder for the server's data and password; made if missing, and given to the account that runs the server. */
  readonly directory: string;
  /** `embedded` (the npm package, the default) or the folder of `postgres` and `initdb`. */
  readonly binaries?: 'embedded' | string;
  /** 0, the default, takes a free one. */
  readonly port?: number;
  /** Such as `{ shared_buffers: '256MB' }`. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Told in one line of anything unusual; standard error by default. */
  readonly say?: Say;
}

const USER = 'roomline';
const HOST = '127.0.0.1';
const READY_DEADLINE_MS = 120_000;
const RETRY_DEADLINE_MS = 15_000;
const STOP_DEADLINE_MS = 15_000;
const PORT_ATTEMPTS = 5;

/**
 * Starts a server on the folder, creating its database cluster the first time. A server that a killed process left
 * behind there is stopped cleanly first; a cluster that was not shut down recovers.
 * @throws Error in one line where the folder is in use, belongs to somebody else or holds another version's data.
 */
export async function startPostgres(options: PostgresOptions): Promise<PostgresServer> {
  const say = options.say ?? ((line) => void process.stderr.write(`${line}\n`));
  const { directory, account, outside } = place(options.directory, say);
  const binaries =
    options.binaries === undefined || options.binaries === 'embedded'
      ? embeddedBinaries(account, outside ? () => undefined : say)
      : binariesIn(options.binaries, account);
  const release = takeLock(join(directory, 'lock'), `the Postgres in ${directory}`);
  try {
    const password = ownPassword(directory, account);
    const dataDirectory = join(directory, 'data');
    createCluster({ binaries, account, directory, dataDirectory });
    await stopLeftover(dataDirectory, say);
    const server = new PostgresServer({
      binaries,
      account,
      dataDirectory,
      password,
      release,
      port: options.port ?? 0,
      settings: options.settings ?? {},
    });
    await server.launch();
    return server;
  } catch (error) {
    release();
    throw error;
  }
}

interface ServerParts {
  readonly binaries: Binaries;
  readonly account: Account | null;
  readonly dataDirectory: string;
  readonly password: string;
  readonly port: number;
  readonly settings: Readonly<Record<string, string>>;
  readonly release: () => void;
}

export class PostgresServer {
  readonly host = HOST;
  readonly user = USER;
  readonly dataDirectory: string;
  readonly password: string;
  readonly major: number;
  readonly #parts: ServerParts;
  #port: number;
  #child: ChildProcess | null = null;
  #exit: Promise<void> = Promise.resolve();

  constructor(parts: ServerParts) {
    this.#parts = parts;
    this.#port = parts.port;
    this.dataDirectory = parts.dataDirectory;
    this.password = parts.password;
    this.major = parts.binaries.major;
  }

  get port(): number {
    return this.#port;
  }

  /** The postmaster's process id while it runs. */
  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  /** Resolves when the server that runs now has ended, for whatever reason. */
  get exited(): Promise<void> {
    return this.#exit;
  }

  /** Holds the password: for connecting, not for printing. */
  url(database = 'postgres'): string {
    return `postgres://${USER}:${this.password}@${HOST}:${this.#port}/${encodeURIComponent(database)}`;
  }

  /** Used by `startPostgres`; afterwards see `restart`. */
  async launch(): Promise<void> {
    const deadline = performance.now() + RETRY_DEADLINE_MS;
    let portAttempts = this.#port === 0 ? PORT_ATTEMPTS : 1;
    for (;;) {
      const port = this.#port === 0 ? await freePort() : this.#port;
      const failure = await this.#launchOn(port);
      if (failure === null) return;
      if (/could not bind|Address already in use/.test(failure) && --portAttempts > 0) continue;
      // After a kill -9 the server's other processes need a moment to notice.
      const stillInUse = /pre-existing shared memory block|lock file ".*" already exists/.test(failure);
      if (!stillInUse || performance.now() > deadline) throw new Error(`Postgres did not start: ${failure}`);
      await delay(50);
    }
  }

  /** Fast shutdown: open transactions are rolled back. Resolves when the server is gone and the folder is free. */
  async stop(): Promise<void> {
    await this.#end();
    this.#parts.release();
  }

  /** Kills every process of the server at once, as a power cut would. Resolves when they are gone. */
  async kill9(): Promise<void> {
    const pid = this.pid;
    if (pid === null) return;
    const backends = childrenOf(pid);
    this.#child?.kill('SIGKILL');
    for (const backend of backends) killIfThere(backend, 'SIGKILL');
    await this.#exit;
  }

  /** Every process of the server stands still: connections stay open, and nothing answers. `resume` ends it. */
  pause(): number {
    return this.#signalAll('SIGSTOP');
  }

  resume(): void {
    this.#signalAll('SIGCONT');
  }

  /** How many processes there were. */
  #signalAll(signal: NodeJS.Signals): number {
    const { pid } = this;
    if (pid === null) return 0;
    const all = [pid, ...childrenOf(pid)];
    for (const each of all) killIfThere(each, signal);
    return all.length;
  }

  /** Starts the server again on the same port, after a fast shutdown if it runs, after recovery if it was killed. */
  async restart(): Promise<void> {
    await this.#end();
    await this.launch();
  }

  /** Starts the process; null when it is ready, else what it said before it ended. */
  async #launchOn(port: number): Promise<string | null> {
    const { binaries, account, dataDirectory, settings } = this.#parts;
    const all = {
      listen_addresses: HOST,
      unix_socket_directories: '',
      lc_messages: 'C',
      logging_collector: 'off',
      log_destination: 'stderr',
      ...settings,
    };
    const flags = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const child = spawn(join(binaries.directory, 'postgres'), ['-D', dataDirectory, '-p', String(port), ...flags], {
      ...account,
      cwd: dataDirectory,
      env: serverEnvironment(),
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const stopWithUs = () => child.kill('SIGINT');
    process.once('exit', stopWithUs);
    this.#exit = new Promise((resolve) => {
      child.once('close', () => {
        process.removeListener('exit', stopWithUs);
        if (this.#child === child) this.#child = null;
        resolve();
      });
    });
    const failure = await untilReady(child);
    if (failure === null) {
      this.#child = child;
      this.#port = port;
    }
    return failure;
  }

  async #end(): Promise<void> {
    const child = this.#child;
    if (child === null) return this.#exit;
    if (process.platform === 'win32') {
      spawnSync(join(this.#parts.binaries.directory, 'pg_ctl'), ['stop', '-m', 'fast', '-D', this.dataDirectory]);
    } else {
      child.kill('SIGINT');
    }
    // Fast, then immediate (which recovers at the next start), then by force.
    for (const signal of ['SIGQUIT', 'SIGKILL'] as const) {
      const timer = new AbortController();
      const late = delay(STOP_DEADLINE_MS, 'late', { signal: timer.signal }).catch(() => 'cancelled');
      const first = await Promise.race([this.#exit, late]);
      timer.abort();
      if (first !== 'late') return;
      child.kill(signal);
    }
    await this.#exit;
  }
}

/** The folder itself, or one outside where the account that runs the server cannot enter it; and that account. */
function place(wanted: string, say: Say): { directory: string; account: Account | null; outside: boolean } {
  let directory = resolve(wanted);
  let account = serverAccount(directory);
  const outside = account !== null && !canEnter(account, resolve(directory, '..'));
  if (outside) {
    const folder = outsideFolder();
    directory = join(folder, `data-${shortHash(directory)}`);
    account = serverAccount(directory);
    say(`Running as root where other users cannot enter: Postgres has its programs and data in ${folder}`);
  }
  makeFolder(directory);
  directory = realpathSync(directory);
  try {
    if (account !== null) chownSync(directory, account.uid, account.gid);
    chmodSync(directory, 0o700);
  } catch (error) {
    throw new Error(`${directory} belongs to another user; remove it or start as that user`, { cause: error });
  }
  return { directory, account, outside };
}

function makeFolder(directory: string): void {
  const first = mkdirSync(directory, { recursive: true });
  // Whatever the umask: folders that were just made on the way must let the server's account through.
  for (let path = directory; first !== undefined && path.length >= first.length; path = resolve(path, '..')) {
    chmodSync(path, 0o755);
  }
}

function ownPassword(directory: string, account: Account | null): string {
  const file = join(directory, 'password');
  if (!existsSync(file)) {
    writeFileSync(file, `${randomBytes(24).toString('base64url')}\n`, { mode: 0o600 });
    if (account !== null) chownSync(file, account.uid, account.gid);
  }
  return readFileSync(file, 'utf8').trim();
}

function createCluster(parts: {
  binaries: Binaries;
  account: Account | null;
  directory: string;
  dataDirectory: string;
}) {
  const { binaries, account, directory, dataDirectory } = parts;
  if (existsSync(join(dataDirectory, 'PG_VERSION'))) {
    const found = readFileSync(join(dataDirectory, 'PG_VERSION'), 'utf8').trim();
    if (Number(found) === binaries.major) return;
    throw new Error(`${dataDirectory} holds data of Postgres ${found}, this is ${binaries.major}; remove the folder`);
  }
  // Made under another name first, so that an interrupted creation is never taken for a cluster.
  const fresh = `${dataDirectory}.new`;
  rmSync(fresh, { recursive: true, force: true });
  const { status, stderr, error } = spawnSync(
    join(binaries.directory, 'initdb'),
    [
      ...['-D', fresh, '--username', USER, '--pwfile', join(directory, 'password'), '--auth', 'scram-sha-256'],
      ...['--encoding', 'UTF8', '--locale', 'C', '--data-checksums'],
    ],
    { encoding: 'utf8', cwd: directory, env: serverEnvironment(), ...account },
  );
  if (status !== 0) throw new Error(`initdb failed: ${error?.message ?? stderr.trim()}`);
  renameSync(fresh, dataDirectory);
}

/** Our own environment without what would redirect Postgres, in a language whose messages we can read. */
function serverEnvironment(): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('PG') && !name.startsWith('LC_'));
  return { ...Object.fromEntries(own), LANG: 'C', LC_ALL: 'C' };
}

/** Follows what the server says until it is ready (null) or has ended (its last words). Keeps reading afterwards. */
async function untilReady(child: ChildProcess): Promise<string | null> {
  if (child.stderr === null) throw new Error('the server was started without its standard error');
  const said: string[] = [];
  const lines = createInterface({ input: child.stderr });
  const ready = new Promise<true>((isReady) => {
    lines.on('line', (line) => {
      said.push(line);
      if (said.length > 50) said.shift();
      if (/database system is ready to accept (read-only )?connections/.test(line)) isReady(true);
    });
  });
  const timer = new AbortController();
  const outcome = await Promise.race([
    ready,
    once(child, 'close', { signal: timer.signal }).then(() => false),
    delay(READY_DEADLINE_MS, false, { signal: timer.signal }),
  ]).finally(() => timer.abort());
  if (outcome) return null;
  child.kill('SIGKILL');
  return said.filter((line) => /FATAL|ERROR|HINT|could not/.test(line)).join(' ') || said.join(' ');
}

/** Stops the server that a killed process left running on this cluster, and clears away what a dead one left. */
async function stopLeftover(dataDirectory: string, say: Say): Promise<void> {
  const file = join(dataDirectory, 'postmaster.pid');
  if (!existsSync(file)) return;
  const pid = Number.parseInt(readFileSync(file, 'utf8'), 10);
  const runs = () => commandLine(pid)?.includes(`-D ${dataDirectory} `) ?? false;
  if (!Number.isInteger(pid) || pid <= 0 || !runs()) {
    // Postgres would take any process of this number and this account for a living server.
    rmSync(file, { force: true });
    return;
  }
  say(`Stopping the Postgres (process ${pid}) that an earlier run left behind`);
  for (const signal of ['SIGINT', 'SIGQUIT', 'SIGKILL'] as const) {
    killIfThere(pid, signal);
    // Not our child: there is no event to wait for.
    const deadline = performance.now() + STOP_DEADLINE_MS;
    while (runs() && performance.now() < deadline) await delay(20);
    if (!runs()) return;
  }
  throw new Error(`the Postgres of process ${pid} on ${dataDirectory} does not stop`);
}

function childrenOf(pid: number): number[] {
  const listed = `/proc/${pid}/task/${pid}/children`;
  if (existsSync(listed)) return readFileSync(listed, 'utf8').split(' ').filter(Boolean).map(Number);
  const { stdout } = spawnSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' });
  return (stdout ?? '')
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number))
    .filter(([, parent]) => parent === pid)
    .map(([child]) => child ?? 0);
}

function killIfThere(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
