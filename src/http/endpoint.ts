import type { FastifyInstance, RouteOptions } from 'fastify';
import { RoomlineError } from '../errors.ts';
import { problemSchema } from './schemas.ts';

export interface Endpoint extends Omit<RouteOptions, 'method'> {
  readonly method: 'GET' | 'POST';
}

/** Adds a route, its problem documents, and 405 for every other method of its path. */
export function addEndpoint(app: FastifyInstance, endpoint: Endpoint): void {
  const response = { ...(endpoint.schema?.response as object), '4xx': problemSchema, '5xx': problemSchema };
  app.route({ ...endpoint, schema: { ...endpoint.schema, response } });
  const allowed = endpoint.method === 'GET' ? ['GET', 'HEAD'] : [endpoint.method];
  app.route({
    method: app.supportedMethods.filter((method) => !allowed.includes(method)),
    url: endpoint.url,
    schema: { hide: true, response: { '4xx': problemSchema } } as object,
    // Before the body is read.
    onRequest: async (_request, reply) => {
      reply.header('allow', allowed.join(', '));
      throw new RoomlineError('method_not_allowed');
    },
    handler: () => undefined,
  });
}
