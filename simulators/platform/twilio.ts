import { createHash, createHmac } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { Answer, FailedCall, Profile, SendRequest, UnsignedCall } from './profile.ts';
import type { MessagePatch, Refusal, SettingsPatch } from './settings.ts';
import { readMark } from './text-mark.ts';
import { answerResource, isResource, ownerOf } from './twilio-resources.ts';

/**
 * Twilio Programmable Messaging. A sender queues: a message is accepted, and leaves when its turn comes. Statuses go to
 * the address that each message names, one form each, without a time. A channel's `token` is the account's auth token,
 * or `SK…:secret` of an API key; the `secret` of its webhook is the auth token.
 *
 * An item of its webhooks is a form's parameters by name. One with a member `json` is told as JSON.
 */

type Parameters = Record<string, string>;

const API_VERSION = '2010-04-01';
const PATH = /^\/2010-04-01\/Accounts\/(AC[0-9a-f]{32})\/Messages\.json(?:\?|$)/;
const MAX_BODY = 1_600;
const MAX_MEDIA = 10;
const MAX_VALIDITY_S = 36_000;
const ELSEWHERE = `AC${'e'.repeat(32)}`;
const STRANGER = '+15550109998';
/** The query parameter in which a sender gives its own name for a message, if it does. */
const REFERENCE = 'reference';

/** Codes that settle no message: limits, the state of account and sender, and what may pass. */
const SETTLES_NOTHING = new Set([
  ...[
    '20003',
    '20005',
    '20006',
    '20010',
    '20403',
    '20404',
    '20429',
    '14107',
    '21212',
    '21601',
    '21603',
    '21609',
    '21611',
  ],
  ...[
    '21660',
    '21701',
    '21702',
    '21703',
    '21704',
    '21705',
    '30001',
    '30002',
    '30003',
    '30008',
    '30017',
    '30021',
    '30022',
  ],
  ...[
    '30023',
    '30027',
    '30410',
    '63001',
    '63002',
    '63007',
    '63008',
    '63009',
    '63010',
    '63011',
    '63012',
    '63017',
    '63018',
  ],
  ...['63019', '63020', '63022', '63023', '63037', '63038'],
]);

const WORDS: Readonly<Record<string, string>> = {
  '20003': 'Authenticate',
  '20404': 'The requested resource was not found',
  '20429': 'Too Many Requests',
  '63017': 'Rate limit exceeded for the account',
  '21611': "This 'From' number has exceeded the maximum number of queued messages",
};

const decoder = new TextDecoder('utf-8', { fatal: true });

const json = (status: number, value: unknown, ...more: string[]): Answer => ({
  status,
  headers: ['content-type', 'application/json;charset=utf-8', ...more],
  body: JSON.stringify(value),
});

const refuse = (code: number, message: string): { refusal: Refusal } => ({
  refusal: { status: 400, code: String(code), message, permanent: true, scope: 'message' },
});

const isNumber = (address: string): boolean => /^\+[1-9]\d{4,14}$/.test(address);
const isWhatsApp = (address: string): boolean => address.startsWith('whatsapp:');
const isService = (from: string): boolean => /^MG[0-9a-f]{32}$/.test(from);

const urlOf = (text: string): URL | undefined => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return url?.protocol === 'https:' || url?.protocol === 'http:' ? url : undefined;
};

const brokenAddresses = (to: string | null, from: string | null, service: string | null) => {
  if (to === null) return refuse(21604, "A 'To' phone number is required.");
  if (from === null && service === null) return refuse(21603, "A 'From' or 'MessagingServiceSid' is required.");
  if (service !== null && !isService(service)) return refuse(21701, 'The Messaging Service does not exist');
  const number = isWhatsApp(to) ? to.slice('whatsapp:'.length) : to;
  if (!isNumber(number)) return refuse(21211, "Invalid 'To' Phone Number");
  if (from !== null && isWhatsApp(from) !== isWhatsApp(to))
    return refuse(21910, 'From and To should be of one channel.');
  return undefined;
};

