import { createHash, createHmac } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { Answer, Profile, SendRequest, UnsignedCall } from './profile.ts';
import type { Draws } from './random.ts';
import type { ChannelPatch, Refusal, SettingsPatch } from './settings.ts';
import { readMark } from './text-mark.ts';

/**
 * The Vonage Messages API. A channel's `token` is `abcd1234:secret`, or the id of an application; the signature of an
 * application's JWT is not verified, for nobody has told its public key. The `secret` of a webhook is the account's
 * signature secret. Statuses go to the `webhook_url` of the message, else to the channel's webhook, one a call.
 *
 * An item of its webhooks is a status, or whatever object is to be told.
 */

const DOCUMENTATION = 'https://developer.vonage.com';
/** Of the account: requests with another one are nobody's, and webhooks name it. */
export const API_KEY = 'abcd1234';
const MAX_REFERENCE = 100;
const STRANGER = '15550109998';

const MAX_TEXT: Readonly<Record<string, number>> = {
  sms: 1_000,
  mms: 1_000,
  rcs: 3_072,
  whatsapp: 4_096,
  messenger: 640,
  viber_service: 1_000,
};
const TYPES: Readonly<Record<string, readonly string[]>> = {
  sms: ['text'],
  mms: ['text', 'image', 'vcard', 'audio', 'video', 'file', 'content'],
  rcs: ['text', 'image', 'video', 'file', 'card', 'carousel', 'custom'],
  whatsapp: ['text', 'image', 'audio', 'video', 'file', 'template', 'sticker', 'reaction', 'custom'],
  messenger: ['text', 'image', 'audio', 'video', 'file'],
  viber_service: ['text', 'image', 'video', 'file'],
};
/** On WhatsApp, what may be sent where the user has not written for a day. */
const isTemplate = (type: string, value: unknown): boolean =>
  type === 'template' || (type === 'custom' && isObject(value) && value.type === 'template');

const MEDIA = new Set(['image', 'vcard', 'audio', 'video', 'file', 'sticker']);

/** Errors with names, by HTTP status; those of the Messages API itself are numbers. */
const NAMES: Readonly<Record<number, string>> = {
  401: 'unauthorized',
  402: 'low-balance',
  403: 'forbidden',
  429: 'throttled',
};
/** Codes that settle no message: limits, the account's state, and what may pass. */
const SETTLES_NOTHING = new Set([
  ...['unauthorized', 'forbidden', 'not-found', 'invalid-api-key', 'invalid-signature', 'jwt-expired', 'jwt-revoked'],
  ...['unprovisioned', 'low-balance', 'out-of-credit', 'account-suspended', 'throttled'],
  ...['1000', '1030', '1060', '1070', '1080', '1100', '1110', '1180', '1220', '1230', '1241', '1330', '1350', '1370'],
]);

const decoder = new TextDecoder('utf-8', { fatal: true });

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const refuse = (code: '1010' | '1020' | '1130', message: string): { refusal: Refusal } => ({
  refusal: { status: 422, code, message, permanent: true, scope: 'message' },
});

const problem = (status: number, type: string, title: string, detail: string, ...more: string[]): Answer => ({
  status,
  headers: ['content-type', 'application/problem+json', ...more],
  body: JSON.stringify({ type, title, detail, instance: 'made-up' }),
});

const brokenContent = (channel: string, type: string, value: unknown): { refusal: Refusal } | undefined => {
  if (value === undefined) return refuse('1010', `${type} is required`);
  if (type === 'text') {
    const most = MAX_TEXT[channel] ?? 0;
    if (typeof value !== 'string' || value === '') return refuse('1020', 'text must be a text');
    return [...value].length > most ? refuse('1020', `text length must be at most ${most}`) : undefined;
  }
  if (!isObject(value) && !Array.isArray(value)) return refuse('1020', `${type} must be an object`);
  const { url, id } = value as Record<string, unknown>;
  if (MEDIA.has(type) && id === undefined && (typeof url !== 'string' || !URL.canParse(url))) {
    return refuse('1020', `${type}.url must be an address`);
  }
  return undefined;
};

