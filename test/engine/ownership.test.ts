/** What entitles a process to claim: leases, fences and take-over, in whole engines. */
import { describe, expect, it } from 'vitest';
import type { StoreCall } from '../../src/adapters/memory/faulty.ts';
import { Bed, channelOf, messageOf, type Process, SHARDS, START, settled } from '../support/engine.ts';
import { stressService } from '../support/stress.ts';

const ownershipCalls = (process: Process): string[] =>
  process.calls.filter(({ store }) => store === 'ownership').map(({ method }) => method);

/** The process is frozen or cut off for good: nothing of it reaches the database, no answer reaches it. */
function cutOff(process: Process): void {
  process.loseStores();
}

describe('a life', () => {
  it('begins with a new identity, takes every shard and reads its rooms', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    expect(process.engine.ownership.worker).toBe('worker-1.1');
    expect([...process.engine.ownership.shards]).toEqual(Array.from({ length: SHARDS }, (_, shard) => shard));
    const calls = ownershipCalls(process).filter((method) => method !== 'renew');
    expect(calls.slice(0, 5)).toEqual(['register', 'glance', 'beginPlan', 'applyPlan', 'ownShards']);
    expect(await process.gauge('shardsHeld')).toBe(SHARDS);
  });

  it('begins as soon as the store can be reached, where it cannot at first', async () => {
    const bed = new Bed();
    const process = bed.process();
    process.loseStores();
    await process.engine.service.start();
    expect(process.engine.ownership.worker).toBeNull();
    expect(process.engine.ownership.storeUp).toBe(false);
    await bed.time.advance(3_000);
    process.regainStores();
    await bed.time.advance(300);
    expect(process.engine.ownership.shards.size).toBe(SHARDS);
    expect(process.engine.ownership.storeUp).toBe(true);
    const dependency = process.logged.map(({ event }) => event).filter((event) => event.startsWith('dependency'));
    expect(dependency).toEqual(['dependency.lost', 'dependency.back']);
  });

  it('that could not read what the channels were like is begun again under another identity', async () => {
    const bed = new Bed();
    const process = bed.process();
    process.failNext('channels', 'load');
    await process.engine.service.start();
    await bed.time.advance(300);
    expect(process.engine.ownership.worker).toBe('worker-1.2');
  });

  it('makes good a take-over whose answer was lost', async () => {
    const bed = new Bed();
    const process = bed.process();
    process.failNext('ownership', 'applyPlan', 'run_then_fail');
    const starting = process.engine.service.start();
    await bed.time.advance(300);
    await starting;
    expect(process.engine.ownership.shards.size).toBe(SHARDS);
    await process.publish('r', ['a']);
    expect(bed.platform.log).toEqual(['r/a']);
  });

  it('is renewed while its rooms are being read, however long that takes', async () => {
    const bed = new Bed();
    const first = await bed.boot();
    bed.platform.answers = () => null;
    await first.publish('r', ['a', 'b']);
    await bed.platform.last.accept();
    await first.engine.service.stop();

    const second = bed.process();
    second.faults = ({ method }) => (method === 'scan' ? { action: 'run', afterMs: 25_000 } : 'run');
    const starting = second.engine.service.start();
    await bed.time.advance(26_000);
    await starting;
    expect(second.engine.ownership.worker).toBe('worker-2.1');
    expect(ownershipCalls(second).filter((method) => method === 'renew').length).toBeGreaterThan(10);
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
  });

  it('whose rooms could not be read finds them by its sweep', async () => {
    const bed = new Bed();
    const first = await bed.boot();
    first.faults = ({ method }) => (method === 'compareAndSet' ? 'fail_before' : 'run');
    await first.publish('r', ['a']);
    const stopping = first.engine.service.stop();
    await bed.time.advance(10_000);
    await stopping;
    const second = bed.process();
    second.failNext('rooms', 'scan');
    const starting = second.engine.service.start();
    await bed.time.advance(6_000);
    await starting;
    expect(bed.platform.log).toEqual(['r/a']);
  });

  it('keeps the contract of a service, and leaves no timer behind', async () => {
    const bed = new Bed();
    await stressService(() => bed.process().engine.service, { assertReleased: () => expect(bed.time.pending).toBe(0) });
  });
});

