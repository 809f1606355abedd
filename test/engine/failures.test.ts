/** Failures counted in memory: what a second brings, what is lost with a store, and what bounds them. */
import { describe, expect, it } from 'vitest';
import { createFailureCounter } from '../../src/engine/failures.ts';
import { fingerprintOf, OTHER_CODE, OTHER_TEXT, refusalBy } from '../../src/engine/fingerprint.ts';
import type { FailureGroup } from '../../src/engine/operator-ports.ts';
import { OutcomeUnknownError } from '../../src/engine/ports.ts';
import type { TelemetryEvents } from '../../src/telemetry.ts';
import { Bed, CHANNEL, nackOf, settled } from '../support/engine.ts';

type Seen = TelemetryEvents['failure.seen'];

function failureOf(code: string, wishes: Partial<Seen> = {}): Seen {
  return {
    channel: CHANNEL,
    kind: 'refused',
    code,
    textDigest: null,
    again: false,
    deadLetter: false,
    sample: null,
    ...wishes,
  };
}

async function start(answer: () => Promise<void> = () => Promise.resolve()) {
  const bed = new Bed();
  const { clock, instruments, logged } = bed.process();
  const merged: FailureGroup[][] = [];
  const failures: unknown[] = [];
  const store = {
    merge: (counted: readonly FailureGroup[]) => {
      merged.push([...counted]);
      return answer();
    },
  };
  const onFailure = (error: unknown): void => void failures.push(error);
  const service = createFailureCounter({ store, clock, instruments, onFailure });
  await service.start();
  const see = (failure: Seen): void => instruments.telemetry.emit('failure.seen', failure);
  return { bed, service, merged, see, logged, failures };
}

const countsOf = (groups: readonly FailureGroup[] = []) =>
  groups.map(({ code, count, deadLetters }) => [code, count, deadLetters]);

describe('failures', () => {
  it('are added to the store once a second, a row for each group, and at the stop', async () => {
    const { bed, service, merged, see } = await start();
    for (let n = 0; n < 1_000; n++) see(failureOf(n % 2 === 0 ? 'a' : 'b', { deadLetter: n % 4 === 0 }));
    see(failureOf('a', { again: true, deadLetter: true }));
    await bed.time.advance(1_000);
    expect(merged).toHaveLength(1);
    expect(countsOf(merged[0])).toEqual([
      ['a', 500, 251],
      ['b', 500, 0],
    ]);
    await bed.time.advance(10_000);
    expect(merged).toHaveLength(1);
    see(failureOf('c'));
    await service.stop();
    expect(countsOf(merged[1])).toEqual([['c', 1, 0]]);
    see(failureOf('d'));
    await bed.time.advance(5_000);
    expect(merged).toHaveLength(2);
  });

  it('of an addition that failed are added with the next one, of one that may have come about they are not', async () => {
    const answers = [new Error('away'), new OutcomeUnknownError('lost')];
    const { bed, merged, see, logged, failures } = await start(() => {
      const error = answers.shift();
      return error === undefined ? Promise.resolve() : Promise.reject(error);
    });
    see(failureOf('a'));
    await bed.time.advance(1_000);
    see(failureOf('a'));
    await bed.time.advance(1_000);
    see(failureOf('a'));
    await bed.time.advance(1_000);
    expect(merged.map((groups) => countsOf(groups))).toEqual([[['a', 1, 0]], [['a', 2, 0]], [['a', 1, 0]]]);
    expect(logged.filter(({ event }) => event === 'postgres.batch_failed')).toHaveLength(2);
    expect(failures).toEqual([]);
  });

  it('have one fingerprint for a channel, a kind, a code and the words', () => {
    const failure = { kind: 'refused', code: 'a', textDigest: null } as const;
    const one = fingerprintOf(CHANNEL, failure);
    const others = [
      fingerprintOf(CHANNEL, { ...failure, kind: 'unknown' }),
      fingerprintOf(CHANNEL, { ...failure, code: 'b' }),
      fingerprintOf(CHANNEL, { ...failure, textDigest: 'c0ffee' }),
      fingerprintOf(CHANNEL, { ...failure, textDigest: 'decaf' }),
      fingerprintOf(CHANNEL, { ...failure, textDigest: OTHER_TEXT }),
      fingerprintOf({ ...CHANNEL, tenant: 'other' }, failure),
      fingerprintOf(null, failure),
    ];
    expect(one).toBe(fingerprintOf({ ...CHANNEL }, { ...failure }));
    expect(new Set([one, ...others]).size).toBe(8);
  });

  it('of codes beyond those that are told apart are those of one other', () => {
    const [one, two] = ['a', 'b'].map((code) => refusalBy(nackOf({ code, textDigest: OTHER_CODE })));
    expect(one).toEqual({ kind: 'refused', code: 'other', textDigest: OTHER_CODE });
    expect(two).toEqual(one);
  });
});

