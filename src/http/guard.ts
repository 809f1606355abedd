/** What stands before every route: who asks, and whether there is room. */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { RoomlineError } from '../errors.ts';
import { type Identity, requireScope, type Scope, type StoredKey, verifyKey } from './keys.ts';

export type Guard = (request: FastifyRequest, reply: FastifyReply) => Promise<void>;

const identities = new WeakMap<FastifyRequest, Identity>();

/** Whose key it came with; only behind an authorizer. */
export function identityOf(request: FastifyRequest): Identity {
  const identity = identities.get(request);
  if (identity === undefined) throw new Error('no authorizer has seen this request');
  return identity;
}

/** Runs before the body is read. */
export function createAuthorizer(keys: readonly StoredKey[], wallClockMs: () => number): (scope: Scope) => Guard {
  return (scope) => async (request) => {
    const identity = verifyKey(request.headers.authorization, keys, wallClockMs());
    requireScope(identity, scope);
    identities.set(request, identity);
  };
}

/** Requests between the arrival of their headers and the end of their answer. */
export class OpenRequests {
  #count = 0;
  #whenNone: (() => void)[] = [];
  readonly #bySocket = new WeakMap<Socket, Set<FastifyReply>>();

  /** Counts a request until its connection is done with it, however that ends. */
  readonly track: Guard = async (request, reply) => {
    const { socket } = request.raw;
    const ofSocket = this.#bySocket.get(socket) ?? new Set();
    this.#bySocket.set(socket, ofSocket.add(reply));
    this.#count++;
    reply.raw.once('close', () => {
      ofSocket.delete(reply);
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

  /** Resolves when every request that has arrived as a whole on this connection is answered; at once where none has. */
  async answered(socket: Socket): Promise<void> {
    const whole = [...(this.#bySocket.get(socket) ?? [])].filter((reply) => reply.request.raw.complete);
    await Promise.all(whole.map((reply) => once(reply.raw, 'close')));
  }

  /** Resolves when none is open. */
  none(): Promise<void> {
    if (this.#count === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenNone.push(resolve));
  }
}
