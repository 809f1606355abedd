/** Any number of engines on one database, each behind links of its own; one that ends is started again. */
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../free-port.ts';
import { ChildFailed } from '../rig/child.ts';
import type { EngineProcess } from '../rig/engine.ts';
import { type Address, Links } from './links.ts';
import type { EngineChoice, Link, Role } from './plan.ts';

export interface EngineOptions {
  /** Where its links lead. */
  readonly parts: {
    readonly postgres: () => Address;
    readonly pubsub: () => Address;
    readonly platform: () => Address;
    readonly redis?: () => Address;
  };
  /** All of them by default. */
  readonly roles?: readonly Role[];
  /** Of another version; this one by default. */
  readonly checkout?: string;
  readonly events: EngineEvents;
  /** Once it has aborted nothing is started any more. */
  readonly signal: AbortSignal;
}

/** Makes the process of an engine. */
export type MakeProcess = (engine: Engine, onLine: (line: string) => void) => EngineProcess;

interface LogLine {
  readonly event?: string;
  readonly worker?: string;
  readonly holder?: string;
  readonly reason?: string;
}

const RESTART_MS = 250;
/** Lines that hold one of these are read; all others only pass. */
const TELLING = /"event":"(ownership\.|process\.failed|liveness\.)/;

/** Which role has a link; without one here, every process has it. */
const USERS: Readonly<Partial<Record<Link, readonly Role[]>>> = {
  pubsub: ['intake'],
  platform: ['worker'],
  webhooks: ['webhook', 'api'],
};

export const ALL_ROLES: readonly Role[] = ['intake', 'api', 'webhook', 'worker'];

export class Engine {
  readonly name: string;
  readonly roles: ReadonlySet<Role>;
  readonly links: Links;
  readonly httpPort: number;
  /** One of several processes by roles, with a Redis. */
  readonly isFleet: boolean;
  readonly checkout: string | undefined;
  /** The worker that holds shards in this process; null while none does. */
  holder: string | null = null;
  #process: EngineProcess | null = null;
  #wanted = false;
  #starting: Promise<void> | null = null;
  readonly #events: EngineEvents;
  readonly #signal: AbortSignal;

  private constructor(name: string, httpPort: number, links: Links, options: EngineOptions) {
    this.name = name;
    this.roles = new Set(options.roles ?? ALL_ROLES);
    this.httpPort = httpPort;
    this.checkout = options.checkout;
    this.isFleet = options.parts.redis !== undefined;
    this.links = links;
    this.#events = options.events;
    this.#signal = options.signal;
  }

  static async create(name: string, options: EngineOptions): Promise<Engine> {
    const httpPort = await freePort();
    const links = new Links({ ...options.parts, webhooks: () => ({ host: '127.0.0.1', port: httpPort }) });
    await links.listen();
    return new Engine(name, httpPort, links, options);
  }

  prepare(make: MakeProcess): void {
    this.#process = make(this, (line) => this.#read(line));
  }

  /** Something of it goes over this link. */
  uses(link: Link): boolean {
    return USERS[link]?.some((role) => this.roles.has(role)) ?? true;
  }

  get pid(): number | null {
    const child = this.#process?.child;
    return child?.running ? child.pid : null;
  }

  /** Where publishers and the platform reach it. */
  get url(): string {
    return `http://127.0.0.1:${this.links.get('webhooks').port}`;
  }

  /**
   * Starts it, unless it runs, and again whenever it ends without having been told to.
   * @throws ChildFailed where it refuses to start for what a person would have to mend
   */
  async start(): Promise<void> {
    this.#wanted = true;
    const { child } = this.#process ?? {};
    if (child?.running && !child.stopping) return;
    this.#starting ??= this.#startUntilItRuns().finally(() => {
      this.#starting = null;
    });
    await this.#starting;
  }

  /** SIGKILL. Resolves with the process it hit, null where none ran. */
  async kill(): Promise<number | null> {
    this.#wanted = false;
    await this.#starting;
    const { pid } = this;
    this.holder = null;
    await this.#process?.kill9();
    return pid;
  }

  /** SIGTERM. Resolves with the exit code. */
  async terminate(): Promise<number | null> {
    this.#wanted = false;
    await this.#starting;
    const end = await this.#process?.stop();
    this.holder = null;
    return end?.code ?? null;
  }

  pause(): void {
    this.#process?.child?.pause();
  }

  resume(): void {
    this.#process?.child?.resume();
  }

  /** At once, where it stands. */
  killNow(): void {
    const { pid } = this;
    this.#wanted = false;
    this.holder = null;
    if (pid !== null) process.kill(pid, 'SIGKILL');
  }

  async #startUntilItRuns(): Promise<void> {
    const engine = this.#process;
    if (engine === null) throw new Error(`${this.name} has no process yet`);
    while (this.#wanted && !this.#signal.aborted) {
      try {
        await engine.start('listening');
        break;
      } catch (error) {
        if (this.#signal.aborted) return;
        if (isRefusal(error)) {
          this.#events.onRefused(this, error);
          throw error;
        }
        // It could not start, with Postgres away for instance; whoever supervises it tries again.
        this.#events.onFailedStart(this);
        await delay(RESTART_MS);
      }
    }
    const { child } = engine;
    void child?.ended.then(async () => {
      this.holder = null;
      if (!this.#wanted || child.stopping) return;
      this.#events.onEndedByItself(this);
      await delay(RESTART_MS);
      // What it refuses has been told.
      if (this.#wanted) await this.start().catch(() => undefined);
    });
  }

  #read(line: string): void {
    if (!TELLING.test(line)) return;
    const { event, worker, holder, reason } = JSON.parse(line) as LogLine;
    if (event === 'ownership.acquired') this.holder = worker ?? null;
    else if (event === 'ownership.lost') this.holder = null;
    else if (event === 'ownership.taken_over') this.#events.onTakenOver(holder ?? '');
    else if (event === 'liveness.violated') this.#events.onLivenessViolated(line);
    else if (event === 'process.failed') this.#events.onProcessFailed(this, reason ?? '', line);
  }
}

export interface EngineEvents {
  onTakenOver(holder: string): void;
  onLivenessViolated(line: string): void;
  onProcessFailed(engine: Engine, reason: string, line: string): void;
  onEndedByItself(engine: Engine): void;
  onFailedStart(engine: Engine): void;
  /** It refuses to start, and will again. */
  onRefused(engine: Engine, error: Error): void;
}

/** What only a person can mend it says in words, such as a wrong configuration; other failures it logs. */
function isRefusal(error: unknown): error is ChildFailed {
  return error instanceof ChildFailed && (error.how?.code ?? 0) > 0 && !error.message.includes('"process.failed"');
}

/** The engine that the plan means: one that holds shards now, one with a role, or one of all. */
export function choose(engines: readonly Engine[], { of, draw }: EngineChoice): Engine {
  const meant = engines.filter(({ holder, roles }) =>
    of === 'holders' ? holder !== null : of === 'all' || roles.has(of),
  );
  const from = meant.length > 0 ? meant : engines;
  const chosen = from[Math.floor(draw * from.length)];
  if (chosen === undefined) throw new Error('there are no engines');
  return chosen;
}
