/** Heron, an imagined SMS gateway: the adapter that docs/channels/writing-an-adapter.md explains. */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { PlatformChannel, SendRequest, SendResult, StatusItem } from '../../src/engine/ports.ts';
import { RoomlineError } from '../../src/errors.ts';
import {
  type ChannelChecker,
  failed,
  Inquiry,
  notCheckable,
  ok,
  splitBase,
} from '../../src/platforms/checks/inquiry.ts';
import {
  type Fields,
  isFields,
  parseWebhookBody,
  readCode,
  readId,
  readObject,
  readReference,
  readText,
} from '../../src/platforms/fields.ts';
import { HttpClient, type HttpOutcome } from '../../src/platforms/http-client.ts';
import type { PlatformFactory } from '../../src/platforms/platform.ts';
import { parseRetryAfter } from '../../src/platforms/retry-after.ts';
import type { Nack } from '../../src/room/room.ts';

const MAX_TEXT = 1_600;
const MAX_EVENTS = 1_000;

export const createHeronChannel: PlatformFactory = (config, { wallClockMs }): PlatformChannel => {
  const { origin, pathname } = new URL(config.baseUrl);
  const key = config.accessToken.reveal();
  // It becomes a header. The message names the setting and its rule, never the value.
  if (!/^[!-~]+$/.test(key)) {
    throw new RoomlineError('config_invalid', { field: 'accessToken', rule: 'printable ASCII without spaces' });
  }
  const client = new HttpClient({
    origin,
    connections: config.maxConcurrentSends,
    connectTimeoutMs: config.sendTimeoutMs,
    maxAnswerBytes: 65_536,
  });

  async function send({ reference, body, timeoutMs }: SendRequest): Promise<SendResult> {
    const message = readMessage(body);
    if (message === null) {
      return refused({ permanent: true, scope: 'message', retryAfterMs: null, code: 'content_unsendable' });
    }
    const outcome = await client.exchange({
      method: 'POST',
      path: `${pathname.replace(/\/+$/, '')}/send`,
      headers: { 'x-api-key': key, 'content-type': 'application/json' },
      body: Buffer.from(JSON.stringify({ ...message, tag: reference })),
      timeoutMs,
    });
    return classify(outcome, wallClockMs());
  }

  return {
    senderId: null,
    checkContent,
    send,
    lookup: null,
    handshake: null,
    verify: ({ headers, raw }) => {
      const given = Buffer.from(String(headers['x-heron-signature'] ?? ''));
      // Every secret is tried, so that one can be replaced while the other still signs.
      const matches = config.webhookSecrets.map((secret) => {
        const expected = Buffer.from(createHmac('sha256', secret.reveal()).update(raw).digest('hex'));
        return given.length === expected.length && timingSafeEqual(given, expected);
      });
      return matches.includes(true) ? { kind: 'verified' } : { kind: 'refused', code: 'signature_invalid' };
    },
    readStatuses: ({ raw }) => readEvents(raw),
    close: () => client.close(),
  };
};

// ------------------------------------------------------------------------------------------------------------ content

function checkContent(to: string, content: Fields): void {
  if (!/^\+[1-9][0-9]{6,14}$/.test(to)) refuse('to', 'a phone number with + and country code');
  const { text, ...others } = content;
  if (typeof text !== 'string' || text === '') refuse('content.text', `a text of 1 to ${MAX_TEXT} characters`);
  else if (text.length > MAX_TEXT) refuse('content.text', `at most ${MAX_TEXT} characters`);
  for (const name of Object.keys(others)) refuse(`content.${name}`, 'text is all that can be sent');
}

function refuse(field: string, rule: string): never {
  throw new RoomlineError('content_invalid', { field, rule });
}

/** Null where the stored message breaks a rule that holds now. */
function readMessage(body: Uint8Array): { recipient: string; text: string } | null {
  const stored = readObject(body);
  if (stored === null || typeof stored.to !== 'string' || !isFields(stored.content)) return null;
  try {
    checkContent(stored.to, stored.content);
  } catch (error) {
    if (error instanceof RoomlineError) return null;
    throw error;
  }
  return { recipient: stored.to, text: String(stored.content.text) };
}

// ------------------------------------------------------------------------------------------------------------- answer

/** The codes that Heron documents. */
const CODES: Readonly<Record<string, Omit<Nack, 'code' | 'retryAfterMs'>>> = {
  NO_SUCH_NUMBER: { permanent: true, scope: 'room' },
  OPTED_OUT: { permanent: true, scope: 'room' },
  TEXT_REFUSED: { permanent: true, scope: 'message' },
  TOO_FAST_FOR_NUMBER: { permanent: false, scope: 'room' },
  TOO_FAST: { permanent: false, scope: 'channel' },
  KEY_REVOKED: { permanent: true, scope: 'channel' },
  NO_CREDIT: { permanent: true, scope: 'account' },
};

