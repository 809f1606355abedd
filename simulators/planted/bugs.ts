/**
 * Bugs that engines of this kind have had, each as a change of our sources that is made in a copy. Nothing of them is in
 * the sources themselves: no release, and no setting of one, can have them.
 */
import type { LaneName } from './lanes.ts';

/** Replaces the one place in `file` that reads `find`. */
export interface Edit {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export interface PlantedBug {
  readonly name: string;
  /** What a user would see break. */
  readonly breaks: string;
  readonly edits: readonly Edit[];
  /** The lane that must find it within its budget. */
  readonly lane: LaneName;
}

const TRANSITION = 'src/room/transition.ts';
const ROOMS = 'src/engine/rooms.ts';
const DECIDING = 'src/engine/deciding.ts';
const CAS = 'src/adapters/postgres/sql/compare_and_set.sql';

export const BUGS: readonly PlantedBug[] = [
  {
    name: 'ack-settles-whatever-is-in-flight',
    breaks: 'R1: a late ack of n settles n+1',
    edits: [
      {
        file: TRANSITION,
        find: 'const aboutHead = event.sequence === headSequence(room) || (event.cumulative && event.sequence <= room.tail);',
        replace: 'const aboutHead = true;',
      },
      {
        file: TRANSITION,
        find: `    return ignored(room, 'already_settled', [], judgeLate(event.sequence, event.cumulative));`,
        replace: '',
      },
    ],
    lane: 'explorer',
  },
  {
    name: 'unknown-assumed-without-evidence',
    breaks: 'R1: a message that never left counts as assumed',
    edits: [
      {
        file: TRANSITION,
        find: `policy.unknownPolicy === 'assume' && room.bytesLeft`,
        replace: `policy.unknownPolicy === 'assume'`,
      },
    ],
    lane: 'core',
  },
  {
    name: 'no-ack-timeout',
    breaks: 'R6: a lost ack stops its room for ever',
    edits: [
      {
        file: TRANSITION,
        find: `    case 'awaiting_ack':
      return settle(room, room, 'assumed', 'ack_timeout', now);`,
        replace: `    case 'awaiting_ack':
      return ignored(room, 'no_deadline');`,
      },
    ],
    lane: 'simulation',
  },
  {
    name: 'cumulative-ack-settles-what-was-not-sent',
    breaks: 'R1: a watermark settles a message of which no attempt began',
    edits: [
      {
        file: TRANSITION,
        find: `if (!aboutHead || room.attempt === 0) return ignored(room, 'not_begun', [], late);`,
        replace: `if (!aboutHead) return ignored(room, 'not_begun', [], late);`,
      },
    ],
    lane: 'explorer',
  },
  {
    name: 'failed-after-delivered-is-sent-again',
    breaks: 'R4: a contradictory status makes a copy of a delivered message',
    edits: [
      {
        file: TRANSITION,
        find: `if (reaches(room.level, 'delivered')) return ignored(room, 'contradiction');`,
        replace: '',
      },
    ],
    lane: 'core',
  },
  {
    name: 'claims-are-not-fenced',
    breaks: 'R3: a worker that was taken over claims a room that the new holder has not written yet',
    edits: [{ file: CAS, find: 'generation = $2 AND NOT fenced', replace: 'generation + 0 * $2 = generation' }],
    lane: 'stores',
  },
  {
    name: 'the-fence-is-read-by-the-snapshot',
    breaks: 'R3: a claim that waited behind a take-over is judged by the fence as it was before',
    edits: [{ file: CAS, find: 'AND NOT fenced FOR SHARE', replace: 'AND NOT fenced' }],
    lane: 'stores',
  },
  {
    name: 'versions-are-not-compared',
    breaks: 'R1: a decision made from an old row is stored over a newer one',
    edits: [{ file: CAS, find: ' AND l.version = n.expected_version', replace: '' }],
    lane: 'stores',
  },
  {
    name: 'versions-are-not-compared-in-memory',
    breaks: 'R1: as above, for the whole engine',
    edits: [
      {
        file: 'src/adapters/memory/rooms.ts',
        find: 'record === null || record.row.version !== write.expectedVersion',
        replace: 'record === null',
      },
    ],
    lane: 'simulation',
  },
  {
    name: 'claims-are-not-fenced-in-memory',
    breaks: 'R3: as above, for the whole engine',
    edits: [
      {
        file: 'src/adapters/memory/rooms.ts',
        find: 'return fence !== undefined && !fence.fenced && fence.generation === proof?.generation;',
        replace: 'return fence !== undefined;',
      },
    ],
    lane: 'simulation',
  },
  {
    name: 'events-are-dropped-after-a-conflict',
    breaks: 'R1, R6: what came while another process wrote the room is forgotten',
    edits: [
      {
        file: DECIDING,
        find: `      giveBack(resident);
    }
    decideAgain(resident, posted);`,
        replace: `      giveBack(resident);
    }
    resident.stale = true;
    for (const one of posted) one.resolve({ kind: 'ignored', reason: 'not_begun' });`,
      },
    ],
    lane: 'simulation',
  },
  {
    name: 'generation-stays-after-a-lost-claim',
    breaks: 'R3: a claim whose answer was lost commits after its room was decided again',
    edits: [{ file: DECIDING, find: 'if (course.claims) await tenure.renewGeneration();', replace: '' }],
    lane: 'simulation',
  },
  {
    name: 'sweep-takes-over-what-is-being-sent',
    breaks: 'R4: the sweep sends again what its own process is sending',
    edits: [{ file: ROOMS, find: 'if (!resident.open.includes(attemptKey(effect))) {', replace: 'if (true) {' }],
    lane: 'simulation',
  },
  {
    name: 'new-reference-for-every-attempt',
    breaks: 'R4: a platform cannot recognise a copy',
    edits: [
      {
        file: 'src/engine/dispatch.ts',
        find: `    const request: SendRequest = {
      reference: references.encodeToSend(room, sequence),`,
        replace: `    const request: SendRequest = {
      reference: \`\${references.encodeToSend(room, sequence)}.\${number}\`,`,
      },
    ],
    lane: 'simulation',
  },
  {
    name: 'lease-is-not-looked-at-before-a-send',
    breaks: 'R2: a process that was frozen sends what another one has sent since',
    edits: [
      {
        file: 'src/engine/dispatch.ts',
        find: 'else if (!this.#mayStillSend(room, timeoutMs)) obstacle',
        replace: 'else if (false) obstacle',
      },
    ],
    lane: 'engine',
  },
  {
    name: 'intake-answers-before-the-commit',
    breaks: 'R1: Pub/Sub forgets a message that a crash then loses',
    edits: [
      {
        file: 'src/engine/intake.ts',
        find: 'const outcome = await this.#lane.submit(message);',
        replace: `const stored = this.#lane.submit(message);
      stored.catch(() => undefined);
      const outcome: Outcome = { kind: 'duplicate', address: { shard: 0, id: 0 }, sequence: 0 };`,
      },
    ],
    lane: 'simulation',
  },
  {
    name: 'intake-answers-before-it-has-superseded',
    breaks: 'a publisher is told that its message replaces one that is sent all the same',
    edits: [
      {
        file: 'src/engine/intake.ts',
        find: 'await this.#superseding.supersede(answer.address, sequence, supersedes);',
        replace: 'this.#superseding.supersede(answer.address, sequence, supersedes).catch(() => undefined);',
      },
    ],
    lane: 'simulation',
  },
  {
    name: 'what-was-sent-can-be-superseded',
    breaks: 'R1: a message that the platform may have counts as one that was never sent',
    edits: [{ file: TRANSITION, find: `if (room.attempt > 0) return ignored(room, 'begun');`, replace: '' }],
    lane: 'simulation',
  },
  {
    name: 'lingering-acceptance-is-forgotten',
    breaks: 'R6: a room whose ack is lost waits for ever',
    edits: [{ file: 'src/engine/lingering.ts', find: 'this.#onOver(over);', replace: '' }],
    lane: 'simulation',
  },
  {
    name: 'intake-overlaps',
    breaks: 'R2: a part that must be tried again is overtaken by what came after it',
    edits: [
      {
        file: 'src/engine/batcher.ts',
        find: 'this.#waiting.unshift(...again);',
        replace: 'this.#waiting.push(...again);',
      },
    ],
    lane: 'simulation',
  },
  {
    name: 'appends-do-not-dedupe',
    breaks: 'R1: what Pub/Sub delivers again is accepted again',
    edits: [
      {
        file: 'src/adapters/memory/append.ts',
        find: 'if (digest !== undefined) {',
        replace: 'if (digest !== undefined && digest.length === 0) {',
      },
    ],
    lane: 'simulation',
  },
  {
    name: 'history-is-not-asked-for-known-ids',
    breaks: 'R1: what has settled is accepted again',
    edits: [
      {
        file: 'src/adapters/postgres/sql/append_messages.sql',
        find: 'AND h.settled_at >= a.known_since',
        replace: 'AND h.settled_at < a.known_since',
      },
    ],
    lane: 'stores',
  },
  {
    name: 'webhook-is-answered-before-the-commit',
    breaks: 'an ack that was answered with 200 is lost by a crash',
    edits: [
      {
        file: 'src/engine/acks.ts',
        find: '    await Promise.all(work);\n  }',
        replace: '    void Promise.allSettled(work);\n  }',
      },
    ],
    lane: 'simulation',
  },
  {
    name: 'one-identity-for-two-lives',
    breaks: 'R3: a restarted process takes the lease of its former life for its own',
    edits: [
      {
        file: 'src/engine/ownership.ts',
        find: 'const worker = newWorkerId();',
        replace: `newWorkerId();\n    const worker = 'host-1';`,
      },
      {
        file: 'src/adapters/memory/ownership.ts',
        find: 'if (fences.has(worker)) throw',
        replace: 'if (worker === undefined) throw',
      },
    ],
    lane: 'simulation',
  },
  {
    name: 'shards-are-taken-before-the-fence',
    breaks: 'R3: a take-over reads rooms that the old holder can still change',
    edits: [
      {
        file: 'src/adapters/memory/ownership.ts',
        find: 'return owner === null || this.#fenceOf(owner).fenced;',
        replace: 'return owner === null || this.#fenceOf(owner).leaseEndsAt <= this.#database.now();',
      },
    ],
    lane: 'simulation',
  },
  {
    name: 'claims-go-on-in-a-shard-with-an-heir',
    breaks: 'R3: a shard is handed over while a claim of it is on its way',
    edits: [
      {
        file: 'src/engine/ownership.ts',
        find: 'return !this.#leaving.has(shard) && this.#generationRise === null',
        replace: 'return this.#generationRise === null',
      },
      {
        file: 'src/engine/ownership.ts',
        find: 'const quiet = promised.filter(({ shard }) => isQuiet(shard));',
        replace: 'const quiet = promised;',
      },
    ],
    lane: 'simulation',
  },
  {
    name: 'hand-over-before-the-send-has-ended',
    breaks: 'R4: an heir takes an open send for interrupted and sends again',
    edits: [
      {
        file: 'src/engine/ownership.ts',
        find: 'const quiet = promised.filter(({ shard }) => isQuiet(shard));',
        replace: 'const quiet = promised;',
      },
    ],
    lane: 'simulation',
  },
  {
    name: 'take-over-of-what-was-handed-over',
    breaks: 'R4: who has handed a shard over takes the attempt of its heir for interrupted',
    edits: [
      {
        file: 'src/engine/ownership.ts',
        find: 'return !this.#leaving.has(shard) && this.outlives(shard, 0);',
        replace: 'return this.outlives(shard, 0);',
      },
    ],
    lane: 'simulation',
  },
  {
    name: 'copies-carry-another-body',
    breaks: 'R4: a copy is not the message that it is a copy of',
    edits: [
      {
        file: 'src/engine/dispatch.ts',
        find: `      ...message,
      attempt: number,`,
        replace: `      body:
        number > 1
          ? new TextEncoder().encode(
              new TextDecoder().decode(message.body).replace('"content":{', '"content":{"copy":true,'),
            )
          : message.body,
      attempt: number,`,
      },
    ],
    lane: 'chaos',
  },
  {
    name: 'asynchronous-commits-are-allowed',
    breaks: 'R1: Postgres answers a commit that a kill then loses',
    edits: [
      {
        file: 'src/adapters/postgres/checks.ts',
        find: `synchronous_commit: ['on', 'remote_apply'],`,
        replace: `synchronous_commit: ['on', 'remote_apply', 'off', 'local'],`,
      },
    ],
    lane: 'start',
  },
  {
    name: 'gaps-are-given-up-at-once',
    breaks: "R2: messages of a publisher's order overtake those that are on their way",
    edits: [
      {
        file: 'src/engine/gaps.ts',
        find: 'this.#deadlines.set(id, from + policy.timeoutMs);',
        replace: 'this.#deadlines.set(id, from);',
      },
    ],
    lane: 'simulation',
  },
  {
    name: 'nobody-times-gaps-that-others-left',
    breaks: 'R6: after a take-over parked messages wait for ever',
    edits: [{ file: ROOMS, find: 'this.#to.gaps.swept(stored.row, stored.gap ?? null)', replace: 'true' }],
    lane: 'simulation',
  },
  {
    name: 'rooms-with-parked-messages-are-put-to-rest',
    breaks: 'R6: what is parked in a resting room is found by nobody',
    edits: [
      {
        file: 'src/adapters/postgres/sql/rest_rooms.sql',
        find: `        AND r.phase = 'idle' AND r.settled = r.tail AND r.gap_since IS NULL AND`,
        replace: `        AND r.phase = 'idle' AND r.settled = r.tail AND`,
      },
    ],
    lane: 'stores',
  },
];

/** A judge that has lost a rule: what only that rule shows must go by, else the rule is not what finds it. */
export interface BlindedJudge {
  readonly name: string;
  /** The planted bug that it must miss. */
  readonly misses: string;
  readonly edits: readonly Edit[];
  readonly lane: LaneName;
}

export const BLINDED: readonly BlindedJudge[] = [
  {
    name: 'a-checker-that-does-not-compare-references',
    misses: 'new-reference-for-every-attempt',
    edits: [
      {
        file: 'simulators/world/checker.ts',
        find: 'message.reference !== request.reference',
        replace: 'message.reference === null',
      },
    ],
    lane: 'simulation',
  },
  {
    name: 'an-oracle-that-does-not-compare-contents',
    misses: 'copies-carry-another-body',
    edits: [
      {
        file: 'simulators/oracle/copies.ts',
        find: 'if (message.hash !== hash) complain',
        replace: 'if (message.hash === null) complain',
      },
    ],
    lane: 'chaos',
  },
];
