/** Writers that are no room's holder: workers among themselves, the inbox, the history, maintenance; and three at once. */
import type { LateFact, SettledState } from '../../../../src/engine/ports.ts';
import { judgeLate, type LateEvent } from '../../../../src/room/ack.ts';
import { claimBy, type World } from '../../../conformance/world.ts';
import { takeFreeShards } from '../../../support/fleet.ts';
import { accepted, ack, deadline, nackOf, operator, START } from '../../../support/rooms.ts';
import { acceptance, ackById, appending, decideAndWrite, doing, write } from './acts.ts';
import { awaiting, claimed, deadWorker, empty, NOW, type Play, resting } from './plays.ts';
import type { Actor, Part, Stage } from './stage.ts';

const LEASE_MS = 3_600_000;
const ONLY_COMMIT = ['commit'] as const;
/** Days of the world, which begins in 1970, and of the time before it. */
const WORLDS_DAY = `DATE '1970-01-01'`;
const DAY_BEFORE = `DATE '1969-12-31'`;

/** Anything of maintenance that the store does in one call, held before its commit. */
function maintaining(statement: string): Part {
  return doing(async ({ session }) => {
    await session.query('BEGIN');
    try {
      await session.query(statement);
      await session.query('SELECT stop_at(2)');
      await session.query('COMMIT');
      return 'done';
    } catch (error) {
      await session.query('ROLLBACK');
      throw error;
    }
  });
}

/** Messages 1 to `count` have settled without their acks, and without ids of the platform. */
async function settledAsAssumed(world: World, count = 1): Promise<void> {
  const proof = await world.worker(`worker-${world.channel}`);
  let room = await world.roomWith(count, 'room', NOW);
  for (let sequence = 1; sequence <= count; sequence++) {
    room = await world.apply(room, proof, claimBy(proof), accepted(sequence, 1, null), deadline());
  }
}

/** Late acks and nacks: judged by what the history holds, and again where that has changed. */
function late(world: World, ...told: readonly (readonly [sequence: number, event: LateEvent])[]): Part {
  return {
    stops: ['decided', 'commit'],
    run: async (actor: Actor) => {
      const { shard, id } = (await world.stored()).row;
      const { history } = actor.opened.stores;
      const became = told.map(() => '');
      for (let left = told.map(([sequence, event], index) => ({ sequence, event, index })); left.length > 0; ) {
        const states = await history.readSettledStates(left.map(({ sequence }) => ({ shard, id, sequence })));
        const judged = left.map((one, at) => {
          const state = states[at] as SettledState;
          return { one, state, verdict: judgeLate(state, one.event) };
        });
        await actor.at('decided');
        for (const { one, verdict } of judged) {
          became[one.index] = verdict.kind === 'ignored' ? `ignored: ${verdict.reason}` : verdict.kind;
        }
        const changes = judged.flatMap(({ one, state, verdict }) =>
          verdict.kind === 'ignored' ? [] : [{ one, state, verdict, key: world.key(), fingerprint: null, at: START }],
        );
        const changed = changes.length === 0 ? [] : await history.updateSettled(changes);
        left = changes.filter((_, at) => changed[at] !== true).map(({ one }) => one);
      }
      return became.join(', ');
    },
  };
}

/** Answers that bring the platform's ids, or none. */
function answering(world: World, platformId: string | null, ...sequences: readonly number[]): Part {
  return doing(async (actor) => {
    const { row } = await world.stored();
    const facts = sequences.map((sequence): LateFact => {
      const fact = { kind: 'answered_late', sequence, attempt: 1, result: 'accepted', code: null } as const;
      return { address: row, fact: { ...fact, platformId, at: START } };
    });
    await actor.opened.stores.history.recordLate(facts);
    return 'recorded';
  });
}

