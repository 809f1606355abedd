import type { FastifyInstance, FastifyReply, FastifyRequest, preHandlerHookHandler, RouteOptions } from 'fastify';
import { RoomlineError } from '../errors.ts';
import { problemSchema } from './schemas.ts';

export interface Endpoint extends Omit<RouteOptions, 'method' | 'handler'> {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly handler: (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>;
}

/**
 * Adds what one path answers, each method with its time limit and its problem documents, and 405 for every other one.
 * @param more of the same path, by other methods
 */
export function addEndpoint(
  app: FastifyInstance,
  answerTimeoutMs: number,
  endpoint: Endpoint,
  ...more: readonly Endpoint[]
): void {
  const all = [endpoint, ...more];
  for (const each of all) {
    const response = { ...(each.schema?.response as object), '4xx': problemSchema, '5xx': problemSchema };
    app.route({
      ...each,
      schema: { ...each.schema, response },
      ...(each.schema?.querystring === undefined ? {} : { preHandler: onlyFiniteNumbers }),
      handler: (request, reply) => inTime(each.handler(request, reply), answerTimeoutMs),
    });
  }
  const allowed = all.flatMap(({ method }) => (method === 'GET' ? ['GET', 'HEAD'] : [method]));
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

/** The validator reads "Infinity" as a number, and then compares it with no bound. */
const onlyFiniteNumbers: preHandlerHookHandler = (request, _reply, done) => {
  const found = Object.entries(request.query as object).find(
    ([, value]) => typeof value === 'number' && !Number.isFinite(value),
  );
  done(found === undefined ? undefined : new RoomlineError('field_type', { field: found[0], rule: 'must be integer' }));
};

/** The work itself goes on; the caller is told to ask again. */
function inTime<T>(work: Promise<T>, timeoutMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new RoomlineError('not_ready', { detail: 'No answer in time; whether it took effect is not known' }));
    }, timeoutMs);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
