import type { IncomingHttpHeaders } from 'node:http';
import { contentHash } from './content-hash.ts';
import type { Answer, Profile, SendRequest } from './profile.ts';
import { hashText } from './random.ts';
import type { Refusal, Settings, SettingsPatch } from './settings.ts';
import { readMark } from './text-mark.ts';

/**
 * The Bot API of Telegram, as its server's public code and documentation describe it. A message is stored, or refused, in
 * the answer; no webhook ever tells more of it. Apps show messages in the order of their ids, so that the way to the
 * phone takes the same time for all. Requests carry no reference: recipient and mark, or text, stand in for it.
 */

interface Method {
  /** Without these the call is refused. */
  readonly required: readonly string[];
  readonly album?: boolean;
}

const METHODS: Readonly<Record<string, Method>> = {
  sendMessage: { required: ['text'] },
  sendPhoto: { required: ['photo'] },
  sendDocument: { required: ['document'] },
  sendVideo: { required: ['video'] },
  sendAnimation: { required: ['animation'] },
  sendAudio: { required: ['audio'] },
  sendVoice: { required: ['voice'] },
  sendVideoNote: { required: ['video_note'] },
  sendSticker: { required: ['sticker'] },
  sendLocation: { required: ['latitude', 'longitude'] },
  sendVenue: { required: ['latitude', 'longitude', 'title', 'address'] },
  sendContact: { required: ['phone_number', 'first_name'] },
  sendPoll: { required: ['question', 'options'] },
  sendDice: { required: [] },
  sendMediaGroup: { required: ['media'], album: true },
};

const MAX_TEXT = 4_096;
const MAX_CAPTION = 1_024;

/** What the server says where nothing more special is known. */
const DESCRIPTIONS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden: bot was blocked by the user',
  404: 'Not Found',
  409: 'Conflict: terminated by other getUpdates request; make sure that only one bot instance is running',
  413: 'Request Entity Too Large',
  500: 'Internal Server Error',
  502: 'Bad Gateway',
};

const decoder = new TextDecoder('utf-8', { fatal: true });

/** A refusal whose `code` is this and a chat's id says that the group became a supergroup with that id. */
export const MIGRATED = 'migrate_to_chat_id:';

const settings: SettingsPatch = {
  message: {
    phone: { delayMs: 300, media: { extraDelayMs: 0 } },
    status: { sent: { probability: 0 }, delivered: { probability: 0 }, read: { probability: 0 } },
  },
  channel: {
    limit: { ratePerSecond: 30, burst: 30, refusal: { status: 429, scope: 'channel', retryAfterIn: 'both' } },
    pairLimit: { ratePerSecond: 1, burst: 3, refusal: { status: 429, scope: 'room', retryAfterIn: 'both' } },
    groupLimit: { ratePerSecond: 20 / 60, burst: 20, refusal: { status: 429, scope: 'room', retryAfterIn: 'both' } },
    unsent: {
      most: 310,
      holdMs: 3_000,
      refusal: { status: 429, scope: 'room', retryAfterMs: 60_000, retryAfterIn: 'both' },
    },
    request: { requireRoomlineHeaders: false },
    lookup: { enabled: false },
    webhooks: {
      connections: 40,
      deadlineMs: 60_000,
      // At once, then after 2, 4, 8 … s up to a random 60 to 120 s, or when `Retry-After` says; for a day.
      retry: {
        firstMs: 2_000,
        factor: 2,
        maxMs: 60_000,
        spreadMs: 60_000,
        maxAgeMs: 86_400_000,
        on: 'anything',
        atOnce: true,
        longestAskedMs: 3_600_000,
        inOrder: true,
      },
      unsubscribe: { on: 'gone', afterMs: 23 * 3_600_000 },
    },
  },
};

const pathOf = (path: string): { token: string; method: string } | undefined => {
  const [, token, method] = /^\/bot([^/?]+)\/([A-Za-z]+)(?:\?|$)/.exec(path) ?? [];
  return token === undefined || method === undefined ? undefined : { token, method };
};

