/**
 * The database as one process reaches it. Statements travel, are executed or not, and their answers travel back; each of
 * the three can go wrong by itself. What is executed is shown to the checker at once, whoever lives to hear the answer.
 */
import { StoreUnavailableError } from '../../src/adapters/memory/faulty.ts';
import { OutcomeUnknownError, type RoomWrite, type Stores, type WriteResult } from '../../src/engine/ports.ts';
import type { WorldChance } from './chance.ts';
import type { FailpointName, Failpoints } from './failpoints.ts';
import type { Leases } from './leases.ts';
import type { StoreFaults } from './plan.ts';
import type { SimProcess } from './process.ts';
import type { VirtualTime } from './time.ts';

/** What is wrong with the way to the database at the moment. */
export interface LinkState {
  readonly faults: StoreFaults;
  /** Statements do not arrive, and their senders find out at once or by their timeout. */
  readonly down: boolean;
  readonly cut: 'none' | 'to' | 'from';
}

export interface DatabaseLinkOptions {
  readonly process: SimProcess;
  readonly time: VirtualTime;
  readonly chance: WorldChance;
  readonly failpoints: Failpoints;
  readonly state: () => LinkState;
  readonly count: (fault: string) => void;
  readonly leases: Leases;
  /** Whether latency is always the same, so that two worlds can be compared. */
  readonly steady: boolean;
}

/** A statement that is not answered counts as lost after this. */
const STATEMENT_TIMEOUT_MS = 1_000;
const NEVER = new Promise<never>(() => undefined);

type Method = (...args: unknown[]) => Promise<unknown>;
type Answer = { readonly ok: unknown } | { readonly error: unknown };

export function linkDatabase(stores: Stores, options: DatabaseLinkOptions): Stores {
  const link = <Name extends keyof Stores>(name: Name): Stores[Name] => {
    const target = stores[name] as unknown as Record<string, Method>;
    const linked: Record<string, Method> = {};
    for (const method of methodsOf(target)) {
      const run = target[method] as Method;
      linked[method] = (...args) =>
        new Call(`${name}.${method}`, args, (given) => run.apply(target, given as unknown[]), options).answer;
    }
    return linked as unknown as Stores[Name];
  };
  return {
    rooms: link('rooms'),
    history: link('history'),
    inbox: link('inbox'),
    ownership: link('ownership'),
    channels: link('channels'),
    deadLetters: link('deadLetters'),
  };
}

/** Of a class's instance and of an object of functions alike. */
export function methodsOf(target: object): string[] {
  const prototype = Object.getPrototypeOf(target) as object;
  const names = prototype === Object.prototype ? Object.keys(target) : Object.getOwnPropertyNames(prototype);
  return names.filter((name) => name !== 'constructor');
}

/** One statement on its way. */
class Call {
  readonly answer: Promise<unknown>;
  readonly #name: string;
  readonly #args: readonly unknown[];
  readonly #run: (args: readonly unknown[]) => Promise<unknown>;
  readonly #options: DatabaseLinkOptions;
  #settle: (answer: Answer) => void = () => undefined;

  constructor(
    name: string,
    args: readonly unknown[],
    run: (args: readonly unknown[]) => Promise<unknown>,
    options: DatabaseLinkOptions,
  ) {
    this.#name = name;
    this.#args = args;
    this.#run = run;
    this.#options = options;
    if (options.process.dead) {
      this.answer = NEVER;
      return;
    }
    this.answer = new Promise((resolve, reject) => {
      this.#settle = (answer) => ('error' in answer ? reject(answer.error) : resolve(answer.ok));
    });
    options.process.enter(() => this.#leave());
  }

  #leave(): void {
    const { chance, state, steady, leases } = this.#options;
    for (const claim of this.#claims()) leases.claims(claim.room, claim.worker, claim.generation);
    const beforeMs = steady ? 1 : 0.2 + chance.around(1.5);
    const afterMs = steady ? 1 : 0.2 + chance.around(1);
    const { faults, down, cut } = state();
    if (down || cut === 'to') {
      this.#count(down ? 'store_down' : 'store_cut_to');
      if (chance.hit(0.5)) this.#reply(beforeMs, this.#unavailable());
      else this.#reply(STATEMENT_TIMEOUT_MS, this.#lost());
      return;
    }
    if (cut === 'from') {
      this.#count('store_cut_from');
      this.#execute(beforeMs, () => undefined);
      this.#reply(STATEMENT_TIMEOUT_MS, this.#lost());
      return;
    }
    if (this.#goesWrong(faults, beforeMs, afterMs)) return;
    this.#execute(beforeMs, (answer, delayMs) => this.#reply(afterMs + delayMs, answer));
  }

  /** True where a fault has taken the statement over. */
  #goesWrong(faults: StoreFaults, beforeMs: number, afterMs: number): boolean {
    const { chance } = this.#options;
    if (chance.hit(faults.failBefore)) {
      this.#count('store_error_before');
      this.#reply(beforeMs, this.#unavailable());
    } else if (chance.hit(faults.loseBefore)) {
      this.#count('store_lost');
      this.#reply(chance.pick([beforeMs, STATEMENT_TIMEOUT_MS]), this.#lost());
    } else if (chance.hit(faults.runThenFail)) {
      this.#count('store_error_after');
      this.#execute(beforeMs, (_answer, delayMs) => this.#reply(afterMs + delayMs, this.#lost()));
    } else if (chance.hit(faults.executeLate)) {
      this.#count('store_executed_late');
      const toldMs = chance.pick([beforeMs, STATEMENT_TIMEOUT_MS]);
      this.#reply(toldMs, this.#lost());
      this.#execute(toldMs + chance.pick([50, 500, 3_000]) * (0.5 + chance.uniform()), () => undefined);
    } else if (chance.hit(faults.stall)) {
      this.#count('store_stalled');
      const stallMs = chance.pick([300, 1_500, 3_500]);
      const early = chance.hit(0.5);
      this.#execute(early ? beforeMs : stallMs, (answer, delayMs) =>
        this.#reply(afterMs + delayMs + (early ? stallMs : 0), answer),
      );
    } else return false;
    return true;
  }

