/** What a publisher may have a bot send: `{"text": …}`, or any covered method with its parameters. */
import { RoomlineError } from '../../errors.ts';
import type { Fields } from '../fields.ts';
import {
  album,
  type Check,
  caption,
  file,
  flag,
  formatting,
  listOf,
  numberWithin,
  object,
  oneOf,
  phoneNumber,
  shortText,
  text,
  vcard,
} from './rules.ts';

export const DEFAULT_METHOD = 'sendMessage';

interface Method {
  readonly required: Readonly<Record<string, Check>>;
  readonly optional: Readonly<Record<string, Check>>;
}

/** Parameters that every covered method shares. */
const COMMON: Readonly<Record<string, Check>> = {
  message_thread_id: numberWithin(1, Number.MAX_SAFE_INTEGER, 'whole'),
  disable_notification: flag,
  protect_content: flag,
  allow_paid_broadcast: flag,
  message_effect_id: shortText(64),
  business_connection_id: shortText(256),
  reply_parameters: object,
  reply_markup: object,
};

const CAPTIONED: Readonly<Record<string, Check>> = {
  caption,
  parse_mode: formatting,
  caption_entities: listOf(object),
  show_caption_above_media: flag,
  has_spoiler: flag,
};

const SECONDS = numberWithin(0, 86_400, 'whole');
const PIXELS = numberWithin(0, 10_000, 'whole');

const METHODS: Readonly<Record<string, Method>> = {
  sendMessage: {
    required: { text },
    optional: { parse_mode: formatting, entities: listOf(object), link_preview_options: object },
  },
  sendPhoto: { required: { photo: file }, optional: CAPTIONED },
  sendDocument: {
    required: { document: file },
    optional: { ...CAPTIONED, disable_content_type_detection: flag, thumbnail: file },
  },
  sendVideo: {
    required: { video: file },
    optional: {
      ...CAPTIONED,
      duration: SECONDS,
      width: PIXELS,
      height: PIXELS,
      supports_streaming: flag,
      cover: file,
      start_timestamp: SECONDS,
    },
  },
  sendAnimation: {
    required: { animation: file },
    optional: { ...CAPTIONED, duration: SECONDS, width: PIXELS, height: PIXELS },
  },
  sendAudio: {
    required: { audio: file },
    optional: { ...CAPTIONED, duration: SECONDS, performer: shortText(256), title: shortText(256) },
  },
  sendVoice: { required: { voice: file }, optional: { ...CAPTIONED, duration: SECONDS } },
  sendSticker: { required: { sticker: file }, optional: { emoji: shortText(32) } },
  sendLocation: {
    required: { latitude: numberWithin(-90, 90), longitude: numberWithin(-180, 180) },
    optional: {
      horizontal_accuracy: numberWithin(0, 1_500),
      // 2^31 - 1: until it is edited.
      live_period: oneOf([numberWithin(60, 86_400, 'whole'), numberWithin(0x7fffffff, 0x7fffffff, 'whole')]),
      heading: numberWithin(1, 360, 'whole'),
      proximity_alert_radius: numberWithin(1, 100_000, 'whole'),
    },
  },
  sendContact: {
    required: { phone_number: phoneNumber, first_name: shortText(256) },
    optional: { last_name: shortText(256), vcard },
  },
  sendMediaGroup: { required: { media: album }, optional: {} },
};

/** Sent as they are: each makes one message, and their parameters are Telegram's to check. */
const PASSED_THROUGH: readonly string[] = [
  'sendVideoNote',
  'sendPaidMedia',
  'sendVenue',
  'sendPoll',
  'sendDice',
  'sendInvoice',
  'sendGame',
  'forwardMessage',
  'copyMessage',
];

/** A chat's id, which may be longer than a double holds, or the name of a public channel or group. */
const CHAT_ID = /^(-?[1-9][0-9]{0,18}|@[A-Za-z][A-Za-z0-9_]{3,31})$/;

/** @throws RoomlineError `content_invalid` */
export function checkContent(to: string, content: Fields): void {
  if (!CHAT_ID.test(to)) refuse('to', 'a chat id in digits, or @ and the name of a public channel or group');
  if (Object.hasOwn(content, 'chat_id')) refuse('content.chat_id', 'absent: the recipient is "to"');
  const { method = DEFAULT_METHOD } = content;
  if (typeof method !== 'string') refuse('content.method', 'a text');
  else if (Object.hasOwn(METHODS, method)) checkParameters(METHODS[method] as Method, content);
  else if (!PASSED_THROUGH.includes(method)) {
    refuse('content.method', `one of ${[...Object.keys(METHODS), ...PASSED_THROUGH].join(', ')}`);
  }
}

/** Parameters that no rule names go to Telegram as they are: it adds some with every version. */
function checkParameters({ required, optional }: Method, content: Fields): void {
  for (const [name, check] of Object.entries(required)) {
    if (content[name] === undefined) refuse(`content.${name}`, 'required');
    verify(name, check, content);
  }
  for (const [name, check] of Object.entries({ ...COMMON, ...optional })) {
    if (Object.hasOwn(content, name)) verify(name, check, content);
  }
}

function verify(name: string, check: Check, content: Fields): void {
  const fault = check(content[name], content);
  if (fault !== null) refuse(`content.${name}${fault.at ?? ''}`, fault.rule);
}

function refuse(field: string, rule: string): never {
  throw new RoomlineError('content_invalid', { field, rule });
}