/** A watermark, or a cumulative ack: raises what is lower until nothing is. */
function raising(world: World, upTo = 1): Part {
  return {
    stops: ['decided', 'commit'],
    run: async (actor: Actor) => {
      const { shard, id } = (await world.stored()).row;
      const { history } = actor.opened.stores;
      for (;;) {
        const [lower = []] = await history.readLowerLevels([{ shard, id, upTo, level: 'read', watermark: null }], 10);
        await actor.at('decided');
        if (lower.length === 0) return 'raised';
        const next = { level: 'read', levelAt: START } as const;
        await history.updateSettled(
          lower.map((state) => ({
            state,
            verdict: { kind: 'raised', next: { ...state, ...next }, deadLetter: null },
            key: world.key(),
            fingerprint: null,
            at: START,
          })),
        );
      }
    },
  };
}

const failure: LateEvent = { type: 'nack', nack: nackOf({ code: 'late' }), at: START };
const delivery: LateEvent = { type: 'ack', level: 'delivered', at: START };

const WORKERS: readonly Play[] = [
  {
    name: 'late renewal: a lease that has ended is not renewed, before the fence or after it',
    prepare: async (world, stage) => {
      const { worker } = await deadWorker(world, stage);
      return [
        doing(async (actor) => (await actor.opened.stores.ownership.renew(worker, LEASE_MS)) !== null),
        doing((actor) => actor.opened.stores.ownership.fence(worker)),
      ];
    },
    holds: (final, [renewed, fenced]) => renewed === false && fenced === true && final.workers[0]?.fenced === true,
  },
  {
    name: 'late fence: a worker that renews in time is not fenced',
    prepare: async (world) => {
      const { worker } = await world.worker(`alive-${world.channel}`);
      return [
        doing(async (actor) => (await actor.opened.stores.ownership.renew(worker, LEASE_MS)) !== null),
        doing((actor) => actor.opened.stores.ownership.fence(worker)),
      ];
    },
    holds: (_, [renewed, fenced]) => renewed === true && fenced === false,
  },
  {
    name: 'late renewal: of a worker that has let go',
    prepare: async (world) => {
      const { worker } = await world.worker(`gone-${world.channel}`);
      return [
        doing((actor) => actor.opened.stores.ownership.renew(worker, LEASE_MS).then(() => 'asked')),
        doing((actor) => actor.opened.stores.ownership.release(worker)),
      ];
    },
    // A renewal that found the fence open may be stored after it: the fence holds nevertheless.
    blind: ['workers'],
    holds: (final) => final.workers[0]?.fenced === true,
  },
  {
    name: 'late heir: a worker is fenced once by two',
    prepare: async (world, stage) => {
      const { worker } = await deadWorker(world, stage);
      const fence = doing((actor) => actor.opened.stores.ownership.fence(worker));
      return [fence, fence];
    },
    holds: (_, answers) => answers.every((answer) => answer === true),
  },
  {
    name: 'late taker: of two workers that take at once each shard has one',
    prepare: async (world, stage) => {
      await freeShards(stage);
      const names = ['one', 'other'].map((name) => `${name}-${world.channel}`);
      for (const name of names) await world.worker(name);
      return names.map((name) => doing((actor) => takeFreeShards(actor.opened.stores.ownership, name)));
    },
    // Who is second while the first is not done gets nothing: it asks again with its next round.
    blind: ['shards'],
    holds: (_, answers) => new Set(answers.flat()).size === answers.flat().length && answers.flat().length <= 3,
  },
  {
    name: 'late taker: a worker that is fenced meanwhile takes nothing, or its heir finds it',
    prepare: async (world, stage) => {
      await freeShards(stage);
      const dead = await deadWorker(world, stage);
      const heir = await world.worker(`heir-${world.channel}`);
      return [
        doing((actor) => takeFreeShards(actor.opened.stores.ownership, dead.worker)),
        doing(async (actor) => {
          await actor.opened.stores.ownership.fence(dead.worker);
          return takeFreeShards(actor.opened.stores.ownership, heir.worker);
        }),
      ];
    },
    holds: (_, [, heirs]) => JSON.stringify(heirs) === '[0,1,2]',
  },
  {
    name: 'late taker: of shards that their owner lets go',
    prepare: async (world, stage) => {
      await freeShards(stage);
      const owner = await world.worker(`owner-${world.channel}`);
      const other = await world.worker(`other-${world.channel}`);
      await takeFreeShards(world.stores.ownership, owner.worker);
      return [
        doing((actor) => actor.opened.stores.ownership.release(owner.worker)),
        doing((actor) => takeFreeShards(actor.opened.stores.ownership, other.worker).then(() => 'asked')),
      ];
    },
    // What was not free yet is taken in its next round: a fenced owner is none.
    blind: ['shards'],
    holds: (final) =>
      final.shards.every(({ owner }) => owner === 'owner' || owner === 'other') &&
      final.workers.some(({ worker, fenced }) => worker === 'owner' && fenced),
  },
  {
    name: 'late plan: of two for one membership the second changes nothing',
    prepare: async (world, stage) => {
      await freeShards(stage);
      const names = ['one', 'other'].map((name) => `${name}-${world.channel}`);
      for (const name of names) await world.worker(name);
      const { membership } = await world.stores.ownership.view();
      return names.map((to) =>
        doing((actor) => actor.opened.stores.ownership.applyPlan(membership, [{ shard: 0, from: null, to }])),
      );
    },
    holds: (final, [one, other]) => one !== other && final.shards[0]?.owner === (one === true ? 'one' : 'other'),
  },
  {
    name: 'late hand-over: beside a plan that withdraws the heir, one of both happens',
    prepare: async (world, stage) => {
      const { owner, promised, membership } = await promisedShard(world, stage);
      const withdrawn = [{ shard: 0, from: owner, to: null }];
      return [
        doing((actor) => actor.opened.stores.ownership.handOver(owner, promised)),
        doing((actor) => actor.opened.stores.ownership.applyPlan(membership, withdrawn)),
      ];
    },
    holds: (final, [given, planned]) => {
      const gone = JSON.stringify(given) === '[0]';
      return planned === !gone && final.shards[0]?.owner === (gone ? 'heir' : 'owner');
    },
  },
  {
    name: 'late hand-over: made twice, it gives the shard once',
    prepare: async (world, stage) => {
      const { owner, promised } = await promisedShard(world, stage);
      const handOver = doing((actor) => actor.opened.stores.ownership.handOver(owner, promised));
      return [handOver, handOver];
    },
    holds: (final, answers) => JSON.stringify(answers.flat()) === '[0]' && final.shards[0]?.owner === 'heir',
  },
  {
    name: 'late hand-over: of a worker that is fenced meanwhile leaves the shard to its heir, or free',
    prepare: async (world, stage) => {
      const { owner, promised } = await promisedShard(world, stage);
      return [
        doing((actor) => actor.opened.stores.ownership.handOver(owner, promised)),
        doing((actor) => actor.opened.stores.ownership.release(owner)),
      ];
    },
    holds: (final) =>
      final.shards[0]?.owner === 'heir' && final.workers.some(({ worker, fenced }) => worker === 'owner' && fenced),
  },
];

