import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Rule } from '../../../simulators/oracle/checks.ts';
import { readNdjson } from '../../../simulators/oracle/ndjson.ts';
import { judge, Oracle } from '../../../simulators/oracle/oracle.ts';
import type { FinalRow, OracleOptions } from '../../../simulators/oracle/types.ts';
import { attempts, HandMadeLog, published, rows, verdictOf } from './log.ts';

const TWO = ['a/1', 'a/2'];
const timeout: OracleOptions = { ackTimeoutMs: 1_000 };

interface Case {
  keys?: string[];
  write: (log: HandMadeLog) => unknown;
  options?: OracleOptions;
  final?: FinalRow[];
}

const judged = ({ keys = TWO, write, options, final }: Case) => verdictOf(keys, write, options, final);

/** Each entry: what is allowed, and the same with exactly one rule broken. */
const clean: [string, Case][] = [
  ['every message acked before the next', { write: (log) => log.deliver('a/1', 'a/2') }],
  [
    'rooms interleaved',
    {
      keys: ['a/1', 'b/1', 'a/2', 'b/2'],
      write: (log) => log.send('a/1').send('b/1').tell(['b/1', 'a/1'], 'dd').send('b/2').send('a/2'),
    },
  ],
  [
    'the next one begins while the webhook that settled the first is still unanswered',
    {
      write: (log) => {
        const end = log.send('a/1').startTelling('a/1', 'd');
        log.send('a/2');
        end(200);
      },
    },
  ],
  [
    'an ack before the answer to the send',
    {
      write: (log) => {
        const r = log.receipt('a/1');
        log.tell(['a/1'], 'd').send('a/2').answer(r);
      },
    },
  ],
  ['assumed after the ack timeout', { options: timeout, write: (log) => log.send('a/1').wait(990).send('a/2') }],
  [
    'assumed after the ack timeout that follows proof of acceptance',
    { options: timeout, write: (log) => log.sendUnknown('a/1').tell(['a/1'], 's').wait(990).send('a/2') },
  ],
  [
    'an ack level below delivered, where that unlocks',
    { options: { ...timeout, unlockedBy: ['sent'] }, write: (log) => log.send('a/1').tell(['a/1'], 's').send('a/2') },
  ],
  ['refused for good, then the next', { write: (log) => log.refuse('a/1', { permanent: true }).send('a/2') }],
  ['accepted, then reported as failed', { write: (log) => log.send('a/1').tell(['a/1'], 'f').send('a/2') }],
  ['a definite refusal, then a retry', { write: (log) => log.refuse('a/1').deliver('a/1', 'a/2') }],
  ['an unknown outcome, then a copy', { write: (log) => log.sendUnknown('a/1').deliver('a/1', 'a/2') }],
  [
    'an answer that the client may not have read, then a copy',
    {
      write: (log) => {
        const r = log.receipt('a/1');
        log.answer(r).doubt(r).deliver('a/1', 'a/2');
      },
    },
  ],
  [
    'a request that was never answered, then a copy',
    {
      write: (log) => {
        log.receipt('a/1');
        log.deliver('a/1', 'a/2');
      },
    },
  ],
  [
    'failed later for a while, then sent again',
    { write: (log) => log.send('a/1').tell(['a/1'], 'f').deliver('a/1', 'a/2') },
  ],
  [
    'a copy that a crash explains',
    { options: { copiesAllowed: 1 }, write: (log) => log.send('a/1').deliver('a/1', 'a/2') },
  ],
  [
    'a lookup that finds the first one delivered',
    { options: timeout, write: (log) => log.sendUnknown('a/1').lookup('a/1', 'delivered').send('a/2') },
  ],
  [
    'a cumulative ack for the message and the one before',
    {
      keys: ['a/1', 'a/2', 'a/3'],
      options: timeout,
      write: (log) => log.send('a/1').wait(1_000).send('a/2').tell(['a/2'], 'D').send('a/3'),
    },
  ],
  [
    'a copy held by the network arrives after the next message',
    {
      write: (log) =>
        log
          .send('a/1', { attempt: 2 })
          .tell(['a/1'], 'd')
          .deliver('a/2')
          .wait(500)
          .sendUnknown('a/1', { heldMs: 900, attempt: 1 }),
    },
  ],
  [
    'a copy by a stale worker after the next message',
    {
      options: { copiesAllowed: 1 },
      write: (log) => log.deliver('a/1').send('a/2', { worker: 'w2' }).wait(500).send('a/1', { worker: 'w1' }),
    },
  ],
  [
    'a copy of the same worker from a lower generation',
    {
      options: { copiesAllowed: 1 },
      write: (log) => log.deliver('a/1').send('a/2', { generation: '10' }).wait(500).send('a/1', { generation: '9' }),
    },
  ],
  [
    'given up after the last attempt',
    {
      options: { maxAttempts: 2 },
      write: (log) =>
        log.sendUnknown('a/1', { decision: 'dropped' }).sendUnknown('a/1', { decision: 'dropped' }).send('a/2'),
    },
  ],
  [
    'failed after the last attempt',
    {
      final: rows(
        ['a/1', 'failed', { attempts: attempts('unknown', 'unknown', 'unknown', 'unknown', 'unknown') }],
        ['a/2', 'acked'],
      ),
      write: (log) => log.sendUnknown('a/1', { decision: 'dropped' }).deliver('a/2'),
    },
  ],
  [
    'a second copy shown after the next message: a duplicate, no swap',
    { write: (log) => log.sendUnknown('a/1').deliver('a/1', 'a/2').show('a/1') },
  ],
  [
    'a room that waits for nothing but what intake never confirmed',
    {
      keys: ['a/1', 'a/2?', 'b/1'],
      options: { stuckAfterMs: 1_000 },
      write: (log) => log.deliver('a/1').wait(2_000).deliver('b/1'),
    },
  ],
  [
    'skipped by an operator',
    { final: rows(['a/1', 'skipped'], ['a/2', 'acked']), write: (log) => log.sendUnknown('a/1').deliver('a/2') },
  ],
  [
    'a first copy of an assumed message after the next message',
    {
      final: rows(['a/1', 'assumed'], ['a/2', 'acked']),
      write: (log) => log.deliver('a/2').send('a/1', { heldMs: 5_000 }),
    },
  ],
  ['not accepted by intake, and never seen', { keys: ['a/1?', 'a/2'], write: (log) => log.deliver('a/2') }],
  [
    'versions: the write that claims the second finds the first expired',
    {
      final: rows(
        ['a/1', 'expired', { claimVersion: 3, settleVersion: 5 }],
        ['a/2', 'acked', { claimVersion: 5, settleVersion: 7 }],
      ),
      write: (log) => log.refuse('a/1').deliver('a/2'),
    },
  ],
  [
    'a swap after an assumed message',
    { options: timeout, write: (log) => log.send('a/1').wait(1_000).send('a/2').show('a/2').show('a/1') },
  ],
  [
    'forged webhooks refused, valid ones taken',
    { write: (log) => log.deliver('a/1').tell([], '', 401, 'wrong_key').tell([], '', 200).deliver('a/2') },
  ],
  [
    'webhooks refused for a while',
    { write: (log) => log.send('a/1').tell(['a/1'], 'd', 503).tell(['a/1'], 'd').send('a/2') },
  ],
  [
    'the platform was started again in between',
    {
      options: timeout,
      write: (log) => log.send('a/1').start(1_700_000_002_000).send('a/2'),
    },
  ],
  [
    'not everything has settled yet, but something happens',
    { options: { drained: false }, write: (log) => log.deliver('a/1') },
  ],
];

