import { describe, expect, test } from 'vitest';
import { CHECK_NAMES, type CheckName, type Rule } from '../../../simulators/oracle/checks.ts';
import { count } from '../../../simulators/oracle/latency.ts';
import { judge } from '../../../simulators/oracle/oracle.ts';
import type { FinalRow } from '../../../simulators/oracle/types.ts';
import type { CallRecord, GroundTruthRecord, ReceiptRecord } from '../../../simulators/platform/ground-truth.ts';
import { attempts, rows } from './log.ts';
import { latencyOf, verdictOn, type WholeRun, wholeRun } from './whole-run.ts';

const row = ({ final }: WholeRun, key: string): FinalRow => {
  const found = final.find((each) => each.key === key);
  if (found === undefined) throw new Error(`no row ${key}`);
  return found;
};

const receipts = ({ records }: WholeRun, key: string): ReceiptRecord[] =>
  records.filter((record): record is ReceiptRecord => record.t === 'receipt' && record.key === key);

const receipt = (run: WholeRun, key: string, nth = 0): ReceiptRecord => {
  const found = receipts(run, key)[nth];
  if (found === undefined) throw new Error(`no receipt ${nth} of ${key}`);
  return found;
};

/** The first record about what was accepted of a message. */
const about = <T extends 'shown' | 'call'>(
  run: WholeRun,
  kind: T,
  key: string,
): Extract<GroundTruthRecord, { t: T }> => {
  const numbers = receipts(run, key).map(({ m }) => m);
  const found = run.records.find(
    (record) =>
      record.t === kind &&
      numbers.some((m) => m !== undefined && [('m' in record && record.m) || []].flat().includes(m)),
  );
  if (found === undefined) throw new Error(`no ${kind} of ${key}`);
  return found as Extract<GroundTruthRecord, { t: T }>;
};

const answerTo = (run: WholeRun, { r }: ReceiptRecord) => {
  const found = run.records.find((record) => record.t === 'answer' && record.r === r);
  if (found?.t !== 'answer') throw new Error('no answer');
  return found;
};

const move = ({ records }: WholeRun, record: GroundTruthRecord, behind: GroundTruthRecord): void => {
  records.splice(records.indexOf(record), 1);
  records.splice(records.indexOf(behind) + 1, 0, record);
};

