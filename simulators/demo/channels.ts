/** What there is to show: each platform, how Roomline deals with it, and how to send to it without Roomline. */
import type { OracleOptions } from '../oracle/types.ts';
import { ACCOUNT } from '../platform/instagram.ts';
import { PAGE } from '../platform/messenger.ts';
import type { ProfileName } from '../platform/profiles.ts';
import type { ChannelPatch, MessagePatch } from '../platform/settings.ts';
import { withMark } from '../platform/text-mark.ts';
import type { Form, LoadMessage } from '../rig/publisher.ts';

export const ACK_LOSS = 0.12;
const ANSWER = { medianMs: 60, p99Ms: 300 } as const;
const PHONE = { medianMs: 600, p99Ms: 4_000 } as const;
/** To a platform whose phones show messages as it got them. */
const WAY = { medianMs: 40, p99Ms: 250 } as const;

/** A message as it goes to the platform past Roomline. */
export interface DirectMessage {
  readonly token: string;
  readonly reference: string;
  readonly to: string;
  readonly content: object;
}

export interface DirectRequest {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface DemoChannel {
  readonly profile: ProfileName;
  readonly rooms: number;
  readonly messages: number;
  /** Roomline's settings, over the platform's defaults. */
  readonly policy: object;
  readonly ackTimeoutMs: number;
  /** Connections of each way at most. */
  readonly connections: number;
  /** How few messages a second Roomline may let through and still be in time; the platform's limit is above it. */
  readonly leastPerSecond: number;
  readonly form: Form;
  readonly direct: (message: DirectMessage) => DirectRequest;
  /** The fake platform's settings: for all channels, and for Roomline's alone. */
  readonly fake: { readonly message: MessagePatch; readonly own: { message?: MessagePatch; knobs?: ChannelPatch } };
  readonly unlockedBy: NonNullable<OracleOptions['unlockedBy']>;
  /** The status whose loss is the loss of an ack; null where there are none. */
  readonly ack: 'delivered' | 'sent' | null;
  readonly words: Words;
}

/** What the terminal says of it. */
export interface Words {
  readonly platform: string;
  /** Where the load goes, in the title. */
  readonly on?: string;
  /** How a room goes on. */
  readonly next: string;
  readonly fake: string;
  readonly phones: string;
  /** The limit that holds, and for whom. */
  readonly limit?: string;
  /** What an ack is worth. */
  readonly proof: string;
  /** A room to try. */
  readonly room: string;
}

const AT_THE_PHONES = `take ${PHONE.medianMs / 1_000} s (median) to ${PHONE.p99Ms / 1_000} s (99th percentile) per message`;
const PROOF = 'Where the ack came, the order is proven; after an assumed message it is only likely.';
const after = (ackTimeoutMs: number): string => `or after ${ackTimeoutMs / 1_000} s`;
const UNBOUNDED = 'The other two ways are free of limits.';
const bounded = (limit: string): string => `${limit}, which bounds Roomline's time. ${UNBOUNDED}`;
const OWN_FORMAT = `fake, in its own format; ${ACK_LOSS * 100} % of the messages never get a status`;

const LOST_ACKS = { status: { loseAllProbability: ACK_LOSS } } as const satisfies MessagePatch;
const ON_THE_WAY: MessagePatch = {
  send: { responseDelayMs: { kind: 'lognormal', ...ANSWER } },
  phone: { delayMs: { kind: 'lognormal', ...PHONE } },
};

/** The number that ends a room's name. */
const numberOf = ({ room }: LoadMessage): number => Number(/\d+$/.exec(room)?.[0] ?? 0);
/** No country has this area code. */
const phoneNumber = (message: LoadMessage): string => `+1555${1_000_000 + numberOf(message)}`;
const userId = (message: LoadMessage, from: bigint): string => String(from + BigInt(numberOf(message)));
/** The text, and in it what names the message. */
const marked = ({ messageId, content: { run, text } }: LoadMessage): string => withMark(text, { run, key: messageId });

const json = (authorization: string, path: string, body: object): DirectRequest => ({
  path,
  headers: { authorization, 'content-type': 'application/json' },
  body: JSON.stringify(body),
});
const bearer = (token: string): string => `Bearer ${token}`;
const basic = (credentials: string): string => `Basic ${Buffer.from(credentials).toString('base64')}`;

const PHONE_NUMBER_ID = '900000000000002';
const ACCOUNT_SID = `AC${'0123456789abcdef'.repeat(2)}`;
const SHORT_CODE = '55501';
const VONAGE_SENDER = '15550100002';
const APPLICATION = '00000000-0000-4000-8000-0000000000aa';

const generic: DemoChannel = {
  profile: 'generic',
  rooms: 1_000,
  messages: 10,
  policy: { unlockedBy: 'delivered', lookup: true },
  ackTimeoutMs: 5_000,
  connections: 256,
  leastPerSecond: 200,
  form: ({ content }) => ({ content }),
  direct: ({ token, reference, to, content }) => ({
    path: '/v1/messages',
    headers: { authorization: bearer(token), 'content-type': 'application/json', 'idempotency-key': reference },
    body: JSON.stringify({ reference, to, content }),
  }),
  fake: {
    message: ON_THE_WAY,
    own: { message: LOST_ACKS, knobs: { webhooks: { batch: { minSize: 1, maxSize: 20, lingerMs: 10 } } } },
  },
  unlockedBy: ['delivered', 'read'],
  ack: 'delivered',
  words: {
    platform: 'platform',
    next: `next message when the last is delivered, ${after(5_000)}`,
    fake: `fake; loses ${ACK_LOSS * 100} % of the acks`,
    phones: AT_THE_PHONES,
    proof: PROOF,
    room: 'alice',
  },
};

const whatsapp: DemoChannel = {
  profile: 'whatsapp',
  rooms: 300,
  messages: 10,
  policy: { whatsapp: { phoneNumberId: PHONE_NUMBER_ID } },
  ackTimeoutMs: 5_000,
  connections: 64,
  leastPerSecond: 40,
  form: (message) => ({ to: phoneNumber(message), content: { type: 'text', text: { body: marked(message) } } }),
  direct: ({ token, reference, to, content }) =>
    json(bearer(token), `/v25.0/${PHONE_NUMBER_ID}/messages`, {
      messaging_product: 'whatsapp',
      to,
      ...content,
      biz_opaque_callback_data: reference,
    }),
  fake: { message: ON_THE_WAY, own: { message: LOST_ACKS } },
  unlockedBy: ['delivered', 'read'],
  ack: 'delivered',
  words: {
    platform: 'WhatsApp',
    on: ' on WhatsApp',
    next: `next message when WhatsApp's webhook says delivered, ${after(5_000)}`,
    fake: OWN_FORMAT,
    phones: AT_THE_PHONES,
    limit: bounded('A number may send 80 messages/s'),
    proof: PROOF,
    room: '+15550100001',
  },
};

const telegram: DemoChannel = {
  profile: 'telegram',
  rooms: 100,
  messages: 10,
  policy: {},
  ackTimeoutMs: 5_000,
  connections: 64,
  leastPerSecond: 15,
  form: (message) => ({ to: userId(message, 4_200_000_000n), content: { text: marked(message) } }),
  direct: ({ token, to, content }) => ({
    path: `/bot${token}/sendMessage`,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ chat_id: to, ...content }),
  }),
  // Only requests can overtake each other here: on the loopback address they would need help.
  fake: {
    message: {
      send: {
        responseDelayMs: { kind: 'lognormal', ...ANSWER },
        faults: { way: { kind: 'hold_request', probability: 1, delayMs: { kind: 'lognormal', ...WAY } } },
      },
    },
    own: {},
  },
  unlockedBy: ['accepted'],
  ack: null,
  words: {
    platform: 'Telegram',
    on: ' on Telegram',
    next: 'next message when the last is answered: Telegram tells nothing else',
    fake: `fake, in its own format; requests get there in ${WAY.medianMs / 1_000} s (median) to ${WAY.p99Ms / 1_000} s`,
    phones: 'show messages in the order in which Telegram got them',
    limit: bounded('A bot may send 30 messages/s, and 1/s to each chat'),
    proof: "Telegram's answer is the ack, and it gives the message its place in the chat.",
    room: '4200001',
  },
};