describe('a lost lease', () => {
  /** The renewals of `process` fail until its lease has ended. */
  async function loseLease(bed: Bed, process: Process): Promise<void> {
    process.faults = ({ method }) => (method === 'renew' ? 'fail_before' : 'run');
    await bed.time.advance(12_500);
    process.regainStores();
    await bed.time.advance(500);
  }

  it('is never taken up again: the process is reborn under a new identity and takes its rooms over', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await process.publish('r', ['a', 'b']);
    await bed.platform.last.accept();
    await loseLease(bed, process);
    expect(process.engine.ownership.worker).toBe('worker-1.2');
    expect(process.logged.find(({ event }) => event === 'ownership.lost')?.fields).toMatchObject({
      worker: 'worker-1.1',
    });
    expect(process.engine.ownership.shards.size).toBe(SHARDS);
    expect(await bed.outcomes('r')).toEqual(['assumed']);
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
    expect(bed.platform.last.request.worker).toBe('worker-1.2');
  });

  it('leaves nothing in memory but what is open, and no timer of a room', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    for (const room of ['r', 's']) await process.publish(room, ['a']);
    for (const send of bed.platform.sends) await send.accept();
    await process.publish('later', ['a'], { notBefore: START + 100_000 });
    process.faults = ({ method }) => (method === 'renew' || method === 'register' ? 'fail_before' : 'run');
    await bed.time.advance(4_000);
    const { rooms } = process.engine;
    expect(rooms.size).toBe(3);
    process.faults = ({ method }) => (method === 'register' ? 'fail_before' : 'run');
    await bed.stores.ownership.release('worker-1.1');
    await bed.time.advance(900);
    expect(process.engine.ownership.worker).toBeNull();
    expect(rooms.size).toBe(0);
  });

  it('does not interrupt an open request: its answer counts', async () => {
    const bed = new Bed({ channels: [channelOf({ sendTimeoutMs: 5_000 })] });
    const process = await bed.boot();
    await process.publish('r', ['a']);
    await process.publish('s', ['a']);
    process.faults = ({ method }) => (method === 'renew' ? 'fail_before' : 'run');
    await bed.time.advance(10_100);
    process.regainStores();
    await bed.time.advance(1_000);
    expect(process.engine.ownership.worker).toBe('worker-1.2');
    // Nothing tells what became of it yet: its room waits for evidence, and gets it.
    for (const send of bed.platform.sends) await send.accept();
    expect(await bed.row('r')).toMatchObject({ phase: 'awaiting_ack', attempt: 1 });
    await bed.time.advance(10_000);
    expect(await bed.outcomes('r')).toEqual(['assumed']);
    expect(bed.platform.log).toEqual(['r/a', 's/a']);
  });

  it('that its worker has not noticed does not interrupt what its successor sends', async () => {
    const bed = new Bed();
    const stale = await bed.boot();
    const holder = await bed.boot();
    stale.faults = ({ store }) => (store === 'ownership' ? 'fail_before' : 'run');
    await bed.time.until(() => holder.engine.ownership.shards.size === SHARDS);
    expect(stale.engine.ownership.shards.size).toBe(SHARDS);
    await holder.publish('r', ['a']);
    const scansBefore = stale.countOf('rooms', 'sweep');
    await bed.time.until(() => stale.countOf('rooms', 'sweep') > scansBefore + 1);
    expect(await bed.row('r')).toMatchObject({ phase: 'sending', attempt: 1 });
    expect(bed.platform.log).toEqual(['r/a']);
  });

  it('gives back every permit, so that the next life can claim', async () => {
    const bed = new Bed({ channels: [channelOf({ maxConcurrentSends: 1 })] });
    const process = await bed.boot();
    for (const room of ['r', 's', 't']) await process.publish(room, ['a']);
    await loseLease(bed, process);
    for (let n = 0; n < 3; n++) await bed.platform.sends[n]?.accept();
    await settled();
    expect(bed.platform.log.toSorted()).toEqual(['r/a', 's/a', 't/a']);
  });

  it('forgets what waited for a permit, and leaves no more than one place in the queue per room', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    bed.platform.answers = () => ({
      kind: 'refused',
      nack: { permanent: true, scope: 'channel', retryAfterMs: null, code: 'revoked' },
    });
    for (let n = 0; n < 5; n++) await process.publish(`r${n}`, ['a']);
    for (let n = 0; n < 5; n++) await loseLease(bed, process);
    await bed.time.advance(30_000);
    expect(process.engine.channels.all()[0]?.queued).toBeLessThanOrEqual(5);
  });
});

