import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RoomlineError } from '../../../src/errors.ts';
import { MAX_ITEMS, readStatuses } from '../../../src/platforms/whatsapp/statuses.ts';

const PHONE = '900000000000002';
const REFERENCE = 'AAAAAAAAAAAqAAAAAAAHq83vEjRW';

function change(value: object, phone: string | undefined = PHONE) {
  const metadata = { display_phone_number: '15550100002', phone_number_id: phone };
  return { field: 'messages', value: { messaging_product: 'whatsapp', metadata, ...value } };
}

function call(...changes: unknown[]) {
  return { object: 'whatsapp_business_account', entry: [{ id: '900000000000001', changes }] };
}

function read(body: unknown) {
  return readStatuses(Buffer.from(JSON.stringify(body)));
}

function readOne(status: unknown) {
  const items = read(call(change({ statuses: [status] })));
  expect(items).toHaveLength(1);
  return items[0];
}

const sent = {
  id: 'wamid.FAKE0001',
  status: 'sent',
  timestamp: '1700000001',
  recipient_id: '15550100001',
  biz_opaque_callback_data: REFERENCE,
  pricing: { billable: false, pricing_model: 'PMP', type: 'free_customer_service', category: 'service' },
};

const item = {
  kind: 'status',
  reference: REFERENCE,
  platformId: 'wamid.FAKE0001',
  level: 'sent',
  nack: null,
  at: 1_700_000_001_000,
  cumulative: false,
  sender: PHONE,
};

describe('a status', () => {
  it('is read as documented', () => {
    expect(readOne(sent)).toEqual(item);
  });

  it.each([
    ['delivered', 'delivered'],
    ['read', 'read'],
    ['played', 'read'],
  ])('%s says that the message was %s', (status, level) => {
    expect(readOne({ ...sent, status })).toEqual({ ...item, level });
  });

  it.each([
    ['deleted', { kind: 'other', code: 'status_deleted' }],
    ['warning', { kind: 'other', code: 'status_warning' }],
    ['pondered', { kind: 'unreadable', code: 'status_unknown' }],
    ['SENT', { kind: 'unreadable', code: 'status_unknown' }],
    ['toString', { kind: 'unreadable', code: 'status_unknown' }],
    [7, { kind: 'unreadable', code: 'status_unknown' }],
    [null, { kind: 'unreadable', code: 'status_unknown' }],
    [undefined, { kind: 'unreadable', code: 'status_unknown' }],
  ])('%s is counted', (status, expected) => {
    expect(readOne({ ...sent, status })).toEqual(expected);
  });

  it.each<[string, unknown, object]>([
    ['without our reference is found by its id', undefined, { reference: null, platformId: 'wamid.FAKE0001' }],
    ['with another system’s reference too', 'room-42/msg-7/try-1', { reference: null, platformId: 'wamid.FAKE0001' }],
    ['with a reference that is no text too', { a: 1 }, { reference: null, platformId: 'wamid.FAKE0001' }],
    ['with a reference that is too long too', 'x'.repeat(513), { reference: null, platformId: 'wamid.FAKE0001' }],
  ])('%s', (_what, reference, expected) => {
    expect(readOne({ ...sent, biz_opaque_callback_data: reference })).toMatchObject(expected);
  });

  it('is found by its reference alone', () => {
    expect(readOne({ ...sent, id: undefined })).toEqual({ ...item, platformId: null });
    expect(readOne({ ...sent, id: { nested: [1] } })).toEqual({ ...item, platformId: null });
  });

  it('that names no message is counted', () => {
    expect(readOne({ ...sent, id: undefined, biz_opaque_callback_data: undefined })).toEqual({
      kind: 'unreadable',
      code: 'message_unnamed',
    });
  });

  it.each<[string, unknown, number | null]>([
    ['a text of seconds', '1700000001', 1_700_000_001_000],
    ['a number of seconds', 1_700_000_001, 1_700_000_001_000],
    ['a text of milliseconds', '1700000001234', 1_700_000_001_234],
    ['nothing', undefined, null],
    ['a word', 'yesterday', null],
    ['a fraction', '1700000001.5', null],
    ['a negative number', '-5', null],
    ['zero', '0', null],
    ['more than a number holds', '99999999999999999999', null],
    ['an object', {}, null],
  ])('takes its time from %s', (_what, timestamp, at) => {
    expect(readOne({ ...sent, timestamp })).toEqual({ ...item, at });
  });

  it('is not disturbed by fields that are new', () => {
    const more = { recipient_user_id: 'US.1', conversation: null, pricing: [1], type: 'message', __proto__: { id: 1 } };
    expect(readOne({ ...more, ...sent })).toEqual(item);
  });

  it.each([null, 7, 'sent', [], [sent], true])('that is %j is counted', (status) => {
    expect(readOne(status)).toEqual({ kind: 'unreadable', code: 'item_type' });
  });
});

