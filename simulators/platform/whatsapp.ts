import type { IncomingHttpHeaders } from 'node:http';
import { bearer } from './generic.ts';
import { graphNodes, isGraphQuestion } from './graph-nodes.ts';
import { graphError, isMetaUpload, META_RETRY, metaChallenge, metaJson, metaSender, signMeta } from './meta.ts';
import type { Answer, Profile, SendRequest } from './profile.ts';
import type { ChannelKnobs, Refusal, Rule } from './settings.ts';
import { readMark } from './text-mark.ts';
import { mediaIn, type UploadFormat } from './uploads.ts';

/**
 * The WhatsApp Cloud API. A number without `+` goes to the business's own country, as Meta warns: to somebody else.
 *
 * An item of its webhooks is a status, and `phone_number_id` in it says whose. Other items go where they belong: what
 * has `from` is a user's message, `{"account_error": …}` an error of the account, `{"change": …}` a change as it is.
 */

const BUSINESS_COUNTRY = '49';
const BUSINESS_ACCOUNT = '900000000000001';
const MAX_TEXT = 4_096;
const MAX_REFERENCE = 512;
const OWN_FIELDS = ['messaging_product', 'recipient_type', 'to', 'recipient', 'type', 'biz_opaque_callback_data'];
const TYPES = new Set([
  ...['text', 'template', 'image', 'video', 'audio', 'document', 'sticker', 'interactive', 'reaction', 'location'],
  'contacts',
]);
const MEDIA = new Set(['image', 'video', 'audio', 'document', 'sticker']);
const NO_REFERENCE = 'without reference: ';

/** Codes that settle no message: limits, the account's state, and what may pass. */
const SETTLES_NOTHING = new Set([
  ...[0, 1, 2, 3, 4, 10, 33, 190, 368, 613, 80007, 130429, 131000, 131005, 131016, 131031, 131037, 131042, 131045],
  ...[131048, 131053, 131056, 131057, 132069, 133004, 133006, 133010, 133015, 133016],
]);
/** With a 5xx these do not say whether the message was taken. */
const VAGUE = new Set([1, 2, 131000, 131016, 133004]);

const decoder = new TextDecoder('utf-8', { fatal: true });

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const refuse = (code: number, details: string, status = 400): { refusal: Refusal } => ({
  refusal: { status, code: String(code), message: details, permanent: true, scope: 'message' },
});

/** The first text that a user would see. */
const visibleText = (type: string, value: unknown): string | undefined => {
  if (!isObject(value)) return undefined;
  const candidates: unknown[] = [value.body, value.caption];
  if (type === 'interactive' && isObject(value.body)) candidates.push(value.body.text);
  if (type === 'template' && Array.isArray(value.components)) {
    for (const component of value.components) {
      const parameters = isObject(component) && Array.isArray(component.parameters) ? component.parameters : [];
      for (const parameter of parameters) candidates.push(isObject(parameter) ? parameter.text : undefined);
    }
  }
  return candidates.find((text) => typeof text === 'string');
};

const brokenContent = (type: string, value: unknown): { refusal: Refusal } | undefined => {
  if (type === 'contacts') {
    return Array.isArray(value) && value.length > 0 ? undefined : refuse(100, 'contacts must be a list');
  }
  if (!isObject(value)) return refuse(131008, `Parameter ${type} is required`);
  if (type === 'text') {
    const { body } = value;
    if (typeof body !== 'string' || body === '') return refuse(131008, "Parameter 'text.body' is mandatory");
    if ([...body].length > MAX_TEXT) return refuse(131009, `text.body: at most ${MAX_TEXT} characters`);
  }
  if (MEDIA.has(type) && (value.id === undefined) === (value.link === undefined)) {
    return refuse(131009, `${type}: id or link`);
  }
  if (type === 'template' && (typeof value.name !== 'string' || !isObject(value.language))) {
    return refuse(131008, 'template: name and language');
  }
  if (type === 'interactive' && !isObject(value.action)) return refuse(131008, 'interactive: action');
  if (type === 'reaction' && typeof value.message_id !== 'string') return refuse(131008, 'reaction: message_id');
  return undefined;
};

/** Whom it is for; undefined where nobody is named, or two. */
const recipientOf = ({ to, recipient }: Record<string, unknown>): string | undefined => {
  if (typeof recipient === 'string' && to === undefined) return recipient;
  if (typeof to !== 'string' || recipient !== undefined) return undefined;
  const digits = to.replaceAll(/[\s()+-]/g, '');
  if (!/^\d{5,15}$/.test(digits)) return undefined;
  return to.startsWith('+') ? `+${digits}` : `+${BUSINESS_COUNTRY}${digits}`;
};