const broken: [string, Rule, Case][] = [
  ['no trace of an accepted message', 'R1_lost', { write: (log) => log.deliver('a/1') }],
  ['only refused, and not for good', 'R1_lost', { write: (log) => log.deliver('a/1').refuse('a/2') }],
  [
    'settled as assumed, and never taken by the platform',
    'R1_lost',
    { final: rows(['a/1', 'acked'], ['a/2', 'assumed']), write: (log) => log.deliver('a/1') },
  ],
  [
    'no row in the final state',
    'R1_lost',
    { final: rows(['a/1', 'acked']), write: (log) => log.deliver('a/1', 'a/2') },
  ],
  [
    'two rows for one message',
    'R1_settled_twice',
    {
      final: [
        ...rows(['a/1', 'acked'], ['a/2', 'acked']),
        ...rows([
          'a/2',
          'failed',
          { sequence: 3, attempts: attempts('unknown', 'unknown', 'unknown', 'unknown', 'unknown') },
        ]),
      ],
      write: (log) => log.deliver('a/1', 'a/2'),
    },
  ],
  [
    'not settled in the end',
    'R1_unsettled',
    { final: rows(['a/1', 'acked'], ['a/2', null]), write: (log) => log.deliver('a/1', 'a/2') },
  ],
  ['the second before the first', 'R2_overtaken', { write: (log) => log.deliver('a/2', 'a/1') }],
  [
    'the second before the first, which was acked in the end',
    'R2_overtaken',
    { final: rows(['a/1', 'acked'], ['a/2', 'acked']), write: (log) => log.send('a/2').send('a/1') },
  ],
  [
    'claimed before its predecessor was settled',
    'R2_versions',
    {
      final: rows(
        ['a/1', 'acked', { claimVersion: 3, settleVersion: 6 }],
        ['a/2', 'acked', { claimVersion: 5, settleVersion: 7 }],
      ),
      write: (log) => log.deliver('a/1', 'a/2'),
    },
  ],
  [
    'settled before it was claimed',
    'R2_versions',
    {
      final: rows(['a/1', 'acked', { claimVersion: 3, settleVersion: 2 }], ['a/2', 'acked']),
      write: (log) => log.deliver('a/1', 'a/2'),
    },
  ],
  [
    'claimed while its predecessor is not settled at all',
    'R2_versions',
    {
      options: { drained: false },
      final: rows(['a/1', null, { claimVersion: 3 }], ['a/2', 'acked', { claimVersion: 5, settleVersion: 7 }]),
      write: (log) => log.deliver('a/1', 'a/2'),
    },
  ],
  [
    'a gap in the sequences',
    'R2_sequence',
    {
      final: rows(['a/1', 'acked'], ['a/2', 'acked', { sequence: 3 }]),
      write: (log) => log.deliver('a/1', 'a/2'),
    },
  ],
  [
    'numbered against the publish order',
    'R2_sequence',
    {
      final: rows(['a/1', 'acked', { sequence: 2 }], ['a/2', 'acked', { sequence: 1 }]),
      write: (log) => log.deliver('a/1', 'a/2'),
    },
  ],
  [
    'before the ack timeout',
    'R3_two_in_flight',
    { options: timeout, write: (log) => log.send('a/1').wait(900).send('a/2') },
  ],
  [
    'before the ack timeout of this very message',
    'R3_two_in_flight',
    {
      options: { ackTimeoutMs: 100 },
      write: (log) => log.send('a/1').wait(900).send('a/2'),
      keys: ['a/1*5000', 'a/2'],
    },
  ],
  ['while the first is unknown', 'R3_two_in_flight', { write: (log) => log.sendUnknown('a/1').send('a/2') }],
  [
    'while the first is refused for a while',
    'R3_two_in_flight',
    { keys: TWO, options: { drained: false }, write: (log) => log.refuse('a/1').send('a/2') },
  ],
  [
    'on a status that does not unlock',
    'R3_two_in_flight',
    { options: timeout, write: (log) => log.send('a/1').tell(['a/1'], 's').send('a/2') },
  ],
  [
    'on an ack for another message',
    'R3_two_in_flight',
    {
      keys: ['a/1', 'a/2', 'a/3'],
      options: timeout,
      write: (log) => log.deliver('a/1').send('a/2').tell(['a/1'], 'd').send('a/3'),
    },
  ],
  [
    'on a forged ack',
    'R3_two_in_flight',
    { options: timeout, write: (log) => log.send('a/1').tell(['a/1'], 'd', 401, 'tampered').send('a/2') },
  ],
  ['sent again after a known answer', 'R4_unexplained_copy', { write: (log) => log.send('a/1').deliver('a/1', 'a/2') }],
  [
    'more copies than crashes',
    'R4_unexplained_copy',
    { options: { copiesAllowed: 1 }, write: (log) => log.send('a/1').send('a/1').deliver('a/1', 'a/2') },
  ],
  [
    'a copy of the holder after the next message',
    'R4_late_copy',
    {
      options: { copiesAllowed: 1 },
      write: (log) => log.deliver('a/1').send('a/2').wait(500).send('a/1', { attempt: 2 }),
    },
  ],
  [
    'a copy with another reference',
    'C5_copies_differ',
    { write: (log) => log.sendUnknown('a/1').send('a/1', { reference: 'other' }).tell(['a/1'], 'd').deliver('a/2') },
  ],
  [
    'another content than published',
    'C5_copies_differ',
    { write: (log) => log.send('a/1', { hash: 'x' }).tell(['a/1'], 'd').deliver('a/2') },
  ],
  ['another recipient', 'C5_copies_differ', { write: (log) => log.deliver('a/1').send('a/2', { to: 'to-b' }) }],
  [
    'one reference for two messages',
    'C5_copies_differ',
    { write: (log) => log.deliver('a/1').send('a/2', { reference: 'ref-a/1' }) },
  ],
  [
    'a room that waits while nothing happens',
    'R6_stuck',
    {
      keys: [...TWO, 'b/1'],
      options: { drained: false, stuckAfterMs: 1_000 },
      write: (log) => log.deliver('a/1').wait(2_000).deliver('b/1'),
    },
  ],
  [
    'a swap after an acked message',
    'swap_after_acked',
    { write: (log) => log.send('a/1').tell(['a/1'], 'd').send('a/2').show('a/2').show('a/1') },
  ],
  [
    'failed although nothing was refused',
    'unjustified_failure',
    {
      final: rows(['a/1', 'failed', { attempts: attempts('refused') }], ['a/2', 'acked']),
      write: (log) => log.refuse('a/1').deliver('a/2'),
    },
  ],
  [
    'a forged webhook taken',
    'webhook_forged_accepted',
    { write: (log) => log.deliver('a/1', 'a/2').tell([], '', 200, 'missing') },
  ],
  [
    'a valid webhook refused',
    'webhook_valid_refused',
    { write: (log) => log.deliver('a/1', 'a/2').tell(['a/2'], 'r', 400) },
  ],
  ['nothing at all', 'empty_pass', { keys: [], write: () => undefined }],
  [
    'a planned fault that never struck',
    'empty_pass',
    { options: { expectedFaults: { reset: 1 } }, write: (log) => log.deliver('a/1', 'a/2') },
  ],
];

