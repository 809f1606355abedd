/** Messages of the queue around a payload: ordering keys, attributes, nothing at all. */
import type { Delivery } from '../rig.ts';
import { type Entry, message, ROOM, refused, type Verdict } from './entry.ts';
import { MESSAGES } from './messages.ts';

export interface QueueEntry extends Delivery {
  readonly name: string;
  readonly verdict: Verdict;
}

const one = (name: string, verdict: Verdict, wish: Partial<Delivery> & { readonly text?: string }): QueueEntry => ({
  name: `queue: ${name}`,
  data: Buffer.from(wish.text ?? message()),
  attributes: {},
  orderingKey: ROOM,
  verdict,
  ...wish,
});

const mismatch = refused('ordering_key_mismatch', 'orderingKey');
const missing = refused('ordering_key_missing', 'orderingKey');

const AROUND: readonly QueueEntry[] = [
  one('as it should be', 'accepted', {}),
  one('attributes alone', refused('body_malformed_json'), {
    data: Buffer.alloc(0),
    attributes: { channel: 'main', room: ROOM },
  }),
  one('nothing at all', refused('body_malformed_json'), { data: Buffer.alloc(0), orderingKey: '' }),
  one('no ordering key', missing, { orderingKey: '' }),
  one('another ordering key', mismatch, { orderingKey: 'another' }),
  one('the room with a space', mismatch, { orderingKey: `${ROOM} ` }),
  one('the room in capitals', mismatch, { orderingKey: ROOM.toUpperCase() }),
  one('the room, normalised otherwise', mismatch, { text: message({ room: 'é' }), orderingKey: 'e\u0301' }),
  one('the tenant before the room', mismatch, { orderingKey: `default/main/${ROOM}` }),
  one('an ordering key of 1,024 bytes', mismatch, { orderingKey: 'x'.repeat(1_024) }),
  one('an ordering key of NUL', mismatch, { orderingKey: '\u0000' }),
  one('an ordering key called __proto__', mismatch, { orderingKey: '__proto__' }),
  one('a room called __proto__', 'accepted', { text: message({ room: '__proto__' }), orderingKey: '__proto__' }),
  one('attributes with NUL', mismatch, { orderingKey: 'x', attributes: { 'a\u0000': 'b\u0000' } }),
  one('attributes with half a surrogate pair', mismatch, {
    orderingKey: 'x',
    attributes: { a: '\ud800', '\udc00': 'x' },
  }),
  one('an attribute called __proto__', mismatch, {
    orderingKey: 'x',
    attributes: Object.fromEntries([['__proto__', 'x']]),
  }),
  one('an attribute called orderingKey', missing, { orderingKey: '', attributes: { orderingKey: ROOM } }),
  one('100 attributes of 1,024 bytes', mismatch, {
    orderingKey: 'x',
    attributes: Object.fromEntries(Array.from({ length: 100 }, (_, at) => [`name-${at}`, 'x'.repeat(1_024)])),
  }),
  one('attributes that contradict the payload', 'accepted', { attributes: { room: 'another', tenant: 'acme' } }),
  one('an unknown channel before a wrong key', refused('channel_unknown', 'channel'), {
    text: message({ channel: 'x' }),
    orderingKey: '',
  }),
];

/** As publishers do it: the ordering key is the room, where there is one. */
function ofPayload({ name, raw, verdict }: Entry): QueueEntry {
  return { name, data: raw, attributes: {}, orderingKey: verdict === 'accepted' ? roomOf(raw) : ROOM, verdict };
}

function roomOf(raw: Uint8Array): string {
  return (JSON.parse(Buffer.from(raw).toString()) as { room: string }).room;
}

export const QUEUE: readonly QueueEntry[] = [...AROUND, ...MESSAGES.map(ofPayload)];