describe('a failed status', () => {
  const failed = (errors: unknown) => readOne({ ...sent, status: 'failed', errors });
  const nack = (permanent: boolean, scope: string, code: string, retryAfterMs: number | null = null) => ({
    ...item,
    level: null,
    nack: { permanent, scope, retryAfterMs, code },
  });
  const error = (code: unknown) => ({ code, title: 'x', message: 'x', error_data: { details: 'x' }, href: '/x' });

  it.each([
    [131026, true, 'message', null],
    [131047, true, 'message', null],
    [131049, true, 'message', null],
    [131050, true, 'message', null],
    [130472, true, 'message', null],
    [131053, false, 'message', null],
    [131000, false, 'message', null],
    [131056, false, 'room', null],
    [130429, false, 'channel', null],
    [131048, false, 'channel', 900_000],
    [131042, true, 'account', null],
    [131031, true, 'account', null],
    [424_242, true, 'message', null],
  ])('with %i', (code, permanent, scope, waitMs) => {
    expect(failed([error(code)])).toMatchObject(nack(permanent, scope, String(code), waitMs));
  });

  it('takes the first error that has a code, as a text or a level deeper too', () => {
    expect(failed([null, {}, error('131026'), error(131047)])).toMatchObject(nack(true, 'message', '131026'));
    expect(failed([{ error: error(131047) }])).toMatchObject(nack(true, 'message', '131047'));
  });

  it.each([undefined, null, [], 'many', {}, [7], [{ code: 'x' }]])(
    'has failed for good with the errors %j',
    (errors) => {
      expect(failed(errors)).toEqual(nack(true, 'message', 'failed'));
    },
  );
});

