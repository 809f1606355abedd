import { createHmac } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { Answer, Profile, SendRequest } from './profile.ts';
import type { ChannelKnobs, Refusal } from './settings.ts';

/** The generic HTTP platform, as docs/generic-http-platform.md describes it. */

const PATH = '/v1/messages';
const HEALTH = '/v1/health';
const REFERENCE = /^[A-Za-z0-9_-]{1,40}$/;
/** 400, 404 … without an `error` object refuse the message for good. */
const BARE_PERMANENT = new Set([400, 404, 405, 410, 413, 415, 422]);
/** A refusal of one of these scopes settles a message; the wider ones make rooms wait. */
const OWN_SCOPES = new Set(['message', 'room']);

const decoder = new TextDecoder('utf-8', { fatal: true });

const json = (status: number, body: string, ...more: string[]): Answer => ({
  status,
  headers: ['content-type', 'application/json', ...more],
  body,
});

const header = (headers: IncomingHttpHeaders, name: string): string | undefined => {
  const value = headers[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
};

const refuse = (status: number, code: string, message: string): { refusal: Refusal } => ({
  refusal: { status, code, message, permanent: true, scope: 'message' },
});

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

const brokenHead = (headers: IncomingHttpHeaders, knobs: ChannelKnobs): { refusal: Refusal } | undefined => {
  const type = header(headers, 'content-type');
  if (type === undefined || !/^application\/json\s*(;|$)/i.test(type)) {
    return refuse(415, 'content_type', 'content-type must be application/json');
  }
  if (!knobs.request.requireRoomlineHeaders) return undefined;
  if (!/^[1-9]\d*$/.test(header(headers, 'roomline-attempt') ?? '')) {
    return refuse(400, 'header_attempt', 'roomline-attempt must be 1, 2, 3 …');
  }
  if (header(headers, 'roomline-worker') === undefined) {
    return refuse(400, 'header_worker', 'roomline-worker is missing');
  }
  if (!/^\d+$/.test(header(headers, 'roomline-generation') ?? '')) {
    return refuse(400, 'header_generation', 'roomline-generation must be a whole number');
  }
  return undefined;
};

const readBody = (headers: IncomingHttpHeaders, body: Buffer): SendRequest | { refusal: Refusal } => {
  let parsed: unknown;
  try {
    parsed = JSON.parse(decoder.decode(body));
  } catch {
    return refuse(400, 'body_json', 'the body is not JSON in UTF-8');
  }
  if (!isObject(parsed)) return refuse(400, 'body_object', 'the body must be an object');
  const { reference, to, content } = parsed;
  if (typeof reference !== 'string' || !REFERENCE.test(reference)) {
    return refuse(422, 'reference', 'reference must be 1–40 characters of [A-Za-z0-9_-]');
  }
  if (header(headers, 'idempotency-key') !== reference) {
    return refuse(400, 'idempotency_key', 'idempotency-key must be the reference');
  }
  if (typeof to !== 'string' || to === '' || to.length > 256) return refuse(422, 'to', 'to must be 1–256 characters');
  if (content === undefined || content === null) return refuse(422, 'content', 'content is missing');
  const unexpected = Object.keys(parsed).find((name) => name !== 'reference' && name !== 'to' && name !== 'content');
  if (unexpected !== undefined) return refuse(422, 'unknown_field', 'the body has a field that the protocol lacks');
  const fields = isObject(content) ? content : {};
  const type = text(fields.type);
  return {
    reference,
    to,
    content,
    text: text(fields.text),
    media: fields.media !== undefined || (type !== undefined && type !== 'text'),
    key: text(fields.key),
    run: text(fields.run),
  };
};

const errorObject = (refusal: Refusal): Record<string, unknown> => ({
  code: refusal.code ?? 'refused',
  scope: refusal.scope,
  permanent: refusal.permanent,
  processed: refusal.processed,
  message: refusal.message,
  retryAfterMs: refusal.retryAfterIn === 'body' || refusal.retryAfterIn === 'both' ? refusal.retryAfterMs : undefined,
});

const retryAfter = (refusal: Refusal, nowMs: number): string[] => {
  const waitMs = refusal.retryAfterMs ?? 0;
  switch (refusal.retryAfterIn) {
    case 'header':
    case 'both':
      return ['retry-after', String(Math.ceil(waitMs / 1_000))];
    case 'date':
      return ['retry-after', new Date(Math.ceil((nowMs + waitMs) / 1_000) * 1_000).toUTCString()];
    case 'unreadable':
      return ['retry-after', 'soon'];
    default:
      return [];
  }
};

/** The token of `Authorization: Bearer …`. */
export const bearer = ({ authorization = '' }: IncomingHttpHeaders): string | undefined =>
  authorization.startsWith('Bearer ') ? authorization.slice(7) : undefined;

/** The key bytes: `whsec_` announces base64, as Standard Webhooks says; any other secret is taken as it is. */
const keyOf = (secret: string): Buffer =>
  secret.startsWith('whsec_') ? Buffer.from(secret.slice(6), 'base64') : Buffer.from(secret);

const signature = (secret: string, signed: string): string =>
  `v1,${createHmac('sha256', keyOf(secret)).update(signed).digest('base64')}`;

/** Twice the tolerance of five minutes. */
const EXPIRED_BY_S = 600;

export const generic: Profile = {
  name: 'generic',
  settings: {},

  credential(headers) {
    return bearer(headers);
  },

  route(method, path) {
    if (method === 'GET' && path === HEALTH) return 'other';
    const query = path.indexOf('?');
    if ((query < 0 ? path : path.slice(0, query)) !== PATH) return undefined;
    return method === 'POST' ? 'send' : method === 'GET' ? 'lookup' : undefined;
  },

  /** `"about": {"health": false}`: the gateway has no such path. */
  other({ channel, channels }) {
    if (channel === undefined) return json(401, '');
    return channels[channel]?.about?.health === false ? json(404, '') : { status: 204, headers: [], body: '' };
  },

  readAttempt(headers) {
    const attempt = Number(header(headers, 'roomline-attempt'));
    return {
      reference: header(headers, 'idempotency-key'),
      attempt: Number.isInteger(attempt) ? attempt : undefined,
      worker: header(headers, 'roomline-worker'),
      generation: header(headers, 'roomline-generation'),
    };
  },

  readSend(headers, body, knobs) {
    return brokenHead(headers, knobs) ?? readBody(headers, body);
  },

  accepted(message, duplicate) {
    const acceptedAt = message.knobs.send.acceptedAt ? `,"acceptedAt":${message.acceptedAt}` : '';
    return json(200, `{"id":"${message.id}"${acceptedAt}${duplicate ? ',"duplicate":true' : ''}}`);
  },

  refused(refusal, nowMs) {
    const wait = retryAfter(refusal, nowMs);
    if (refusal.bare) return { status: refusal.status, headers: ['content-type', 'text/plain', ...wait], body: '' };
    return json(refusal.status, JSON.stringify({ error: errorObject(refusal) }), ...wait);
  },

  judge(refusal) {
    const { status } = refusal;
    if (refusal.bare) {
      return { definite: status >= 300 && status < 500, permanent: BARE_PERMANENT.has(status) };
    }
    const permanent = refusal.permanent ?? !(status === 429 || status >= 500);
    return {
      definite: status < 500 || refusal.processed === false,
      permanent: permanent && OWN_SCOPES.has(refusal.scope ?? 'message'),
    };
  },

  lookupReference(path) {
    return new URL(path, 'http://platform').searchParams.get('reference') ?? undefined;
  },

  lookedUp(message) {
    if (!message) return json(404, '{"error":{"code":"unknown_reference"}}');
    const acceptedAt = message.knobs.send.acceptedAt ? message.acceptedAt : undefined;
    return json(200, JSON.stringify({ id: message.id, status: message.status, acceptedAt, error: message.error }));
  },

  item({ message, status, at, error, cumulative, watermark }) {
    if (watermark !== undefined) return { watermark, to: message.recipient.to, status, at };
    const { named } = message.knobs.status;
    return {
      id: named === 'reference' ? undefined : message.id,
      reference: named === 'id' ? undefined : message.reference,
      status,
      at,
      error,
      cumulative: cumulative || undefined,
    };
  },

  junk(kind, salt) {
    switch (kind) {
      case 'unknownId':
        return { id: `foreign-${salt}`, status: 'delivered' };
      case 'unknownReference':
        return { reference: `nobody-${salt}`.slice(0, 40), status: 'delivered' };
      case 'unknownStatus':
        return { id: `foreign-${salt}`, status: 'pondered' };
      case 'extraFields':
        return { pricing: { billable: true }, tags: [null, 1], conversation: salt };
      case 'malformed':
        return { status: 7, at: 'yesterday', id: { nested: [salt] } };
    }
  },

  webhookBody(items) {
    return JSON.stringify({ statuses: items });
  },

  sign({ id, nowMs, body, secrets, both, mode }) {
    const timestamp = Math.floor(nowMs / 1_000) - (mode === 'expired' ? EXPIRED_BY_S : 0);
    const signed = `${id}.${timestamp}.${body}`;
    const head = ['content-type', 'application/json', 'webhook-id', id, 'webhook-timestamp', String(timestamp)];
    const previous = secrets.previous ?? secrets.present;
    const signatures =
      mode === 'missing'
        ? []
        : mode === 'wrong_key'
          ? [signature(`not ${secrets.present}`, signed)]
          : mode === 'previous'
            ? [signature(previous, signed)]
            : both
              ? [signature(previous, signed), signature(secrets.present, signed)]
              : [signature(secrets.present, signed)];
    return {
      headers: signatures.length === 0 ? head : [...head, 'webhook-signature', signatures.join(' ')],
      body: mode === 'tampered' ? `${body.slice(0, -1)} }` : body,
    };
  },
};