const brokenContent = (form: URLSearchParams): { refusal: Refusal } | undefined => {
  const body = form.get('Body');
  const media = form.getAll('MediaUrl');
  const template = form.get('ContentSid');
  if ((body === null || body === '') && media.length === 0 && template === null) {
    return refuse(21619, "A 'Body', 'MediaUrl' or 'ContentSid' is required.");
  }
  if (body !== null && [...body].length > MAX_BODY) return refuse(21617, 'The concatenated message body is too long');
  if (media.length > MAX_MEDIA) return refuse(21623, 'Number of media files exceeds allowed limit');
  if (media.some((url) => urlOf(url) === undefined)) return refuse(21620, 'Invalid media URL(s)');
  if (template !== null && !/^HX[0-9a-fA-F]{32}$/.test(template)) return refuse(21655, 'The ContentSid is Invalid');
  const variables = form.get('ContentVariables');
  if (variables !== null) {
    try {
      JSON.parse(variables);
    } catch {
      return refuse(21656, 'The ContentVariables Parameter is invalid');
    }
  }
  const validity = form.get('ValidityPeriod');
  const seconds = Number(validity ?? 1);
  if (!Number.isInteger(seconds) || seconds < 1 || seconds > MAX_VALIDITY_S) {
    return refuse(21624, 'Invalid validity period value');
  }
  return undefined;
};

const contentOf = (form: URLSearchParams): Record<string, unknown> => {
  const content: Record<string, unknown> = {};
  for (const name of new Set(form.keys())) {
    if (['To', 'From', 'MessagingServiceSid', 'StatusCallback'].includes(name)) continue;
    const values = form.getAll(name);
    content[name] = name === 'MediaUrl' || values.length > 1 ? values : values[0];
  }
  return content;
};

const readSend = (headers: IncomingHttpHeaders, raw: Buffer, path: string): SendRequest | { refusal: Refusal } => {
  if (!/^application\/x-www-form-urlencoded\s*(;|$)/i.test(headers['content-type'] ?? '')) {
    return { refusal: { status: 415, code: '20415', message: 'Unsupported Media Type', permanent: true } };
  }
  let form: URLSearchParams;
  try {
    form = new URLSearchParams(decoder.decode(raw));
  } catch {
    return refuse(20001, 'the body is no text');
  }
  const [to, from, service] = ['To', 'From', 'MessagingServiceSid'].map((name) => form.get(name)) as (string | null)[];
  const broken = brokenAddresses(to ?? null, from ?? null, service ?? null) ?? brokenContent(form);
  if (broken) return broken;
  const callbackUrl = form.get('StatusCallback');
  const callback = callbackUrl === null ? undefined : urlOf(callbackUrl);
  if (callbackUrl !== null && callback === undefined) return refuse(21609, "Invalid 'StatusCallback'");
  const text = form.get('Body') ?? undefined;
  const mark = readMark(text);
  return {
    reference: callback?.searchParams.get(REFERENCE) ?? `${to}/${mark?.key ?? ''}`,
    ...(callbackUrl === null ? {} : { callbackUrl }),
    sender: `${PATH.exec(path)?.[1]}/${service ?? from}`,
    to: to as string,
    content: contentOf(form),
    text,
    media: form.has('MediaUrl'),
    key: mark?.key,
    run: mark?.run,
  };
};

/** The account and the sender of a message. */
const senderOf = (sender: string | undefined): { account: string; from: string } => {
  const [account = ELSEWHERE, ...from] = (sender ?? '').split('/');
  return { account, from: from.join('/') };
};

const retryAfter = ({ retryAfterMs = 0, retryAfterIn = 'none' }: Refusal, nowMs: number): string[] => {
  if (retryAfterIn === 'none' || retryAfterIn === 'body') return [];
  if (retryAfterIn === 'unreadable') return ['retry-after', 'soon'];
  if (retryAfterIn === 'date') return ['retry-after', new Date(nowMs + retryAfterMs).toUTCString()];
  return ['retry-after', String(Math.ceil(retryAfterMs / 1_000))];
};

const codeOf = ({ code, status }: Refusal): string => {
  if (code !== undefined && /^\d+$/.test(code)) return code;
  return status === 401
    ? '20003'
    : status === 429
      ? '20429'
      : status === 404
        ? '20404'
        : status >= 500
          ? '20500'
          : '20001';
};

// --------------------------------------------------------------------------------------------------------- callbacks

/** What the receiver's auth token makes of the address and the sorted parameters. */
const signature = (token: string, url: string, parameters: URLSearchParams): string => {
  const sorted = [...new Set(parameters.keys())].sort();
  const signed = sorted.map((name) =>
    [...new Set(parameters.getAll(name))]
      .sort()
      .map((value) => name + value)
      .join(''),
  );
  return createHmac('sha1', token)
    .update(url + signed.join(''))
    .digest('base64');
};

/** As seen from behind a proxy that ends TLS: the mistake by which most verifications fail. */
const behindProxy = (url: string): string => {
  const { pathname, search } = new URL(url);
  return `http://10.0.0.7:8080${pathname}${search}`;
};

/**
 * Headers and body of a callback. There is one signature at a time, so that `both` means the present token; no time is
 * signed, so that `expired` means the scheme's own weak spot: right but for another address. The body of JSON is not
 * signed itself; its digest stands in the query, which a test has to put there.
 */