const brokenOptions = ({ client_ref: reference, webhook_url: webhook, ttl }: Record<string, unknown>) => {
  if (reference !== undefined && (typeof reference !== 'string' || reference.length > MAX_REFERENCE)) {
    return refuse('1020', `client_ref must be a text of at most ${MAX_REFERENCE} characters`);
  }
  if (webhook !== undefined && (typeof webhook !== 'string' || !URL.canParse(webhook))) {
    return refuse('1020', 'webhook_url must be an address');
  }
  return ttl === undefined || Number.isInteger(ttl) ? undefined : refuse('1130', 'ttl must be whole seconds');
};

const visibleText = (value: unknown): string | undefined => {
  if (typeof value === 'string') return value;
  const { caption, parameters } = isObject(value) ? value : {};
  const candidates = [caption, ...(Array.isArray(parameters) ? parameters : [])];
  return candidates.find((candidate) => typeof candidate === 'string');
};

const readSend = (headers: IncomingHttpHeaders, raw: Buffer): SendRequest | { refusal: Refusal } => {
  if (!/^application\/json\s*(;|$)/i.test(headers['content-type'] ?? '')) {
    return { refusal: { status: 415, code: 'invalid-json', message: 'not JSON by its type', permanent: true } };
  }
  let body: unknown;
  try {
    body = JSON.parse(decoder.decode(raw));
  } catch {
    return { refusal: { status: 400, code: 'invalid-json', message: 'the body is no JSON', permanent: true } };
  }
  if (!isObject(body)) return refuse('1020', 'an object is required');
  const { channel, message_type: type, to, from } = body;
  if (typeof channel !== 'string' || !Object.hasOwn(TYPES, channel)) return refuse('1020', 'channel is not known');
  if (typeof type !== 'string') return refuse('1010', 'message_type is required');
  if (!TYPES[channel]?.includes(type)) return refuse('1020', `${channel} has no messages of this type`);
  if (typeof from !== 'string' || from === '' || from.startsWith('+')) return refuse('1020', 'from must have no +');
  const isRecipient = channel === 'messenger' ? /^\d{1,50}$/ : /^[1-9]\d{4,14}$/;
  if (typeof to !== 'string' || !isRecipient.test(to)) return refuse('1020', 'to must be a number without +');
  const broken = brokenContent(channel, type, body[type]) ?? brokenOptions(body);
  if (broken) return broken;
  const text = visibleText(body[type]);
  const mark = readMark(text);
  const { client_ref: reference, webhook_url: callbackUrl } = body;
  return {
    reference: typeof reference === 'string' ? reference : `${to}/${mark?.key ?? ''}`,
    ...(typeof callbackUrl === 'string' ? { callbackUrl } : {}),
    sender: `${channel}/${from}`,
    freeForm: channel === 'whatsapp' && !isTemplate(type, body[type]),
    to,
    content: { message_type: type, [type]: body[type] },
    text,
    media: type !== 'text',
    key: mark?.key,
    run: mark?.run,
  };
};

const senderOf = (sender: string | undefined): { channel: string; from: string } => {
  const [channel = '', ...from] = (sender ?? '').split('/');
  return { channel, from: from.join('/') };
};

const retryAfter = ({ retryAfterMs = 0, retryAfterIn = 'none' }: Refusal, nowMs: number): string[] => {
  if (retryAfterIn === 'none' || retryAfterIn === 'body') return [];
  if (retryAfterIn === 'unreadable') return ['retry-after', 'soon'];
  if (retryAfterIn === 'date') return ['retry-after', new Date(nowMs + retryAfterMs).toUTCString()];
  return ['retry-after', String(Math.ceil(retryAfterMs / 1_000))];
};

const codeOf = ({ code, status }: Refusal): string => code ?? NAMES[status] ?? (status >= 500 ? '1030' : '1020');

/** Numbers are in the Messages API's own list of errors. */
const typeOf = (code: string): string =>
  /^\d+$/.test(code) ? `${DOCUMENTATION}/api-errors/messages#${code}` : `${DOCUMENTATION}/api-errors#${code}`;

const STATUSES = { sent: 'submitted', delivered: 'delivered', read: 'read', failed: 'rejected' } as const;

/** ISO 8601 in whole seconds; what a knob has already made seconds stays as wrong as it is. */
const timeOf = (at: number | undefined): string | undefined =>
  at === undefined ? undefined : new Date(at).toISOString().replace(/\.\d{3}Z$/, 'Z');

