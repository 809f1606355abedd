import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Child, type ChildEnd } from './child.ts';
import { type Metrics, readMetrics } from './metrics.ts';

export interface EngineOptions {
  readonly directory: string;
  /** Name among several engines of one rig; that of its configuration, process and log files. */
  readonly name?: string;
  readonly config: object;
  /** Of scope operate, for the metrics. */
  readonly apiKey: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** File of the command; that of this checkout by default. */
  readonly command?: string;
  /** Told of every line that it prints. */
  readonly onLine?: (line: string) => void;
  readonly signal?: AbortSignal;
}

interface Listening {
  readonly event?: string;
  readonly host?: string;
  readonly port?: number;
}

const COMMAND = fileURLToPath(new URL('../../src/cli/roomline.mjs', import.meta.url));
const READY_DEADLINE_MS = 60_000;
const READY_POLL_MS = 25;
const STOP_DEADLINE_MS = 30_000;

/** Roomline itself, as its command runs it, in a process of its own that can be ended in every way and started again. */
export class EngineProcess {
  readonly #options: EngineOptions;
  readonly #configFile: string;
  readonly #name: string;
  readonly #command: string;
  #child: Child | null = null;
  #url = '';

  constructor(options: EngineOptions) {
    this.#options = options;
    this.#name = options.name ?? 'engine';
    this.#command = options.command ?? COMMAND;
    this.#configFile = join(options.directory, `${this.#name}.json`);
    writeFileSync(this.#configFile, `${JSON.stringify(options.config, null, 2)}\n`, { mode: 0o600 });
  }

  get url(): string {
    return this.#url;
  }

  get configFile(): string {
    return this.#configFile;
  }

  get child(): Child | null {
    return this.#child;
  }

  /** Brings the database to the present schema. @throws Error with what the command said. */
  async migrate(): Promise<void> {
    await Child.run({
      name: `${this.#name}-migrate`,
      directory: this.#options.directory,
      command: [this.#command, 'migrate', '--config', this.#configFile],
      ...this.#signal(),
    });
  }

  /**
   * Starts it, also again after `stop` or `kill9`, and waits until it is ready for traffic. One of several may have to
   * wait for a shard of its own: such a one is only waited for until it listens.
   */
  async start(until: 'ready' | 'listening' = 'ready'): Promise<void> {
    const { environment, onLine } = this.#options;
    const [child, url] = await Child.start<string>({
      name: this.#name,
      directory: this.#options.directory,
      command: [this.#command, 'serve', '--config', this.#configFile],
      ready: (line) => {
        onLine?.(line);
        return listeningUrl(line);
      },
      ...(environment === undefined ? {} : { environment }),
      ...this.#signal(),
    });
    this.#child = child;
    this.#url = url;
    if (until === 'listening') return;
    try {
      await this.#untilReady(child);
    } catch (error) {
      await child.kill9();
      throw error;
    }
  }

  /** SIGTERM. Resolves with how it ended: code 0 where it stopped in good order. */
  async stop(): Promise<ChildEnd | null> {
    return (await this.#child?.stop(STOP_DEADLINE_MS)) ?? null;
  }

  async kill9(): Promise<void> {
    await this.#child?.kill9();
  }

  metrics(): Promise<Metrics> {
    return readMetrics(`${this.#url}/metrics`, this.#options.apiKey);
  }

  async #untilReady(child: Child): Promise<void> {
    // Readiness is a state to ask for: no event tells of it.
    const deadline = performance.now() + READY_DEADLINE_MS;
    for (;;) {
      this.#options.signal?.throwIfAborted();
      if (!child.running) throw child.failure('ended at its start', await child.ended);
      const response = await fetch(`${this.#url}/readyz`).catch(() => null);
      if (response?.ok) return;
      if (performance.now() > deadline) {
        throw new Error(`the ${this.#name} is not ready: ${(await response?.text()) ?? 'no answer'}`);
      }
      await delay(READY_POLL_MS);
    }
  }

  #signal(): { signal?: AbortSignal } {
    return this.#options.signal === undefined ? {} : { signal: this.#options.signal };
  }
}

function listeningUrl(line: string): string | null {
  if (!line.includes('"http.listening"')) return null;
  const { event, host, port } = JSON.parse(line) as Listening;
  return event === 'http.listening' ? `http://${host}:${port}` : null;
}