const readSend = (headers: IncomingHttpHeaders, raw: Buffer, path: string): SendRequest | { refusal: Refusal } => {
  if (!/^application\/json\s*(;|$)/i.test(headers['content-type'] ?? '')) return refuse(100, 'not JSON by its type');
  let body: unknown;
  try {
    body = JSON.parse(decoder.decode(raw));
  } catch {
    return refuse(100, 'Invalid JSON');
  }
  if (!isObject(body)) return refuse(100, 'an object is required');
  if (body.messaging_product !== 'whatsapp') return refuse(100, 'The parameter messaging_product is required.');
  if ((body.recipient_type ?? 'individual') !== 'individual') return refuse(131002, 'recipient_type');
  const to = recipientOf(body);
  if (to === undefined) return refuse(131009, 'The parameter to is not a valid phone number');
  const { type = 'text', biz_opaque_callback_data: given } = body;
  if (typeof type !== 'string' || !TYPES.has(type)) return refuse(131051, 'Unsupported message type', 501);
  const unexpected = Object.keys(body).find(
    (name) => !OWN_FIELDS.includes(name) && name !== type && name !== 'context',
  );
  if (unexpected !== undefined) return refuse(100, `Unexpected key "${unexpected}" on param`);
  if (given !== undefined && (typeof given !== 'string' || given.length > MAX_REFERENCE)) {
    return refuse(131009, `biz_opaque_callback_data: at most ${MAX_REFERENCE} characters`);
  }
  const value = body[type];
  const broken = brokenContent(type, value);
  if (broken) return broken;
  const text = visibleText(type, value);
  const mark = readMark(text);
  const content = {
    type,
    [type]: value,
    ...(body.context === undefined ? {} : { context: body.context }),
  };
  return {
    reference: given ?? `${NO_REFERENCE}${to}/${mark?.key ?? ''}`,
    ...senderOf(path),
    to,
    content,
    text,
    media: MEDIA.has(type),
    ...mediaIn(content, { holders: MEDIA, id: 'id', link: 'link' }),
    freeForm: type !== 'template',
    sentAtMost: type === 'reaction',
    key: mark?.key,
    run: mark?.run,
  };
};

const senderOf = (path: string): { sender?: string } => {
  const sender = metaSender(path);
  return sender === undefined ? {} : { sender };
};

const codeOf = ({ code, status }: Refusal): number => {
  if (code !== undefined && /^\d+$/.test(code)) return Number(code);
  return status === 401 ? 190 : status >= 500 ? 131000 : 100;
};

const waId = (to: string): string => to.replace('+', '');

/** Seconds, as Meta gives them; what a knob has already made seconds stays as it is. */
const seconds = (at: number | undefined): string | undefined =>
  at === undefined ? undefined : String(Math.floor(at < 100_000_000_000 ? at : at / 1_000));

const PRICING = { billable: false, pricing_model: 'PMP', type: 'free_customer_service', category: 'service' };

const CHANGE_SIZE = 250;
const CHANGES_PER_ENTRY = 2;

interface Value {
  statuses?: unknown[];
  messages?: unknown[];
  contacts?: unknown[];
  errors?: unknown[];
}

/** One change of the field `messages`. */
const changeOf = (phone: string, value: Value): unknown => ({
  value: {
    messaging_product: 'whatsapp',
    metadata: { display_phone_number: '15550100002', phone_number_id: phone },
    ...value,
  },
  field: 'messages',
});