const uuid = (no: number, boot: number, draws: Draws): string => {
  const hex = (value: number, digits: number) => value.toString(16).padStart(digits, '0').slice(-digits);
  const drawn = (lane: number, digits: number) => hex(Math.floor(draws.uniform(no, lane) * 16 ** digits), digits);
  return `${hex(no, 8)}-${drawn(1, 4)}-4${drawn(2, 3)}-a${drawn(3, 3)}-${hex(boot, 12)}`;
};

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

const TWO_DAYS_S = 172_800;

/** There is one signature at a time, so that `both` means the present secret; `missing` is a call without a token. */
const sign = ({ id, nowMs, body, secrets, mode }: UnsignedCall): { headers: string[]; body: string } => {
  const secret =
    mode === 'wrong_key'
      ? `not ${secrets.present}`
      : mode === 'previous'
        ? (secrets.previous ?? secrets.present)
        : secrets.present;
  const claims = {
    iat: Math.floor(nowMs / 1_000) - (mode === 'expired' ? TWO_DAYS_S : 0),
    jti: id,
    iss: 'Vonage',
    payload_hash: createHash('sha256').update(body).digest('hex'),
    api_key: API_KEY,
  };
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`;
  const token = `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
  const headers = ['content-type', 'application/json', 'user-agent', 'Vonage/Webhooks'];
  return {
    headers: mode === 'missing' ? headers : [...headers, 'authorization', `Bearer ${token}`],
    body: mode === 'tampered' ? `${body.slice(0, -1)} }` : body,
  };
};

/** The application of a JWT that is one by its form: RS256, an id of its own, and a time. */
const applicationOf = (token: string): string | undefined => {
  try {
    const [header, claims] = token
      .split('.', 2)
      .map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>);
    const complete = typeof claims?.jti === 'string' && Number.isInteger(claims.iat);
    const application = header?.alg === 'RS256' && complete ? claims.application_id : undefined;
    return typeof application === 'string' ? application : undefined;
  } catch {
    return undefined;
  }
};

/** The sandbox lets one message a second through. What other senders may is a matter of their contracts. */
export const sandbox: ChannelPatch = {
  limit: { ratePerSecond: 1, burst: 1, refusal: { status: 429, code: 'throttled', scope: 'channel' } },
};

const pathOf = (path: string): string => path.split('?', 1)[0] ?? '';

/**
 * What can be asked of account and application: `about` may say `balance`, and which `numbers` the account has. The
 * account answers to key and secret, the application to its JWT.
 */
const ACCOUNT_API: Readonly<
  Record<string, { scheme: string; answer: (query: URLSearchParams, about: Record<string, unknown>) => unknown }>
> = {
  '/account/get-balance': {
    scheme: 'Basic',
    answer: (_query, { balance = 10.28 }) => ({ value: balance, autoReload: false }),
  },
  '/account/numbers': {
    scheme: 'Basic',
    answer: (query, { numbers = ['15550100002'] }) => {
      const found = (numbers as string[]).filter((number) => number.startsWith(query.get('pattern') ?? ''));
      if (found.length === 0) return {};
      const features = ['SMS', 'VOICE'];
      return { count: found.length, numbers: found.map((msisdn) => ({ country: 'US', msisdn, features })) };
    },
  },
  '/v1/users': { scheme: 'Bearer', answer: () => ({ page_size: 1, _embedded: { users: [] }, _links: {} }) },
};

const settings: SettingsPatch = {
  message: { status: { failure: { code: '1190' } } },
  channel: {
    request: { requireRoomlineHeaders: false },
    idempotency: { enabled: false },
    lookup: { enabled: false },
    webhooks: {
      batch: { minSize: 1, maxSize: 1, lingerMs: 0 },
      deadlineMs: 15_000,
      retry: { firstMs: 5_000, factor: 2, maxMs: 900_000, maxAgeMs: 86_400_000, on: 'server_errors' },
    },
  },
};