const messenger: DemoChannel = {
  profile: 'messenger',
  rooms: 200,
  messages: 10,
  policy: { messenger: { pageId: PAGE } },
  ackTimeoutMs: 5_000,
  connections: 64,
  leastPerSecond: 20,
  form: (message) => ({
    to: userId(message, 6_100_000_000_000_000n),
    content: { messaging_type: 'RESPONSE', message: { text: marked(message) } },
  }),
  direct: ({ token, to, content }) =>
    json(bearer(token), `/v25.0/${PAGE}/messages`, { recipient: { id: to }, ...content }),
  fake: { message: ON_THE_WAY, own: { message: LOST_ACKS } },
  unlockedBy: ['delivered', 'read'],
  ack: 'delivered',
  words: {
    platform: 'Messenger',
    on: ' on Messenger',
    next: `next message when Messenger's webhook says delivered, ${after(5_000)}`,
    fake: OWN_FORMAT,
    phones: AT_THE_PHONES,
    limit: bounded('By default Roomline sends 40 messages/s for a page'),
    proof: PROOF,
    room: '6100000000000001',
  },
};

const instagram: DemoChannel = {
  profile: 'instagram',
  rooms: 100,
  messages: 10,
  policy: { instagram: { accountId: ACCOUNT } },
  ackTimeoutMs: 5_000,
  connections: 64,
  leastPerSecond: 10,
  form: (message) => ({
    to: userId(message, 1_700_000_000_000_000n),
    content: { message: { text: marked(message) } },
  }),
  direct: ({ token, to, content }) => json(bearer(token), '/v25.0/me/messages', { recipient: { id: to }, ...content }),
  // Nothing tells of a delivery. What the echo is worth depends on when it comes, and Meta does not say.
  fake: {
    message: { ...ON_THE_WAY, status: { sentOnArrival: true, sent: { delayMs: 0 } } },
    own: { message: LOST_ACKS },
  },
  unlockedBy: ['sent', 'read'],
  ack: 'sent',
  words: {
    platform: 'Instagram',
    on: ' on Instagram',
    next: `next message 0.5 s after the echo of the last ("sent"), ${after(5_000)}`,
    fake: `fake, in its own format; ${ACK_LOSS * 100} % of the messages never get an echo, none a "delivered"`,
    phones: `${AT_THE_PHONES}; then comes the echo`,
    limit: bounded('By default Roomline sends 20 messages/s for an account'),
    proof: 'Where the echo came, the order is proven here; Meta does not promise that it comes so late.',
    room: '1700000000000001',
  },
};