/** The items parted into changes, in their order as far as one kind and sender are concerned. */
const changesOf = (items: unknown[]): unknown[] => {
  const first = items.find((item) => isObject(item) && typeof item.phone_number_id === 'string');
  const usual = isObject(first) ? String(first.phone_number_id) : '900000000000002';
  const values = new Map<string, unknown[]>();
  const asTheyAre: unknown[] = [];
  for (const item of items) {
    if (isObject(item) && item.change !== undefined) {
      asTheyAre.push(item.change);
      continue;
    }
    const { phone_number_id: phone = usual, ...rest } = isObject(item) ? item : {};
    const kind = !isObject(item)
      ? 'statuses'
      : item.from !== undefined
        ? 'messages'
        : item.account_error !== undefined
          ? 'errors'
          : 'statuses';
    const name = `${kind} ${phone}`;
    const told = !isObject(item) ? item : kind === 'errors' ? item.account_error : rest;
    const list = values.get(name);
    if (list) list.push(told);
    else values.set(name, [told]);
  }
  const changes: unknown[] = [];
  for (const [name, list] of values) {
    const [kind = '', phone = ''] = name.split(' ');
    for (let at = 0; at < list.length; at += CHANGE_SIZE) {
      const part = list.slice(at, at + CHANGE_SIZE);
      const contacts = kind === 'messages' ? { contacts: part.map(contactOf) } : {};
      changes.push(changeOf(phone, { ...contacts, [kind]: part }));
    }
  }
  return [...changes, ...asTheyAre];
};

const contactOf = (message: unknown): unknown => ({
  profile: { name: 'A user' },
  wa_id: isObject(message) ? message.from : undefined,
});

/** While its throughput is being raised, the number refuses everything for about a minute (131057). */
export const throughputUpgrade = (channel: string, fromMs: number, forMs = 60_000): Rule => ({
  match: { channel, fromMs, untilMs: fromMs + forMs },
  message: {
    send: { faults: { throughput_upgrade: { kind: 'refuse', probability: 1, status: 400, code: '131057' } } },
  },
});

/** Files by their types, with the most that each may have. */
const UPLOADS: ReadonlyMap<string, number> = new Map([
  ...['image/jpeg', 'image/png'].map((type) => [type, 5_242_880] as const),
  ...['video/mp4', 'video/3gpp'].map((type) => [type, 16_777_216] as const),
  ...['audio/aac', 'audio/mp4', 'audio/mpeg', 'audio/amr', 'audio/ogg'].map((type) => [type, 16_777_216] as const),
  ...['text/plain', 'application/pdf'].map((type) => [type, 104_857_600] as const),
  ['image/webp', 512_000],
]);

const uploads: UploadFormat = {
  accepts: (method, path) => isMetaUpload('media', method, path),

  async read(headers, body) {
    const { 'content-type': type = '', 'content-length': length } = headers;
    if (!type.startsWith('multipart/form-data;')) return refuse(100, 'not a form by its type');
    if (length === undefined) return refuse(100, 'a length is required');
    let form: FormData;
    try {
      form = await new Response(new Uint8Array(body), { headers: { 'content-type': type } }).formData();
    } catch {
      return refuse(100, 'the form cannot be read');
    }
    if (form.get('messaging_product') !== 'whatsapp') {
      return refuse(100, 'The parameter messaging_product is required.');
    }
    const file = form.get('file');
    if (!(file instanceof File)) return refuse(100, 'Param file must be a file');
    const most = UPLOADS.get(file.type);
    if (most === undefined) return refuse(100, 'Param file must be a file with one of the known types');
    if (form.get('type') !== file.type) return refuse(100, 'Param type is not the type of the file');
    if (file.size === 0 || file.size > most) return refuse(131053, 'the size of the file');
    return { contentType: file.type, bytes: file.size, link: undefined };
  },

  uploaded: (id) => ({
    status: 200,
    headers: ['content-type', 'application/json; charset=UTF-8'],
    body: metaJson({ id }),
  }),

  unknownId: {
    status: 400,
    code: '100',
    message: "Param image['id'] is not a valid whatsapp business account media attachment ID",
    permanent: true,
    scope: 'message',
  },
};

const OUTSIDE_WINDOW: Refusal = {
  status: 400,
  code: '131047',
  message: 'Re-engagement message',
  permanent: true,
  scope: 'message',
};

