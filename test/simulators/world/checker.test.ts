/** Every rule of the checker can be broken: one small story each, told to it by hand. */
import { beforeEach, describe, expect, it } from 'vitest';
import { Checker } from '../../../simulators/world/checker.ts';
import type { ChangeRecord, RequestRecord, RowRecord } from '../../../simulators/world/records.ts';

const ROOM = 'main/r';
const BODY = new TextEncoder().encode('body');
let checker: Checker;
let row: RowRecord;

beforeEach(() => {
  checker = new Checker({
    now: () => 1_000,
    maxAttempts: 3,
    roomLimit: null,
    cumulative: false,
    clocksAheadMs: () => 0,
    onSettled: () => undefined,
  });
  row = checker.row(ROOM);
  checker.leases.registered('w', 1);
  checker.leases.took('w', [0]);
  for (const id of ['a', 'b']) publish(id);
  checker.appended(ROOM, 'a', 1);
  checker.appended(ROOM, 'b', 2);
});

function publish(messageId: string, supersedes: string | null = null): void {
  checker.published(ROOM, { messageId, body: BODY, expiresAt: null, supersedes });
}

function change(wishes: Partial<RowRecord>, rest: Partial<ChangeRecord> = {}): void {
  const expectedVersion = row.version;
  row = { ...row, version: expectedVersion + 1, ...wishes };
  checker.changed({ expectedVersion, row, settled: [], cancelled: [], claims: false, ...rest });
}

function claim(attempt = 1, worker = 'w'): void {
  const attempts = [...row.attempts, { number: attempt, worker, generation: 1, begunAt: 1_000, result: null }];
  change({ phase: 'sending', attempt, attempts }, { claims: true });
}

function end(result: string, phase: string): void {
  change({
    phase,
    attempts: row.attempts.map((one, at) => (at === row.attempts.length - 1 ? { ...one, result } : one)),
  });
}

function settle(outcome: string, reason: string, sequence = 1): void {
  const { attempts } = row;
  change(
    { phase: 'ready', settled: sequence, attempt: 0, attempts: [] },
    { settled: [{ sequence, outcome, reason, attempts }] },
  );
}

function request(id = 'a', wishes: Partial<RequestRecord> = {}): RequestRecord {
  const reference = `ref-${id}`;
  return { room: ROOM, messageId: id, reference, body: BODY, attempt: 1, worker: 'w', generation: 1, ...wishes };
}

function send(id = 'a', wishes: Partial<RequestRecord> = {}): void {
  checker.leaving(request(id, wishes));
  checker.arrived(request(id, wishes));
}

const broken = (): string => checker.violations.join('; ');

describe('a story in which nothing is wrong', () => {
  it('breaks no promise', () => {
    claim();
    send();
    checker.answered(request(), 'accepted');
    end('accepted', 'awaiting_ack');
    checker.told(ROOM, 'a');
    settle('acked', 'ack');
    claim();
    send('b');
    checker.answered(request('b'), 'unknown');
    end('unknown', 'unknown');
    change({ phase: 'backing_off' });
    claim(2);
    send('b', { attempt: 2 });
    expect(broken()).toBe('');
    expect(checker.counts.get('copies')).toBe(1);
    expect(checker.cells.get('unknown×deadline_due')).toBe(1);
  });
});

