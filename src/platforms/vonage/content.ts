/** What a publisher may ask for: the body of the Messages API without what Roomline adds to it. */
import { type Fields, isFields, MAX_ID_LENGTH } from '../fields.ts';
import {
  anyObject,
  between,
  broken,
  checkMembers,
  flag,
  httpsLink,
  listOf,
  matching,
  object,
  type Rule,
  text,
} from '../rules.ts';
import { inFull, recipientOf, type VonageChannel } from './message.ts';

const MAX_TEXT: Readonly<Record<VonageChannel, number>> = {
  sms: 1_000,
  mms: 1_000,
  rcs: 3_072,
  whatsapp: 4_096,
  messenger: 640,
  viber_service: 1_000,
};

const media = object({
  required: { url: httpsLink },
  optional: { caption: text(3_000), name: text(255), thumb_url: httpsLink },
});

const template = object({
  required: { name: text(512) },
  optional: { parameters: listOf(100, text(4_096, 0)) },
  open: true,
});

/** Fetched (`url`), or known to the provider (`id`). */
const sticker: Rule = (field, value) => {
  object({ optional: { url: httpsLink, id: text(256) } })(field, value);
  const { url, id } = value as Fields;
  if ((url === undefined) === (id === undefined)) broken(field, 'either url or id');
};

const TYPES: Readonly<Record<VonageChannel, Readonly<Record<string, Rule>>>> = {
  sms: {},
  mms: { image: media, vcard: media, audio: media, video: media, file: media },
  rcs: { image: media, video: media, file: media },
  whatsapp: { image: media, audio: media, video: media, file: media, template, sticker },
  messenger: { image: media, audio: media, video: media, file: media },
  viber_service: { image: media, video: media, file: media },
};

const MAX_TTL_S = 604_800;

const ttl: Rule = (field, value) => {
  if (!Number.isInteger(value)) broken(field, `whole seconds from 1 to ${MAX_TTL_S}`);
  between(1, MAX_TTL_S)(field, value);
};

/** Beside the message itself. What a channel's own section holds is passed on. */
const OPTIONS: Readonly<Record<string, Rule>> = {
  ttl,
  context: object({ required: { message_uuid: text(MAX_ID_LENGTH) } }),
  trusted_recipient: flag,
  suggestions: listOf(11, anyObject),
};
/** Ours to set: whom it goes to, and the reference by which statuses find their message. */
const RESERVED = ['channel', 'to', 'from', 'client_ref', 'webhook_url', 'webhook_version', 'message_type'];

const typeName = matching(/^[a-z_]{1,32}$/, 'text, image, audio, video, file, template …');

/** What we do not know is passed on as it is, as long as it can be a message at all. */
const passedOn: Rule = (field, value) => {
  if (Array.isArray(value)) listOf(1_000, (name, item) => isFields(item) || broken(name, 'an object'))(field, value);
  else anyObject(field, value);
};

export function createContentCheck(channel: VonageChannel): (to: string, content: Fields) => void {
  const body = text(MAX_TEXT[channel]);
  const types = TYPES[channel];
  return (to, content) => {
    if (recipientOf(channel, to) === null) {
      broken('to', channel === 'messenger' ? 'an id of digits' : 'a phone number with country code');
    }
    const { message_type: type, ...members } = inFull(content);
    typeName('content.message_type', type);
    const name = type as string;
    if (RESERVED.includes(name) || Object.hasOwn(OPTIONS, name) || name === channel) {
      broken('content.message_type', 'the type of a message');
    }
    if (channel === 'sms' && name !== 'text') broken('content.message_type', 'text: an SMS holds nothing else');
    const options: Readonly<Record<string, Rule>> = { ...OPTIONS, [channel]: anyObject };
    checkMembers('content', members, [name, ...Object.keys(options)]);
    if (members[name] === undefined) broken(`content.${name}`, 'required');
    const rule = name === 'text' ? body : Object.hasOwn(types, name) ? types[name] : undefined;
    (rule ?? passedOn)(`content.${name}`, members[name]);
    for (const [option, check] of Object.entries(options)) {
      if (members[option] !== undefined) check(`content.${option}`, members[option]);
    }
  };
}