const twilio: DemoChannel = {
  profile: 'twilio',
  rooms: 200,
  messages: 10,
  policy: { twilio: { accountSid: ACCOUNT_SID, from: SHORT_CODE } },
  ackTimeoutMs: 10_000,
  connections: 64,
  leastPerSecond: 50,
  form: (message) => ({ to: phoneNumber(message), content: { Body: marked(message) } }),
  direct: ({ token, to, content }) => ({
    path: `/2010-04-01/Accounts/${ACCOUNT_SID}/Messages.json`,
    headers: {
      authorization: basic(`${ACCOUNT_SID}:${token}`),
      'content-type': 'application/x-www-form-urlencoded',
    },
    body: new URLSearchParams({ To: to, From: SHORT_CODE, ...content }).toString(),
  }),
  fake: { message: ON_THE_WAY, own: { message: LOST_ACKS } },
  unlockedBy: ['delivered', 'read'],
  ack: 'delivered',
  words: {
    platform: 'Twilio',
    on: ' by SMS through Twilio',
    next: `next message when Twilio's callback says delivered, ${after(10_000)}`,
    fake: OWN_FORMAT,
    phones: AT_THE_PHONES,
    limit: `Twilio queues, and lets 100 messages/s leave a short code. ${UNBOUNDED}`,
    proof: PROOF,
    room: '+15550100001',
  },
};

const vonage: DemoChannel = {
  profile: 'vonage',
  rooms: 300,
  messages: 10,
  policy: { vonage: { channel: 'sms', from: VONAGE_SENDER, applicationId: APPLICATION } },
  ackTimeoutMs: 10_000,
  connections: 64,
  leastPerSecond: 50,
  form: (message) => ({ to: phoneNumber(message), content: { message_type: 'text', text: marked(message) } }),
  direct: ({ token, reference, to, content }) =>
    json(basic(token), '/v1/messages', {
      channel: 'sms',
      to: to.replace('+', ''),
      from: VONAGE_SENDER,
      ...content,
      client_ref: reference,
    }),
  fake: { message: ON_THE_WAY, own: { message: LOST_ACKS } },
  unlockedBy: ['delivered', 'read'],
  ack: 'delivered',
  words: {
    platform: 'Vonage',
    on: ' by SMS through Vonage',
    next: `next message when Vonage's webhook says delivered, ${after(10_000)}`,
    fake: OWN_FORMAT,
    phones: AT_THE_PHONES,
    limit: 'Roomline holds no limit for Vonage unless one is set. None of the three ways is bounded here.',
    proof: PROOF,
    room: '+15550100001',
  },
};

export const DEMO_CHANNELS: Readonly<Record<ProfileName, DemoChannel>> = {
  generic,
  whatsapp,
  telegram,
  messenger,
  instagram,
  twilio,
  vonage,
};
