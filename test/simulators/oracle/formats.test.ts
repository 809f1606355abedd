/** Platforms whose formats have less to say: the answer is the only ack, or requests name no attempts. */
import { describe, expect, test } from 'vitest';
import type { FinalRow, OracleOptions, Verdict } from '../../../simulators/oracle/types.ts';
import type { ReceiptRecord } from '../../../simulators/platform/ground-truth.ts';
import { attempts, type HandMadeLog, rows, verdictOf } from './log.ts';

const TWO = ['a/1', 'a/2'];
const ANSWER: OracleOptions = { unlockedBy: ['accepted'], ackTimeoutMs: 5_000 };
const acked = (...keys: string[]): FinalRow[] =>
  rows(
    ...keys.map(
      (key) => [key, 'acked', { level: 'accepted', attempts: attempts('accepted') }] as [string, 'acked', object],
    ),
  );
const resultOf = ({ checks }: Verdict, name: string) => checks.find(({ check }) => check === name);

describe('where the answer is the ack', () => {
  const judged = (write: (log: HandMadeLog) => unknown, options = ANSWER, keys = TWO) =>
    verdictOf(keys, write, options, acked(...keys));

  test('messages that wait for it are clean, and their order is proven', async () => {
    const write = (log: HandMadeLog) => log.send('a/1').send('a/2').show('a/1').show('a/2');
    const verdict = await judged(write);
    expect(verdict.violations).toEqual([]);
    expect(verdict.messages.orderProven).toBe(1);
    expect((await judged(write, { ackTimeoutMs: 5_000 })).broken).toMatchObject({ R3_two_in_flight: 1 });
  });

  test('the answer to a repeated request is one, too', async () => {
    const verdict = await verdictOf(
      TWO,
      (log) => log.sendUnknown('a/1').send('a/1', { decision: 'duplicate' }).send('a/2'),
      ANSWER,
    );
    expect(verdict.violations).toEqual([]);
  });

  test('it unlocks even if a call that told the same is refused', async () => {
    const verdict = await judged(
      (log) => {
        const r = log.receipt('a/1');
        const end = log.startTelling('a/1', 'd');
        log.answer(r).send('a/2');
        end(401);
      },
      { ...ANSWER, unlockedBy: ['accepted', 'delivered'] },
    );
    expect(verdict.broken).not.toHaveProperty('R3_two_in_flight');
  });

  test.each<[string, string, (log: HandMadeLog) => unknown]>([
    ['a swap', 'swap_after_acked', (log) => log.send('a/1').send('a/2').show('a/2').show('a/1')],
    [
      'a message that does not wait for it',
      'R3_two_in_flight',
      (log) => {
        const r = log.receipt('a/1');
        log.send('a/2').answer(r);
      },
    ],
    ['a message that goes on after a refusal', 'R3_two_in_flight', (log) => log.refuse('a/1').send('a/2').send('a/1')],
    ['a message that goes on without an answer', 'R3_two_in_flight', (log) => log.sendUnknown('a/1').send('a/2')],
    ['a later message that comes first', 'R2_overtaken', (log) => log.send('a/2').send('a/1')],
  ])('%s is found', async (_what, rule, write) => {
    expect((await judged(write)).broken).toHaveProperty(rule);
  });

  test('an ack on disk needs the platform to have the message', async () => {
    const verdict = await judged((log) => log.send('a/1').refuse('a/2'));
    expect(verdict.broken).toMatchObject({ ack_from_nowhere: 1 });
  });
});

describe('where requests name no attempts', () => {
  const NAMELESS = {
    attempt: undefined,
    worker: undefined,
    generation: undefined,
  } as unknown as Partial<ReceiptRecord>;
  const W2 = { worker: 'w2' };
  const judged = (write: (log: HandMadeLog) => unknown, first?: FinalRow['attempts'], options: OracleOptions = {}) =>
    verdictOf(
      TWO,
      write,
      options,
      first &&
        rows(['a/1', 'acked', { attempts: first, level: 'delivered' }], ['a/2', 'acked', { level: 'delivered' }]),
    );
  const deliver = (log: HandMadeLog, key: string) => log.send(key, NAMELESS).show(key).tell([key], 'd');

  test('a run without copies is clean', async () => {
    const verdict = await judged((log) => deliver(deliver(log, 'a/1'), 'a/2'), attempts('accepted'));
    expect(verdict.violations).toEqual([]);
    expect(resultOf(verdict, 'C7')).toMatchObject({ result: 'ok', checked: 2 });
  });

  describe('a copy after a later message', () => {
    const late = (log: HandMadeLog) =>
      deliver(deliver(log.sendUnknown('a/1', NAMELESS), 'a/1'), 'a/2')
        .wait(500)
        .send('a/1', NAMELESS);

    test('is not checked where no history tells of attempts', async () => {
      const verdict = await judged(late);
      expect(verdict.broken).not.toHaveProperty('R4_late_copy');
      expect(resultOf(verdict, 'C7')?.checked).toBe(3);
      expect(verdict.lateCopies).toEqual({ held: 0, stale: 0, unexplained: 0, first: 0 });
    });

    test('belongs to an attempt where the history has as many', async () => {
      const three = attempts('unknown', 'interrupted', ['accepted', W2]);
      const verdict = await judged(late, three);
      expect(verdict.violations).toEqual([]);
      expect(verdict.lateCopies.held).toBe(1);
      expect((await judged(late, attempts('unknown', 'accepted'))).broken).toEqual({ R4_late_copy: 1 });
    });
  });

  describe('a copy after an answer', () => {
    const again = (log: HandMadeLog) => deliver(deliver(log.send('a/1', NAMELESS), 'a/1'), 'a/2');

    test('is explained by a take-over in the history', async () => {
      const verdict = await judged(again, attempts('interrupted', ['accepted', W2]));
      expect(verdict.violations).toEqual([]);
      expect(verdict.duplicates.because).toEqual({ unknown: 0, recorded: 0, takenOver: 1 });
    });

    test('is explained by an answer that got lost on the way, where that can be', async () => {
      const twice = attempts('unknown', 'accepted');
      const verdict = await judged(again, twice, { answersGetLost: true });
      expect(verdict.violations).toEqual([]);
      expect(verdict.duplicates.because.recorded).toBe(1);
      expect((await judged(again, twice)).broken).toEqual({ R4_unexplained_copy: 1 });
    });

    test('is found where the history explains none', async () => {
      expect((await judged(again, attempts('accepted'))).broken).toEqual({ R4_unexplained_copy: 1 });
      expect((await judged(again)).broken).toEqual({ R4_unexplained_copy: 1 });
    });

    test('is found beyond those that the history explains', async () => {
      const taken = attempts('unknown', 'interrupted', ['accepted', W2]);
      const write = (log: HandMadeLog) => again(log.sendUnknown('a/1', NAMELESS));
      expect((await judged(write, taken)).violations).toEqual([]);
      expect((await judged((log) => write(log.send('a/1', NAMELESS)), taken)).broken).toEqual({
        R4_unexplained_copy: 1,
      });
    });
  });
});
