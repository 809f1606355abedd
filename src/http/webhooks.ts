/** Where platforms report. A signature over the raw bytes stands in for a key; 200 says that all of it is on disk. */
import type { FastifyInstance } from 'fastify';
import { checkId } from '../engine/message.ts';
import { RoomlineError } from '../errors.ts';
import type { HttpDependencies } from './dependencies.ts';
import { addEndpoint } from './endpoint.ts';
import { webhookSchema } from './schemas.ts';

/** Stands in for names that nobody configured, so that callers cannot make labels. */
const UNKNOWN_CHANNEL = 'unknown';

export interface WebhookRouteOptions {
  readonly bodyLimitBytes: number;
  readonly answerTimeoutMs: number;
}

export function addWebhookRoutes(app: FastifyInstance, to: HttpDependencies, options: WebhookRouteOptions): void {
  const { bodyLimitBytes, answerTimeoutMs } = options;
  // Whatever it calls itself, the signature decides; nothing is read before.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));

  addEndpoint(app, answerTimeoutMs, {
    method: 'POST',
    url: '/v1/webhooks/:tenant/:channel',
    bodyLimit: bodyLimitBytes,
    schema: { response: { 200: webhookSchema } },
    handler: async (request) => {
      const params = request.params as { tenant: string; channel: string };
      const tenant = checkId('tenant', params.tenant);
      const channel = checkId('channel', params.channel);
      const raw = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
      const label = to.channelExists(tenant, channel) ? `${tenant}/${channel}` : UNKNOWN_CHANNEL;
      const count = (result: string) => to.metrics.webhooks.inc({ result, channel: label });
      const receipt = await to.receiveWebhook({ tenant, channel }, request.headers, raw).catch((error: unknown) => {
        count(error instanceof RoomlineError ? error.code : 'internal');
        throw error;
      });
      switch (receipt.kind) {
        case 'stored':
          count('stored');
          return { received: receipt.statuses };
        case 'unknown_channel':
          count('unknown_channel');
          throw new RoomlineError('not_found');
        case 'refused':
          count(receipt.code);
          to.log.event('webhook.refused', { channel: label, code: receipt.code, requestId: request.id });
          // One answer for every fault: it helps nobody to find out what was right.
          throw new RoomlineError('signature_invalid');
        default:
          return receipt satisfies never;
      }
    },
  });
}
