/** The WhatsApp Cloud API: docs/channels/whatsapp.md. */
import type { SendRequest, SendResult } from '../engine/ports.ts';
import { RoomlineError } from '../errors.ts';
import { openGraphSender, openGraphUploads } from './meta/graph.ts';
import { createMetaHandshake } from './meta/handshake.ts';
import { createMetaVerifier } from './meta/signature.ts';
import type { PlatformFactory } from './platform.ts';
import { classifySend } from './whatsapp/answer.ts';
import { checkContent } from './whatsapp/content.ts';
import { createPreparer, judgeWithIds } from './whatsapp/media.ts';
import { requestOf } from './whatsapp/message.ts';
import { readStatuses } from './whatsapp/statuses.ts';

/** What was stored cannot be made into a request: no later attempt could. */
const UNSENDABLE: SendResult = {
  kind: 'refused',
  nack: { permanent: true, scope: 'message', retryAfterMs: null, code: 'content_unsendable' },
};

export const createWhatsAppChannel: PlatformFactory = (config, dependencies) => {
  if (config.whatsapp === undefined) throw new RoomlineError('config_invalid', { field: 'whatsapp', rule: 'required' });
  const { phoneNumberId, apiVersion, verifyToken } = config.whatsapp;
  const graph = openGraphSender(config, apiVersion, phoneNumberId);
  const { media } = config;
  const uploads =
    media?.prepare === true ? openGraphUploads(config, apiVersion, phoneNumberId, media.maxConcurrent) : null;

  async function send({ reference, body, timeoutMs, prepared }: SendRequest): Promise<SendResult> {
    const request = requestOf(reference, body, prepared);
    if (request === null) return UNSENDABLE;
    const highest = request.type === 'reaction' ? 'sent' : null;
    const result = classifySend(await graph.post(request, timeoutMs), dependencies.wallClockMs(), highest);
    return prepared === undefined ? result : judgeWithIds(result);
  }

  return {
    ...(media === undefined || uploads === null ? {} : { prepare: createPreparer(uploads, media) }),
    senderId: phoneNumberId,
    checkContent,
    send,
    // The API cannot be asked about a message: statuses are its only word.
    lookup: null,
    handshake: createMetaHandshake(verifyToken),
    verify: createMetaVerifier(config.webhookSecrets.map((secret) => secret.reveal())),
    readStatuses: ({ raw }) => readStatuses(raw),
    close: async () => {
      await Promise.all([graph.close(), uploads?.close()]);
    },
  };
};