describe('a call', () => {
  it('mixes statuses of several numbers, entries and changes with all else', () => {
    const body = {
      object: 'whatsapp_business_account',
      entry: [
        {
          id: '1',
          changes: [
            change({ statuses: [sent] }),
            change({ contacts: [{ wa_id: '1' }], messages: [{ from: '1', id: 'wamid.IN', type: 'text' }, null] }),
            { field: 'account_update', value: { event: 'ACCOUNT_RESTRICTION' } },
          ],
        },
        { id: '2', changes: [change({ statuses: [{ ...sent, status: 'read' }, 7] }, '900000000000009')] },
        {
          id: '3',
          changes: [
            change(
              { errors: [{ code: 131042, title: 'x' }, 'x'], statuses: [{ ...sent, status: 'delivered' }] },
              undefined,
            ),
            change({}),
          ],
        },
      ],
    };
    const { sender: _sender, ...withoutSender } = item;
    const { metadata: _metadata, ...bare } = change({ statuses: [sent] }).value;
    expect(read(body)).toEqual([
      item,
      { kind: 'other', code: 'inbound_message' },
      { kind: 'other', code: 'inbound_message' },
      { kind: 'other', code: 'field_other' },
      { ...item, level: 'read', sender: '900000000000009' },
      { kind: 'unreadable', code: 'item_type' },
      { ...item, level: 'delivered' },
      {
        kind: 'channel',
        nack: { permanent: true, scope: 'account', retryAfterMs: null, code: '131042' },
        sender: '900000000000002',
      },
      { kind: 'unreadable', code: 'account_error_unread' },
      { kind: 'other', code: 'nothing_ours' },
    ]);
    expect(read(call({ field: 'messages', value: bare }))).toEqual([withoutSender]);
  });

  it.each<[string, unknown, object[]]>([
    ['of another product', { object: 'page', entry: [{ messaging: [] }] }, [{ kind: 'other', code: 'object_other' }]],
    ['without entries', { object: 'whatsapp_business_account', entry: [] }, []],
    ['with an entry that is none', { ...call(), entry: [null] }, [{ kind: 'unreadable', code: 'entry_type' }]],
    ['with an entry without changes', { ...call(), entry: [{ id: 1 }] }, [{ kind: 'unreadable', code: 'entry_type' }]],
    ['with a change that is none', call('x'), [{ kind: 'unreadable', code: 'change_type' }]],
    ['with a change without a field', call({ value: {} }), [{ kind: 'other', code: 'field_other' }]],
    ['with a value that is none', call({ field: 'messages' }), [{ kind: 'unreadable', code: 'value_type' }]],
    ['with statuses that are no list', call(change({ statuses: { a: 1 } })), [{ kind: 'other', code: 'nothing_ours' }]],
    ['about groups and calls', call({ field: 'calls', value: {} }), [{ kind: 'other', code: 'field_other' }]],
  ])('%s', (_what, body, expected) => {
    expect(read(body)).toEqual(expected);
  });

  it.each<[string, string | Buffer, string]>([
    ['is empty', '', 'body_malformed_json'],
    ['is cut off', '{"object":"whatsapp_business_account","entry":[', 'body_malformed_json'],
    ['is not UTF-8', Buffer.from([0x7b, 0xff, 0x7d]), 'body_not_utf8'],
    ['is a list', '[]', 'field_type'],
    ['is null', 'null', 'field_type'],
    ['has no entry', '{"object":"whatsapp_business_account"}', 'field_missing'],
    ['has an entry that is no list', '{"object":"whatsapp_business_account","entry":{}}', 'field_type'],
  ])('is refused where it %s', (_what, raw, code) => {
    expect(() => readStatuses(Buffer.from(raw))).toThrow(expect.objectContaining({ code }));
  });

  it('is refused where it has more items than any call of Meta’s', () => {
    const statuses = Array.from({ length: MAX_ITEMS + 1 }, () => null);
    expect(() => read(call(change({ statuses })))).toThrow(expect.objectContaining({ code: 'body_too_large' }));
  });

  it('gives items or a coded error, whatever its bytes are', () => {
    const shapes = fc.oneof(
      fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)),
      fc.json().map((text) => Buffer.from(text)),
      fc
        .jsonValue()
        .map((entry) => Buffer.from(JSON.stringify({ object: 'whatsapp_business_account', entry: [entry] }))),
      fc.jsonValue().map((value) => Buffer.from(JSON.stringify(call({ field: 'messages', value })))),
      fc
        .tuple(fc.jsonValue(), fc.jsonValue(), fc.jsonValue(), fc.constantFrom('sent', 'failed', 'read', 'x', 7))
        .map(([id, errors, timestamp, status]) =>
          Buffer.from(JSON.stringify(call(change({ statuses: [{ id, errors, timestamp, status }] })))),
        ),
    );
    fc.assert(
      fc.property(shapes, (raw) => {
        try {
          for (const each of readStatuses(raw)) {
            expect(['status', 'other', 'unreadable']).toContain(each.kind);
            if (each.kind === 'status') expect((each.level === null) !== (each.nack === null)).toBe(true);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(RoomlineError);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('a call with 1,000 statuses', () => {
  const statuses = Array.from({ length: 1_000 }, (_, index) => ({
    ...sent,
    id: `wamid.HBgLMTU1NTAxMDAwMDEVAgARGBI${String(index).padStart(20, '0')}`,
    biz_opaque_callback_data: `ref${index}`,
    status: ['sent', 'delivered', 'read', 'failed'][index % 4],
    ...(index % 4 === 3 ? { errors: [{ code: 131026, title: 'Message undeliverable' }] } : {}),
  }));

  it('loses none of them to a bad one among them', () => {
    const body = call(
      change({ statuses: statuses.slice(0, 500) }),
      change({ statuses: [null, ...statuses.slice(500)] }),
    );
    const items = read(body);
    expect(items).toHaveLength(1_001);
    expect(items.filter(({ kind }) => kind === 'status')).toHaveLength(1_000);
    expect(new Set(items.map((each) => ('reference' in each ? each.reference : null))).size).toBe(1_001);
  });

  it('is read in a few milliseconds', () => {
    const raw = Buffer.from(JSON.stringify(call(change({ statuses }))));
    readStatuses(raw);
    const times = Array.from({ length: 9 }, () => {
      const from = performance.now();
      readStatuses(raw);
      return performance.now() - from;
    }).sort((a, b) => a - b);
    // Some 2 ms where nobody else uses the machine.
    expect(times[0]).toBeLessThan(40);
  });
});
