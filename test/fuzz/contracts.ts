/** What publishers and gateways may send, as docs/ and docs/generic-http-platform.md say it: the generator starts here. */
import { type TSchema, Type } from 'typebox';

const id = Type.String({ format: 'identifier' });
const LAST_MS = 253_402_300_799_999;
const time = Type.Integer({ minimum: 0, maximum: LAST_MS });
/** Before every expiry of this contract. */
const start = Type.Integer({ minimum: 100_000_000_000, maximum: LAST_MS - 1 });

export const messageContract = Type.Object(
  {
    tenant: Type.Optional(Type.Literal('default')),
    channel: Type.Enum(['main', 'twin']),
    room: id,
    messageId: Type.Optional(id),
    to: Type.Optional(id),
    content: Type.Unsafe<object>({ type: 'object', additionalProperties: true }),
    notBefore: Type.Optional(Type.Union([start, Type.Literal('2020-01-01T00:00:00.5+01:00')])),
    expiresAt: Type.Optional(Type.Union([Type.Literal(LAST_MS), Type.Literal('9999-12-31T23:59:59.999Z')])),
    ackTimeoutMs: Type.Optional(Type.Integer({ minimum: 1, maximum: 86_400_000 })),
    failurePolicy: Type.Optional(Type.Enum(['move_on', 'hold'])),
    // A message cannot supersede itself: these are nobody's ids.
    supersedes: Type.Optional(Type.String({ pattern: '^earlier-[a-z0-9]{1,40}$' })),
  },
  { additionalProperties: false },
);

const level = Type.Enum(['sent', 'delivered', 'read']);
const reference = Type.String({ pattern: '^[A-Za-z0-9_-]{1,40}$', minLength: 1, maxLength: 40 });
const named = { id: Type.Optional(id), reference: Type.Optional(reference), at: Type.Optional(time) };

const failure = Type.Object({
  code: Type.Optional(Type.Union([Type.String(), Type.Integer()])),
  scope: Type.Optional(Type.Enum(['message', 'room', 'channel', 'account'])),
  permanent: Type.Optional(Type.Boolean()),
  retryAfterMs: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
});

export const statusContract: TSchema = Type.Union([
  Type.Object({ ...named, status: level, cumulative: Type.Optional(Type.Boolean()) }),
  Type.Object({ ...named, status: Type.Literal('failed'), error: Type.Optional(failure) }),
  Type.Object({ watermark: time, to: id, status: level }),
]);
