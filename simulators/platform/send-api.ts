import type { IncomingHttpHeaders } from 'node:http';
import { bearer } from './generic.ts';
import { graphNodes, isGraphQuestion } from './graph-nodes.ts';
import type { Message } from './message.ts';
import { graphError, isMetaUpload, META_RETRY, metaChallenge, metaJson, metaSender, signMeta } from './meta.ts';
import type { Answer, Profile, SendRequest } from './profile.ts';
import type { Refusal, SettingsPatch } from './settings.ts';
import { readMark } from './text-mark.ts';
import { mediaIn, type UploadFormat } from './uploads.ts';

/**
 * The Send API, which Messenger and Instagram share. A refusal's code may name a subcode: `10/2018278`.
 *
 * An item of its webhooks is an event of a thread, and `entry_id` in it says whose: the page's or the account's. An item
 * `{"entry": …}` is an entry as it is.
 */
export interface Dialect {
  readonly name: 'messenger' | 'instagram';
  /** What calls are about. */
  readonly object: string;
  /** Who `me` is. */
  readonly self: string;
  /** Who writes to it in tests. */
  readonly stranger: string;
  readonly messagingTypes: ReadonlySet<string>;
  /** Without one the request is refused. */
  readonly typeRequired: boolean;
  /** Members of the body and of the message that there are. */
  readonly options: readonly string[];
  readonly members: readonly string[];
  readonly attachments: ReadonlySet<string>;
  readonly maxImages: number;
  tooLong(text: string): boolean;
  /** What the person may not be sent because they wrote too long ago. */
  readonly outsideWindow: Refusal;
  readonly settings: SettingsPatch;
  id: NonNullable<Profile['id']>;
  /** The events of a message; undefined: the platform does not tell that. */
  event(status: 'echo' | 'delivered' | 'read', told: Told): Record<string, unknown> | undefined;
}

export interface Told {
  readonly message: Message;
  /** What the sender gave to be repeated; undefined: nothing. */
  readonly reference: string | undefined;
  /** When it was sent, by the platform's clock. */
  readonly sentAt: number | undefined;
  readonly at: number | undefined;
  /** Everything before this time has been delivered. */
  readonly watermark: number;
}

const NO_REFERENCE = 'without reference: ';
const MAX_METADATA = 1_000;
const MAX_QUICK_REPLIES = 13;
/** Complete with their type. */
const WITHOUT_PAYLOAD = new Set(['like_heart']);
const MEDIA = new Set(['image', 'audio', 'video', 'file']);
/** Ten calls a second, where others may be 300. */
const HEAVY = new Set(['audio', 'video']);
const PAYLOAD = new Set(['payload']);

/** Codes that settle no message: limits, the state of token, page and app, and what may pass. */
const SETTLES_NOTHING = new Set([
  ...['1', '2', '3', '4', '10', '17', '32', '100/33', '102', '190', '341', '368', '613', '803', '1200', '2022', '2500'],
  ...['80002', '80006', '100/2018008', '100/2018047', '100/2018294'],
]);
/** Of the codes of permissions and of the window, those that concern one person. */
const OF_PERSON = new Set(['10/2018065', '10/2018108', '10/2018278', '10/2534022', '200/1545041', '200/2018028']);
/** With a 5xx these do not say whether the message was taken. */
const VAGUE = new Set([1, 2]);

const decoder = new TextDecoder('utf-8', { fatal: true });

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const refuse = (message: string, code = '100'): { refusal: Refusal } => ({
  refusal: { status: 400, code, message, permanent: true, scope: 'message' },
});

const codesOf = ({ code, status }: Refusal): { code: number; subcode: number | undefined; text: string } => {
  const [, main, sub] = /^(\d+)(?:\/(\d+))?$/.exec(code ?? '') ?? [];
  const fallback = status === 401 ? 190 : status >= 500 ? 2 : 100;
  const number = main === undefined ? fallback : Number(main);
  return { code: number, subcode: sub === undefined ? undefined : Number(sub), text: code ?? String(number) };
};

const brokenAttachment = (value: unknown, dialect: Dialect, only?: string): string | undefined => {
  if (!isObject(value) || typeof value.type !== 'string') return 'Invalid attachment';
  const { type, payload, ...rest } = value;
  if (Object.keys(rest).length > 0) return 'Invalid keys in attachment';
  if (!dialect.attachments.has(type) || (only !== undefined && type !== only)) return 'Invalid attachment type';
  if (WITHOUT_PAYLOAD.has(type)) return undefined;
  if (!isObject(payload)) return 'Attachment payload is missing';
  if (type === 'template' && typeof payload.template_type !== 'string') return 'template_type is missing';
  if (MEDIA.has(type) && (payload.url === undefined) === (payload.attachment_id === undefined)) {
    return 'Must provide either url or attachment_id';
  }
  return undefined;
};

