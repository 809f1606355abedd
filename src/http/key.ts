/** What a key may do, told to whoever holds it. */
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { addEndpoint } from './endpoint.ts';
import { type Authorize, identityOf } from './guard.ts';
import { keySchema } from './schemas.ts';

export interface KeyRouteOptions {
  readonly authorize: Authorize;
  readonly answerTimeoutMs: number;
}

export function addKeyRoutes(app: FastifyInstance, { authorize, answerTimeoutMs }: KeyRouteOptions): void {
  addEndpoint(app, answerTimeoutMs, {
    method: 'GET',
    url: '/v1/key',
    onRequest: authorize('read', 'tenants'),
    schema: { querystring: Type.Object({}, { additionalProperties: false }), response: { 200: keySchema } },
    handler: async (request) => identityOf(request),
  });
}
