import type { Stores } from '../../src/engine/ports.ts';

type Count = (result: unknown, args: readonly unknown[]) => number;

const kinds = (result: unknown, kind: string): number =>
  (result as readonly { kind: string }[]).filter((one) => one.kind === kind).length;

/** What counts as a change, by the answer of each call that can make one. */
const CHANGES: Readonly<Record<string, Readonly<Record<string, Count>>>> = {
  rooms: {
    append: (result) => kinds(result, 'appended'),
    compareAndSet: (result) => kinds(result, 'committed'),
  },
  history: {
    updateSettled: (result) => (result as readonly boolean[]).filter(Boolean).length,
    recordLate: (_result, [facts]) => (facts as unknown[]).length,
  },
  inbox: { matchOrKeep: (result) => kinds(result, 'kept') },
  channels: { save: () => 1 },
  deadLetters: { putIntake: (_result, [letters]) => (letters as unknown[]).length },
  ownership: {},
};

const DIRECT: ReadonlySet<string> = new Set(['append', 'matchOrKeep', 'putIntake']);

/** Stores that count the changes made through them and the calls that are open. */
export class WatchedStores {
  readonly stores: Stores;
  changes = 0;
  /** Those of them that only a caller brings about; the others may also come of a timer, such as an ack timeout. */
  directChanges = 0;
  open = 0;

  constructor(stores: Stores) {
    this.stores = Object.fromEntries(
      Object.entries(stores).map(([name, store]) => [name, this.#watch(store as object, CHANGES[name] ?? {})]),
    ) as unknown as Stores;
  }

  #watch(store: object, counted: Readonly<Record<string, Count>>): object {
    return new Proxy(store, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name);
        if (typeof member !== 'function') return member;
        return async (...args: unknown[]) => {
          this.open++;
          try {
            const result: unknown = await member.apply(target, args);
            const changes = counted[String(name)]?.(result, args) ?? 0;
            this.changes += changes;
            if (DIRECT.has(String(name))) this.directChanges += changes;
            return result;
          } finally {
            this.open--;
          }
        };
      },
    });
  }
}
