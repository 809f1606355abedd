/** The Vonage Messages API: docs/channels/vonage.md. */
import type { SendRequest, SendResult } from '../engine/ports.ts';
import { RoomlineError } from '../errors.ts';
import { HttpClient } from './http-client.ts';
import type { PlatformFactory } from './platform.ts';
import { classifySend } from './vonage/answer.ts';
import { createContentCheck } from './vonage/content.ts';
import { createCredentials } from './vonage/credentials.ts';
import { requestOf } from './vonage/message.ts';
import { createVonageVerifier } from './vonage/signature.ts';
import { readStatuses } from './vonage/statuses.ts';

const MAX_ANSWER_BYTES = 65_536;

/** What was stored cannot be made into a request: no later attempt could. */
const UNSENDABLE: SendResult = {
  kind: 'refused',
  nack: { permanent: true, scope: 'message', retryAfterMs: null, code: 'content_unsendable' },
};

export const createVonageChannel: PlatformFactory = (config, { wallClockMs, webhookUrl }) => {
  if (config.vonage === undefined) throw new RoomlineError('config_invalid', { field: 'vonage', rule: 'required' });
  const { from, channel, applicationId = null } = config.vonage;
  const { origin, pathname } = new URL(config.baseUrl);
  const path = `${pathname.replace(/\/+$/, '')}/v1/messages`;
  const credentials = createCredentials(config.accessToken.reveal(), applicationId);
  const client = new HttpClient({
    origin,
    connections: config.maxConcurrentSends,
    connectTimeoutMs: config.sendTimeoutMs,
    maxAnswerBytes: MAX_ANSWER_BYTES,
  });

  async function send({ reference, body, timeoutMs }: SendRequest): Promise<SendResult> {
    const message = requestOf({ channel, from, webhookUrl, reference }, body);
    if (message === null) return UNSENDABLE;
    const outcome = await client.exchange({
      method: 'POST',
      path,
      headers: {
        authorization: credentials.authorization(wallClockMs()),
        'content-type': 'application/json',
        accept: 'application/json',
      },
      body: Buffer.from(JSON.stringify(message)),
      timeoutMs,
    });
    return classifySend(outcome, wallClockMs());
  }

  return {
    senderId: null,
    checkContent: createContentCheck(channel),
    send,
    // The API cannot be asked about a message: statuses are its only word.
    lookup: null,
    handshake: null,
    verify: createVonageVerifier(
      config.webhookSecrets.map((secret) => secret.reveal()),
      credentials.apiKey,
    ),
    readStatuses: ({ raw }) => readStatuses(raw),
    close: () => client.close(),
  };
};