/** Shard 0 is the owner's and promised to an heir. */
async function promisedShard(world: World, stage: Stage) {
  await freeShards(stage);
  const { worker: owner } = await world.worker(`owner-${world.channel}`);
  const { worker: heir } = await world.worker(`heir-${world.channel}`);
  await takeFreeShards(world.stores.ownership, owner);
  const { membership } = await world.stores.ownership.view();
  await world.stores.ownership.applyPlan(membership, [{ shard: 0, from: owner, to: heir }]);
  const promised = (await world.stores.ownership.ownShards(owner)).filter(({ shard }) => shard === 0);
  return { owner, promised, membership };
}

/** Three shards that nobody has, and no others. */
async function freeShards({ director }: Stage): Promise<void> {
  await director.query(`UPDATE shards SET owner = 'elsewhere' WHERE owner IS DISTINCT FROM 'elsewhere'`);
  await director.query('UPDATE shards SET owner = NULL WHERE shard < 3');
}

const INBOX: readonly Play[] = [
  {
    name: 'late acceptance: the ack that it would have found was forgotten, or not',
    prepare: async (world) => {
      await claimed(world, 2);
      await keepAck(world, 'gw');
      return [acceptance(world, 1, 'gw', ONLY_COMMIT), pruning()];
    },
    // The row that the acceptance took over while it was looked for is cleared the next time.
    blind: ['platform_ids'],
  },
  {
    name: 'late ack by id: what waits of its id was forgotten meanwhile',
    prepare: async (world) => {
      await claimed(world);
      await keepAck(world, 'gw', 'sent');
      return [ackById(world, 'gw'), pruning()];
    },
    // Pruned before or after: what came later than the statement began may stay.
    blind: ['platform_ids'],
  },
  {
    name: 'late refusal: of two equal payloads one is a dead letter',
    prepare: async (world) => {
      const letter = {
        reason: 'invalid_payload',
        detail: 'none',
        payload: Buffer.from('?'),
        attributes: {},
        dedupeKey: world.channel,
        at: START,
      };
      const put = doing((actor) => actor.opened.stores.deadLetters.putIntake([letter]));
      return [put, put];
    },
    holds: (final) => final.dead_letters.length === 1,
  },
];

