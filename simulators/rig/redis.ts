/** Redis servers: each with a folder and a port of its own, to be killed, paused and started again. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { freePort } from '../free-port.ts';

const HOST = '127.0.0.1';
const PORT_ATTEMPTS = 5;

const PROGRAMS = ['redis-server', 'valkey-server'];
const APT_TIMEOUT_MS = 180_000;

/** Where the program is; null where neither Redis nor Valkey is installed. */
export function findRedis(path = process.env.PATH ?? ''): string | null {
  const folders = [...path.split(delimiter), '/usr/local/bin', '/opt/homebrew/bin'].filter((folder) => folder !== '');
  const programs = PROGRAMS.flatMap((program) => folders.map((folder) => join(folder, program)));
  return programs.find((program) => existsSync(program) && spawnSync(program, ['--version']).status === 0) ?? null;
}

/** Runs a program with these arguments; its exit status, null where it could not be run. */
export type Run = (program: string, args: readonly string[]) => number | null;

/**
 * Installs Redis by apt where this account may. Its own service is not started.
 * @returns what is in the way; null where it is installed now
 */
export function installRedis(run?: Run, isRoot?: boolean): string | null {
  return installPackage('redis-server', run, isRoot);
}

/** The same of any package. */
export function installPackage(name: string, run: Run = runQuietly, isRoot = process.getuid?.() === 0): string | null {
  if (run('apt-get', ['--version']) !== 0) return 'there is no apt on this machine';
  if (!isRoot) return 'this account may not install it';
  const install = ['install', '--yes', '--no-install-recommends', name];
  const done = run('apt-get', install) === 0 || (run('apt-get', ['update']) === 0 && run('apt-get', install) === 0);
  return done ? null : 'apt could not install it';
}

function runQuietly(program: string, args: readonly string[]): number | null {
  // At runlevel 1 no service is started.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  return spawnSync(program, args, { env, stdio: 'ignore', timeout: APT_TIMEOUT_MS }).status;
}

/** Starts a server with these settings of redis.conf; it keeps nothing on disk. */
export async function startRedis(program: string, settings: Readonly<Record<string, string>> = {}) {
  const server = new RedisServer(program, settings);
  await server.start();
  return server;
}

export class RedisServer {
  readonly #program: string;
  readonly #settings: Readonly<Record<string, string>>;
  readonly #folder = mkdtempSync(join(tmpdir(), 'roomline-test-redis-'));
  #port: number | null;
  #child: ChildProcess | null = null;

  /** @param port null for one that is free when it first starts */
  constructor(program: string, settings: Readonly<Record<string, string>>, port: number | null = null) {
    this.#program = program;
    this.#settings = settings;
    this.#port = port;
  }

  /** Its address; with the password where it wants one. */
  get url(): string {
    const { requirepass } = this.#settings;
    return `redis://${requirepass === undefined ? '' : `:${encodeURIComponent(requirepass)}@`}${HOST}:${this.#port}`;
  }

  /** Where it listens. @throws Error before its first start */
  get port(): number {
    if (this.#port === null) throw new Error('Redis has never been started');
    return this.#port;
  }

  /** Null while it does not run. */
  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  /** Resolves when it takes commands. After a kill it comes back at the same address, with nothing in it. */
  async start(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const port = this.#port ?? (await freePort());
      const { child, failure } = await launch(this.#program, this.#folder, { ...this.#settings, port: String(port) });
      if (failure === null) {
        this.#port = port;
        this.#child = child;
        return;
      }
      const taken = this.#port === null && /in use/i.test(failure);
      if (attempt === PORT_ATTEMPTS || !taken) throw new Error(`Redis did not start: ${failure}`);
    }
  }

  /** kill -9 */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const closed = once(child, 'close');
    child.kill('SIGKILL');
    await closed;
  }

  /** Leaves it connected, and answering nothing. */
  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Starts the process. `failure`: null when it takes commands, else what it said before it ended. */
async function launch(
  program: string,
  folder: string,
  settings: Readonly<Record<string, string>>,
): Promise<{ child: ChildProcess; failure: string | null }> {
  const all = { bind: HOST, dir: folder, save: '', appendonly: 'no', ...settings };
  const options = Object.entries(all).flatMap(([name, value]) => [`--${name}`, value]);
  // A group of its own: Ctrl-C in a terminal reaches only us.
  const child = spawn(program, options, { cwd: folder, stdio: ['ignore', 'pipe', 'ignore'], detached: true });
  const stopWithUs = () => child.kill('SIGKILL');
  process.once('exit', stopWithUs);
  child.once('close', () => process.removeListener('exit', stopWithUs));
  const said: string[] = [];
  const up = new Promise<boolean>((resolve) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (said.length < 50) said.push(line);
      if (line.includes('Ready to accept connections')) resolve(true);
    });
    child.once('close', () => resolve(false));
  });
  return { child, failure: (await up) ? null : said.join(' ') };
}