/** `a/1*5000` gives the message an ack timeout of its own; `a/1?` was never confirmed by intake. */
const readKeys = (keys: string[]) =>
  keys.map((text) => {
    const [key = '', ms] = text.replace('?', '').split('*');
    const [entry] = published(key);
    return { ...entry!, accepted: !text.endsWith('?'), ...(ms === undefined ? {} : { ackTimeoutMs: Number(ms) }) };
  });

const verdictFor = ({ keys = TWO, write, options, final }: Case) => {
  const log = new HandMadeLog().start();
  write(log);
  return judge({ published: readKeys(keys), records: log.records, ...(final ? { final } : {}) }, options);
};

describe('a clean log', () => {
  test.each(clean)('%s', async (_name, given) => {
    const verdict = await verdictFor(given);
    expect(verdict.violations).toEqual([]);
    expect(verdict.clean).toBe(true);
  });
});

describe('a log with one violation', () => {
  test.each(broken)('%s: %s', async (_name, rule, given) => {
    const verdict = await verdictFor(given);
    expect(verdict.clean).toBe(false);
    expect(Object.keys(verdict.broken)).toEqual([rule]);
    expect(verdict.violations[0]).toMatchObject({ rule, detail: expect.any(String) });
  });

  test('an ack that was refused does not count, even if the next message relied on it', async () => {
    const verdict = await judged({
      options: timeout,
      write: (log) => {
        const end = log.send('a/1').startTelling('a/1', 'd');
        log.send('a/2').show('a/2').show('a/1');
        end(404);
      },
    });
    expect(verdict.broken).toEqual({ R3_two_in_flight: 1, webhook_valid_refused: 1 });
    expect(verdict.messages.orderProven).toBe(0);
  });

  test('nor does one that was refused before, also when it comes to swaps', async () => {
    const verdict = await judged({
      options: timeout,
      write: (log) => log.send('a/1').tell(['a/1'], 'd', 401).send('a/2').show('a/2').show('a/1'),
    });
    expect(verdict.broken).toEqual({ R3_two_in_flight: 1, webhook_valid_refused: 1 });
    expect(verdict.swaps).toMatchObject({ afterAcked: 0, afterAssumed: 1 });
  });

  test('a message that never came, though a later one did, is lost and was overtaken', async () => {
    const verdict = await judged({ write: (log) => log.deliver('a/2') });
    expect(verdict.broken).toEqual({ R1_lost: 1, R2_overtaken: 1 });
  });
});

