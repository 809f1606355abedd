import { expect, test } from 'vitest';
import { judge } from '../../../simulators/oracle/oracle.ts';
import type { AttemptRow, FenceRow, FinalRow } from '../../../simulators/oracle/types.ts';
import { HandMadeLog, published } from './log.ts';

const attempt = (worker: string, more: Partial<AttemptRow> = {}): AttemptRow => ({
  number: 1,
  worker,
  generation: 1,
  begunAt: 1_000,
  endedAt: 1_100,
  result: 'accepted',
  code: null,
  ...more,
});

/** Three messages of one room; who claimed each. */
async function verdictOn(attempts: readonly (readonly AttemptRow[])[], fences: readonly FenceRow[]) {
  const log = new HandMadeLog().start();
  for (const [index, made] of attempts.entries()) {
    const key = `a/${index + 1}`;
    // An attempt that was interrupted never left its worker.
    const { worker, number } = made.findLast(({ result }) => result === 'accepted') ?? attempt('');
    log.send(key, { worker, attempt: number }).show(key).tell([key], 'd');
  }
  const final = attempts.map((made, index): FinalRow => {
    const sequence = index + 1;
    const [claimVersion, settleVersion] = [3 * index + 1, 3 * index + 3];
    const claimed = { claimVersion, settleVersion, attempts: [...made] };
    return { key: `a/${sequence}`, room: 'a', sequence, outcome: 'acked', level: 'delivered', ...claimed };
  });
  const { broken } = await judge({
    published: published('a/1', 'a/2', 'a/3'),
    records: log.records,
    final,
    fences: [...fences],
  });
  return broken;
}

const ALIVE: readonly FenceRow[] = [
  { worker: 'w1', fenced: false, leaseUntil: 50_000 },
  { worker: 'w2', fenced: false, leaseUntil: 50_000 },
];

test('A worker that has handed a room over may get it back', async () => {
  expect(await verdictOn([[attempt('w1')], [attempt('w2')], [attempt('w1')]], ALIVE)).toEqual({});
});

test('A worker from which a room was taken over never claims there again', async () => {
  const interrupted = attempt('w1', { result: 'interrupted' });
  const taken = [[interrupted, attempt('w2', { number: 2 })], [attempt('w2')], [attempt('w1')]];
  expect(await verdictOn(taken, ALIVE)).toEqual({ R3_stale_claim: 1 });
});

test('A worker claims nothing after the end of its lease', async () => {
  const late = attempt('w2', { begunAt: 50_100 });
  expect(await verdictOn([[attempt('w1')], [attempt('w1')], [late]], ALIVE)).toEqual({ R3_stale_claim: 1 });
});

test('Where nothing is known of leases, whoever comes back is stale', async () => {
  const fences = ALIVE.map(({ worker, fenced }) => ({ worker, fenced }));
  expect(await verdictOn([[attempt('w1')], [attempt('w2')], [attempt('w1')]], fences)).toEqual({ R3_stale_claim: 1 });
});
