/** What stands before every route: who asks, and whether there is room. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { RoomlineError } from '../errors.ts';
import { requireScope, type Scope, type StoredKey, verifyKey } from './keys.ts';

export type Guard = (request: FastifyRequest, reply: FastifyReply) => Promise<void>;

/** Runs before the body is read. */
export function createAuthorizer(keys: readonly StoredKey[], wallClockMs: () => number): (scope: Scope) => Guard {
  return (scope) => async (request) => {
    requireScope(verifyKey(request.headers.authorization, keys, wallClockMs()), scope);
  };
}

/** Requests between the arrival of their headers and the end of their answer. */
export class OpenRequests {
  #count = 0;
  #whenNone: (() => void)[] = [];

  /** Counts a request until its connection is done with it, however that ends. */
  readonly track: Guard = async (_request, reply) => {
    this.#count++;
    reply.raw.once('close', () => {
      this.#count--;
      if (this.#count > 0) return;
      for (const resolve of this.#whenNone.splice(0)) resolve();
    });
  };

  /** Refuses what exceeds the limit before its body is read. */
  limit(most: number): Guard {
    return async () => {
      if (this.#count > most) throw new RoomlineError('overloaded', { detail: 'Too many requests are open' });
    };
  }

  /** Resolves when none is open. */
  none(): Promise<void> {
    if (this.#count === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenNone.push(resolve));
  }
}
