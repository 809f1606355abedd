/** Twilio Programmable Messaging: docs/channels/twilio.md. */
import type { SendRequest, SendResult } from '../engine/ports.ts';
import { RoomlineError } from '../errors.ts';
import { HttpClient } from './http-client.ts';
import type { PlatformFactory } from './platform.ts';
import { classifySend } from './twilio/answer.ts';
import { createContentCheck } from './twilio/content.ts';
import { basicOf } from './twilio/credentials.ts';
import { formOf } from './twilio/message.ts';
import { createTwilioVerifier } from './twilio/signature.ts';
import { createStatusReader } from './twilio/statuses.ts';

const MAX_ANSWER_BYTES = 65_536;

/** What was stored cannot be made into a request: no later attempt could. */
const UNSENDABLE: SendResult = {
  kind: 'refused',
  nack: { permanent: true, scope: 'message', retryAfterMs: null, code: 'content_unsendable' },
};

export const createTwilioChannel: PlatformFactory = (config, { wallClockMs, webhookUrl }) => {
  if (config.twilio === undefined) throw new RoomlineError('config_invalid', { field: 'twilio', rule: 'required' });
  if (webhookUrl === null) throw new RoomlineError('config_invalid', { field: 'http.publicUrl', rule: 'required' });
  const { accountSid, from } = config.twilio;
  const { origin, pathname } = new URL(config.baseUrl);
  const path = `${pathname.replace(/\/+$/, '')}/2010-04-01/Accounts/${accountSid}/Messages.json`;
  const headers = {
    authorization: basicOf(accountSid, config.accessToken.reveal()),
    'content-type': 'application/x-www-form-urlencoded',
  };
  const client = new HttpClient({
    origin,
    connections: config.maxConcurrentSends,
    connectTimeoutMs: config.sendTimeoutMs,
    maxAnswerBytes: MAX_ANSWER_BYTES,
  });

  async function send({ reference, body, timeoutMs }: SendRequest): Promise<SendResult> {
    const form = formOf({ from, webhookUrl: webhookUrl as string, reference }, body);
    if (form === null) return UNSENDABLE;
    const request = { method: 'POST', path, headers, body: Buffer.from(form.toString()), timeoutMs } as const;
    return classifySend(await client.exchange(request), wallClockMs());
  }

  return {
    senderId: null,
    checkContent: createContentCheck(from),
    send,
    // A message is found by Twilio's id alone, which an attempt without an answer did not give; lists of a recipient's
    // messages do not tell one of two equal texts from the other. The callbacks carry our reference and are the evidence.
    lookup: null,
    handshake: null,
    verify: createTwilioVerifier(
      config.webhookSecrets.map((secret) => secret.reveal()),
      webhookUrl,
    ),
    readStatuses: createStatusReader(accountSid),
    close: () => client.close(),
  };
};
