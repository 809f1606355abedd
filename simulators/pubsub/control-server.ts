import { fastify } from 'fastify';
import { PubSubError } from './errors.ts';
import { type FaultSettings, NO_FAULTS } from './faults.ts';
import type { PubSubControl } from './server.ts';

const FAULT_PROPERTIES = Object.fromEntries(
  Object.entries(NO_FAULTS).map(([name, value]) => [name, { type: typeof value }]),
);

interface RedeliverBody {
  subscription: string;
  orderingKey: string;
  count: number;
}

/**
 * The control of a server as HTTP on the loopback address: GET /stats, GET and PATCH /faults, POST /streams/lose,
 * POST /redeliver.
 * @returns the address it listens at, and a function that ends it.
 */
export async function startControlServer(
  control: PubSubControl,
  port: number,
): Promise<{ address: string; stop: () => Promise<void> }> {
  const app = fastify({ ajv: { customOptions: { coerceTypes: false, removeAdditional: false } } });
  app.setErrorHandler((error, _request, reply) => {
    const refused = error instanceof RangeError || error instanceof PubSubError || hasValidation(error);
    reply.status(refused ? 400 : 500).send({ error: error instanceof Error ? error.message : String(error) });
  });
  app.get('/stats', () => {
    const { user, system } = process.cpuUsage();
    return { cpuMs: (user + system) / 1_000, subscriptions: control.stats() };
  });
  app.get('/faults', () => control.faults());
  app.patch<{ Body: Partial<FaultSettings> }>(
    '/faults',
    { schema: { body: { type: 'object', additionalProperties: false, properties: FAULT_PROPERTIES } } },
    ({ body }) => {
      control.setFaults(body);
      return control.faults();
    },
  );
  app.post('/streams/lose', () => ({ ended: control.loseStreams() }));
  app.post<{ Body: RedeliverBody }>(
    '/redeliver',
    {
      schema: {
        body: {
          type: 'object',
          additionalProperties: false,
          required: ['subscription', 'orderingKey', 'count'],
          properties: {
            subscription: { type: 'string' },
            orderingKey: { type: 'string' },
            count: { type: 'integer', minimum: 1 },
          },
        },
      },
    },
    ({ body }) => ({ messages: control.redeliver(body.subscription, body.orderingKey, body.count) }),
  );
  const address = await app.listen({ host: '127.0.0.1', port });
  return { address, stop: () => app.close() };
}

function hasValidation(error: unknown): boolean {
  return error instanceof Error && 'validation' in error;
}