const brokenMessage = (message: Record<string, unknown>, dialect: Dialect): string | undefined => {
  const unexpected = Object.keys(message).find((name) => !dialect.members.includes(name));
  if (unexpected !== undefined) return `Invalid keys "${unexpected}" were found in param "message"`;
  const bodies = ['text', 'attachment', 'attachments', 'template'].filter((name) => message[name] !== undefined);
  if (bodies.length !== 1) return 'Message cannot be empty, must provide valid attachment or text';
  const { text, attachment, attachments, quick_replies: replies, metadata } = message;
  if (text !== undefined) {
    if (typeof text !== 'string' || text.trim() === '') return 'Message cannot be empty';
    if (dialect.tooLong(text)) return 'Length of param message[text] must be less than or equal to the limit';
  }
  if (metadata !== undefined && (typeof metadata !== 'string' || metadata.length > MAX_METADATA)) {
    return `message[metadata] must be a text of at most ${MAX_METADATA} characters`;
  }
  if (replies !== undefined && (!Array.isArray(replies) || replies.length < 1 || replies.length > MAX_QUICK_REPLIES)) {
    return 'param message[quick_replies] has too many or too few elements';
  }
  if (attachment !== undefined) return brokenAttachment(attachment, dialect);
  if (attachments === undefined) return undefined;
  if (!Array.isArray(attachments) || attachments.length < 1 || attachments.length > dialect.maxImages) {
    return 'param message[attachments] has too many or too few elements';
  }
  return attachments.map((each) => brokenAttachment(each, dialect, 'image')).find((broken) => broken !== undefined);
};

const visibleText = ({ text, attachment }: Record<string, unknown>): string | undefined => {
  const payload = isObject(attachment) && isObject(attachment.payload) ? attachment.payload : {};
  const [element] = Array.isArray(payload.elements) ? payload.elements : [];
  const candidates = [text, payload.text, isObject(element) ? element.title : undefined];
  return candidates.find((candidate) => typeof candidate === 'string');
};

const readSend = (
  headers: IncomingHttpHeaders,
  raw: Buffer,
  path: string,
  dialect: Dialect,
): SendRequest | { refusal: Refusal } => {
  if (!/^application\/json\s*(;|$)/i.test(headers['content-type'] ?? '')) return refuse('not JSON by its type');
  let body: unknown;
  try {
    body = JSON.parse(decoder.decode(raw));
  } catch {
    return refuse('Invalid JSON');
  }
  if (!isObject(body)) return refuse('an object is required');
  const { recipient, message, messaging_type: type, tag, ...options } = body;
  const unexpected = Object.keys(options).find((name) => !dialect.options.includes(name));
  if (unexpected !== undefined) return refuse(`Unexpected key "${unexpected}" on param`);
  if (!isObject(recipient) || typeof recipient.id !== 'string')
    return refuse('(#100) param recipient must be non-empty');
  if (!/^\d{1,32}$/.test(recipient.id)) return refuse('No matching user found', '100/2018001');
  if (type === undefined ? dialect.typeRequired : typeof type !== 'string' || !dialect.messagingTypes.has(type)) {
    return refuse('Param messaging_type must be one of the known ones');
  }
  if ((type === 'MESSAGE_TAG') !== (typeof tag === 'string')) return refuse('param tag belongs to MESSAGE_TAG');
  if (!isObject(message)) return refuse('The parameter message is required');
  const broken = brokenMessage(message, dialect);
  if (broken !== undefined) return refuse(broken);
  const to = recipient.id;
  const text = visibleText(message);
  const mark = readMark(text);
  const { metadata, ...shown } = message;
  const node = metaSender(path) ?? 'me';
  return {
    reference: typeof metadata === 'string' ? metadata : `${NO_REFERENCE}${to}/${mark?.key ?? ''}`,
    sender: node === 'me' ? dialect.self : node,
    to,
    heavy: isObject(message.attachment) && HEAVY.has(String(message.attachment.type)),
    content: {
      ...(type === undefined ? {} : { messaging_type: type }),
      ...(tag === undefined ? {} : { tag }),
      message: shown,
    },
    text,
    media: message.text === undefined,
    ...mediaIn(message, { holders: PAYLOAD, id: 'attachment_id', link: 'url' }),
    freeForm: type !== 'MESSAGE_TAG' && type !== 'UTILITY',
    key: mark?.key,
    run: mark?.run,
  };
};

