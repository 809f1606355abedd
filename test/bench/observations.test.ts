import { expect, it } from 'vitest';
import type { GroundTruthRecord } from '../../simulators/platform/ground-truth.ts';
import { Observations } from './observations.ts';

const WALL = 1_000_000;

function observe(...records: readonly object[]): Observations {
  const observations = new Observations('run');
  const start = { t: 'start', at: 10, wall: WALL + 10, seed: '1', profile: 'generic' };
  for (const record of [start, ...records]) observations.record(record as GroundTruthRecord);
  return observations;
}

function receipt(key: string, m: number, at: number) {
  return { t: 'receipt', r: m, m, at, wall: WALL + at, conn: 1, key, decision: 'accepted' };
}

function call(number: number, at: number, m: readonly number[], s: string) {
  return { t: 'call', call: number, attempt: 1, at, channel: 'bench', signature: 'right', m, s, junk: 0 };
}

function called(number: number, at: number, status: number) {
  return { t: 'called', call: number, attempt: 1, at, status };
}

it('measures from the first call that told of the delivery to the next message of the room', () => {
  const observed = observe(
    receipt('run/a/1', 1, 100),
    receipt('run/b/1', 2, 101),
    call(1, 105, [1], 's'),
    call(2, 110, [1, 2], 'dd'),
    receipt('run/a/2', 3, 113),
    call(3, 114, [1], 'd'),
    receipt('run/b/2', 4, 117),
  );
  expect(observed.gapsMs()).toEqual([3, 7]);
  expect(observed.gapsMs(['run/b/1', 'run/b/2'])).toEqual([7]);
  // That of a sent status told of no delivery, however many another one told of.
  expect(observed.calls).toBe(2);
});

it('takes a message as settled when a call that told of its delivery was answered 2xx', () => {
  const observed = observe(
    receipt('run/a/1', 1, 100),
    receipt('run/b/1', 2, 101),
    call(1, 105, [1], 'd'),
    called(1, 106, 503),
    call(1, 107, [1], 'd'),
    called(1, 109, 200),
    call(2, 108, [2], 's'),
    called(2, 120, 200),
  );
  expect(observed.settledAt()).toEqual([WALL + 109]);
});

it('knows only its own run, and of copies the first', () => {
  const observed = observe(receipt('other/a/1', 1, 100), receipt('run/a/1', 2, 101), receipt('run/a/1', 3, 150));
  expect(observed.receivedAt('other/a/1')).toBeNull();
  expect(observed.receivedAt('run/a/1')).toBe(WALL + 101);
});

it('leaves out what was published only after the ack', () => {
  const observed = observe(
    receipt('run/a/1', 1, 100),
    receipt('run/b/1', 2, 100),
    call(1, 110, [1, 2], 'dd'),
    receipt('run/a/2', 3, 112),
    receipt('run/b/2', 4, 119),
  );
  const publishedAt = (key: string) => WALL + (key === 'run/b/2' ? 111 : 50);
  expect(observed.gapsMs(undefined, publishedAt)).toEqual([2]);
});

it('measures timeouts from the answer to the next message, where nobody was told and one waited', () => {
  const answer = (r: number, at: number) => ({ t: 'answer', r, at, status: 200, unknownOutcome: false });
  const observed = observe(
    receipt('run/a/1', 1, 100),
    receipt('run/b/1', 2, 100),
    receipt('run/c/1', 3, 100),
    answer(1, 102),
    answer(2, 103),
    answer(3, 103),
    call(1, 110, [2], 'd'),
    receipt('run/b/2', 4, 111),
    receipt('run/a/2', 5, 605),
    receipt('run/c/2', 6, 700),
  );
  const publishedAt = (key: string) => WALL + (key === 'run/c/2' ? 690 : 50);
  expect(observed.timeoutsLateMs(500, publishedAt)).toEqual([3]);
});
