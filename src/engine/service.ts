/**
 * One start/stop contract for everything that runs.
 *
 * S1  `start` is idempotent: every call before a stop settles as the first one does.
 * S2  `stop` is idempotent and waits: when it resolves, nothing of the service runs any more.
 * S3  `stop` during `start` aborts the start's signal, waits until the start has settled, then releases.
 * S4  A failed start has released what it had acquired before it rejects.
 * S5  There is no restart: a start after a stop is refused; make a new service.
 * S6  Releases run in reverse order of acquisition, and all of them run even if one fails.
 */

export interface Service {
  readonly name: string;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** What a service's start is given: how to acquire and how to notice that it should give up. */
export interface StartScope {
  /** Aborted as soon as the service is asked to stop. */
  readonly signal: AbortSignal;
  /** Registers how to undo what was just acquired. */
  onStop(release: () => Promise<void> | void): void;
}

/** A service was asked to start after it had been asked to stop. */
export class ServiceStoppedError extends Error {
  override readonly name = 'ServiceStoppedError';

  constructor(service: string) {
    super(`${service} was stopped; a stopped service does not start again`);
  }
}

/** Builds a service that keeps the contract from one function that acquires and registers its releases. */
export function defineService(name: string, acquire: (scope: StartScope) => Promise<void> | void): Service {
  const releases: (() => Promise<void> | void)[] = [];
  const stopRequest = new AbortController();
  let started: Promise<void> | undefined;
  let stopped: Promise<void> | undefined;

  async function startOnce(): Promise<void> {
    const scope: StartScope = { signal: stopRequest.signal, onStop: (release) => void releases.push(release) };
    try {
      await acquire(scope);
    } catch (error) {
      throw joinErrors([error, ...(await releaseAll(releases))]);
    }
  }

  async function stopOnce(): Promise<void> {
    stopRequest.abort();
    // A start that failed has already told its caller and has released everything.
    await started?.catch(() => undefined);
    const errors = await releaseAll(releases);
    if (errors.length > 0) throw joinErrors(errors);
  }

  return {
    name,
    start() {
      if (stopped !== undefined) return Promise.reject(new ServiceStoppedError(name));
      started ??= startOnce();
      return started;
    },
    stop() {
      stopped ??= stopOnce();
      return stopped;
    },
  };
}

/**
 * Starts the members one after the other and stops them in reverse. If one fails to start, those before it are stopped
 * and its error is the group's. A stop during the start reaches the member that is starting at that moment.
 */
export function serviceGroup(name: string, members: readonly Service[]): Service {
  return defineService(name, async (scope) => {
    for (const member of members) {
      if (scope.signal.aborted) return;
      scope.onStop(() => member.stop());
      const stopEarly = () => {
        // Its outcome is not lost: the release registered above returns the same promise.
        member.stop().catch(() => undefined);
      };
      scope.signal.addEventListener('abort', stopEarly, { once: true });
      try {
        await member.start();
      } finally {
        scope.signal.removeEventListener('abort', stopEarly);
      }
    }
  });
}

async function releaseAll(releases: (() => Promise<void> | void)[]): Promise<unknown[]> {
  const errors: unknown[] = [];
  for (let release = releases.pop(); release !== undefined; release = releases.pop()) {
    try {
      await release();
    } catch (error) {
      errors.push(error);
    }
  }
  return errors;
}

/** The first error itself when it is the only one, else one error that leads with the first and carries all. */
function joinErrors(errors: readonly unknown[]): unknown {
  const [first] = errors;
  if (errors.length === 1) return first;
  return new AggregateError(errors, first instanceof Error ? first.message : String(first));
}

/** Milliseconds until the next step; `Infinity` waits for a wake-up alone. */
export type DelayMs = number;

export interface LoopTimers {
  /** Calls back once after `delayMs`; the returned function cancels. */
  schedule(delayMs: number, callback: () => void): () => void;
}

export interface LoopOptions {
  readonly timers: LoopTimers;
  /** Told once, when a step throws. The loop has ended; the owner decides, which in the process means to crash. */
  readonly onFailure: (error: unknown) => void;
}

export interface Loop {
  /** Makes the next step start now, or as soon as the running one has ended. A hint: it carries no truth. */
  wake(): void;
  /** Ends the loop; resolves when the running step has ended. */
  stop(): Promise<void>;
}

/** Runs `step` at once and then again after whatever delay it returned, or earlier when woken. Steps never overlap. */
export function runLoop(step: () => Promise<DelayMs>, options: LoopOptions): Loop {
  let stopping = false;
  let woken = false;
  let interrupt: (() => void) | undefined;

  function pause(delayMs: DelayMs): Promise<void> {
    if (woken || stopping || delayMs <= 0) return Promise.resolve();
    return new Promise((resolve) => {
      const end = () => {
        cancel?.();
        interrupt = undefined;
        resolve();
      };
      interrupt = end;
      const cancel = delayMs === Number.POSITIVE_INFINITY ? undefined : options.timers.schedule(delayMs, end);
    });
  }

  async function run(): Promise<void> {
    while (!stopping) {
      woken = false;
      const delayMs = await step();
      if (Number.isNaN(delayMs)) throw new TypeError('a loop step returned NaN as its delay');
      await pause(delayMs);
    }
  }

  const ended = run().catch(options.onFailure);

  return {
    wake() {
      woken = true;
      interrupt?.();
    },
    stop() {
      stopping = true;
      interrupt?.();
      return ended;
    },
  };
}