/** One record of a clean run is wrong: exactly this rule of this check must see it. */
const corruptions: [CheckName, Rule, string, (run: WholeRun) => void][] = [
  ['C1', 'R1_lost', 'a row is missing', (run) => run.final.splice(run.final.indexOf(row(run, 'quiet0/3')), 1)],
  ['C1', 'R2_sequence', 'a number is left out', (run) => Object.assign(row(run, 'late/2'), { sequence: 3 })],
  ['C1', 'R2_sequence', 'a room does not begin at 1', (run) => Object.assign(row(run, 'last/1'), { sequence: 2 })],
  [
    'C1',
    'R2_sequence',
    'two messages are numbered against the publish order',
    (run) => {
      for (const [key, sequence] of [
        ['quiet0/2', 3],
        ['quiet0/3', 2],
      ] as const) {
        Object.assign(row(run, key), { sequence, claimVersion: 3 * sequence, settleVersion: 3 * sequence + 2 });
      }
    },
  ],
  [
    'C1',
    'R2_sequence',
    'a message is numbered in another room',
    (run) => Object.assign(row(run, 'last/1'), { room: 'x' }),
  ],
  [
    'C1',
    'R2_sequence',
    'a message is numbered in the same room of another channel',
    (run) => {
      for (const entry of run.published) entry.channel = 'main';
      Object.assign(row(run, 'last/1'), { channel: 'other' });
    },
  ],
  [
    'C2',
    'R1_settled_twice',
    'a message has two rows',
    (run) => run.final.push({ ...row(run, 'last/1'), sequence: 2, claimVersion: 6, settleVersion: 8 }),
  ],
  ['C2', 'R1_unsettled', 'a row is not settled', (run) => Object.assign(row(run, 'last/1'), { outcome: null })],
  ['C2', 'R1_no_reason', 'a failure has no reason', (run) => Object.assign(row(run, 'ends/1'), { reason: null })],
  [
    'C2',
    'R1_no_dead_letter',
    'a failed message is not among the dead letters',
    (run) => Object.assign(row(run, 'ends/1'), { deadLetters: 0 }),
  ],
  [
    'C2',
    'unjustified_failure',
    'a message failed, and its refusal was not for good',
    (run) => Object.assign(receipt(run, 'ends/1'), { permanent: false }),
  ],
  [
    'C3',
    'R2_overtaken',
    'a copy of the third message came before the second',
    (run) => {
      const { key, to, hash, reference, at, wall } = receipt(run, 'quiet0/3');
      const early = {
        t: 'receipt',
        r: -1,
        conn: 1,
        decision: 'dropped',
        key,
        to,
        hash,
        reference,
        at,
        wall,
      } as ReceiptRecord;
      run.records.splice(run.records.indexOf(receipt(run, 'quiet0/2')), 0, early);
    },
  ],
  [
    'C3',
    'swap_after_acked',
    'a phone showed an acked message after the next one',
    (run) => move(run, about(run, 'shown', 'quiet0/1'), about(run, 'shown', 'quiet0/2')),
  ],
  [
    'C4',
    'R2_versions',
    'a claim has the version that settled the message before',
    (run) => Object.assign(row(run, 'quiet0/2'), { claimVersion: row(run, 'quiet0/1').settleVersion }),
  ],
  [
    'C4',
    'R2_versions',
    'a message that was sent was never claimed',
    (run) => Object.assign(row(run, 'quiet0/2'), { claimVersion: null }),
  ],
  [
    'C4',
    'R3_stale_claim',
    'a worker claims again that had been succeeded',
    (run) => {
      Object.assign(receipt(run, 'taken/3'), { worker: 'w1' });
      Object.assign(row(run, 'taken/3'), { attempts: attempts('accepted') });
    },
  ],
  [
    'C4',
    'R3_two_in_flight',
    'the next message began before the ack',
    (run) => move(run, about(run, 'call', 'quiet0/1'), receipt(run, 'quiet0/2')),
  ],
  [
    'C5',
    'C5_copies_differ',
    'a copy has another content',
    (run) => Object.assign(receipt(run, 'copied/1', 1), { hash: 'x' }),
  ],
  [
    'C5',
    'C5_copies_differ',
    'a copy has another reference',
    (run) => Object.assign(receipt(run, 'copied/1', 1), { reference: 'x' }),
  ],
  ['C5', 'C5_copies_differ', 'it went to somebody else', (run) => Object.assign(receipt(run, 'late/2'), { to: 'x' })],
  [
    'C6',
    'R4_unexplained_copy',
    'the first attempt was answered, and nobody was interrupted',
    (run) => Object.assign(row(run, 'taken/1'), { attempts: attempts('accepted', ['accepted', { worker: 'w2' }]) }),
  ],
  [
    'C6',
    'R4_unexplained_copy',
    'the first attempt was interrupted by nobody but its own worker',
    (run) => {
      Object.assign(receipt(run, 'taken/1', 1), { worker: 'w1' });
      Object.assign(row(run, 'taken/1'), { attempts: attempts('interrupted', 'accepted') });
    },
  ],
  [
    'C6',
    'R4_unexplained_copy',
    'the history calls unknown what the platform has answered',
    (run) => Object.assign(answerTo(run, receipt(run, 'copied/1')), { status: 200, unknownOutcome: false }),
  ],
  [
    'C6',
    'R4_unexplained_copy',
    'one attempt was sent twice',
    (run) => Object.assign(receipt(run, 'copied/1', 1), { attempt: 1 }),
  ],
  [
    'C6',
    'R4_unexplained_copy',
    'a take-over at a time when nobody had crashed',
    (run) =>
      Object.assign(run.options, {
        crashes: [
          { from: 5, until: 9 },
          { from: 1, until: 6 },
          { from: 2e12, until: 3e12 },
        ],
      }),
  ],
  [
    'C6',
    'R4_unrecorded_attempt',
    'the history knows nothing of an attempt',
    (run) => Object.assign(row(run, 'last/1'), { attempts: attempts(['accepted', { worker: 'w9' }]) }),
  ],
  [
    'C7',
    'R4_late_copy',
    'a late copy by the holder itself, of no attempt before the settling',
    (run) => Object.assign(row(run, 'late/1'), { attempts: attempts('unknown') }),
  ],
  [
    'C7',
    'R4_late_copy',
    'a late copy by a worker that came later than the holder',
    (run) => {
      Object.assign(receipt(run, 'stale/1', 1), { worker: 'w2', attempt: 3 });
    },
  ],
  [
    'C8',
    'ack_lost',
    'a level that was answered 2xx is not on disk',
    (run) => Object.assign(row(run, 'quiet0/1'), { level: 'accepted' }),
  ],
  [
    'C8',
    'ack_lost',
    'a cumulative ack raised the level of its own message only',
    (run) => Object.assign(row(run, 'ends/2'), { level: 'accepted' }),
  ],
  ['C8', 'ack_lost', 'an ack for an unknown id is not in the inbox', (run) => run.inbox.pop()],
  [
    'C8',
    'ack_lost',
    'a failure that was answered 2xx is not on disk',
    (run) => {
      Object.assign(about(run, 'call', 'last/1'), { s: 'f' });
      Object.assign(row(run, 'last/1'), { outcome: 'assumed', level: 'accepted' });
    },
  ],
  [
    'C8',
    'ack_from_nowhere',
    'a level on disk was never told',
    (run) => Object.assign(row(run, 'last/1'), { level: 'read' }),
  ],
  [
    'C8',
    'ack_from_nowhere',
    'acked, with nothing but an acceptance',
    (run) => Object.assign(row(run, 'idless/1'), { outcome: 'acked', reason: 'ack' }),
  ],
  [
    'C8',
    'webhook_forged_accepted',
    'a forged call was answered 200',
    (run) => {
      const forged = run.records.find(
        (record): record is CallRecord => record.t === 'call' && record.signature === 'wrong_key',
      );
      const ended = run.records.find((record) => record.t === 'called' && record.call === forged?.call);
      Object.assign(ended ?? {}, { status: 200 });
    },
  ],
  [
    'C9',
    'R6_stuck',
    'a room waits to the end of the quiet tail',
    (run) => {
      Object.assign(row(run, 'last/1'), { outcome: null });
      Object.assign(run.options, { drained: false, tail: { from: 1_700_000_000_000, until: 1_700_000_100_000 } });
    },
  ],
  [
    'C9',
    'R6_stuck',
    'a room stood still in the quiet tail, and went on',
    (run) => {
      for (const record of run.records.slice(run.records.indexOf(receipt(run, 'last/1')))) record.at += 70_000;
    },
  ],
  [
    'C10',
    'R5_slower',
    'untouched rooms are slower than the baseline',
    (run) => Object.assign(run.options.isolation ?? {}, { baseline: latencyOf(15) }),
  ],
  ['C11', 'empty_pass', 'a killed holder has no successor', (run) => Object.assign(run.options, { killedHolders: 2 })],
  ['C11', 'empty_pass', 'the load was not accepted', (run) => Object.assign(run.options, { plannedMessages: 206 })],
  [
    'C11',
    'empty_pass',
    'a fault did not strike',
    (run) => Object.assign(run.options, { expectedFaults: { reset: 4 } }),
  ],
  [
    'C12',
    'leaked',
    'a canary is in a log',
    (run) => Object.assign(run.leaks, { leaks: [{ canary: 'a text', form: 'hex', file: 'engine.log', offset: 7 }] }),
  ],
];

