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
  /** Laid over our own environment. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface ReadyOptions<T> extends ChildOptions {
  /** The first line of output for which this gives something means that the child is ready. */
  readonly ready: (line: string) => T | null;
}

export interface ChildEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Something that a child should have done, and did not. */
export class ChildFailed extends Error {
  /** How it ended; null where it runs. */
  readonly how: ChildEnd | null;

  constructor(text: string, how: ChildEnd | null) {
    super(text);
    this.how = how;
  }
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
  readonly logFile: string;
  /** Resolves when it has ended and its output has been read. Rejects where it could not be run at all. */
  readonly ended: Promise<ChildEnd>;
  readonly #process: ChildProcess;
  readonly #last: string[] = [];
  #stopping = false;
  #running = true;

  private constructor(options: ChildOptions, onLine: (line: string) => void) {
    const { name, directory, command } = options;
    this.name = name;
    this.logFile = join(directory, 'logs', `${name}.log`);
    this.#process = spawn(process.execPath, ['--import', END_WITH_PARENT, ...command], {
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...childEnvironment(), ...options.environment },
    });
    const read = follow(this.#process, this.logFile, (line) => {
      this.#last.push(line);
      if (this.#last.length > LINES_KEPT) this.#last.shift();
      onLine(line);
    });
    const closed = new Promise<ChildEnd>((resolve, reject) => {
      this.#process.once('error', reject);
      this.#process.once('close', (code, signal) => {
        this.#running = false;
        forget(directory, name);
        resolve({ code, signal });
      });
    });
    this.ended = Promise.all([closed, read]).then(([end]) => end);
    if (this.#process.pid !== undefined) remember(directory, name, this.#process.pid);
  }

  /**
   * Starts it and waits until it is ready. Resolves with the child, and what `ready` gave.
   * @throws Error with its last lines where it ends before that or is not ready in time; the signal's reason.
   */
  static async start<T>(options: ReadyOptions<T>): Promise<[Child, T]> {
    options.signal?.throwIfAborted();
    const ready = Promise.withResolvers<T>();
    const child = new Child(options, (line) => {
      const found = options.ready(line);
      if (found !== null) ready.resolve(found);
    });
    const end = child.ended.then((how) => {
      throw child.failure('ended at its start', how);
    });
    try {
      return [child, await child.#first([ready.promise, end], options.signal)];
    } catch (error) {
      await child.kill9();
      throw error;
    }
  }

  /** Runs it to its end. @throws Error with its last lines unless it ends with code 0; the signal's reason. */
  static async run(options: ChildOptions): Promise<void> {
    options.signal?.throwIfAborted();
    const child = new Child(options, () => undefined);
    try {
      const how = await child.#first([child.ended], options.signal);
      if (how.code !== 0) throw child.failure('failed', how);
    } catch (error) {
      await child.kill9();
      throw error;
    }
  }

  /** The first of these, unless the deadline or the signal is earlier. */
  async #first<T>(these: readonly Promise<T>[], signal: AbortSignal | undefined): Promise<T> {
    const done = new AbortController();
    const over = Promise.withResolvers<never>();
    signal?.addEventListener('abort', () => over.reject(signal.reason), { signal: done.signal });
    const timer = setTimeout(() => over.reject(this.failure('is not ready', null)), READY_DEADLINE_MS);
    try {
      return await Promise.race([...these, over.promise]);
    } finally {
      clearTimeout(timer);
      done.abort();
    }
  }

  /** What it should have done and did not, how it ended (null where it runs) and its last lines. */
  failure(what: string, how: ChildEnd | null): Error {
    const end = how === null ? '' : ` (${how.code ?? how.signal})`;
    return new ChildFailed(`the ${this.name} ${what}${end}: ${this.#last.join('\n') || 'it said nothing'}`, how);
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

  /** SIGTERM, and nothing else. */
  terminate(): void {
    this.#stopping = true;
    this.#process.kill('SIGTERM');
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