  #execute(afterMs: number, then: (answer: Answer, delayMs: number) => void): void {
    const { time, process, failpoints } = this.#options;
    time.after(afterMs, () => {
      void this.#perform().then((answer) => {
        const name = 'error' in answer ? null : failpointOf(this.#name, this.#args, answer.ok);
        const delayMs = name === null || process.dead ? 0 : failpoints.pass(name, process);
        then(answer, delayMs);
      });
    });
  }

  async #perform(): Promise<Answer> {
    try {
      if (this.#name !== 'rooms.compareAndSet') return { ok: await this.#run(this.#args) };
      return { ok: await this.#compareAndSet(this.#args) };
    } catch (error) {
      return { error };
    }
  }

  /** Some of its rows may be locked by somebody else: those come back busy, the others are written. */
  async #compareAndSet(args: readonly unknown[]): Promise<WriteResult[]> {
    const { chance, state } = this.#options;
    const [lane, writes, proof] = args as [number, readonly RoomWrite[], unknown];
    const { busy } = state().faults;
    const locked = new Set(busy > 0 ? writes.filter(() => chance.hit(busy)) : []);
    if (locked.size === 0) return (await this.#run(args)) as WriteResult[];
    this.#count('store_busy');
    const free = writes.filter((write) => !locked.has(write));
    const results = (await this.#run([lane, free, proof])) as WriteResult[];
    let next = 0;
    return writes.map((write) => (locked.has(write) ? { kind: 'busy' } : (results[next++] as WriteResult)));
  }

  #reply(afterMs: number, answer: Answer): void {
    const { time, process, leases } = this.#options;
    time.after(afterMs, () =>
      process.enter(() => {
        if ('error' in answer && answer.error instanceof OutcomeUnknownError) {
          for (const claim of this.#claims()) leases.claimLost(claim.room, claim.worker, claim.generation);
        }
        this.#settle(answer);
      }),
    );
  }

  #claims(): { room: number; worker: string; generation: number }[] {
    if (this.#name !== 'rooms.compareAndSet') return [];
    return (this.#args[1] as readonly RoomWrite[]).flatMap(({ claims, next }) => {
      const attempt = next.attempts.at(-1);
      if (!claims || attempt === undefined) return [];
      return [{ room: next.id, worker: attempt.worker, generation: attempt.generation }];
    });
  }

  #unavailable(): Answer {
    return { error: new StoreUnavailableError(`${this.#name} failed before it began`) };
  }

  #lost(): Answer {
    return { error: new OutcomeUnknownError(`the answer of ${this.#name} was lost`) };
  }

  #count(fault: string): void {
    this.#options.count(fault);
  }
}

function failpointOf(name: string, args: readonly unknown[], result: unknown): FailpointName | null {
  switch (name) {
    case 'rooms.compareAndSet': {
      const writes = (args[1] as readonly RoomWrite[]).filter(
        (_, index) => (result as WriteResult[])[index]?.kind === 'committed',
      );
      if (writes.some((write) => write.claims)) return 'claim.committed';
      if (writes.some((write) => write.facts.some((fact) => fact.kind === 'settled'))) return 'settle.committed';
      return writes.length > 0 ? 'row.committed' : null;
    }
    case 'inbox.matchOrKeep':
      return (result as { kind: string }[]).some(({ kind }) => kind === 'kept') ? 'inbox.kept' : null;
    case 'ownership.renew':
      return result === null ? null : 'lease.renewed';
    case 'ownership.fence':
      return result === true ? 'worker.fenced' : null;
    case 'ownership.applyPlan':
      return result === true ? 'plan.applied' : null;
    case 'ownership.handOver':
      return (result as number[]).length > 0 ? 'shards.handed_over' : null;
    default:
      return BY_METHOD[name] ?? null;
  }
}

const BY_METHOD: Readonly<Record<string, FailpointName>> = {
  'rooms.append': 'append.committed',
  'rooms.scan': 'rooms.scanned',
  'rooms.sweep': 'rooms.scanned',
  'rooms.readBodies': 'body.read',
  'history.updateSettled': 'history.written',
  'history.recordLate': 'history.written',
  'ownership.register': 'worker.registered',
  'ownership.raiseGeneration': 'generation.raised',
  'ownership.release': 'shards.released',
};