async function keepAck(world: World, platformId: string, level: 'sent' | 'delivered' = 'delivered'): Promise<void> {
  await world.stores.inbox.matchOrKeep(world.key(), [{ platformId, level, nack: null, at: START }], START);
}

function pruning(): Part {
  return doing((actor) => actor.opened.stores.inbox.prune(START, 0).then(() => 'pruned'));
}

const HISTORY: readonly Play[] = [
  {
    name: 'late ack: for a settled message for which a failure comes as well',
    prepare: async (world) => {
      await settledAsAssumed(world);
      return [late(world, [1, delivery]), late(world, [1, failure])];
    },
    holds: (final) => final.history.length === 1,
  },
  {
    name: 'late failure: of two equal ones one makes a dead letter',
    prepare: async (world) => {
      await settledAsAssumed(world);
      return [late(world, [1, failure]), late(world, [1, failure])];
    },
    holds: (final) => final.dead_letters.length === 1,
  },
  {
    name: 'late batches: of the same messages in opposite orders, each with one message twice',
    prepare: async (world) => {
      await settledAsAssumed(world, 2);
      return [
        late(world, [1, failure], [2, failure], [2, failure]),
        late(world, [2, failure], [1, failure], [1, failure]),
      ];
    },
    holds: (final) => final.dead_letters.length === 2,
  },
  {
    name: 'late ack: for a settled message whose level a watermark raises',
    prepare: async (world) => {
      await settledAsAssumed(world);
      return [late(world, [1, delivery]), raising(world)];
    },
    holds: (final) => final.history.every(({ level }) => level === 'read'),
  },
  {
    name: 'late batch: of messages whose levels a watermark raises',
    prepare: async (world) => {
      await settledAsAssumed(world, 2);
      return [late(world, [2, delivery], [1, failure]), raising(world, 2)];
    },
    holds: (final) => final.history.every(({ level }) => level === 'read'),
  },
  {
    name: 'late answers: of messages for which a batch of failures comes as well',
    prepare: async (world) => {
      await settledAsAssumed(world, 2);
      return [answering(world, 'gw', 2, 1), late(world, [1, failure], [2, failure])];
    },
    holds: (final) => final.dead_letters.length === 2,
  },
  {
    name: 'late answers: of the same messages in opposite orders, of which one brings no id',
    prepare: async (world) => {
      await settledAsAssumed(world, 2);
      return [answering(world, 'gw', 1, 2), answering(world, null, 2, 1)];
    },
    holds: (final) => JSON.stringify(final.history).split('"platform_id":"gw"').length === 3,
  },
  {
    name: 'late batch: a partition is made for the day of its messages',
    prepare: async (world, { director }) => {
      await director.query('DROP TABLE IF EXISTS history_19700101');
      await settledAsAssumed(world, 2);
      return [
        late(world, [1, failure], [2, failure]),
        maintaining(`SELECT make_history_partitions(${WORLDS_DAY}, ${WORLDS_DAY})`),
      ];
    },
    holds: (final) => final.dead_letters.length === 2,
  },
  {
    name: 'late settle: a partition is made for its day',
    prepare: async (world, { director }) => {
      await director.query('DROP TABLE IF EXISTS history_19700101');
      await awaiting(world);
      return [
        write(world, { events: [ack(1)] }),
        maintaining(`SELECT make_history_partitions(${WORLDS_DAY}, ${WORLDS_DAY})`),
      ];
    },
  },
  {
    name: 'late copy: its message goes to a partition that is just made',
    prepare: async (world, { director }) => {
      await director.query('DROP TABLE IF EXISTS history_19700101');
      await empty(world);
      return [
        appending(world, [{ id: 'm-1' }]),
        maintaining(`SELECT make_history_partitions(${WORLDS_DAY}, ${WORLDS_DAY})`),
      ];
    },
    holds: (_, [copy]) => String(copy) === 'duplicate 1',
  },
  {
    name: 'late settle: an old day is dropped',
    prepare: async (world, { director }) => {
      await director.query(`SELECT make_history_partitions(${DAY_BEFORE}, ${DAY_BEFORE})`);
      await awaiting(world);
      return [write(world, { events: [ack(1)] }), maintaining('SELECT drop_history_partitions(0)')];
    },
  },
  {
    name: 'late append: an old day is dropped',
    prepare: async (world, { director }) => {
      await director.query(`SELECT make_history_partitions(${DAY_BEFORE}, ${DAY_BEFORE})`);
      await empty(world);
      return [appending(world, [{ id: 'a' }, { id: 'm-1' }]), maintaining('SELECT drop_history_partitions(0)')];
    },
  },
];

