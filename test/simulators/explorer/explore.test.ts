/** What holds of the real core within small bounds, and that the explorer finds what is broken. */
import { describe, expect, test } from 'vitest';
import { type Bounds, BUDGETS, PROFILES, type Profile } from '../../../simulators/explorer/bounds.ts';
import { type Exploration, explore } from '../../../simulators/explorer/explore.ts';
import { REAL, type Subject } from '../../../simulators/explorer/subject.ts';
import { BROKEN } from './broken.ts';

const NO_FAULTS: Bounds = {
  messages: 2,
  workers: 1,
  clocks: 'honest',
  crashes: 0,
  steals: 0,
  losses: 0,
  unknowns: 0,
  refusals: 0,
  nacks: 0,
  operators: 0,
  supersessions: 0,
};

function run(subject: Subject, profile: string, bounds: Partial<Bounds>, maxStates = 400_000): Exploration {
  const found = PROFILES.find(({ name }) => name === profile) as Profile;
  return explore(subject, found, { ...NO_FAULTS, ...bounds }, { maxStates });
}

describe('every state of the real core', () => {
  const names = PROFILES.map(({ name }) => name);

  test.each(names)(
    'keeps its promises with the policy %s: two processes, one of them killed',
    (profile) => {
      const found = run(REAL, profile, { workers: 2, crashes: 1 });
      expect(found).toMatchObject({ complete: true, broken: null });
      expect(found.states).toBeGreaterThan(8_000);
    },
    30_000,
  );

  test.each(names)(
    'keeps its promises with the policy %s: every fault of the platform, one order',
    (profile) => {
      const found = run(REAL, profile, { messages: 1, unknowns: 1, refusals: 1, nacks: 1, operators: 1 });
      expect(found).toMatchObject({ complete: true, broken: null });
      expect(found.states).toBeGreaterThan(5_000);
    },
    60_000,
  );

  test.each(names)(
    'keeps its promises with the policy %s: three messages of which two are superseded, and a refusal',
    (profile) => {
      const found = run(REAL, profile, { messages: 3, refusals: 1, supersessions: 2 });
      expect(found).toMatchObject({ complete: true, broken: null });
      expect(found.states).toBeGreaterThan(5_000);
    },
    60_000,
  );

  test.each(names)(
    'keeps its promises with the policy %s: a message superseded at any of two processes',
    (profile) => {
      const found = run(REAL, profile, { workers: 2, crashes: 1, supersessions: 1 });
      expect(found).toMatchObject({ complete: true, broken: null });
      expect(found.states).toBeGreaterThan(10_000);
    },
    60_000,
  );

  test.each(BUDGETS)('is more with another fault: %s', (budget) => {
    // Nothing supersedes the only message.
    const bounds = { messages: budget === 'supersessions' ? 2 : 1, workers: 2 };
    const without = run(REAL, 'resend', bounds);
    const within = run(REAL, 'resend', { ...bounds, [budget]: 1 });
    expect(within.states).toBeGreaterThan(without.states);
    expect(within.broken).toBeNull();
  });

  test('is the same at every run', () => {
    expect(run(REAL, 'resend', { crashes: 1 })).toEqual(run(REAL, 'resend', { crashes: 1 }));
  });

  test('is not judged to the end where the number of states was cut', () => {
    expect(run(REAL, 'resend', { crashes: 1 }, 100)).toMatchObject({ complete: false, broken: null });
  });
});

describe('what is broken is found', () => {
  type Case = [
    name: keyof typeof BROKEN,
    property: string,
    mostStates: number,
    bounds: Partial<Bounds>,
    profile?: string,
  ];
  const two = { workers: 2 };
  test.each<Case>([
    ['settlesOnAnyAck', 'D2', 1_000, {}],
    ['takesAnyAnswerForTheOpenAttempt', 'D4', 50_000, { ...two, steals: 1 }],
    ['assumesWhatWasNeverSent', 'P6', 1_000, { unknowns: 1 }, 'assume'],
    ['repeatsWhatWasAccepted', 'P4', 1_000, {}],
    ['goesOnWithoutAck', 'O1', 1_000, {}],
    ['hasNoAckTimeout', 'L1', 1_000, {}],
    ['failsAtTheFirstRefusal', 'O2', 1_000, { refusals: 1 }],
    ['forgetsCancelMarks', 'O3', 1_000, { operators: 1 }],
    ['forgetsCancelMarks', 'O3', 5_000, { supersessions: 1, messages: 3 }],
    ['supersedesWhatWasTried', 'O5', 5_000, { refusals: 1, supersessions: 1, messages: 2 }],
    ['tellsNobodyWhoCancelled', 'O1', 1_000, { supersessions: 1, messages: 2 }],
    ['raisesNoVersion', 'D1', 1_000, { operators: 1 }],
    ['takesNothingOver', 'L1', 5_000, { crashes: 1 }],
    ['forgetsToAskForAPermit', 'L1', 1_000, {}],
    ['comparesNoVersions', 'P6', 1_000, two],
    ['hasNoFence', 'P4', 5_000, { ...two, steals: 1 }],
    ['hasNeitherFenceNorVersions', 'P4', 1_000, { ...two, steals: 1 }],
    ['dropsTheRoomAfterARefusedWrite', 'L1', 5_000, two],
    ['sendsInAnyLife', 'P7', 200_000, { ...two, steals: 1 }],
    ['sendsWhatHasSettled', 'P7', 5_000, { unknowns: 1 }],
    ['leavesALostClaimValid', 'P4', 1_000, { losses: 1 }],
  ])(
    '%s: %s',
    (name, property, mostStates, bounds, profile = 'resend') => {
      const found = run(BROKEN[name], profile, bounds, mostStates);
      expect(found.broken?.id).toBe(property);
      expect(run(REAL, profile, bounds, found.states).broken).toBeNull();
    },
    30_000,
  );

  test('with the shortest way there, step by step', () => {
    const found = run(BROKEN.sendsWhatHasSettled, 'resend', { unknowns: 1 });
    expect(found.broken?.message).toContain('message 1 left after message 2');
    expect(found.broken?.path.slice(0, 6)).toEqual([
      '      row: idle, 0 of 1 settled',
      '   1. message 2 is appended',
      '      row: idle, 0 of 2 settled',
      '   2. w1 takes the shard and reads its rooms',
      '   3. w1 claims the room',
      '   4. w1 has its write taken: attempt 1 of message 1 claimed, room sending',
    ]);
    expect(found.broken?.path.at(-1)).toBe('  22. w1 attempt 2 of message 1 leaves');
  });
});
