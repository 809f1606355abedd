/** What the operator's endpoints of the fleet answer. */
import { type Static, Type } from 'typebox';
import { asOf, auditEntrySchema, faultSchema, flag, integer, integerOrNull, text, textOrNull } from './schemas.ts';

const number = (description: string) => Type.Number({ description });
const numberOrNull = (description: string) => Type.Unsafe<number | null>({ type: ['number', 'null'], description });

const membership = integer('Raised by every change of what the shards are distributed from.');
const planned = flag('The shards are distributed for this membership; false while that is still to come.');
const unowned = integer('Shards without a live owner.');

export const registeredSchema = Type.Object({
  worker: text('Its id, new at every start.'),
  name: text('The name of its node.'),
  roles: Type.Array(Type.String(), { description: 'What it does; only with worker among them it holds shards.' }),
  weight: number('Its part of the shards against that of others.'),
  ownWeight: number('What its configuration says.'),
  operatorWeight: numberOrNull('What an operator said of nodes of its name, which goes before that.'),
  draining: flag('It gives all its shards away.'),
  leaseLeftMs: integer('Until its lease ends; 0 or less: it is taken for dead.'),
  generation: integer('Of its fence.'),
  registeredAt: integer('When it started, ms since 1970.'),
});
export const workerListSchema = Type.Object({
  asOf,
  membership,
  planned,
  unowned,
  workers: Type.Array(
    Type.Object({
      ...registeredSchema.properties,
      shards: integer('Shards that it owns.'),
      leaving: integer('Of these, those that it is to hand over.'),
      promised: integer('Shards of others that it is to get.'),
      rooms: integer('Rooms of its shards that have an unsettled message; some seconds old.'),
      waiting: integer('Unsettled messages of these rooms; some seconds old.'),
    }),
  ),
  weights: Type.Array(Type.Object({ name: text('Of a node.'), weight: number('As an operator said.') }), {
    description: 'Every weight that an operator gave, also to names that no process has.',
  }),
});

const workerOrNull = (description: string) =>
  Type.Unsafe<{ worker: string; name: string | null } | null>({
    type: ['object', 'null'],
    properties: { worker: { type: 'string' }, name: { type: ['string', 'null'] } },
    description,
  });
export const shardListSchema = Type.Object({
  asOf,
  shards: Type.Array(
    Type.Object({
      shard: integer('Its number.'),
      owner: workerOrNull('Who holds it; null where nobody does.'),
      heir: workerOrNull('To whom its owner is to hand it over.'),
      heirLeftMs: integerOrNull('Until when, from now; below 0 where that is late.'),
      pin: textOrNull('The node to which an operator pinned it.'),
      epoch: integer('Raised with every change.'),
      movedAt: integer('Since when its owner has it, ms since 1970.'),
      rooms: integer('Rooms that have an unsettled message; some seconds old.'),
      waiting: integer('Unsettled messages of these rooms; some seconds old.'),
    }),
  ),
  after: integerOrNull('Ask with ?after= this for the next page; null on the last.'),
});

export const drainSchema = Type.Object({
  worker: text('Its id.'),
  name: text('The name of its node.'),
  draining: flag('Whether it drains now.'),
});

const shardMoveSchema = Type.Object({
  shard: integer('Its number.'),
  from: workerOrNull('Its owner; null where nobody has it.'),
  to: workerOrNull('Whose it will be; null: it stays, and its heir is withdrawn.'),
});
export const rebalancedSchema = Type.Object({
  dryRun: flag('Nothing was changed.'),
  membership: integer('What it was decided from.'),
  moved: integer('Shards that move for it.'),
  moves: Type.Array(shardMoveSchema, { description: 'The first 1,000 of them.' }),
  workers: Type.Array(
    Type.Object({
      worker: text('Its id.'),
      name: text('The name of its node.'),
      before: integer('Shards that it keeps or that were promised to it.'),
      after: integer('Those that it will have.'),
    }),
  ),
  warnings: Type.Array(faultSchema, { description: 'What is taken and may not be meant.' }),
});
export type RebalancedView = Static<typeof rebalancedSchema>;

const endSchema = Type.Object({ worker: text('Its id.'), name: textOrNull('Null for one that is fenced.') });
export const progressSchema = Type.Object({
  asOf,
  membership,
  planned,
  running: flag('A distribution is to come, or shards are still to be handed over.'),
  changedAt: integer('When the membership last changed, by whatever, ms since 1970.'),
  unowned,
  promised: integer('Shards that are still to be handed over.'),
  moved: integer('Shards that have got another owner since changedAt.'),
  passages: Type.Array(
    Type.Object({
      from: endSchema,
      to: endSchema,
      shards: integer('Still to be handed over.'),
      nextDeadlineMs: integer('Until the first of them is late, from now; below 0 where one is.'),
    }),
  ),
  last: Type.Unsafe<Static<typeof auditEntrySchema> | null>({
    ...auditEntrySchema,
    type: ['object', 'null'],
    description: 'The last change by an operator.',
  }),
});