export const whatsapp: Profile = {
  name: 'whatsapp',
  settings: {
    message: { status: { failure: { code: '131026' } } },
    channel: {
      limit: { ratePerSecond: 80, burst: 80, refusal: { status: 429, code: '130429', message: 'Rate limit hit' } },
      pairLimit: {
        ratePerSecond: 1 / 6,
        burst: 45,
        // A status that nobody would expect of a limit: only the code can be relied upon.
        refusal: { status: 403, code: '131056', message: 'Pair rate limit hit', scope: 'room' },
      },
      request: { requireRoomlineHeaders: false },
      idempotency: { enabled: false },
      lookup: { enabled: false },
      webhooks: { batch: { minSize: 1, maxSize: 1_000, lingerMs: 25 }, deadlineMs: 10_000, retry: META_RETRY },
    },
  },
  outsideWindow: OUTSIDE_WINDOW,

  credential: (headers) => bearer(headers),

  route: (method, path) =>
    method === 'POST' && metaSender(path) !== undefined ? 'send' : isGraphQuestion(method, path) ? 'other' : undefined,

  other: graphNodes('whatsapp', ''),

  uploads,

  readAttempt: () => ({ reference: undefined, attempt: undefined, worker: undefined, generation: undefined }),

  readSend: (headers, body, _knobs: ChannelKnobs, path) => readSend(headers, body, path),

  id({ no, boot, draws }) {
    const bytes = Buffer.alloc(16);
    bytes.writeUIntBE(boot, 0, 6);
    bytes.writeUInt32BE(no, 6);
    bytes.writeUIntBE(Math.floor(draws.uniform(no) * 2 ** 48), 10, 6);
    return `wamid.HBgL${bytes.toString('base64')}`;
  },

  accepted({ id, recipient }): Answer {
    const contacts = [{ input: recipient.to, wa_id: waId(recipient.to) }];
    const body = metaJson({ messaging_product: 'whatsapp', contacts, messages: [{ id }] });
    return { status: 200, headers: ['content-type', 'application/json; charset=UTF-8'], body };
  },

  refused(refusal) {
    if (refusal.bare && refusal.status !== 401) return { status: refusal.status, headers: [], body: '' };
    const details = refusal.message ?? 'no details';
    return graphError(refusal, {
      defaultCode: codeOf(refusal),
      more: { error_data: { messaging_product: 'whatsapp', details } },
    });
  },

  judge(refusal) {
    const code = codeOf(refusal);
    const unclear = refusal.status >= 500 && (refusal.bare || VAGUE.has(code));
    const ofAccount = SETTLES_NOTHING.has(code) || (code >= 200 && code <= 299);
    return { definite: !unclear, permanent: refusal.bare ? false : (refusal.permanent ?? true) && !ofAccount };
  },

  lookupReference: () => undefined,

  lookedUp: () => ({ status: 404, headers: [], body: '' }),

  item({ message, status, at, error }) {
    const { named } = message.knobs.status;
    const echoed = named !== 'id' && !message.reference.startsWith(NO_REFERENCE);
    const code = error && /^\d+$/.test(error.code) ? Number(error.code) : 131026;
    return {
      phone_number_id: message.sender,
      id: named === 'reference' ? undefined : message.id,
      status,
      timestamp: seconds(at),
      recipient_id: waId(message.recipient.to),
      biz_opaque_callback_data: echoed ? message.reference : undefined,
      pricing: status === 'sent' || status === 'delivered' ? PRICING : undefined,
      errors: error && [
        {
          code,
          title: 'Message undeliverable',
          message: 'Message undeliverable',
          error_data: { details: 'made up' },
          href: 'https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/',
        },
      ],
    };
  },

  junk(kind, salt) {
    const foreign = { id: `wamid.FOREIGN${salt}`, timestamp: '1700000000', recipient_id: '15550109999' };
    switch (kind) {
      case 'unknownId':
        return { ...foreign, status: 'delivered' };
      case 'unknownReference':
        return {
          ...foreign,
          phone_number_id: '999999999999999',
          status: 'delivered',
          biz_opaque_callback_data: `nobody-${salt}`,
        };
      case 'unknownStatus':
        return { ...foreign, status: 'pondered' };
      case 'extraFields':
        return { recipient_user_id: 'US.1', conversation: { id: salt, origin: { type: 'service' } }, tags: [null, 1] };
      case 'malformed':
        return { status: 7, timestamp: 'yesterday', id: { nested: [salt] }, errors: 'many' };
    }
  },

  inbound: (salt) => ({
    from: '15550109998',
    id: `wamid.INBOUND${salt}`,
    timestamp: '1700000000',
    type: 'text',
    text: { body: 'Grüße 👋 from a user' },
  }),

  webhookBody(items) {
    const changes = changesOf(items);
    const entry: unknown[] = [];
    for (let at = 0; at < changes.length; at += CHANGES_PER_ENTRY) {
      entry.push({ id: BUSINESS_ACCOUNT, changes: changes.slice(at, at + CHANGES_PER_ENTRY) });
    }
    return metaJson({ object: 'whatsapp_business_account', entry });
  },

  sign: signMeta,

  challenge: metaChallenge,
};