describe('what the engine tells of failures', () => {
  async function watched() {
    const bed = new Bed();
    const process = await bed.boot();
    const seen: string[] = [];
    process.instruments.telemetry.on('failure.seen', ({ kind, code, textDigest, again, deadLetter, sample }) => {
      const what = [kind, code, ...(textDigest === null ? [] : [textDigest]), sample?.sequence].join(' ');
      seen.push(`${what}${again ? ' again' : ''}${deadLetter ? ' for good' : ''}`);
    });
    return { bed, process, seen };
  }

  it('each attempt that failed once, whatever else is stored of its room', async () => {
    const { bed, process, seen } = await watched();
    await process.publish('r', ['a', 'b']);
    await bed.platform.last.refuse({ code: 'busy' });
    await process.engine.rooms.post(await bed.row('r'), { type: 'pause' });
    await process.engine.rooms.post(await bed.row('r'), { type: 'resume' });
    await bed.time.until(() => bed.platform.sends.length === 2);
    await bed.platform.last.fail('timeout');
    await bed.time.until(() => bed.platform.sends.length === 3);
    await bed.platform.last.accept();
    await process.ack(bed, 'r', 1, { level: null, nack: nackOf({ permanent: true, code: 'undeliverable' }) });
    await settled();
    expect(seen).toEqual(['refused busy 1', 'unknown timeout 1', 'refused undeliverable 1 for good']);
  });

  it('a failure that came after the message had settled as assumed', async () => {
    const { bed, process, seen } = await watched();
    await process.publish('r', ['a']);
    await bed.platform.last.accept();
    await bed.time.advance(6_000);
    expect(await bed.outcomes('r')).toEqual(['assumed']);
    const nack = { level: null, nack: nackOf({ permanent: true, code: 'undeliverable' }) };
    await process.ack(bed, 'r', 1, nack);
    await process.ack(bed, 'r', 1, nack);
    expect(seen).toEqual(['refused undeliverable 1 for good']);
  });

  it('in which words, by an answer, by a status, or too late; and the letter has the fingerprint of its last failure', async () => {
    const { bed, process, seen } = await watched();
    await process.publish('r', ['a', 'b']);
    await bed.platform.last.refuse({ code: 'busy', textDigest: 'w0rds' });
    await bed.time.until(() => bed.platform.sends.length === 2);
    await bed.platform.last.accept();
    const permanent = { permanent: true, code: 'undeliverable' };
    await process.ack(bed, 'r', 1, { level: null, nack: nackOf({ ...permanent, textDigest: 'by_status' }) });
    await bed.time.until(() => bed.platform.sends.length === 3);
    await bed.platform.last.accept();
    await bed.time.advance(6_000);
    await process.ack(bed, 'r', 2, { level: null, nack: nackOf({ ...permanent, textDigest: 't00_late' }) });
    await settled();
    expect(seen).toEqual([
      'refused busy w0rds 1',
      'refused undeliverable by_status 1 for good',
      'refused undeliverable t00_late 2 for good',
    ]);
    const letters = await bed.stores.deadLetters.list(null, 9);
    const of = (textDigest: string) => fingerprintOf(CHANNEL, { kind: 'refused', code: 'undeliverable', textDigest });
    expect(letters.map(({ sequence, fingerprint }) => [sequence, fingerprint])).toEqual([
      [2, of('t00_late')],
      [1, of('by_status')],
    ]);
  });

  it('nothing of what went well', async () => {
    const { bed, process, seen } = await watched();
    await process.publish('r', ['a', 'b']);
    for (const sequence of [1, 2]) {
      await bed.platform.last.accept();
      await process.ack(bed, 'r', sequence);
    }
    expect(await bed.outcomes('r')).toEqual(['acked', 'acked']);
    expect(seen).toEqual([]);
  });
});