const json = (status: number, body: string, ...more: string[]): Answer => ({
  status,
  headers: ['content-type', 'application/json', ...more],
  body,
});

const refuse = (status: number, code: string, message: string): { refusal: Refusal } => ({
  refusal: { status, code, message, permanent: true, scope: 'message' },
});

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const length = (text: string): number => [...text].length;

/** Ids of 64 bits stay exact. */
const exactly = (_name: string, value: unknown, context?: { source?: string }): unknown =>
  typeof value === 'number' && !Number.isSafeInteger(value) && Number.isInteger(value)
    ? (context?.source ?? value)
    : value;

const readParameters = (headers: IncomingHttpHeaders, body: Buffer): Record<string, unknown> | undefined => {
  try {
    const text = decoder.decode(body);
    const type = headers['content-type'] ?? '';
    if (/^application\/x-www-form-urlencoded\b/i.test(type)) return Object.fromEntries(new URLSearchParams(text));
    if (!/^application\/json\b/i.test(type)) return {};
    const parsed: unknown = JSON.parse(text, exactly);
    return isObject(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
};

const brokenText = ({ text, caption, parse_mode: mode }: Record<string, unknown>): string | undefined => {
  if (text !== undefined && (typeof text !== 'string' || text.trim() === '')) return 'message text is empty';
  // With markup its characters are not counted; how many they are is not worked out here.
  if (mode !== undefined) return undefined;
  if (typeof text === 'string' && length(text) > MAX_TEXT) return 'message is too long';
  if (typeof caption === 'string' && length(caption) > MAX_CAPTION) return 'message caption is too long';
  return undefined;
};

const readMessage = (
  name: string,
  { required, album }: Method,
  parameters: Record<string, unknown>,
): SendRequest | { refusal: Refusal } => {
  const { chat_id: chatId, ...content } = parameters;
  const to = typeof chatId === 'number' ? String(chatId) : chatId;
  if (typeof to !== 'string' || to === '') return refuse(400, 'chat_id', 'Bad Request: chat_id is empty');
  if (!/^(-?\d{1,19}|@[A-Za-z]\w{3,31})$/.test(to)) return refuse(400, 'chat', 'Bad Request: chat not found');
  const missing = required.find((parameter) => content[parameter] === undefined);
  if (missing === 'text') return refuse(400, 'text', 'Bad Request: message text is empty');
  if (missing !== undefined) return refuse(400, missing, `Bad Request: there is no ${missing} in the request`);
  const broken = brokenText(content);
  if (broken !== undefined) return refuse(400, 'text', `Bad Request: ${broken}`);
  const items = album && Array.isArray(content.media) ? content.media : [];
  if (album && (items.length < 2 || items.length > 10)) {
    return refuse(400, 'media', 'Bad Request: wrong number of items in the album');
  }
  const words = content.text ?? content.caption ?? (isObject(items[0]) ? items[0].caption : undefined);
  const text = typeof words === 'string' ? words : undefined;
  const mark = text === undefined ? undefined : readMark(text);
  const named = name === 'sendMessage' ? content : { method: name, ...content };
  return {
    // The number of items of an album has to be known where it is answered.
    reference: `${to}/${mark?.key ?? contentHash(named)}${items.length > 0 ? `#${items.length}` : ''}`,
    to,
    toGroup: to.startsWith('-'),
    content: named,
    text,
    media: name !== 'sendMessage',
    key: mark?.key,
    run: mark?.run,
  };
};

const errorCodeOf = ({ status, code }: Refusal): number => (/^[45]\d\d$/.test(code ?? '') ? Number(code) : status);

const descriptionOf = (refusal: Refusal, errorCode: number, seconds: number): string => {
  if (refusal.message !== undefined) return refusal.message;
  if (refusal.code?.startsWith(MIGRATED)) return 'Bad Request: group chat was upgraded to a supergroup chat';
  if (errorCode === 429) return `Too Many Requests: retry after ${seconds}`;
  return DESCRIPTIONS[errorCode] ?? 'Bad Request';
};

const retryAfterHeader = ({ retryAfterIn }: Refusal, seconds: number, nowMs: number): string[] => {
  switch (retryAfterIn) {
    case 'header':
    case 'both':
      return ['retry-after', String(seconds)];
    case 'date':
      return ['retry-after', new Date(nowMs + seconds * 1_000).toUTCString()];
    case 'unreadable':
      return ['retry-after', 'soon'];
    default:
      return [];
  }
};

/** Numbers as they are written: those of 64 bits, too. */
const chatOf = (to: string): string => {
  if (to.startsWith('@')) {
    return `{"id":-100${1_000_000_000 + (hashText(to) % 1_000_000_000)},"type":"channel","username":"${to.slice(1)}"}`;
  }
  return `{"id":${to},"type":"${to.startsWith('-100') ? 'supergroup' : to.startsWith('-') ? 'group' : 'private'}"}`;
};

const botOf = (token: string): string => {
  const id = /^\d{1,19}(?=:)/.exec(token)?.[0] ?? '1';
  return `{"id":${id},"is_bot":true,"first_name":"A bot","username":"a_test_bot","can_join_groups":true}`;
};

/** The address is the channel's webhook; a channel's `about` is laid over the rest. */
const webhookInfoOf = (channel: Settings['channels'][string] | undefined): Record<string, unknown> => ({
  url: channel?.webhook?.urls[0] ?? '',
  has_custom_certificate: false,
  pending_update_count: 0,
  max_connections: 40,
  ...channel?.about,
});

/** Ids are integers, consecutive enough; an album takes as many as it has items, and no restart repeats one. */
const ALBUM_IDS = 10;
const IDS_PER_SECOND = 1_000_000;

const WRONG_SECRET = 'not-the-secret-token';

export const telegram: Profile = {
  name: 'telegram',
  settings,

  route(method, path) {
    const call = pathOf(path);
    if (call === undefined || (method !== 'POST' && method !== 'GET')) return undefined;
    return method === 'POST' && Object.hasOwn(METHODS, call.method) ? 'send' : 'other';
  },

  credential(_headers, path) {
    const token = pathOf(path)?.token;
    return token !== undefined && /^[1-9]\d*:[A-Za-z0-9_-]+$/.test(token) ? token : undefined;
  },

  readAttempt() {
    return { reference: undefined, attempt: undefined, worker: undefined, generation: undefined };
  },

  readSend(headers, body, _knobs, path) {
    const name = pathOf(path)?.method ?? '';
    const method = METHODS[name];
    if (method === undefined) return refuse(404, 'method', 'Not Found: method not found');
    const parameters = readParameters(headers, body);
    if (parameters === undefined) return refuse(400, 'json', "Bad Request: can't parse JSON object");
    return readMessage(name, method, parameters);
  },

  other({ method, path, channel, channels }) {
    const call = pathOf(path);
    if (channel === undefined) return json(401, '{"ok":false,"error_code":401,"description":"Unauthorized"}');
    switch (call?.method) {
      case 'getMe':
        return json(200, `{"ok":true,"result":${botOf(call.token)}}`);
      case 'getWebhookInfo':
        return json(200, JSON.stringify({ ok: true, result: webhookInfoOf(channels[channel]) }));
      default: {
        const description = method === 'GET' ? 'Not Found' : 'Not Found: method not found';
        return json(404, JSON.stringify({ ok: false, error_code: 404, description }));
      }
    }
  },

  id({ no, boot }) {
    return String(Math.floor(boot / 1_000) * IDS_PER_SECOND + no * ALBUM_IDS);
  },

  accepted({ id, acceptedAt, recipient, reference }) {
    const items = Number(/#(\d+)$/.exec(reference)?.[1] ?? 0);
    const one = (messageId: number) =>
      `{"message_id":${messageId},"date":${Math.floor(acceptedAt / 1_000)},"chat":${chatOf(recipient.to)}}`;
    const messages = Array.from({ length: Math.max(1, items) }, (_, index) => one(Number(id) + index));
    return json(200, `{"ok":true,"result":${items > 0 ? `[${messages.join()}]` : messages[0]}}`);
  },

  refused(refusal, nowMs) {
    const seconds = Math.max(1, Math.ceil((refusal.retryAfterMs ?? 0) / 1_000));
    const header = refusal.retryAfterMs === undefined ? [] : retryAfterHeader(refusal, seconds, nowMs);
    // Whoever has no valid token is told so by the server itself; anything else that is bare comes from a proxy.
    if (refusal.bare && refusal.status !== 401) {
      return { status: refusal.status, headers: ['content-type', 'text/html', ...header], body: '' };
    }
    const code = errorCodeOf(refusal);
    const parameters: string[] = [];
    if (refusal.code?.startsWith(MIGRATED)) {
      parameters.push(`"migrate_to_chat_id":${refusal.code.slice(MIGRATED.length)}`);
    }
    if (refusal.retryAfterMs !== undefined && (refusal.retryAfterIn === 'body' || refusal.retryAfterIn === 'both')) {
      parameters.push(`"retry_after":${seconds}`);
    }
    const description = JSON.stringify(descriptionOf(refusal, code, seconds));
    const more = parameters.length === 0 ? '' : `,"parameters":{${parameters.join()}}`;
    return json(refusal.status, `{"ok":false,"error_code":${code},"description":${description}${more}}`, ...header);
  },

  judge(refusal) {
    const code = errorCodeOf(refusal);
    const definite = code >= 300 && code < 500;
    if (refusal.bare || refusal.code?.startsWith(MIGRATED)) return { definite, permanent: false };
    const ofMessage = refusal.scope === undefined || refusal.scope === 'message' || refusal.scope === 'room';
    const permanent = refusal.permanent ?? (code === 400 || code === 403 || code === 413);
    return { definite, permanent: definite && ofMessage && permanent && code !== 401 && code !== 429 };
  },

  lookupReference() {
    return undefined;
  },

  lookedUp() {
    return json(404, '{"ok":false,"error_code":404,"description":"Not Found"}');
  },

  /** Nothing is told of a message; where a status is asked for all the same, the user writes back. */
  item({ message, at }) {
    const date = Math.floor((at ?? message.acceptedAt) / 1_000);
    const chat = JSON.parse(chatOf(message.recipient.to), exactly) as unknown;
    return { update_id: message.no, message: { message_id: message.no, date, chat, text: 'ok' } };
  },

  junk(kind, salt) {
    const id = hashText(salt);
    switch (kind) {
      case 'unknownId':
        return { update_id: id, message: { message_id: 1, date: 1, chat: { id: 1, type: 'private' } } };
      case 'unknownReference':
        return { update_id: id, callback_query: { id: salt, data: 'unknown' } };
      case 'unknownStatus':
        return { update_id: id, [`new_kind_of_update_${salt}`]: {} };
      case 'extraFields':
        return { added_by_a_later_version: [null, { salt }] };
      case 'malformed':
        return { update_id: 'one', message: 7, salt };
    }
  },

  /** One call tells one update; settings keep to that, and junk comes in place of what it was put before. */
  webhookBody(items) {
    return JSON.stringify(items[0]);
  },

  /** Nothing signs the body and nothing has an age: every forgery is a wrong token, or none. */
  sign({ body, secrets, mode }) {
    const headers = ['content-type', 'application/json'];
    if (mode === 'missing') return { headers, body };
    const secret =
      mode === 'right' ? secrets.present : mode === 'previous' ? (secrets.previous ?? secrets.present) : WRONG_SECRET;
    return { headers: [...headers, 'x-telegram-bot-api-secret-token', secret], body };
  },
};
