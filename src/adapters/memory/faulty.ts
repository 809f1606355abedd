/** Stores that fail on order: what a broken connection, a slow database or a lost answer does to any of them. */
import { type Clock, OutcomeUnknownError, type RoomWrite, type Stores } from '../../engine/ports.ts';

export interface StoreCall {
  readonly store: keyof Stores;
  readonly method: string;
  readonly args: readonly unknown[];
}

/**
 * `fail_before`: the call fails and certainly had no effect. `lose_before` and `run_then_fail`: the answer is lost,
 * without or with the effect; the caller cannot tell which. `busy`: all rows of a `rooms.compareAndSet` are locked by
 * somebody else; no other call may be given it.
 */
export type FaultAction = 'run' | 'fail_before' | 'lose_before' | 'run_then_fail' | 'busy';

export interface Fault {
  readonly action: FaultAction;
  /** Time until the statement is executed, in ms. */
  readonly beforeMs?: number;
  /** Time from then until its answer arrives, in ms. */
  readonly afterMs?: number;
}

export interface FaultyOptions {
  /** Decides about each call when it is made. */
  readonly interpose: (call: StoreCall) => FaultAction | Fault;
  /** Needed only where a fault has delays. */
  readonly clock?: Pick<Clock, 'after'>;
}

/** A call failed before it had any effect. */
export class StoreUnavailableError extends Error {
  override readonly name = 'StoreUnavailableError';
}

type Method = (...args: unknown[]) => Promise<unknown>;

export function faultyStores(stores: Stores, options: FaultyOptions): Stores {
  return {
    rooms: wrap(stores, 'rooms', options),
    history: wrap(stores, 'history', options),
    inbox: wrap(stores, 'inbox', options),
    ownership: wrap(stores, 'ownership', options),
    channels: wrap(stores, 'channels', options),
    deadLetters: wrap(stores, 'deadLetters', options),
  };
}

function wrap<Name extends keyof Stores>(stores: Stores, store: Name, options: FaultyOptions): Stores[Name] {
  return new Proxy(stores[store], {
    get(target, method) {
      const member: unknown = Reflect.get(target, method);
      if (typeof member !== 'function' || typeof method !== 'string') return member;
      return (...args: unknown[]) =>
        perform({ store, method, args }, () => (member as Method).apply(target, args), options);
    },
  });
}

async function perform(call: StoreCall, run: () => Promise<unknown>, options: FaultyOptions): Promise<unknown> {
  const decided = options.interpose(call);
  const fault: Fault = typeof decided === 'string' ? { action: decided } : decided;
  await pass(fault.beforeMs, options);
  const answer = await execute(fault.action, call, run);
  await pass(fault.afterMs, options);
  return answer();
}

/** Executes the statement, or does not, and returns how its answer will look. */
async function execute(action: FaultAction, call: StoreCall, run: () => Promise<unknown>): Promise<() => unknown> {
  const name = `${call.store}.${call.method}`;
  switch (action) {
    case 'run': {
      const result = await run();
      return () => result;
    }
    case 'fail_before':
      return () => {
        throw new StoreUnavailableError(`${name} failed before it began`);
      };
    case 'run_then_fail':
      await run();
      return () => {
        throw new OutcomeUnknownError(`the answer of ${name} was lost`);
      };
    case 'lose_before':
      return () => {
        throw new OutcomeUnknownError(`the answer of ${name} was lost`);
      };
    case 'busy': {
      if (name !== 'rooms.compareAndSet') throw new Error(`${name} cannot be busy`);
      const writes = call.args[1] as readonly RoomWrite[];
      return () => writes.map(() => ({ kind: 'busy' }));
    }
    default:
      return action satisfies never;
  }
}

async function pass(delayMs: number | undefined, options: FaultyOptions): Promise<void> {
  if (delayMs === undefined || delayMs === 0) return;
  const { clock } = options;
  if (clock === undefined) throw new Error('a delay was ordered without a clock');
  await new Promise<void>((resolve) => clock.after(delayMs, resolve));
}
