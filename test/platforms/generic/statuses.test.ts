import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RoomlineError } from '../../../src/errors.ts';
import { MAX_STATUSES, readStatuses } from '../../../src/platforms/generic/statuses.ts';

const AT = 1_700_000_000_400;

function read(...statuses: unknown[]) {
  return readStatuses(Buffer.from(JSON.stringify({ statuses })));
}

function refusal(raw: string | Buffer): string {
  try {
    readStatuses(Buffer.from(raw));
  } catch (error) {
    if (error instanceof RoomlineError) return error.code;
    throw error;
  }
  return 'read';
}

describe('the statuses of a call', () => {
  it('are read as the protocol says', () => {
    expect(
      read(
        { id: 'gw-1', reference: 'ref-1', status: 'delivered', at: AT },
        { id: 'gw-2', status: 'failed', at: AT, error: { code: 'blocked', scope: 'room', permanent: false } },
        { reference: 'ref-3', status: 'read', cumulative: true },
        { watermark: AT, to: '+15550100001', status: 'read' },
      ),
    ).toEqual([
      {
        kind: 'status',
        reference: 'ref-1',
        platformId: 'gw-1',
        level: 'delivered',
        nack: null,
        at: AT,
        cumulative: false,
      },
      {
        kind: 'status',
        reference: null,
        platformId: 'gw-2',
        level: null,
        nack: { permanent: false, scope: 'room', retryAfterMs: null, code: 'blocked' },
        at: AT,
        cumulative: false,
      },
      {
        kind: 'status',
        reference: 'ref-3',
        platformId: null,
        level: 'read',
        nack: null,
        at: null,
        cumulative: true,
      },
      { kind: 'watermark', to: '+15550100001', level: 'read', watermark: AT },
    ]);
  });

  it('may be none', () => {
    expect(read()).toEqual([]);
  });

  it.each<[string, unknown, string]>([
    ['null', null, 'item_type'],
    ['a text', 'delivered', 'item_type'],
    ['a list', [], 'item_type'],
    ['no name', { status: 'delivered' }, 'message_unnamed'],
    ['a malformed reference alone', { reference: 'a b', status: 'delivered' }, 'message_unnamed'],
    ['an endless reference', { reference: 'x'.repeat(41), status: 'delivered' }, 'message_unnamed'],
    ['an id that cannot be stored', { id: 'a\0', status: 'delivered' }, 'message_unnamed'],
    ['an id that is an object', { id: { nested: [1] }, status: 'delivered' }, 'message_unnamed'],
    ['an unknown status', { id: 'a', status: 'pondered' }, 'status_unknown'],
    ['no status', { id: 'a' }, 'status_unknown'],
    ['a number as status', { id: 'a', status: 7 }, 'status_unknown'],
    ['a name of Object.prototype as status', { id: 'a', status: 'toString' }, 'status_unknown'],
    ['a watermark that is a text', { watermark: 'now', to: 'r', status: 'read' }, 'watermark_invalid'],
    ['a negative watermark', { watermark: -1, to: 'r', status: 'read' }, 'watermark_invalid'],
    ['a watermark without recipient', { watermark: AT, status: 'read' }, 'recipient_invalid'],
    ['a failed watermark', { watermark: AT, to: 'r', status: 'failed' }, 'status_unknown'],
  ])('that cannot be read are told apart: %s', (_what, item, code) => {
    const good = { id: 'gw-1', status: 'sent' };
    expect(read(good, item, good)).toMatchObject([
      { kind: 'status' },
      { kind: 'unreadable', code },
      { kind: 'status' },
    ]);
  });

  it('keep ids exact that a double cannot hold', () => {
    const raw = '{"statuses":[{"id":12345678901234567890,"status":"sent"},{"id":7,"status":"sent"}]}';
    expect(readStatuses(Buffer.from(raw))).toMatchObject([{ platformId: '12345678901234567890' }, { platformId: '7' }]);
  });

  it('go by the id where the reference is malformed', () => {
    expect(read({ reference: '!', id: 'gw-1', status: 'sent' })).toMatchObject([
      { reference: null, platformId: 'gw-1' },
    ]);
  });

  it.each([
    ['seconds', 1_700_000_000],
    ['a text', 'yesterday'],
    ['null', null],
  ])('leave out a time in %s', (_what, at) => {
    expect(read({ id: 'a', status: 'sent', at })).toMatchObject([{ at: null }]);
  });

  it('fail for good where the gateway does not say otherwise', () => {
    const nack = { permanent: true, scope: 'message', retryAfterMs: null, code: 'failed' };
    expect(read({ id: 'a', status: 'failed' }, { id: 'a', status: 'failed', error: 'gone' })).toMatchObject([
      { level: null, nack },
      { level: null, nack },
    ]);
  });

  it(`may be ${MAX_STATUSES}, one of them broken`, () => {
    const items = Array.from({ length: MAX_STATUSES }, (_, index) => ({ id: `gw-${index}`, status: 'sent' }));
    items[77] = { id: '', status: 'sent' };
    const statuses = read(...items);
    expect(statuses).toHaveLength(MAX_STATUSES);
    expect(statuses.filter((status) => status.kind === 'unreadable')).toHaveLength(1);
  });
});

describe('a call of which nothing can be read', () => {
  it.each<[string, string | Buffer, string]>([
    ['nothing', '', 'body_malformed_json'],
    ['no JSON', 'hello', 'body_malformed_json'],
    ['no UTF-8', Buffer.from([0xff, 0xfe]), 'body_not_utf8'],
    ['no object', '[]', 'field_missing'],
    ['no statuses', '{}', 'field_missing'],
    ['statuses that are no list', '{"statuses":{}}', 'field_type'],
    ['too many', JSON.stringify({ statuses: Array(MAX_STATUSES + 1).fill(0) }), 'body_too_large'],
    [
      'a large number in a bottomless list',
      `${'['.repeat(200_000)}1234567890123456789${']'.repeat(200_000)}`,
      'body_too_deep',
    ],
  ])('%s is refused', (_what, raw, code) => {
    expect(refusal(raw)).toBe(code);
  });

  it('is refused with a code, whatever it is', () => {
    const item = fc.record(
      {
        id: fc.anything(),
        reference: fc.anything(),
        status: fc.oneof(fc.constantFrom('sent', 'failed', 'read'), fc.anything()),
        at: fc.anything(),
        error: fc.anything(),
        watermark: fc.anything(),
        to: fc.anything(),
        cumulative: fc.anything(),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(item, fc.anything()), { maxLength: 5 }), (items) => {
        const raw = JSON.stringify({ statuses: items.map((one) => (one === undefined ? null : one)) }, (_key, value) =>
          typeof value === 'bigint' ? String(value) : value,
        );
        expect(readStatuses(Buffer.from(raw))).toHaveLength(items.length);
      }),
    );
  });
});
