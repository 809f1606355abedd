/** What operators are answered about the buffer, as schemas, and what the contract says of it. */
import { Type } from 'typebox';
import type { OperationText } from './contract.ts';
import { asOf, integer, integerOrNull, text, textOrNull } from './schemas.ts';

export const MAX_BURIED_IDS = 1_000;
export const ENTRY_ID = '^[0-9]{1,20}-[0-9]{1,20}$';

export const bufferSchema = Type.Object({
  asOf,
  messages: integer('Entries that wait to be inserted.'),
  oldestAt: integerOrNull('When the first was appended, by the clock of Redis; ms since 1970.'),
  buried: integer('Entries that were put aside.'),
  partitions: Type.Array(
    Type.Object({
      partition: integer('From 0.'),
      messages: integer('Entries that wait in it.'),
      oldestAt: integerOrNull('When the first was appended, ms since 1970.'),
      buried: integer('Entries that were put aside.'),
    }),
  ),
});

export const buriedListSchema = Type.Object({
  asOf,
  letters: Type.Array(
    Type.Object({
      id: text('Of the dead letter.'),
      entry: text('Of the entry that it was.'),
      reason: text('Why it was put aside.'),
      bytes: integer('Of its message.'),
      at: integer('When it was put aside, ms since 1970.'),
    }),
    { description: 'Oldest first.' },
  ),
  after: textOrNull('Ask with ?after= this for the next page; null on the last.'),
});

const idsSchema = Type.Object(
  {
    ids: Type.Array(Type.String({ pattern: ENTRY_ID }), { minItems: 1, maxItems: MAX_BURIED_IDS }),
  },
  { additionalProperties: false },
);
export const endedSchema = Type.Object({ count: integer('How many of the dead letters there were.') });

const AT = 1_767_225_600_000;
const ended = {
  body: { schema: idsSchema, example: { ids: [`${AT}-0`] } },
  errors: ['field_invalid', 'field_missing', 'field_unknown'],
  example: { count: 1 },
} as const;

export const BUFFER_OPERATIONS: Readonly<Record<string, OperationText>> = {
  'GET /v1/ops/buffer': {
    operationId: 'getBuffer',
    tag: 'operate',
    summary: 'What waits in the buffer, by partition. Only where there is one.',
    example: {
      asOf: AT + 40,
      messages: 12,
      oldestAt: AT,
      buried: 0,
      partitions: [{ partition: 0, messages: 12, oldestAt: AT, buried: 0 }],
    },
  },
  'GET /v1/ops/buffer/:partition/dead-letters': {
    operationId: 'listBuriedEntries',
    tag: 'operate',
    summary: 'Entries of the buffer that were refused too often, and were put aside.',
    example: {
      asOf: AT + 40,
      letters: [{ id: `${AT}-0`, entry: `${AT - 9}-0`, reason: '22P05', bytes: 180, at: AT }],
      after: null,
    },
  },
  'POST /v1/ops/buffer/:partition/dead-letters/replay': {
    operationId: 'replayBuriedEntries',
    tag: 'operate',
    summary: 'Puts such entries back, behind everything that waits in the partition.',
    ...ended,
  },
  'POST /v1/ops/buffer/:partition/dead-letters/discard': {
    operationId: 'discardBuriedEntries',
    tag: 'operate',
    summary: 'Removes such entries for good.',
    ...ended,
  },
};