/** Everything that a room can have, in one room: acks, cumulative acks, copies, late copies, rows, attempts. */
const judgeOneRoom = (messages: number): void => {
  const log = new HandMadeLog().start();
  const keys = Array.from({ length: messages }, (_, index) => `a/${index + 1}`);
  const oracle = new Oracle();
  for (const entry of published(...keys)) oracle.published(entry);
  for (const [index, key] of keys.entries()) {
    log.sendUnknown(key).send(key).show(key).tell([key], 'D');
    if (index > 0) log.send(keys[index - 1] ?? '', { attempt: 3 });
  }
  for (const record of log.records) oracle.record(record);
  const acked = { level: 'delivered', attempts: attempts('unknown', 'unknown', 'accepted') } as const;
  for (const [index, row] of rows(
    ...keys.map((key) => [key, 'acked', acked] as Parameters<typeof rows>[0]),
  ).entries()) {
    oracle.settled({ ...row, claimVersion: 3 * index, settleVersion: 3 * index + 2 });
  }
  // The last copy of each but the last message follows an answer.
  expect(oracle.verdict()).toMatchObject({
    broken: { R4_unexplained_copy: messages - 1 },
    lateCopies: { held: messages - 1 },
  });
};

describe('the verdict', () => {
  test('counts what happened', async () => {
    const verdict = await judged({
      keys: ['a/1', 'a/2', 'a/3', 'b/1'],
      options: { ...timeout, copiesAllowed: 1 },
      final: rows(
        ['a/1', 'acked'],
        ['a/2', 'assumed'],
        ['a/3', 'acked'],
        ['b/1', 'failed', { attempts: attempts('refused') }],
      ),
      write: (log) =>
        log
          .sendUnknown('a/1')
          .deliver('a/1')
          .send('a/2')
          .wait(1_000)
          .send('a/3')
          .show('a/3')
          .show('a/2')
          .tell(['a/3'], 'd')
          .send('a/3')
          .show('a/3')
          .refuse('b/1', { permanent: true })
          .send('stranger/1'),
    });
    expect(verdict).toMatchObject({
      clean: true,
      rooms: 2,
      messages: {
        published: 4,
        accepted: 4,
        reachedPlatform: 3,
        shown: 3,
        lost: 0,
        outcomes: { acked: 2, assumed: 1, failed: 1 },
        orderProven: 0.5,
      },
      receipts: { total: 6, refused: 1, unknownOutcomes: 1, strangers: 1 },
      duplicates: { extraReceipts: 2, explained: 1, unexplained: 1, allowed: 1, shown: 1 },
      swaps: { total: 1, afterAcked: 0, afterAssumed: 1, afterOther: 0, rooms: 1 },
      webhooks: { calls: 2, forged: 0 },
      progress: { pending: 0, stuckRooms: 0 },
      faults: { reset: 1, busy: 1 },
    });
    expect(verdict.time.durationMs).toBe(verdict.time.lastShownAt! - verdict.time.firstReceiptAt!);
  });

  test('tells late copies apart', async () => {
    const { lateCopies } = await judged({
      keys: ['a/1', 'a/2', 'a/3'],
      options: { copiesAllowed: 9 },
      final: rows(['a/1', 'acked'], ['a/2', 'assumed'], ['a/3', 'acked']),
      write: (log) =>
        log
          .deliver('a/1')
          .deliver('a/3')
          .send('a/1')
          .wait(500)
          .send('a/1', { heldMs: 7 })
          .send('a/1', { worker: 'w0' })
          .send('a/2', { heldMs: 900 }),
    });
    expect(lateCopies).toEqual({ held: 2, stale: 1, unexplained: 0, first: 1 });
  });

  test('of traffic without any discipline judges swaps and time, not order', async () => {
    const verdict = await judged({
      options: { discipline: 'none' },
      write: (log) => log.send('a/1').send('a/2').show('a/2').wait(90).show('a/1'),
    });
    expect(verdict).toMatchObject({ clean: true, swaps: { total: 1, rooms: 1 }, time: { durationMs: 140 } });
    const lossy = await judged({ options: { discipline: 'none' }, write: (log) => log.deliver('a/1') });
    expect(lossy.broken).toEqual({ R1_lost: 1 });
  });

  test('keeps a few examples of each rule and names no recipient', async () => {
    const keys = Array.from({ length: 20 }, (_, index) => `+1555${index}/1`);
    const verdict = await judged({ keys, options: { examples: 3 }, write: () => undefined });
    expect(verdict.broken).toEqual({ R1_lost: 20 });
    expect(verdict.violations).toHaveLength(3);
    expect(JSON.stringify(verdict.violations)).not.toContain('+1555');
    expect(verdict.violations[1]).toMatchObject({ room: 1, message: 0 });
  });

  test('takes linear time', () => {
    judgeOneRoom(1_000);
    const msFor = (messages: number) => {
      const startedAt = performance.now();
      judgeOneRoom(messages);
      return performance.now() - startedAt;
    };
    // Looking back over the room for each message would make it a hundred times as long.
    expect(msFor(60_000)).toBeLessThan(40 * Math.max(msFor(6_000), 20));
  });

  test('refuses a publisher log that uses a key twice', async () => {
    await expect(judged({ keys: ['a/1', 'a/1'], write: () => undefined })).rejects.toThrow(/same key/);
  });
});

describe('reading logs', () => {
  const written = async (text: string) => {
    const folder = await mkdtemp(join(tmpdir(), 'oracle-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const file = join(folder, 'log.ndjson');
    await writeFile(file, text);
    const entries: unknown[] = [];
    for await (const entry of readNdjson(file)) entries.push(entry);
    return entries;
  };

  test('leaves out a last line that was cut short, and nothing else', async () => {
    expect(await written('{"a":1}\n{"a":2}\n')).toEqual([{ a: 1 }, { a: 2 }]);
    expect(await written('{"a":1}\n{"a":')).toEqual([{ a: 1 }]);
    expect(await written('')).toEqual([]);
    await expect(written('{"a":\n{"a":2}\n')).rejects.toThrow(SyntaxError);
  });
});
