/** Publishing one message, and asking what became of it. */
import type { FastifyInstance } from 'fastify';
import { MESSAGE_LIMITS, parseMessage } from '../engine/message.ts';
import { RoomlineError } from '../errors.ts';
import type { HttpDependencies } from './dependencies.ts';
import { addEndpoint } from './endpoint.ts';
import type { Guard } from './guard.ts';
import type { Scope } from './keys.ts';
import { acceptedSchema, messageSchema } from './schemas.ts';

export interface MessageRouteOptions {
  readonly authorize: (scope: Scope) => Guard;
  readonly bodyLimitBytes: number;
  readonly answerTimeoutMs: number;
}

export function addMessageRoutes(app: FastifyInstance, to: HttpDependencies, options: MessageRouteOptions): void {
  const { authorize, bodyLimitBytes, answerTimeoutMs } = options;
  const maxBytes = Math.min(bodyLimitBytes, MESSAGE_LIMITS.maxBytes);
  addEndpoint(app, answerTimeoutMs, {
    method: 'POST',
    url: '/v1/messages',
    bodyLimit: bodyLimitBytes,
    onRequest: [authorize('publish'), onlyIdentityEncoding],
    schema: { response: { 202: acceptedSchema } },
    handler: async (request, reply) => {
      const raw = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
      const parsed = parseMessage(raw, { ...MESSAGE_LIMITS, maxBytes }, to.findChannel);
      if ('error' in parsed) {
        to.metrics.intakeRefused.inc({ source: 'http', code: parsed.error.code });
        throw parsed.error;
      }
      const result = await to.publish(parsed.ok);
      if (result.kind === 'conflict') {
        to.metrics.intakeRefused.inc({ source: 'http', code: 'message_id_conflict' });
        const detail = `The message id belongs to ${result.reference}, number ${result.sequence} of its room`;
        throw new RoomlineError('message_id_conflict', { field: 'messageId', rule: 'unique in its room', detail });
      }
      const { reference: id, sequence, duplicate } = result;
      const status = `/v1/messages/${id}`;
      reply.code(202).header('location', status);
      return { id, room: parsed.ok.key.room, sequence, duplicate, status };
    },
  });

  addEndpoint(app, answerTimeoutMs, {
    method: 'GET',
    url: '/v1/messages/:id',
    onRequest: authorize('read'),
    schema: { response: { 200: messageSchema } },
    handler: async (request) => {
      const { id } = request.params as { id: string };
      const message = await to.findMessage(id);
      if (message === null) throw new RoomlineError('message_not_found');
      return message;
    },
  });
}

/** Compressed bodies are not unpacked: their size would not be bounded by what was read. */
const onlyIdentityEncoding: Guard = async (request) => {
  const encoding = request.headers['content-encoding'];
  if (encoding === undefined || encoding === 'identity') return;
  throw new RoomlineError('unsupported_media_type', { field: 'content-encoding', rule: 'none' });
};
