/**
 * What a key may ask for in a second: the generic cell rate algorithm, kept together by all processes where there is
 * something that they share, else by each process for itself. What is shared may be away: each process keeps the whole
 * limit by itself meanwhile.
 */
import type { FastifyReply } from 'fastify';
import type { RateLimit, SharedBudgets, Spent } from '../engine/ports.ts';
import { RoomlineError } from '../errors.ts';
import type { KeyLimits, StoredKey } from './keys.ts';

type Kind = keyof KeyLimits;

/** How long a process goes by its own account after what is shared was away. */
const AWAY_MS = 1_000;

/** One limit as this process alone keeps it. */
export class Budget {
  readonly #limit: RateLimit;
  readonly #monotonicMs: () => number;
  #debt = 0;
  #at = Number.NEGATIVE_INFINITY;

  constructor(limit: RateLimit, monotonicMs: () => number) {
    this.#limit = limit;
    this.#monotonicMs = monotonicMs;
  }

  /** Takes `cost` where one token is there; what is lacking is owed, and paid before anything else is given. */
  spend(cost: number): Spent {
    const { perSecond, burst } = this.#limit;
    const now = this.#monotonicMs();
    this.#debt = Math.max(0, this.#debt - ((now - this.#at) * perSecond) / 1_000);
    this.#at = now;
    const lacking = this.#debt + 1 - burst;
    if (lacking > 1e-9) return { waitMs: Math.ceil((lacking * 1_000) / perSecond), debt: this.#debt };
    this.#debt += cost;
    return { waitMs: 0, debt: this.#debt };
  }
}

interface Account {
  readonly kind: Kind;
  readonly name: string;
  readonly limit: RateLimit;
  readonly own: Budget;
  /** What all processes keep together has refused until then: it need not be asked again. */
  refusedUntil: number;
  debt: number;
}

export class KeyBudgets {
  readonly #accounts = new Map<string, readonly Account[]>();
  readonly #shared: SharedBudgets | null;
  readonly #monotonicMs: () => number;
  #awayUntil = Number.NEGATIVE_INFINITY;

  /** @param shared null: each process by itself */
  constructor(keys: readonly StoredKey[], shared: SharedBudgets | null, monotonicMs: () => number) {
    this.#shared = shared;
    this.#monotonicMs = monotonicMs;
    for (const { name, limits = {} } of keys) {
      const accounts = (['requests', 'messages'] as const).flatMap((kind): Account[] => {
        const limit = limits[kind];
        if (limit === undefined || limit.perSecond === 0) return [];
        const own = new Budget(limit, monotonicMs);
        return [{ kind, name: `${name}/${kind}`, limit, own, refusedUntil: Number.NEGATIVE_INFINITY, debt: 0 }];
      });
      if (accounts.length > 0) this.#accounts.set(name, accounts);
    }
  }

  /**
   * Takes what a request costs and says in the answer's headers what is left. Undefined where no limit is asked.
   * @throws RoomlineError `rate_limited`, with nothing taken
   */
  spend(key: string, kind: Kind, cost: number, reply: FastifyReply): Promise<void> | undefined {
    const accounts = this.#accounts.get(key);
    const account = accounts?.find((each) => each.kind === kind);
    if (accounts === undefined || account === undefined) return undefined;
    return this.#spend(account, cost).then(({ waitMs, debt }) => {
      account.debt = debt;
      reply.header('ratelimit-policy', accounts.map(policyOf).join(', '));
      reply.header('ratelimit', accounts.map(leftOf).join(', '));
      if (waitMs === 0) return;
      const { perSecond, burst } = account.limit;
      const rule = `${perSecond} ${kind} a second, ${burst} at once`;
      throw new RoomlineError('rate_limited', { rule, retryAfterMs: waitMs });
    });
  }

  async #spend(account: Account, cost: number): Promise<Spent> {
    const now = this.#monotonicMs();
    if (this.#shared === null || now < this.#awayUntil) return account.own.spend(cost);
    if (now < account.refusedUntil) return { waitMs: Math.ceil(account.refusedUntil - now), debt: account.debt };
    try {
      const spent = await this.#shared.spend(account.name, account.limit, cost);
      if (spent.waitMs > 0) account.refusedUntil = this.#monotonicMs() + spent.waitMs;
      return spent;
    } catch {
      // Redis reports its own state; a limit is no reason to refuse a request.
      this.#awayUntil = this.#monotonicMs() + AWAY_MS;
      return account.own.spend(cost);
    }
  }
}

/** Such as `"requests";q=20;w=2`: the burst, and the seconds in which it grows again. */
function policyOf({ kind, limit: { perSecond, burst } }: Account): string {
  return `"${kind}";q=${burst};w=${Math.max(1, Math.ceil(burst / perSecond))}`;
}

/** Such as `"requests";r=19;t=1`: what is left, and the seconds until all of it is there again. */
function leftOf({ kind, limit: { perSecond, burst }, debt }: Account): string {
  return `"${kind}";r=${Math.max(0, Math.floor(burst - debt + 1e-9))};t=${Math.ceil(debt / perSecond)}`;
}
