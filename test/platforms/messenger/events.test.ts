import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { StatusItem } from '../../../src/engine/ports.ts';
import { RoomlineError } from '../../../src/errors.ts';
import { MAX_ITEMS, readEvents } from '../../../src/platforms/messaging/events.ts';
import { Threads } from '../../../src/platforms/messaging/threads.ts';
import { open, PAGE, PERSON, post, REFERENCE } from './support.ts';

const AT = 1_700_000_000_100;
const us = { id: PAGE };
const person = { id: PERSON };

const call = (...messaging: unknown[]) => ({ object: 'page', entry: [{ id: PAGE, time: AT, messaging }] });
const echoOf = (message: object = {}, more: object = {}) => ({
  sender: us,
  recipient: person,
  timestamp: AT,
  message: { is_echo: true, app_id: 1_000, mid: 'm_1', metadata: REFERENCE, text: 'Hello', ...message },
  ...more,
});
const delivery = (receipt: unknown, more: object = {}) => ({
  sender: person,
  recipient: us,
  delivery: receipt,
  ...more,
});
const read = (receipt: unknown, more: object = {}) => ({
  sender: person,
  recipient: us,
  timestamp: AT + 900,
  read: receipt,
  ...more,
});

const item = (level: 'sent' | 'delivered' | 'read', change: { platformAt?: number; [name: string]: unknown } = {}) => ({
  kind: 'status',
  reference: REFERENCE,
  platformId: 'm_1',
  level,
  nack: null,
  at: AT,
  cumulative: false,
  sender: PAGE,
  ...(level === 'sent' ? { platformAt: AT } : {}),
  ...change,
});
/** What a watermark may prove that no echo told here explains: for the engine, and strictly before it. */
const mark = (before: number, change: object = {}) => ({
  kind: 'watermark',
  to: PERSON,
  level: 'delivered',
  watermark: before - 1,
  timedByAcks: true,
  sender: PAGE,
  ...change,
});
const other = (code: string) => ({ kind: 'other', code });
const unreadable = (code: string) => ({ kind: 'unreadable', code });

function readCall(body: unknown, threads = new Threads()): StatusItem[] {
  return readEvents(post(body).raw, ['page'], threads);
}

describe('an echo', () => {
  it('with our reference says that the message was sent', () => {
    expect(readCall(call(echoOf()))).toEqual([item('sent')]);
  });

  it.each<[string, object, object[]]>([
    ['without metadata is found by its id', { metadata: undefined }, [item('sent', { reference: null })]],
    ['with empty metadata is found by its id', { metadata: '' }, [item('sent', { reference: null })]],
    ['with metadata of another app is none of ours', { metadata: 'another app’s' }, [other('echo_other')]],
    ['with metadata that is no text is none of ours', { metadata: { a: 1 } }, [other('echo_other')]],
    ['without an id is found by its reference', { mid: undefined }, [item('sent', { platformId: null })]],
    ['that names nothing cannot be read', { mid: 7, metadata: undefined }, [unreadable('message_unnamed')]],
    ['with a long id', { mid: 'x'.repeat(512) }, [item('sent', { platformId: 'x'.repeat(512) })]],
    ['with an id that is too long', { mid: 'x'.repeat(513) }, [item('sent', { platformId: null })]],
    ['of a message that was taken back', { is_deleted: true }, [other('message_deleted')]],
    ['of an attachment', { text: undefined, attachments: [{ type: 'image', payload: {} }] }, [item('sent')]],
  ])('%s', (_what, message, expected) => {
    expect(readCall(call(echoOf(message)))).toEqual(expected);
  });

  it.each<[unknown, number | null]>([
    [AT, AT],
    [1_700_000_000, 1_700_000_000_000],
    [undefined, null],
    ['yesterday', null],
    [-1, null],
    [0, null],
  ])('takes its time from %j; only one in ms can be compared with a watermark', (timestamp, at) => {
    const { platformAt, ...sent } = item('sent', { at });
    expect(readCall(call(echoOf({}, { timestamp })))).toEqual([timestamp === AT ? { ...sent, platformAt } : sent]);
  });
});

