/** What a publisher may ask for: the message object of the Cloud API without what Roomline adds to it. */
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
import { interactive } from './interactive.ts';
import { recipientOf } from './message.ts';

const MAX_TEXT = 4_096;
const CAPTION = text(1_024);
const messageId = text(MAX_ID_LENGTH);
/** Ours to set: whom it goes to, and the reference by which statuses find their message. */
const RESERVED = ['messaging_product', 'recipient_type', 'recipient', 'to', 'biz_opaque_callback_data'];

const mediaId = matching(/^[\w.-]{1,128}$/, 'the id of uploaded media');

/** Uploaded before (`id`), or fetched by Meta (`link`). */
function media(optional: Readonly<Record<string, Rule>>): Rule {
  const members = object({ optional: { id: mediaId, link: httpsLink, ...optional } });
  return (field, value) => {
    members(field, value);
    const { id, link } = value as Fields;
    if ((id === undefined) === (link === undefined)) broken(field, 'either id or link');
  };
}

const component = object({ required: { type: matching(/^[A-Za-z_]{1,32}$/, 'header, body, button …') }, open: true });

const template = object({
  required: {
    name: matching(/^[a-z0-9_]{1,512}$/, '1 to 512 characters of a-z, 0-9 and _'),
    language: object({
      required: { code: matching(/^[A-Za-z_]{2,16}$/, 'a code such as en or en_US') },
      optional: { policy: matching(/^deterministic$/, '"deterministic"') },
    }),
  },
  optional: { components: listOf(64, component, 0) },
  open: true,
});

const reaction = object({
  required: { message_id: messageId, emoji: text(32, 0) },
});

const location = object({
  required: { latitude: between(-90, 90), longitude: between(-180, 180) },
  optional: { name: text(1_000), address: text(1_000) },
});

const contact = object({
  required: { name: object({ required: { formatted_name: text(1_024) }, open: true }) },
  open: true,
});

const RULES: Readonly<Record<string, Rule>> = {
  text: object({ required: { body: text(MAX_TEXT) }, optional: { preview_url: flag } }),
  template,
  image: media({ caption: CAPTION }),
  video: media({ caption: CAPTION }),
  audio: media({ voice: flag }),
  document: media({ caption: CAPTION, filename: text(240) }),
  sticker: media({}),
  reaction,
  interactive,
  location,
  contacts: listOf(257, contact),
};

const context = object({ required: { message_id: messageId } });

/** @throws RoomlineError `content_invalid` */
export function checkContent(to: string, content: Fields): void {
  if (recipientOf(to) === null) broken('to', 'a phone number with country code, such as +15550100001, or a user id');
  if (typeof content.text === 'string') {
    checkMembers('content', content, ['text']);
    text(MAX_TEXT)('content.text', content.text);
    return;
  }
  const { type } = content;
  matching(/^[a-z_]{1,64}$/, `the type of a message: ${Object.keys(RULES).join(', ')} …`)('content.type', type);
  const name = type as string;
  if (RESERVED.includes(name) || name === 'type' || name === 'context') broken('content.type', 'the type of a message');
  checkMembers('content', content, ['type', name, 'context']);
  if (content.context !== undefined) context('content.context', content.context);
  const value = Object.hasOwn(content, name) ? content[name] : undefined;
  if (value === undefined) broken(`content.${name}`, 'required');
  const rule = Object.hasOwn(RULES, name) ? RULES[name] : undefined;
  // What we do not know is passed on as it is, as long as it can be a message at all.
  (rule ?? passedOn)(`content.${name}`, value);
}

const passedOn: Rule = (field, value) => {
  if (Array.isArray(value)) listOf(1_000, (name, item) => isFields(item) || broken(name, 'an object'))(field, value);
  else anyObject(field, value);
};