const sign = ({ id, url, body, secrets, mode }: UnsignedCall): { headers: string[]; body: string } => {
  const isJson = body.startsWith('{');
  const token =
    mode === 'wrong_key'
      ? `not ${secrets.present}`
      : mode === 'previous'
        ? (secrets.previous ?? secrets.present)
        : secrets.present;
  const parameters = new URLSearchParams(isJson ? '' : body);
  const type = isJson ? 'application/json' : 'application/x-www-form-urlencoded; charset=utf-8';
  const headers = ['content-type', type, 'user-agent', 'TwilioProxy/1.1', 'i-twilio-idempotency-token', id];
  if (mode !== 'missing') {
    headers.push('x-twilio-signature', signature(token, mode === 'expired' ? behindProxy(url) : url, parameters));
  }
  return { headers, body: mode !== 'tampered' ? body : isJson ? `${body.slice(0, -1)} }` : `${body}&SmsStatus=read` };
};

/** The query parameter that Twilio adds to the address of a webhook whose body is JSON. */
export const digestQuery = (body: string): string => `bodySHA256=${createHash('sha256').update(body).digest('hex')}`;

/**
 * What the fragment of an address asks for: `rc` repetitions (1 unless given), after what `rp` names: not connected
 * (`ct`, the default), no answer in time (`rt`), `4xx`, `5xx`, or `all`.
 */
const repeats = ({ url, attempt, status, error }: FailedCall): boolean => {
  const overrides = new URLSearchParams(new URL(url).hash.slice(1));
  const most = Number(overrides.get('rc') ?? 1);
  const after = (overrides.get('rp') ?? 'ct').split(',');
  if (attempt > Math.min(5, most)) return false;
  const what = status === 0 ? (error === 'DEADLINE' ? 'rt' : 'ct') : status >= 500 ? '5xx' : '4xx';
  return after.includes('all') || after.includes(what);
};

/** Statuses by name, as Twilio writes them. What never left its queue is not called undelivered. */
const statusOf = (status: 'sent' | 'delivered' | 'read' | 'failed', code: string): string => {
  if (status !== 'failed') return status;
  return ['30001', '30002', '30036', '63016'].includes(code) ? 'failed' : 'undelivered';
};

/** A number of the usual kind: one segment a second, ten hours of them in the queue. */
const FULL = {
  kind: 'refuse',
  status: 400,
  code: '21611',
  message: WORDS['21611'] as string,
  scope: 'channel',
} as const;
const HOURS_S = 36_000;

export const longCode = { perSecond: 1, maxWaiting: HOURS_S, overflow: FULL } as const;
export const shortCode = { perSecond: 100, maxWaiting: 100 * HOURS_S, overflow: FULL } as const;
/** Its numbers are chosen after the acceptance, so that a full queue shows itself later. */
export const messagingService = {
  perSecond: 100,
  maxWaiting: 100 * HOURS_S,
  overflow: { kind: 'fail', code: '30001' },
} as const;
/** Four hours at 80/s. */
export const whatsAppSender = { perSecond: 80, maxWaiting: 80 * 14_400, overflow: FULL } as const;

/** On WhatsApp, what is no template fails where the user has not written for a day, and only after the acceptance. */
export const windowClosed: MessagePatch = { status: { failure: { probability: 1, delayMs: 200, code: '63016' } } };

const settings: SettingsPatch = {
  message: { status: { failure: { code: '30005' } } },
  account: {
    limit: {
      ratePerSecond: 2_000,
      burst: 2_000,
      refusal: { status: 429, code: '63017', message: WORDS['63017'] as string, scope: 'account' },
    },
  },
  channel: {
    limit: {
      concurrency: 100,
      refusal: { status: 429, code: '20429', message: WORDS['20429'] as string, scope: 'channel' },
    },
    queue: shortCode,
    request: { requireRoomlineHeaders: false },
    idempotency: { enabled: false },
    lookup: { enabled: false },
    webhooks: {
      batch: { minSize: 1, maxSize: 1, lingerMs: 0 },
      deadlineMs: 15_000,
      retry: { firstMs: 200, factor: 2, maxMs: 5_000, maxAgeMs: 15_000, on: 'anything' },
    },
  },
};

