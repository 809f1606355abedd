/** Health, readiness and metrics. */
import type { FastifyInstance } from 'fastify';
import type { HttpDependencies } from './dependencies.ts';
import { addEndpoint } from './endpoint.ts';
import type { Guard } from './guard.ts';
import { healthSchema, readinessSchema } from './schemas.ts';

export interface OperationsOptions {
  readonly isStopping: () => boolean;
  readonly authorizeOperator: Guard;
  readonly answerTimeoutMs: number;
}

export function addOperationRoutes(app: FastifyInstance, to: HttpDependencies, options: OperationsOptions): void {
  addEndpoint(app, options.answerTimeoutMs, {
    method: 'GET',
    url: '/healthz',
    schema: { response: { 200: healthSchema } },
    handler: async () => ({ status: 'alive' }),
  });

  addEndpoint(app, options.answerTimeoutMs, {
    method: 'GET',
    url: '/readyz',
    schema: { response: { 200: readinessSchema, 503: readinessSchema } },
    handler: async (_request, reply) => {
      const dependencies = [...(await to.readiness())];
      if (options.isStopping()) dependencies.push({ name: 'process', ok: false, detail: 'is stopping' });
      const ready = dependencies.every(({ ok, needed }) => ok || needed === false);
      reply.code(ready ? 200 : 503);
      return { ready, dependencies };
    },
  });

  addEndpoint(app, options.answerTimeoutMs, {
    method: 'GET',
    url: '/metrics',
    onRequest: options.authorizeOperator,
    handler: async (_request, reply) => {
      const { contentType, text } = await to.metricsText();
      return reply.type(contentType).send(text);
    },
  });
}