/** The Attachment Upload API: the platform fetches what it is given a link to. */
const uploadsOf = (dialect: Dialect): UploadFormat => ({
  accepts: (method, path) => isMetaUpload('message_attachments', method, path),

  async read(headers, raw) {
    if (!/^application\/json\s*(;|$)/i.test(headers['content-type'] ?? '')) return refuse('not JSON by its type');
    let body: unknown;
    try {
      body = JSON.parse(decoder.decode(raw));
    } catch {
      return refuse('Invalid JSON');
    }
    if (!isObject(body) || !isObject(body.message)) return refuse('The parameter message is required');
    if ((body.platform ?? 'messenger') !== dialect.name) return refuse('param platform');
    const { attachment } = body.message;
    const broken = brokenAttachment(attachment, dialect);
    if (broken !== undefined) return refuse(broken);
    const { type, payload } = attachment as { type: string; payload: Record<string, unknown> };
    if (!MEDIA.has(type) || typeof payload.url !== 'string') return refuse('only media at a url');
    if (payload.is_reusable !== true) return refuse('is_reusable is required');
    return { contentType: undefined, bytes: undefined, link: payload.url };
  },

  uploaded: (id) => ({
    status: 200,
    headers: ['content-type', 'application/json; charset=UTF-8'],
    body: metaJson({ attachment_id: id }),
  }),

  unknownId: {
    status: 400,
    code: '100/2018074',
    message: 'Invalid ID for the attachment.',
    permanent: true,
    scope: 'message',
  },
});

/**
 * What the gap-free beginning of a thread says: all that is before this time has arrived. Of later messages than its own
 * it says only what was told before: the ground truth does not name them here, and who believed it would seem to be early.
 */
const watermarkOf = ({ acceptedAt, recipient: { inFlight, covered, toldUntil } }: Message): number =>
  Math.min(inFlight[0]?.acceptedAt ?? (covered?.acceptedAt ?? 0) + 1, Math.max(acceptedAt, toldUntil) + 1);

/** A knob may take times away, or give them in seconds. */
const timeOf = (right: number, at: number | undefined): number | undefined =>
  at === undefined || at < 100_000_000_000 ? at : right;

const EVENTS_PER_ENTRY = 40;

const latest = (events: unknown[]): number =>
  Math.max(0, ...events.map((event) => (isObject(event) && typeof event.timestamp === 'number' ? event.timestamp : 0)));