describe('a delivery', () => {
  it('names its messages', () => {
    expect(readCall(call(delivery({ mids: ['m_1', 'm_2'], watermark: AT })))).toEqual([
      item('delivered', { reference: null, at: null }),
      item('delivered', { reference: null, platformId: 'm_2', at: null }),
    ]);
  });

  it('gets the reference from the echo, should the answer to the send have been lost', () => {
    const threads = new Threads();
    readCall(call(echoOf()), threads);
    expect(readCall(call(delivery({ mids: ['m_1'], watermark: AT + 1 }, { timestamp: AT + 5 })), threads)).toEqual([
      item('delivered', { at: AT + 5 }),
    ]);
  });

  it('without ids covers what was sent before its watermark, by the platform’s own clock', () => {
    const threads = new Threads();
    readCall(call(echoOf(), echoOf({ mid: 'm_2', metadata: undefined }, { timestamp: AT + 10 })), threads);
    expect(readCall(call(delivery({ watermark: AT + 10 })), threads)).toEqual([item('delivered', { at: null })]);
    expect(readCall(call(delivery({ watermark: AT + 11 })), threads)).toEqual([
      item('delivered', { at: null, reference: null, platformId: 'm_2' }),
    ]);
  });

  it('covers a message whose echo comes after it', () => {
    const threads = new Threads();
    expect(readCall(call(delivery({ watermark: AT + 1 })), threads)).toEqual([mark(AT + 1)]);
    expect(readCall(call(echoOf()), threads)).toEqual([item('sent'), item('delivered', { at: null })]);
  });

  it.each<[string, unknown, object]>([
    [
      'another person’s',
      delivery({ watermark: AT + 99 }, { sender: { id: '6100000000000002' } }),
      mark(AT + 99, { to: '6100000000000002' }),
    ],
    ['one that is older', delivery({ watermark: AT }), mark(AT)],
  ])('never covers a message of which the platform has not said that it has it: %s', (_what, event, expected) => {
    const threads = new Threads();
    readCall(call(echoOf()), threads);
    expect(readCall(call(event), threads)).toEqual([expected]);
  });

  it('comes again where it is told again, for it may not have been stored, and not where a later one has come', () => {
    const threads = new Threads();
    const told = (watermark: number) => readCall(call(delivery({ watermark })), threads);
    expect(told(AT + 1)).toEqual([mark(AT + 1)]);
    expect(told(AT + 1)).toEqual([mark(AT + 1)]);
    expect(told(AT + 2)).toEqual([mark(AT + 2)]);
    expect(told(AT + 1)).toEqual([other('watermark_unmatched')]);
    expect(told(AT + 2)).toEqual([mark(AT + 2)]);
  });

  it('never covers by a time of seconds, which would be up to a second too early', () => {
    const threads = new Threads();
    readCall(call(echoOf({}, { timestamp: 1_700_000_000 })), threads);
    expect(readCall(call(delivery({ watermark: AT + 99 })), threads)).toEqual([mark(AT + 99)]);
    readCall(call(echoOf()), threads);
    expect(readCall(call(delivery({ watermark: 1_700_000_009 })), threads)).toEqual([unreadable('watermark_invalid')]);
  });

  it('of another page does not concern a thread with the same person', () => {
    const threads = new Threads();
    readCall(call(echoOf()), threads);
    const elsewhere = { object: 'page', entry: [{ id: '7', messaging: [delivery({ watermark: AT + 99 })] }] };
    expect(readCall(elsewhere, threads)).toEqual([mark(AT + 99, { sender: '7' })]);
  });

  it.each<[string, unknown, object[]]>([
    ['nothing', {}, [unreadable('message_unnamed')]],
    ['no ids', { mids: [] }, [unreadable('message_unnamed')]],
    ['ids that are none', { mids: 'many' }, [unreadable('message_unnamed')]],
    [
      'a bad id among good ones',
      { mids: [7, 'm_1'] },
      [unreadable('message_unnamed'), item('delivered', { reference: null, at: null })],
    ],
    ['a watermark that is none', { watermark: [1] }, [unreadable('watermark_invalid')]],
    [
      'a watermark that is none beside an id',
      { mids: ['m_1'], watermark: 'now' },
      [item('delivered', { reference: null, at: null }), unreadable('watermark_invalid')],
    ],
  ])('with %s', (_what, receipt, expected) => {
    expect(readCall(call(delivery(receipt)))).toEqual(expected);
  });

  it('of nobody cannot be matched', () => {
    expect(readCall(call(delivery({ watermark: AT }, { sender: {} })))).toEqual([unreadable('person_invalid')]);
    expect(readCall(call(delivery({ watermark: AT }, { sender: null })))).toEqual([unreadable('person_invalid')]);
  });
});

describe('a read', () => {
  it('of Messenger is a watermark', () => {
    const threads = new Threads();
    readCall(call(echoOf()), threads);
    expect(readCall(call(read({ watermark: AT + 800 })), threads)).toEqual([item('read', { at: AT + 900 })]);
  });

  it('of Instagram names its message', () => {
    const body = { object: 'instagram', entry: [{ id: PAGE, time: 1, messaging: [read({ mid: 'm_1' })] }] };
    expect(readEvents(post(body).raw, ['instagram'], new Threads())).toEqual([
      item('read', { reference: null, at: AT + 900 }),
    ]);
  });
});