describe('R1', () => {
  it.each([
    ['a message acked that the platform never had', 'acked', 'ack', 'the platform never had it'],
    ['one assumed of which no byte left', 'assumed', 'assume_policy', 'no byte of it ever left'],
    ['one failed that would have been taken', 'failed', 'refused', 'would have taken it'],
    ['one failed with attempts left', 'failed', 'attempts_exhausted', 'attempts were left'],
    ['one expired that cannot', 'expired', 'expired', 'still valid'],
    ['one cancelled by nobody', 'cancelled', 'operator', 'nobody ordered it'],
    ['one skipped by nobody', 'skipped', 'operator', 'nobody ordered it'],
  ])('is broken by %s', (_, outcome, reason, told) => {
    claim();
    settle(outcome, reason);
    expect(broken()).toContain(told);
  });

  it('is broken by an ack that its own channel never told', () => {
    claim();
    send();
    settle('acked', 'ack');
    expect(broken()).toContain('no ack of its own channel');
  });

  it('is broken where a message settles twice, is left out, or is sent without a claim', () => {
    checker.ordered(ROOM, 'skip', 2);
    settle('skipped', 'operator', 2);
    expect(broken()).toContain('2 settled after 0');
    checker.leaving(request());
    expect(broken()).toContain('without a claim on disk');
  });

  it('is broken where a publisher is told too early, and where a cancelled message is claimed', () => {
    publish('c');
    checker.acknowledged(ROOM, 'c', 3);
    expect(broken()).toContain('c was acknowledged before it was stored');
    checker.ordered(ROOM, 'cancel', 1);
    change({}, { cancelled: [{ sequence: 1, by: 'operator' }] });
    expect(broken()).not.toContain('nobody ordered it');
    claim();
    expect(broken()).toContain('1 was cancelled, and is claimed');
  });

  it('is broken by marks that nobody ordered', () => {
    change({}, { cancelled: [{ sequence: 1, by: 'operator' }] });
    expect(broken()).toContain('1 was marked (operator): nobody ordered it');
    change({}, { cancelled: [{ sequence: 2, by: 'superseded' }] });
    expect(broken()).toContain('2 was marked (superseded): no newer message replaces it');
  });

  it('is broken where a publisher is told before what its message supersedes is out of the way', () => {
    publish('c', 'b');
    checker.appended(ROOM, 'c', 3);
    checker.acknowledged(ROOM, 'c', 3);
    expect(broken()).toContain('2 is superseded, and could still be sent');
  });

  it('is not broken where it was marked, had been tried, or had settled', () => {
    publish('c', 'b');
    checker.appended(ROOM, 'c', 3);
    change({}, { cancelled: [{ sequence: 2, by: 'superseded' }] });
    checker.acknowledged(ROOM, 'c', 3);
    claim();
    publish('d', 'a');
    checker.appended(ROOM, 'd', 4);
    checker.acknowledged(ROOM, 'd', 4);
    checker.ordered(ROOM, 'skip', 1);
    settle('skipped', 'operator');
    checker.acknowledged(ROOM, 'd', 4);
    expect(broken()).toBe('');
    expect([...checker.counts.keys()].filter((name) => name.startsWith('superseded')).sort()).toEqual([
      'superseded_after_settling',
      'superseded_while_tried',
      'superseded_while_waiting',
    ]);
  });

  it('is broken by a superseded message that had been tried, or that none replaces', () => {
    claim();
    settle('cancelled', 'superseded');
    expect(broken()).toContain('1 cancelled (superseded): it had been tried');
    settle('cancelled', 'superseded', 2);
    expect(broken()).toContain('2 cancelled (superseded): no newer message replaces it');
  });
});

describe('R2', () => {
  it('is broken where the database numbers messages otherwise than they were published', () => {
    publish('c');
    publish('d');
    checker.appended(ROOM, 'd', 3);
    expect(broken()).toContain('d has number 3');
  });
});

describe('R3', () => {
  it('is broken by a claim of a worker that is fenced, or does not own the shard, or of an old generation', () => {
    checker.leases.raised('w', 2);
    claim();
    expect(broken()).toContain('its generation is 2, not 1');
    checker.leases.fenced('w');
    claim(2);
    expect(broken()).toContain('it is fenced');
    checker.leases.registered('v', 1);
    claim(3, 'v');
    expect(broken()).toContain('shard 0 belongs to w');
  });

  it('is broken where a shard is taken from a worker that is not fenced', () => {
    checker.leases.registered('v', 1);
    checker.leases.took('v', [0]);
    expect(broken()).toContain('v took shard 0 of w, which is not fenced');
  });

  it('is broken by a claim made again in the generation of one that may yet commit', () => {
    checker.leases.claims(1, 'w', 1);
    checker.leases.claimLost(1, 'w', 1);
    checker.leases.claims(1, 'w', 2);
    checker.leases.claims(2, 'w', 1);
    expect(broken()).toBe('');
    checker.leases.claims(1, 'w', 1);
    expect(broken()).toContain('w claims room 1 again in generation 1');
  });

  it('is broken by a second attempt while the first is open, and by bytes that leave after it was claimed', () => {
    claim();
    checker.leaving(request());
    claim(2);
    expect(broken()).toContain('while its request is open');
    claim(3);
    checker.leaving(request('a', { attempt: 2 }));
    expect(broken()).toContain('attempt 2 of 1 is sent after 3 was claimed');
  });
});

describe('R4', () => {
  it('is broken by a second attempt of what was accepted, unless a refusal came by status', () => {
    claim();
    send();
    checker.answered(request(), 'accepted');
    end('accepted', 'awaiting_ack');
    change({ phase: 'backing_off' });
    claim(2);
    expect(broken()).toContain('1 is attempted again, though it was accepted');
  });

  it('is broken by another reference, another body, or one attempt sent twice', () => {
    claim();
    send();
    send('a', { reference: 'other', body: new Uint8Array(1) });
    expect(broken()).toContain('two references');
    expect(broken()).toContain('another body');
    expect(broken()).toContain('sent twice');
  });

  it('is broken where the open request of a living holder counts as interrupted', () => {
    claim();
    send();
    end('interrupted', 'unknown');
    expect(broken()).toContain('counts as interrupted while its holder waits');
  });
});

describe('R6 and R7', () => {
  it('are broken by what has not settled, by a lost version, and by a change without a cause', () => {
    checker.demandDrained(5_000);
    expect(broken()).toContain('0 of 2 settled 5000 ms after the faults');
    change({ version: 7 });
    checker.changed({ expectedVersion: 3, row: { ...row, version: 4 }, settled: [], cancelled: [], claims: false });
    expect(broken()).toContain('version 4, decided at 3, was written over 7');
    expect(broken()).toContain('without a cause');
  });
});