export const sendApi = (dialect: Dialect): Profile => ({
  name: dialect.name,
  settings: dialect.settings,
  outsideWindow: dialect.outsideWindow,

  credential: (headers) => bearer(headers),

  route: (method, path) =>
    method === 'POST' && metaSender(path) !== undefined ? 'send' : isGraphQuestion(method, path) ? 'other' : undefined,

  other: graphNodes(dialect.name, dialect.self),

  uploads: uploadsOf(dialect),

  readAttempt: () => ({ reference: undefined, attempt: undefined, worker: undefined, generation: undefined }),

  readSend: (headers, body, _knobs, path) => readSend(headers, body, path, dialect),

  id: dialect.id,

  accepted({ id, recipient }): Answer {
    const body = metaJson({ recipient_id: recipient.to, message_id: id });
    return { status: 200, headers: ['content-type', 'application/json; charset=UTF-8'], body };
  },

  refused(refusal) {
    if (refusal.bare && refusal.status !== 401) return { status: refusal.status, headers: [], body: '' };
    const { code, subcode } = codesOf(refusal);
    return graphError({ ...refusal, code: String(code) }, { defaultCode: code, subcode });
  },

  judge(refusal) {
    const { code, text } = codesOf(refusal);
    const unclear = refusal.status >= 500 && (refusal.bare || VAGUE.has(code));
    const known = SETTLES_NOTHING.has(text) || (SETTLES_NOTHING.has(String(code)) && !OF_PERSON.has(text));
    const permission = code >= 200 && code <= 299 && code !== 230 && !OF_PERSON.has(text);
    const settles = !refusal.bare && !known && !permission;
    return { definite: !unclear, permanent: settles && (refusal.permanent ?? true) };
  },

  lookupReference: () => undefined,

  lookedUp: () => ({ status: 404, headers: [], body: '' }),

  item({ message, status, at, watermark }) {
    // There is no word for what failed after the acceptance.
    if (status === 'failed') return undefined;
    const { named, clockSkewMs } = message.knobs.status;
    const echoed = named !== 'id' && !message.reference.startsWith(NO_REFERENCE);
    const until = watermark === undefined ? watermarkOf(message) : watermark + 1;
    const event = dialect.event(status === 'sent' ? 'echo' : status, {
      message,
      reference: echoed ? message.reference : undefined,
      sentAt: timeOf(message.acceptedAt + clockSkewMs, at),
      at,
      watermark: until + clockSkewMs,
    });
    if (event === undefined) return undefined;
    const us = { id: message.sender ?? dialect.self };
    const person = { id: message.recipient.to };
    const [sender, recipient] = status === 'sent' ? [us, person] : [person, us];
    return { entry_id: us.id, sender, recipient, ...event };
  },

  junk(kind, salt) {
    const person = { id: dialect.stranger };
    const us = { id: dialect.self };
    const mid = `m_FOREIGN${salt}`;
    switch (kind) {
      case 'unknownId':
        return { sender: person, recipient: us, timestamp: 1_700_000_000_000, read: { mid } };
      case 'unknownReference':
        return {
          entry_id: '999999999999999',
          sender: { id: '999999999999999' },
          recipient: person,
          timestamp: 1_700_000_000_000,
          message: { is_echo: true, app_id: 263_902_037_430_900, mid, metadata: `another app's ${salt}` },
        };
      case 'unknownStatus':
        return { sender: person, recipient: us, timestamp: 1_700_000_000_000, pondered: { mid } };
      case 'extraFields':
        return { prior_message: { source: 'checkbox_plugin', identifier: salt }, tags: [null, 1] };
      case 'malformed':
        return { sender: 7, recipient: null, timestamp: 'yesterday', delivery: { mids: 'many', watermark: [salt] } };
    }
  },

  inbound: (salt) => ({
    sender: { id: dialect.stranger },
    recipient: { id: dialect.self },
    timestamp: 1_700_000_000_000,
    message: { mid: `m_INBOUND${salt}`, text: 'Grüße 👋 from a user' },
  }),

  webhookBody(items) {
    const told = items.filter((item) => item !== undefined);
    const first = told.find((item) => isObject(item) && typeof item.entry_id === 'string');
    const usual = isObject(first) ? String(first.entry_id) : dialect.self;
    const events = new Map<string, unknown[]>();
    const asTheyAre: unknown[] = [];
    for (const item of told) {
      if (isObject(item) && item.entry !== undefined) {
        asTheyAre.push(item.entry);
        continue;
      }
      const { entry_id: id = usual, ...event } = isObject(item) ? item : {};
      const list = events.get(String(id)) ?? [];
      list.push(isObject(item) ? event : item);
      events.set(String(id), list);
    }
    const entry: unknown[] = [];
    for (const [id, list] of events) {
      for (let at = 0; at < list.length; at += EVENTS_PER_ENTRY) {
        const messaging = list.slice(at, at + EVENTS_PER_ENTRY);
        entry.push({ id, time: latest(messaging), messaging });
      }
    }
    return metaJson({ object: dialect.object, entry: [...entry, ...asTheyAre] });
  },

  sign: signMeta,

  challenge: metaChallenge,
});

/** A page's, or an account's: for all it sends, and for audio and video beside that. */
export const sendApiLimits = (status: number): NonNullable<SettingsPatch['channel']> => {
  const message = 'Calls to this api have exceeded the rate limit.';
  const refusal: Refusal = { status, code: '613', message, scope: 'channel' };
  return {
    limit: { ratePerSecond: 300, burst: 300, refusal },
    heavyLimit: { ratePerSecond: 10, burst: 10, refusal },
  };
};

/** What both have in common: calls end after 20 s; who takes none for an hour is told nothing more. */
export const SEND_API_CHANNEL = {
  request: { requireRoomlineHeaders: false },
  idempotency: { enabled: false },
  lookup: { enabled: false },
  webhooks: {
    batch: { minSize: 1, maxSize: 100, lingerMs: 25 },
    deadlineMs: 20_000,
    retry: { ...META_RETRY, maxMs: 900_000 },
    unsubscribe: { on: 'failure', afterMs: 3_600_000 },
  },
} as const satisfies SettingsPatch['channel'];
