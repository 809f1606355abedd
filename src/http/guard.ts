/** What stands before every route: who asks, and whether there is room. */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { OpenItems } from '../engine/open-items.ts';
import { RoomlineError } from '../errors.ts';
import { type Identity, requireScope, type Scope, type StoredKey, verifyKey } from './keys.ts';
import type { KeyBudgets } from './limits.ts';

export type Guard = (request: FastifyRequest, reply: FastifyReply) => Promise<void>;

/** A guard of every request: a promise would be one too many. */
export type QuickGuard = (request: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void) => void;

const identities = new WeakMap<FastifyRequest, Identity>();

/** Whose key it came with; only behind an authorizer. */
export function identityOf(request: FastifyRequest): Identity {
  const identity = identities.get(request);
  if (identity === undefined) throw new Error('no authorizer has seen this request');
  return identity;
}

/**
 * What a route shows and changes: things of tenants, which it keeps apart itself by `ownsTenant`, or the deployment as
 * a whole, which is not there for a key that is bound to tenants.
 */
export type Reach = 'tenants' | 'deployment';

export type Authorize = (scope: Scope, reach?: Reach) => Guard;

const scopes = new WeakMap<Guard, Scope>();

/** The scope that an authorizer demands; null for any other guard. */
export function scopeOf(guard: unknown): Scope | null {
  return scopes.get(guard as Guard) ?? null;
}

/** Its guards run before the body is read. */
export function createAuthorizer(
  keys: readonly StoredKey[],
  wallClockMs: () => number,
  budgets: KeyBudgets,
): Authorize {
  return (scope, reach = 'deployment') => {
    const guard: Guard = async (request, reply) => {
      const identity = verifyKey(request.headers.authorization, keys, wallClockMs());
      const spent = budgets.spend(identity.name, 'requests', 1, reply);
      if (spent !== undefined) await spent;
      requireScope(identity, scope);
      if (reach === 'deployment' && identity.tenants !== null) throw new RoomlineError('not_found');
      identities.set(request, identity);
    };
    scopes.set(guard, scope);
    return guard;
  };
}

/** The same for those who bring a key with their request; who does not is let through, and shows it later. */
export function ifKeyed(guard: Guard): Guard {
  const lenient: Guard = async (request, reply) => {
    if (request.headers.authorization !== undefined) await guard(request, reply);
  };
  const scope = scopes.get(guard);
  if (scope !== undefined) scopes.set(lenient, scope);
  return lenient;
}

/** Whether things of the tenant are there for whoever asks; where they are not, the answer is that there are none. */
export function ownsTenant(request: FastifyRequest, tenant: string): boolean {
  const { tenants } = identityOf(request);
  return tenants === null || tenants.includes(tenant);
}

/** Requests between the arrival of their headers and the end of their answer. */
export class OpenRequests {
  readonly #open = new OpenItems<FastifyReply>();

  /** Counts a request until its connection is done with it, however that ends. */
  readonly track: QuickGuard = (_request, reply, done) => {
    const place = this.#open.add(reply);
    reply.raw.once('close', () => this.#open.remove(place));
    done();
  };

  /** Whether one more would keep to the limit. */
  admits(most: number): boolean {
    return this.#open.size < most;
  }

  /** Refuses what exceeds the limit before its body is read. */
  limit(most: number): QuickGuard {
    return (_request, _reply, done) => {
      done(
        this.#open.size > most ? new RoomlineError('overloaded', { detail: 'Too many requests are open' }) : undefined,
      );
    };
  }

  /** Resolves when every request that has arrived as a whole on this connection is answered; at once where none has. */
  async answered(socket: Socket): Promise<void> {
    const whole = [...this.#open].filter(({ request }) => request.raw.socket === socket && request.raw.complete);
    await Promise.all(whole.map((reply) => once(reply.raw, 'close')));
  }

  /** Ends the connections of requests that have not arrived as a whole: nothing has come of them. */
  cutUnfinished(): void {
    for (const { request } of this.#open) if (!request.raw.complete) request.raw.destroy();
  }

  /** Resolves when none is open. */
  none(): Promise<void> {
    return this.#open.none();
  }
}

/** Bounds what the bodies of a kind of request may take together; a body is refused before it is read. */
export class BodyBudget {
  readonly #maxBytes: number;
  readonly #bodyLimitBytes: number;
  #bytes = 0;

  /** @param bodyLimitBytes of one body: what it counts where the caller did not say its length */
  constructor(maxBytes: number, bodyLimitBytes: number) {
    this.#maxBytes = maxBytes;
    this.#bodyLimitBytes = bodyLimitBytes;
  }

  readonly guard: Guard = async (request, reply) => {
    // Who has left while another guard was asked is not coming back, and there is no further word of it.
    if (reply.raw.destroyed) return;
    const bytes = Math.min(Number(request.headers['content-length'] ?? this.#bodyLimitBytes), this.#bodyLimitBytes);
    if (this.#bytes + bytes > this.#maxBytes) {
      throw new RoomlineError('overloaded', { detail: 'Too many large requests are open' });
    }
    this.#bytes += bytes;
    reply.raw.once('close', () => {
      this.#bytes -= bytes;
    });
  };
}