function classify(outcome: HttpOutcome, nowMs: number): SendResult {
  if (outcome.kind === 'not_sent') {
    return refused({ permanent: false, scope: 'channel', retryAfterMs: null, code: outcome.code });
  }
  if (outcome.kind === 'no_answer') return { kind: 'unknown', code: outcome.code, bytesLeft: outcome.bytesLeft };
  const { status, headers, body } = outcome;
  const fields = readObject(body);
  if (status >= 500) return { kind: 'unknown', code: `http_${status}`, bytesLeft: true };
  if (status >= 400) {
    return refused(nackOf(readCode(fields?.code), status, parseRetryAfter(headers['retry-after'], nowMs)));
  }
  if (status >= 300) return refused({ permanent: true, scope: 'channel', retryAfterMs: null, code: 'redirected' });
  const platformId = readId(fields?.id);
  if (platformId === null) return { kind: 'unknown', code: 'answer_unreadable', bytesLeft: true };
  return { kind: 'accepted', platformId, platformAt: null, duplicate: false };
}

/** A code that the table lacks is judged by the status: what concerns the sender must fail no message. */
function nackOf(code: string | null, status: number, retryAfterMs: number | null): Nack {
  const known = code !== null && Object.hasOwn(CODES, code) ? CODES[code] : undefined;
  if (known !== undefined && code !== null) return { ...known, retryAfterMs, code };
  const named = code ?? `http_${status}`;
  if (status === 429) return { permanent: false, scope: 'channel', retryAfterMs, code: named };
  if (status === 401 || status === 403) return { permanent: true, scope: 'channel', retryAfterMs, code: named };
  return { permanent: status !== 408, scope: 'message', retryAfterMs, code: named };
}

function refused(nack: Nack): SendResult {
  return { kind: 'refused', nack };
}

// ------------------------------------------------------------------------------------------------------------ webhook

function readEvents(raw: Uint8Array): StatusItem[] {
  const call = parseWebhookBody(raw);
  const events = isFields(call) ? call.events : undefined;
  if (!Array.isArray(events)) throw new RoomlineError('field_type', { field: 'events', rule: 'a list' });
  if (events.length > MAX_EVENTS) {
    throw new RoomlineError('body_too_large', { field: 'events', rule: `at most ${MAX_EVENTS} items` });
  }
  return events.map(readEvent);
}

function readEvent(event: unknown): StatusItem {
  if (!isFields(event)) return { kind: 'unreadable', code: 'event_type' };
  if (event.state === 'received') return { kind: 'other', code: 'received' };
  const reference = readReference(event.tag);
  const platformId = readId(event.id);
  if (reference === null && platformId === null) return { kind: 'unreadable', code: 'message_unnamed' };
  const named = { kind: 'status', reference, platformId, at: null, cumulative: false } as const;
  switch (event.state) {
    case 'sent':
    case 'delivered':
      return { ...named, level: event.state, nack: null };
    case 'failed': {
      const code = readCode(event.reason) ?? 'failed';
      return { ...named, level: null, nack: { permanent: true, scope: 'message', retryAfterMs: null, code } };
    }
    default:
      return { kind: 'unreadable', code: 'state_unknown' };
  }
}

// -------------------------------------------------------------------------------------------------------------- check

/** Asks whatever Heron tells without sending anything. */
export const checkHeron: ChannelChecker = async (config, { timeoutMs, wallClockMs, webhookUrl }) => {
  const { origin, prefix } = splitBase(config.baseUrl);
  const inquiry = new Inquiry(timeoutMs, wallClockMs);
  try {
    const account = await inquiry.get(origin, `${prefix}/account`, { 'x-api-key': config.accessToken.reveal() });
    if (account.kind === 'none') return [inquiry.unreachable(account.code, origin)];
    if (account.status === 401) return [failed('token', 'http_401', 'Heron refuses accessToken.')];
    if (account.status !== 200) return [inquiry.unreachable(`http_${account.status}`, origin)];
    const eventsTo = readText(account.fields?.eventsTo, 2_048);
    const clock = inquiry.clock();
    return [
      ok('platform', `${origin} answers.`),
      ...(clock === null ? [] : [clock]),
      ok('token', 'Heron accepts accessToken.'),
      webhookUrl !== null && eventsTo === webhookUrl
        ? ok('webhook_url', `Heron sends its events to ${webhookUrl}.`)
        : failed('webhook_url', 'other_address', `Tell Heron to send its events to ${webhookUrl ?? 'http.publicUrl'}.`),
      notCheckable('webhook_secret', 'not_told', 'See that Heron signs with one of webhookSecrets.'),
    ];
  } finally {
    await inquiry.close();
  }
};
