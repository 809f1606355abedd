/** Where platforms report. A signature over the raw bytes stands in for a key; 200 says that all of it is on disk. */
import type { FastifyInstance } from 'fastify';
import { checkId } from '../engine/message.ts';
import { RoomlineError } from '../errors.ts';
import type { HttpDependencies } from './dependencies.ts';
import { addEndpoint, type Endpoint } from './endpoint.ts';
import { webhookSchema } from './schemas.ts';

/** Stands in for names that nobody configured, so that callers cannot make labels. */
const UNKNOWN_CHANNEL = 'unknown';

const NO_BODY = new Uint8Array();

export interface WebhookRouteOptions {
  readonly bodyLimitBytes: number;
  readonly answerTimeoutMs: number;
}

export function addWebhookRoutes(app: FastifyInstance, to: HttpDependencies, options: WebhookRouteOptions): void {
  const { bodyLimitBytes, answerTimeoutMs } = options;
  // Whatever it calls itself, the signature decides; nothing is read before.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));

  const url = '/v1/webhooks/:tenant/:channel';
  const receive: Endpoint = {
    method: 'POST',
    url,
    bodyLimit: bodyLimitBytes,
    schema: { response: { 200: webhookSchema } },
    handler: async (request) => {
      const params = request.params as { tenant: string; channel: string };
      const tenant = checkId('tenant', params.tenant);
      const channel = checkId('channel', params.channel);
      const raw = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
      const label = to.findChannel(tenant, channel) !== null ? `${tenant}/${channel}` : UNKNOWN_CHANNEL;
      const count = (result: string) => to.metrics.webhooks.inc({ result, channel: label });
      const call = { method: 'POST', target: request.url, headers: request.headers, raw } as const;
      const receipt = await to.receiveWebhook({ tenant, channel }, call).catch((error: unknown) => {
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
          throw new RoomlineError(receipt.retry === true ? 'signature_unverified' : 'signature_invalid');
        default:
          return receipt satisfies never;
      }
    },
  };

  // Some platforms ask first whether the address belongs to whoever named it.
  const shakeHands: Endpoint = {
    method: 'GET',
    url,
    handler: async (request, reply) => {
      const params = request.params as { tenant: string; channel: string };
      const key = { tenant: checkId('tenant', params.tenant), channel: checkId('channel', params.channel) };
      const call = { method: 'GET', target: request.url, headers: request.headers, raw: NO_BODY } as const;
      const answer = to.answerHandshake(key, call);
      if (answer === null) throw new RoomlineError('signature_invalid');
      reply.type('text/plain; charset=utf-8').header('x-content-type-options', 'nosniff');
      return answer;
    },
  };
  addEndpoint(app, answerTimeoutMs, receive, shakeHands);
}