export const vonage: Profile = {
  name: 'vonage',
  settings,
  single: true,

  credential({ authorization = '' }) {
    const [scheme, token = ''] = authorization.split(' ', 2);
    if (scheme === 'Bearer') return applicationOf(token);
    const basic = scheme === 'Basic' ? Buffer.from(token, 'base64').toString() : '';
    return basic.startsWith(`${API_KEY}:`) ? basic : undefined;
  },

  route: (method, path) => {
    if (method === 'POST') return /^\/v1\/messages(?:\?|$)/.test(path) ? 'send' : undefined;
    return method === 'GET' && Object.hasOwn(ACCOUNT_API, pathOf(path)) ? 'other' : undefined;
  },

  other({ path, channel, channels, headers: { authorization = '' } }) {
    const { scheme, answer } = ACCOUNT_API[pathOf(path)] ?? { scheme: '', answer: () => ({}) };
    if (channel === undefined || !authorization.startsWith(`${scheme} `)) {
      const detail = 'You did not provide correct credentials.';
      return problem(401, `${DOCUMENTATION}/api-errors#unauthorized`, 'Unauthorized', detail);
    }
    const body = answer(new URL(path, 'http://platform').searchParams, channels[channel]?.about ?? {});
    return { status: 200, headers: ['content-type', 'application/json'], body: JSON.stringify(body) };
  },

  readAttempt: () => ({ reference: undefined, attempt: undefined, worker: undefined, generation: undefined }),

  readSend: (headers, body) => readSend(headers, body),

  id: ({ no, boot, draws }) => uuid(no, boot, draws),

  accepted: ({ id }) => ({
    status: 202,
    headers: ['content-type', 'application/json'],
    body: JSON.stringify({ message_uuid: id }),
  }),

  refused(refusal, nowMs) {
    const wait = retryAfter(refusal, nowMs);
    if (refusal.bare && refusal.status !== 401) return { status: refusal.status, headers: wait, body: '' };
    const code = codeOf(refusal);
    return problem(refusal.status, typeOf(code), refusal.message ?? code, refusal.message ?? 'made up', ...wait);
  },

  judge(refusal) {
    const { status } = refusal;
    const settles = !refusal.bare && ![401, 402, 403, 429].includes(status) && !SETTLES_NOTHING.has(codeOf(refusal));
    return { definite: status < 500, permanent: settles && (refusal.permanent ?? true) };
  },

  /** WhatsApp refuses it when Vonage has accepted it. */
  failsOutsideWindow: '1340',

  lookupReference: () => undefined,

  lookedUp: () => ({ status: 404, headers: [], body: '' }),

  item({ message, status, at, error }) {
    const { channel, from } = senderOf(message.sender);
    const { named } = message.knobs.status;
    const code = error && /^\d+$/.test(error.code) ? error.code : '1190';
    const told = { type: typeOf(code), title: code, detail: 'made up', instance: `${message.no}` };
    return {
      message_uuid: named === 'reference' ? undefined : message.id,
      to: message.recipient.to,
      from,
      timestamp: timeOf(at),
      channel,
      status: STATUSES[status],
      client_ref: named === 'id' ? undefined : message.reference,
      // Seen in both ways.
      error: error && (message.no % 2 === 0 ? told : { error: told }),
      usage: status === 'sent' ? { currency: 'EUR', price: '0.0333' } : undefined,
    };
  },

  junk(kind, salt) {
    const foreign = { message_uuid: `foreign-${salt}`, to: STRANGER, from: '15550100002', channel: 'sms' };
    switch (kind) {
      case 'unknownId':
        return { ...foreign, timestamp: '2026-01-01T00:00:00Z', status: 'delivered' };
      case 'unknownReference':
        return { ...foreign, timestamp: '2026-01-01T00:00:00Z', status: 'delivered', client_ref: `nobody-${salt}` };
      case 'unknownStatus':
        return { ...foreign, status: 'pondered' };
      case 'extraFields':
        return {
          destination: { network_code: '12345' },
          sms: { count_total: '2' },
          workflow: { id: salt, items: [1] },
        };
      case 'malformed':
        return { status: 7, timestamp: 'yesterday', message_uuid: { nested: [salt] }, error: 'many' };
    }
  },

  inbound: (salt) => ({
    channel: 'whatsapp',
    message_uuid: `inbound-${salt}`,
    to: '15550100002',
    from: STRANGER,
    timestamp: '2026-01-01T00:00:00Z',
    message_type: 'text',
    text: 'Grüße 👋 from a user',
    profile: { name: 'A user' },
  }),

  webhookBody: ([item]) => JSON.stringify(item),

  sign,
};