export const twilio: Profile = {
  name: 'twilio',
  settings,
  single: true,
  repeats,

  credential({ authorization = '' }, path) {
    const basic = authorization.startsWith('Basic ') ? Buffer.from(authorization.slice(6), 'base64').toString() : '';
    const [user = '', ...rest] = basic.split(':');
    if (rest.length === 0) return undefined;
    if (/^SK[0-9a-fA-F]{32}$/.test(user)) return basic;
    const owner = ownerOf(path);
    return owner === undefined || user === owner ? rest.join(':') : undefined;
  },

  route: (method, path) =>
    method === 'POST' && PATH.test(path) ? 'send' : isResource(method, path) ? 'other' : undefined,

  other: answerResource,

  readAttempt: () => ({ reference: undefined, attempt: undefined, worker: undefined, generation: undefined }),

  readSend: (headers, body, _knobs, path) => readSend(headers, body, path),

  id({ no, boot, draws }) {
    const hex = (value: number, digits: number) => value.toString(16).padStart(digits, '0');
    return `SM${hex(boot, 12)}${hex(no, 8)}${hex(Math.floor(draws.uniform(no) * 2 ** 48), 12)}`;
  },

  accepted({ id, sender, recipient, acceptedAt }) {
    const { account, from } = senderOf(sender);
    const service = isService(from);
    return json(201, {
      account_sid: account,
      api_version: API_VERSION,
      date_created: new Date(acceptedAt).toUTCString().replace('GMT', '+0000'),
      date_sent: null,
      direction: 'outbound-api',
      error_code: null,
      error_message: null,
      from: service ? null : from,
      messaging_service_sid: service ? from : null,
      num_segments: service ? '0' : '1',
      price: null,
      sid: id,
      status: service ? 'accepted' : 'queued',
      to: recipient.to,
      uri: `/${API_VERSION}/Accounts/${account}/Messages/${id}.json`,
    });
  },

  refused(refusal, nowMs) {
    const wait = retryAfter(refusal, nowMs);
    if (refusal.bare && refusal.status !== 401) return { status: refusal.status, headers: wait, body: '' };
    const code = codeOf(refusal);
    const message = refusal.message ?? WORDS[code] ?? 'refused';
    const more = `https://www.twilio.com/docs/errors/${code}`;
    return json(refusal.status, { code: Number(code), message, more_info: more, status: refusal.status }, ...wait);
  },

  judge(refusal) {
    const { status } = refusal;
    const settles = !refusal.bare && status !== 401 && status !== 429 && !SETTLES_NOTHING.has(codeOf(refusal));
    return { definite: status < 500, permanent: settles && (refusal.permanent ?? true) };
  },

  lookupReference: () => undefined,

  lookedUp: () => ({ status: 404, headers: [], body: '' }),

  item({ message, status, error }): Parameters {
    const { account, from } = senderOf(message.sender);
    const code = error && /^\d+$/.test(error.code) ? error.code : '30005';
    const told = statusOf(status, code);
    return {
      SmsSid: message.id,
      SmsStatus: told,
      MessageStatus: told,
      To: message.recipient.to,
      MessageSid: message.id,
      AccountSid: account,
      ...(isService(from) ? { MessagingServiceSid: from, From: '+15550100002' } : { From: from }),
      ApiVersion: API_VERSION,
      ...(error === undefined ? {} : { ErrorCode: code }),
    };
  },

  junk(kind, salt): Parameters {
    const sid = `SM${salt.padStart(32, 'f')}`;
    const foreign = { MessageSid: sid, SmsSid: sid, To: STRANGER, From: '+15550100002', ApiVersion: API_VERSION };
    switch (kind) {
      case 'unknownId':
        return { ...foreign, MessageStatus: 'delivered' };
      case 'unknownReference':
        return { ...foreign, AccountSid: ELSEWHERE, MessageStatus: 'delivered' };
      case 'unknownStatus':
        return { ...foreign, MessageStatus: 'pondered' };
      case 'extraFields':
        return { RawDlrDoneDate: '2601011200', ChannelPrefix: 'whatsapp', StructuredJson: `{"salt":"${salt}"}` };
      case 'malformed':
        return { MessageStatus: '7', MessageSid: 's'.repeat(600), ErrorCode: 'many' };
    }
  },

  inbound: (salt): Parameters => {
    const sid = `SM${salt.padStart(32, 'a')}`;
    const where = { From: STRANGER, To: '+15550100002', FromCountry: 'US' };
    const what = { Body: 'Grüße 👋 from a user', NumMedia: '0', NumSegments: '1', SmsStatus: 'received' };
    return { MessageSid: sid, SmsSid: sid, SmsMessageSid: sid, ...where, ...what, ApiVersion: API_VERSION };
  },

  webhookBody([item]) {
    const parameters = item as Parameters & { json?: unknown };
    return parameters.json === undefined ? new URLSearchParams(parameters).toString() : JSON.stringify(parameters.json);
  },

  sign,
};