describe('the last check before the bytes leave', () => {
  it('keeps a claim that took too long from being sent, and it is sent with the renewal', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    process.faults = ({ store, method }) => {
      if (method === 'compareAndSet') return { action: 'run', afterMs: 200 };
      return store === 'ownership' ? 'fail_before' : 'run';
    };
    await bed.time.advance(4_800);
    const accepting = process.engine.intake.accept(messageOf('r', 'a'));
    await bed.time.advance(1_000);
    await accepting;
    expect(bed.platform.sends).toEqual([]);
    const row = await bed.row('r');
    expect(row).toMatchObject({ phase: 'waiting', reason: 'channel', spent: 0 });
    expect(row.attempts).toMatchObject([{ result: 'refused', code: 'lease_not_trusted' }]);
    process.regainStores();
    await bed.time.advance(300);
    expect(bed.platform.log).toEqual(['r/a']);
    // Nothing had left: it is no possible duplicate.
    const { values } = await process.instruments.metrics.possibleDuplicates.get();
    expect(values).toEqual([]);
  });
});

describe('a take-over', () => {
  it('fences the dead before it takes their shards, and reads their rooms only then', async () => {
    const bed = new Bed();
    const first = await bed.boot();
    await first.publish('r', ['a']);
    cutOff(first);
    const second = await bed.boot();
    await bed.time.advance(9_000);
    expect(second.engine.ownership.shards.size).toBe(0);
    const from = second.calls.length;
    await bed.time.advance(3_000);
    expect(second.engine.ownership.shards.size).toBe(SHARDS);
    const steps = second.calls.slice(from).map(({ method }: StoreCall) => method);
    const fenced = steps.indexOf('fence');
    expect(fenced).toBeGreaterThan(-1);
    expect(steps.indexOf('applyPlan', fenced)).toBeGreaterThan(fenced);
    expect(steps.indexOf('scan')).toBeGreaterThan(steps.indexOf('applyPlan', fenced));
  });

  it('sends what was being sent again, after a grace, with the same reference and bytes, and counts it', async () => {
    const bed = new Bed();
    const first = await bed.boot();
    await first.publish('r', ['a', 'b']);
    await first.publish('other', ['a']);
    cutOff(first);
    const second = await bed.boot();
    await bed.time.advance(11_000);
    await second.publish('third', ['a']);
    await bed.platform.last.accept();
    await bed.time.until(() => bed.platform.sends.filter(({ room }) => room === 'r').length === 2);
    const [before, after] = bed.platform.sends.filter(({ room }) => room === 'r');
    expect(after?.request).toMatchObject({ attempt: 2, worker: 'worker-2.1', reference: before?.request.reference });
    expect(after?.request.body).toEqual(before?.request.body);
    const row = await bed.row('r');
    expect(row.attempts).toMatchObject([
      { number: 1, worker: 'worker-1.1', result: 'interrupted' },
      { number: 2, worker: 'worker-2.1', result: null },
    ]);
    const { values } = await second.instruments.metrics.possibleDuplicates.get();
    expect(values[0]?.value).toBeGreaterThanOrEqual(1);
  });

  it('refuses what the dead one had still to say of its claims', async () => {
    const bed = new Bed();
    const first = await bed.boot();
    await bed.time.advance(100);
    // Its claim is on its way to the database for longer than its lease lives, and its renewals do not arrive.
    first.faults = ({ store, method }) => {
      if (method === 'compareAndSet') return { action: 'run', beforeMs: 15_000 };
      return store === 'ownership' ? 'lose_before' : 'run';
    };
    void first.publish('r', ['a']);
    const second = await bed.boot();
    await bed.time.advance(12_000);
    expect(bed.platform.sends.map(({ request }) => request.worker)).toEqual(['worker-2.1']);
    await bed.time.advance(5_000);
    expect(bed.writes.filter(({ result }) => result.kind === 'fenced')).toHaveLength(1);
    expect(bed.platform.log).toEqual(['r/a']);
    expect(second.failures).toEqual([]);
  });

  it('needs no wait after a graceful end: the shards are free', async () => {
    const bed = new Bed();
    const first = await bed.boot();
    await first.publish('r', ['a', 'b']);
    await bed.platform.last.accept();
    await first.engine.service.stop();
    const second = await bed.boot();
    expect(second.engine.ownership.shards.size).toBe(SHARDS);
    await second.ack(bed, 'r', 1);
    expect(bed.platform.last.request).toMatchObject({ worker: 'worker-2.1' });
    expect(bed.time.now).toBe(START);
  });
});