export const THREES: readonly Play[] = [
  {
    name: 'late ack, late timeout, late append: each has its effect, or comes too late for one',
    prepare: async (world) => {
      await awaiting(world, 2, NOW);
      return [
        write(world, { events: [ack(1)] }, ONLY_COMMIT),
        write(world, { events: [deadline()] }, ONLY_COMMIT),
        appending(world, [{ id: 'a' }], ONLY_COMMIT),
      ];
    },
    holds: (final) => final.rooms[0]?.settled === 1 && final.rooms[0]?.tail === 3,
  },
  {
    name: 'late acceptance, late ack by id, late operator: the message has one outcome',
    prepare: async (world) => {
      await claimed(world, 2);
      return [
        acceptance(world, 1, 'gw', ONLY_COMMIT),
        ackById(world, 'gw'),
        write(world, { events: [operator('skip', 1)] }, ONLY_COMMIT),
      ];
    },
    blind: ['platform_ids'],
    holds: (final) => final.history.length === 1,
  },
  {
    name: 'late claim, late append, late rest: the new message is claimed, or waits',
    prepare: async (world) => {
      await empty(world);
      const proof = { worker: `worker-${world.channel}`, generation: 1 };
      return [
        resting(world),
        appending(world, [{ id: 'a' }], ONLY_COMMIT),
        doing((actor) => decideAndWrite(world, actor, { events: [claimBy(proof)], proof })),
      ];
    },
    holds: (final) => final.rooms[0]?.tail === 2 && final.rooms[0]?.resting === false,
  },
];

export const OTHER_PLAYS: readonly Play[] = [...WORKERS, ...INBOX, ...HISTORY];