describe('a call', () => {
  it('holds several pages and threads, other events and what cannot be read, and each counts for itself', () => {
    const body = {
      object: 'page',
      entry: [
        {
          id: PAGE,
          time: AT,
          messaging: [
            echoOf(),
            { sender: person, recipient: us, timestamp: AT, message: { mid: 'm_IN', text: 'Hello' } },
            { sender: person, recipient: us, timestamp: AT, postback: { payload: 'x' } },
            { sender: person, recipient: us, timestamp: AT, reaction: { mid: 'm_1', action: 'react' } },
            null,
            7,
            { message: 'Hello' },
            { delivery: null },
            { read: [] },
            {},
            delivery({ mids: ['m_1'], watermark: AT + 1 }),
          ],
        },
        { id: 9_007_199_254_740_991, messaging: [echoOf({ mid: 'm_2' })] },
        { id: PAGE, standby: [echoOf({ mid: 'm_3' }, { timestamp: AT + 5 })] },
        { id: PAGE, changes: [{ field: 'feed', value: {} }] },
        'x',
        { messaging: [echoOf({ mid: 'm_4' })] },
      ],
    };
    const { sender: _sender, ...unsent } = item('sent', { platformId: 'm_4' });
    expect(readCall(body)).toEqual([
      item('sent'),
      other('inbound_message'),
      other('event_other'),
      other('event_other'),
      unreadable('event_type'),
      unreadable('event_type'),
      unreadable('event_type'),
      unreadable('event_type'),
      unreadable('event_type'),
      other('event_other'),
      item('delivered', { at: null }),
      item('sent', { platformId: 'm_2', sender: '9007199254740991' }),
      item('sent', { platformId: 'm_3', at: AT + 5, platformAt: AT + 5 }),
      other('nothing_ours'),
      unreadable('entry_type'),
      unsent,
    ]);
  });

  it('keeps ids exact that a double cannot hold', () => {
    const raw = `{"object":"page","entry":[{"id":90071992547409931,"messaging":[
      {"recipient":{"id":90071992547409933},"timestamp":${AT},"message":{"is_echo":true,"mid":"m_1"}},
      {"sender":{"id":90071992547409932},"delivery":{"watermark":${AT + 9}}},
      {"sender":{"id":90071992547409933},"delivery":{"watermark":${AT + 9}}}]}]}`;
    const sender = '90071992547409931';
    expect(readCall(raw)).toEqual([
      item('sent', { reference: null, sender }),
      mark(AT + 9, { to: '90071992547409932', sender }),
      item('delivered', { reference: null, at: null, sender }),
    ]);
  });

  it('of another product is none of ours; Instagram takes either of its names', () => {
    const whatsapp = { object: 'whatsapp_business_account', entry: [] };
    for (const product of ['messenger', 'instagram'] as const) {
      expect(open(product).readStatuses(post(whatsapp))).toEqual([other('object_other')]);
      expect(open(product).readStatuses(post(call(echoOf())))).toEqual([item('sent')]);
    }
    const instagram = { ...call(echoOf()), object: 'instagram' };
    expect(open('messenger').readStatuses(post(instagram))).toEqual([other('object_other')]);
    expect(open('instagram').readStatuses(post(instagram))).toEqual([item('sent')]);
  });

  it('without entries says nothing', () => {
    expect(readCall({ object: 'page', entry: [] })).toEqual([]);
  });

  it.each<[string, string | Buffer, string]>([
    ['is empty', '', 'body_malformed_json'],
    ['is cut off', '{"object":"page","entry":[', 'body_malformed_json'],
    ['is not UTF-8', Buffer.from([0x7b, 0xff, 0x7d]), 'body_not_utf8'],
    ['is a list', '[]', 'field_type'],
    ['has no entries', '{"object":"page"}', 'field_missing'],
    ['has entries that are no list', '{"object":"page","entry":{}}', 'field_type'],
    [
      'is larger than any of Meta’s',
      JSON.stringify(call(delivery({ mids: Array(MAX_ITEMS + 1).fill('m_1'), watermark: AT }))),
      'body_too_large',
    ],
  ])('that %s has a coded error', (_what, raw, code) => {
    expect(() => readCall(raw)).toThrow(expect.objectContaining({ code }));
  });

  it('of any bytes and any JSON gives items or a coded error', () => {
    const scalar = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.constantFrom(AT, PAGE, 'm_1', REFERENCE, true));
    const part = fc.dictionary(
      fc.constantFrom('id', 'is_echo', 'mid', 'mids', 'watermark', 'metadata', 'is_deleted', 'text'),
      fc.oneof(scalar, fc.array(scalar)),
    );
    const event = fc.dictionary(
      fc.constantFrom('sender', 'recipient', 'timestamp', 'message', 'delivery', 'read', 'postback'),
      fc.oneof(part, scalar),
    );
    const entry = fc.dictionary(
      fc.constantFrom('id', 'messaging', 'standby', 'changes'),
      fc.oneof(fc.array(fc.oneof(event, scalar)), scalar),
    );
    const body = fc.record({ object: fc.constant('page'), entry: fc.array(fc.oneof(entry, scalar)) });
    const raw = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
      fc.json().map((text) => Buffer.from(text)),
      body.map((value) => Buffer.from(JSON.stringify(value))),
    );
    const threads = new Threads();
    const channels = [open('messenger'), open('instagram')];
    fc.assert(
      fc.property(raw, (bytes) => {
        for (const readAny of [
          () => readCall(bytes, threads),
          ...channels.map((c) => () => c.readStatuses(post(bytes))),
        ]) {
          try {
            const items = readAny();
            const nameless = items.filter((each) => each.kind === 'status' && !each.reference && !each.platformId);
            expect(nameless).toEqual([]);
          } catch (error) {
            expect(error).toBeInstanceOf(RoomlineError);
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});
