/** What the API answers to operators' orders, of dead letters and of failures. */
import { type Static, Type } from 'typebox';
import { FAILURE_KINDS, LETTER_STATES } from '../engine/operator-ports.ts';
import { MESSAGE_ORDERS, ORDER_EFFECTS, ROOM_ORDERS } from '../engine/steering.ts';
import {
  asOf,
  flag,
  integer,
  integerOrNull,
  messageSchema,
  problemSchema,
  roomSchema,
  text,
  textOrNull,
} from './schemas.ts';

/** What a fingerprint looks like. */
export const FINGERPRINT = '^[0-9a-f]{32}$';

const oneOf = <const T extends readonly string[]>(values: T, description: string) =>
  Type.Unsafe<T[number]>({ type: 'string', enum: values, description });
// The output is shaped by the first of the two that fits.
const orNull = <T extends ReturnType<typeof Type.Object>>(schema: T) => Type.Union([schema, Type.Null()]);

const ordered = {
  changed: flag('False where it was so already, or the same order had been given before.'),
  dryRun: flag('Nothing was done: this is what would be.'),
  effect: oneOf(ORDER_EFFECTS, 'When it takes effect.'),
  explanation: text('The same in a line.'),
};
export const roomOrderedSchema = Type.Object({
  order: oneOf(ROOM_ORDERS, 'What was ordered.'),
  ...ordered,
  room: roomSchema,
});
export const messageOrderedSchema = Type.Object({
  order: oneOf(MESSAGE_ORDERS, 'What was ordered.'),
  ...ordered,
  message: messageSchema,
});

export const gapSkippedSchema = Type.Object({
  waitsFor: integer('The number that the room waited for.'),
  skipped: orNull(Type.Object({ first: integer('The first number given up.'), last: integer('The last one.') })),
  dryRun: flag('Nothing was done.'),
  room: roomSchema,
});

const linkSchema = Type.Object({
  id: text('Of the message; GET /v1/messages/<id> shows it.'),
  sequence: integer('Its number in its room.'),
});

export const letterSchema = Type.Object({
  id: integer('Names the dead letter.'),
  at: integer('When it was written, ms since 1970.'),
  kind: oneOf(['message', 'intake'], 'A message that failed for good, or a payload that intake refused.'),
  reason: text('Why: of a message the reason it settled by, of a payload the code of its error.'),
  code: textOrNull("The platform's code; null of a payload."),
  detail: textOrNull('What is wrong with a payload; null of a message.'),
  fingerprint: textOrNull('Of the failure that made it, as its group has it; null of old letters.'),
  tenant: textOrNull('Null of a payload.'),
  channel: textOrNull('Null of a payload.'),
  room: textOrNull('Null of a payload.'),
  message: orNull(linkSchema),
  state: oneOf(LETTER_STATES, 'What operators did about it.'),
  closedAt: integerOrNull('When it was replayed or discarded, ms since 1970.'),
  closedBy: textOrNull('The name of the key that did it.'),
  replayedAs: orNull(linkSchema),
});
export type LetterView = Static<typeof letterSchema>;

export const letterListSchema = Type.Object({
  asOf,
  letters: Type.Array(letterSchema, { description: 'Newest first.' }),
  cursor: textOrNull('Ask with ?cursor= this to go on; null at the end. A page may be short, or empty, and go on.'),
});

export const letterDetailSchema = Type.Object({
  asOf,
  ...letterSchema.properties,
  outcome: orNull(messageSchema),
  body: Type.Optional(
    Type.Unsafe<unknown>({ description: 'Recipient and content of the message; scope operate only.' }),
  ),
  payload: Type.Optional(
    Type.Object(
      {
        encoding: oneOf(['utf8', 'base64'], 'Base64 where it is no UTF-8.'),
        data: text('As it came.'),
        attributes: Type.Record(Type.String(), Type.String(), { description: 'Of the message of the queue.' }),
      },
      { description: 'Of a payload that intake refused; scope operate only.' },
    ),
  ),
});

const replayedSchema = Type.Object({
  letter: integer('The dead letter.'),
  result: oneOf(
    ['replayed', 'replayable', 'already', 'refused'],
    'Replayable: a dry run found nothing against it. Already: it was replayed before, as the same message.',
  ),
  tenant: textOrNull('Of its room; null where that is not known.'),
  channel: textOrNull('Of its room.'),
  room: textOrNull('Its room.'),
  from: orNull(linkSchema),
  to: orNull(linkSchema),
  possiblyDelivered: flag('The old message may have reached the platform: a copy may be seen twice.'),
  error: Type.Optional(problemSchema),
});
export const replaySchema = Type.Object({
  dryRun: flag('Nothing was done: this is what would be.'),
  replayed: integer('Letters replayed by this call.'),
  refused: integer('Letters that are not replayed; each has an error.'),
  more: flag('The selection ended at its limit: repeat it for the rest.'),
  letters: Type.Array(replayedSchema, { description: 'In the order of the replay: within a room the original one.' }),
});

export const discardSchema = Type.Object({
  dryRun: flag('Nothing was done: this is what would be.'),
  discarded: Type.Array(Type.Integer(), { description: 'Letters that are discarded now.' }),
  refused: Type.Array(Type.Object({ letter: integer('The dead letter.'), error: problemSchema })),
  more: flag('The selection ended at its limit: repeat it for the rest.'),
});

export const failureListSchema = Type.Object({
  asOf: integer('ms since 1970. What processes have counted in the second before is not in it yet.'),
  failures: Type.Array(
    Type.Object({
      fingerprint: text("A digest of channel, kind, code and the platform's words: names the group, and its letters."),
      tenant: textOrNull('Null for payloads that intake refused.'),
      channel: textOrNull('Null for payloads that intake refused.'),
      kind: oneOf(FAILURE_KINDS, 'How attempts failed, or that intake refused a payload.'),
      code: text("The platform's code, or ours where it gave none."),
      count: integer('Attempts that failed so, or payloads that were refused.'),
      deadLetters: integer('Messages that failed for good with it, or payloads that were refused.'),
      firstSeen: integer('ms since 1970.'),
      lastSeen: integer('ms since 1970.'),
      sample: orNull(linkSchema),
    }),
    { description: 'The last seen first.' },
  ),
});