describe('a whole run', () => {
  test('is clean, and every check had something to look at', async () => {
    const verdict = await verdictOn(wholeRun());
    expect(verdict.violations).toEqual([]);
    expect(verdict.checks.map(({ check, result }) => [check, result])).toEqual(CHECK_NAMES.map((name) => [name, 'ok']));
    expect(verdict.lateCopies).toEqual({ held: 1, stale: 1, unexplained: 0, first: 0 });
    expect(verdict.duplicates).toMatchObject({ extraReceipts: 4, because: { unknown: 2, recorded: 0, takenOver: 2 } });
    expect(verdict.webhooks.kept).toBe(1);
  });

  test('is corrupted in every check', () => {
    expect([...new Set(corruptions.map(([check]) => check))]).toEqual(CHECK_NAMES);
  });

  test.each(corruptions)('%s finds by %s that %s, and nobody else does', async (check, rule, _name, corrupt) => {
    const run = wholeRun();
    corrupt(run);
    const verdict = await verdictOn(run);
    expect(verdict.clean).toBe(false);
    expect(verdict.checks.filter(({ ok }) => !ok).map((each) => each.check)).toEqual([check]);
    expect(Object.keys(verdict.broken)).toContain(rule);
    expect(verdict.checks.find((each) => each.check === check)).toMatchObject({
      result: 'broken',
      violations: expect.arrayContaining([expect.objectContaining({ rule })]),
    });

    const blind = await verdictOn(run, [check]);
    expect(blind.clean, `a judge without ${check}`).toBe(true);
    expect(blind.checks.find((each) => each.check === check)).toMatchObject({ result: 'not_checked', ok: false });
  });
});

