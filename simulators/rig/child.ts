import { type ChildProcess, spawn } from 'node:child_process';
import { appendFileSync, createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { forget, remember } from './leftovers.ts';

export interface ChildOptions {
  /** What it is called in texts and file names, such as `engine`. */
  readonly name: string;
  /** Script and arguments for Node. */
  readonly command: readonly string[];
  /** Folder of the rig: its process file goes to `processes/`, what it prints to `logs/`. */
  readonly directory: string;
  /** The first line of output for which this gives something means that the child is ready. */
  readonly ready: (line: string) => unknown;
  readonly readyDeadlineMs?: number;
  readonly signal?: AbortSignal;
}

export interface ChildEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const READY_DEADLINE_MS = 60_000;
const STOP_DEADLINE_MS = 30_000;
const LINES_KEPT = 20;
const END_WITH_PARENT = fileURLToPath(new URL('end-with-parent.ts', import.meta.url));

/**
 * A Node process in a group of its own, so that Ctrl-C in a terminal reaches only us, and which ends when we do. All
 * that it prints goes to `logs/<name>.log`.
 */
export class Child {
  readonly name: string;
  /** Resolves when it has ended and its output has been read. */
  readonly ended: Promise<ChildEnd>;
  readonly #process: ChildProcess;
  #stopping = false;
  #running = true;

  private constructor(name: string, child: ChildProcess, ended: Promise<ChildEnd>) {
    this.name = name;
    this.#process = child;
    this.ended = ended.finally(() => {
      this.#running = false;
    });
  }

  /**
   * Starts it and waits until it is ready.
   * @returns the child, and what `ready` gave.
   * @throws Error with its last lines where it ends before that, or is not ready in time.
   */
  static async start<T>(options: ChildOptions & { readonly ready: (line: string) => T | null }): Promise<[Child, T]> {
    const { name, directory, signal } = options;
    signal?.throwIfAborted();
    const spawned = spawn(process.execPath, ['--import', END_WITH_PARENT, ...options.command], {
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
      env: childEnvironment(),
    });
    const last: string[] = [];
    const ready = Promise.withResolvers<T>();
    const read = follow(spawned, join(directory, 'logs', `${name}.log`), (line) => {
      last.push(line);
      if (last.length > LINES_KEPT) last.shift();
      const found = options.ready(line);
      if (found !== null) ready.resolve(found);
    });
    const ended = new Promise<ChildEnd>((resolve, reject) => {
      spawned.once('error', reject);
      spawned.once('close', (code, by) => resolve({ code, signal: by }));
    }).then(async (end) => {
      await read;
      forget(directory, name);
      return end;
    });
    const child = new Child(name, spawned, ended);
    if (spawned.pid !== undefined) remember(directory, name, spawned.pid);

    const timer = new AbortController();
    const tooLate = delay(options.readyDeadlineMs ?? READY_DEADLINE_MS, null, { signal: timer.signal });
    try {
      const found = await Promise.race([
        ready.promise,
        ended.then(({ code, signal: by }) => {
          throw new Error(`the ${name} ended at its start (${code ?? by}): ${last.join('\n')}`);
        }),
        tooLate.then(() => {
          throw new Error(`the ${name} is not ready: ${last.join('\n')}`);
        }),
        aborted(signal, timer.signal),
      ]);
      return [child, found];
    } catch (error) {
      await child.kill9();
      throw error;
    } finally {
      timer.abort();
      tooLate.catch(() => undefined);
    }
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  get running(): boolean {
    return this.#running;
  }

  /** It was told to end, by `stop` or `kill9`. */
  get stopping(): boolean {
    return this.#stopping;
  }

  /** SIGTERM, and SIGKILL if it has not ended in time. Resolves with how it ended. */
  async stop(deadlineMs: number = STOP_DEADLINE_MS): Promise<ChildEnd> {
    this.#stopping = true;
    this.#process.kill('SIGTERM');
    this.#process.kill('SIGCONT');
    const timer = new AbortController();
    const late = delay(deadlineMs, null, { signal: timer.signal }).then(
      () => this.#process.kill('SIGKILL'),
      () => undefined,
    );
    const end = await this.ended;
    timer.abort();
    await late;
    return end;
  }

  /** SIGKILL. Resolves when it has ended. */
  async kill9(): Promise<ChildEnd> {
    this.#stopping = true;
    this.#process.kill('SIGKILL');
    return this.ended;
  }

  /** SIGSTOP: it stands still, its connections stay open. */
  pause(): void {
    this.#process.kill('SIGSTOP');
  }

  /** SIGCONT. */
  resume(): void {
    this.#process.kill('SIGCONT');
  }
}

/** Our environment without settings of a Roomline that is none of ours. */
function childEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('ROOMLINE_')));
}

/** Hands out the lines of both outputs and copies them to the log. Resolves when both have ended. */
async function follow(child: ChildProcess, logFile: string, onLine: (line: string) => void): Promise<void> {
  // Made at once, so that a folder that cannot be written to is an error here.
  appendFileSync(logFile, '', { mode: 0o600 });
  const log = createWriteStream(logFile, { flags: 'a' });
  await Promise.all(
    [child.stdout, child.stderr].map(async (stream) => {
      if (stream === null) return;
      for await (const line of createInterface({ input: stream })) {
        log.write(`${line}\n`);
        onLine(line);
      }
    }),
  );
  await new Promise<void>((resolve) => log.end(resolve));
}

/** Rejects when the signal aborts; never otherwise. */
function aborted(signal: AbortSignal | undefined, done: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true, signal: done });
  });
}