describe('a check', () => {
  test('that had nothing to look at says so, and a required one breaks the verdict', async () => {
    const run = { ...wholeRun(), final: [], leaks: { checked: 0, bytes: 0, leaks: [] } };
    // Without the rows, nobody could tell what the other rooms' copies are for.
    run.published = run.published.filter(({ room }) => room.startsWith('quiet'));
    run.options = {};
    const notChecked = ({ checks }: Awaited<ReturnType<typeof verdictOn>>) =>
      checks.filter(({ result, ok }) => result === 'not_checked' && !ok).map(({ check }) => check);
    const verdict = await verdictOn(run);
    expect(notChecked(verdict)).toEqual(['C1', 'C2', 'C4', 'C10', 'C12']);
    expect(verdict.clean).toBe(true);
    run.options = { ...run.options, required: ['C3', 'C4', 'C12'] };
    expect((await verdictOn(run)).violations.map(({ detail }) => detail)).toEqual([
      'C4 had nothing to look at',
      'C12 had nothing to look at',
    ]);
  });

  test('C1 accepts rooms that are older than the rows, where it is told so', async () => {
    const run = wholeRun();
    for (const each of run.final) each.sequence += 7;
    expect((await verdictOn(run)).broken.R2_sequence).toBeGreaterThan(0);
    run.options.partialRooms = true;
    expect((await verdictOn(run)).clean).toBe(true);
  });

  test('C6 believes the history alone where answers may get lost, and says how often', async () => {
    const run = wholeRun();
    Object.assign(answerTo(run, receipt(run, 'copied/1')), { status: 200, unknownOutcome: false });
    run.options.answersGetLost = true;
    const verdict = await verdictOn(run);
    expect(verdict.clean).toBe(true);
    expect(verdict.duplicates.because).toMatchObject({ recorded: 1 });
  });

  test('C6 takes a take-over in a crash window for a reason', async () => {
    const run = wholeRun();
    run.options.crashes = [
      { from: 1, until: 2 },
      { from: 1_700_000_000_000, until: 1_700_000_000_004 },
    ];
    expect((await verdictOn(run)).clean).toBe(true);
  });

  test('C6 concludes nothing from attempts that a history has not kept', async () => {
    const run = wholeRun();
    const kept = attempts('accepted').map((attempt) => ({ ...attempt, number: 30 }));
    Object.assign(row(run, 'last/1'), { attempts: kept });
    expect((await verdictOn(run)).broken).toEqual({});
  });

  test('C8 counts what a platform told under ids that nobody could know, where no inbox is given', async () => {
    const { published, records, final, options } = wholeRun();
    const verdict = await judge({ published, records, final }, { ...options, killedHolders: 0 });
    expect(verdict.clean).toBe(true);
    expect(verdict.webhooks.kept).toBe(1);
  });

  test('C8 asks nothing of a call that was not answered 2xx, nor of a failure after a delivery', async () => {
    const run = wholeRun();
    const { call, m, ...rest } = about(run, 'call', 'last/1');
    const tell = (letter: string, status: number, no: number) =>
      run.records.push({ ...rest, call: no, m, s: letter }, { t: 'called', call: no, attempt: 1, at: rest.at, status });
    tell('r', 503, call + 1);
    tell('f', 200, call + 2);
    expect((await verdictOn(run)).violations).toEqual([]);
    tell('r', 204, call + 3);
    expect((await verdictOn(run)).broken).toEqual({ ack_lost: 1 });
  });

  test('C8 asks nothing of what was answered after the rows were read', async () => {
    const run = wholeRun();
    const stale = row(run, 'ends/2');
    const { at } = about(run, 'call', 'ends/3');
    const answeredAt = 1_700_000_000_000 - (run.records[0]?.at ?? 0) + at + 10;
    Object.assign(stale, { level: 'accepted', readAt: answeredAt });
    expect((await verdictOn(run)).violations).toEqual([]);
    stale.readAt = answeredAt + 1;
    expect((await verdictOn(run)).broken).toEqual({ ack_lost: 1 });
  });

  test('C8 asks nothing of a cumulative ack for a message whose answer may have got lost', async () => {
    const run = wholeRun();
    const { r } = receipt(run, 'ends/2');
    const { attempts: _, ...stored } = row(run, 'ends/2');
    run.final[run.final.indexOf(row(run, 'ends/2'))] = { ...stored, level: 'accepted' };
    expect((await verdictOn(run)).broken).toEqual({ ack_lost: 1 });
    const answer = answerTo(run, receipt(run, 'ends/2'));
    run.records.splice(run.records.indexOf(answer) + 1, 0, { t: 'doubt', r, at: answer.at });
    expect((await verdictOn(run)).violations).toEqual([]);
  });

  test('C10 looks at untouched rooms only', async () => {
    const { latency } = await verdictOn(wholeRun());
    // Two gaps in each of the 60 quiet rooms; elsewhere there are more.
    expect(count(latency.ackToNext)).toBe(120);
  });

  test('C11 takes successors from the attempts and from the fences alike, and faults from both logs', async () => {
    const run = wholeRun();
    run.fences = [];
    expect((await verdictOn(run)).clean).toBe(true);
    run.fences = [{ worker: 'w8', fenced: true }];
    Object.assign(run.options, { killedHolders: 2, expectedFaults: { reset: 3, kill: 1 }, firedFaults: { kill: 1 } });
    expect((await verdictOn(run)).violations).toEqual([]);
  });

  test('C9 leaves alone what an operator holds', async () => {
    const run = wholeRun();
    Object.assign(row(run, 'last/1'), { outcome: null, held: true });
    Object.assign(run.options, { drained: false, tail: { from: 1_700_000_000_000, until: 1_700_000_100_000 } });
    expect((await verdictOn(run)).clean).toBe(true);
  });

  test('takes messages of another run for strangers, whatever their keys', async () => {
    const run = wholeRun();
    for (const entry of run.published) entry.run = 'today';
    for (const record of run.records) if (record.t === 'receipt') record.run = 'today';
    const copy: GroundTruthRecord = { ...receipt(run, 'last/1'), run: 'yesterday', r: -1, m: -1 };
    run.records.push(copy);
    run.final.push(...rows(['last/1', 'failed', { run: 'yesterday', sequence: 2, reason: '' }]));
    const verdict = await verdictOn(run);
    expect(verdict.clean).toBe(true);
    expect(verdict.receipts.strangers).toBe(1);
    copy.run = 'today';
    expect((await verdictOn(run)).clean).toBe(false);
  });
});
