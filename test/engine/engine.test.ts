/** The engine's end: what it waits for, and that it comes in bounded time. */
import { describe, expect, it } from 'vitest';
import { Bed, channelOf, messageOf, nackOf, type Process, START, settled } from '../support/engine.ts';

/** Asks the engine to stop; `ended` tells whether it has. */
function stop(process: Process): { ended: () => boolean; done: Promise<void> } {
  let ended = false;
  const done = process.engine.service.stop().then(() => {
    ended = true;
  });
  return { ended: () => ended, done };
}

describe('a graceful end', () => {
  it('waits for the answers of open requests and records them', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await process.publish('r', ['a', 'b']);
    await process.publish('s', ['a']);
    const stopping = stop(process);
    await bed.time.advance(1_000);
    expect(stopping.ended()).toBe(false);
    await bed.platform.sends[0]?.accept('gw-1');
    await bed.platform.sends[1]?.fail();
    await stopping.done;
    expect(await bed.row('r')).toMatchObject({ phase: 'awaiting_ack', platformId: 'gw-1' });
    expect(await bed.row('s')).toMatchObject({ phase: 'unknown', attempts: [{ result: 'unknown' }] });
    expect(bed.time.pending).toBe(0);
    expect(process.failures).toEqual([]);
  });

  it('sends the claim that is just being stored: nothing is left that might have been sent', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    process.faults = ({ method }) => (method === 'compareAndSet' ? { action: 'run', afterMs: 20 } : 'run');
    await process.publish('r', ['a']);
    const stopping = stop(process);
    await bed.time.advance(100);
    expect(bed.platform.log).toEqual(['r/a']);
    await bed.platform.last.accept();
    await bed.time.advance(100);
    await stopping.done;
    expect(await bed.row('r')).toMatchObject({ phase: 'awaiting_ack', attempts: [{ result: 'accepted' }] });
  });

  it('claims nothing further, neither from the queue nor after an ack', async () => {
    const bed = new Bed({ channels: [channelOf({ maxConcurrentSends: 1 })] });
    const process = await bed.boot();
    await process.publish('r', ['a', 'b']);
    await process.publish('s', ['a']);
    const stopping = stop(process);
    await process.ack(bed, 'r', 1);
    await bed.platform.last.accept();
    await stopping.done;
    expect(bed.platform.log).toEqual(['r/a']);
    expect(await bed.row('r')).toMatchObject({ phase: 'ready', settled: 1 });
    expect(bed.time.pending).toBe(0);
  });

  it('takes no new message, and commits those that it has taken', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    process.faults = ({ method }) => (method === 'append' ? { action: 'run', beforeMs: 50 } : 'run');
    const accepting = process.engine.intake.accept(messageOf('r', 'a'));
    const stopping = stop(process);
    await settled();
    await expect(process.engine.intake.accept(messageOf('r', 'b'))).rejects.toMatchObject({ code: 'overloaded' });
    await bed.time.advance(100);
    await accepting;
    await bed.platform.sends[0]?.accept();
    await stopping.done;
    expect((await bed.row('r')).tail).toBe(1);
  });

  it('does not wait for acks, holds, timers or a stopped channel', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await process.publish('awaiting', ['a']);
    await bed.platform.last.accept();
    await process.publish('timed', ['a'], { notBefore: START + 60_000 });
    await process.publish('stopping', ['a']);
    await bed.platform.last.refuse({ scope: 'account', permanent: true });
    await process.publish('waiting', ['a']);
    await process.engine.service.stop();
    expect(bed.time.now).toBe(START);
    expect(bed.time.pending).toBe(0);
  });

  it('leaves a process that can still take acks, and sets no timer for them', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await process.publish('r', ['a', 'b']);
    await bed.platform.last.accept();
    await process.engine.service.stop();
    await process.ack(bed, 'r', 1, { level: 'sent' });
    expect(await bed.row('r')).toMatchObject({ phase: 'awaiting_ack', level: 'sent' });
    await process.ack(bed, 'r', 1);
    expect(await bed.row('r')).toMatchObject({ phase: 'ready', settled: 1 });
    const nack = nackOf({ scope: 'account', permanent: true });
    await process.ack(bed, 'r', 1, { level: null, nack });
    expect(bed.time.pending).toBe(0);
    expect(process.engine.rooms.size).toBe(0);
  });
});

describe('an end while the store is away', () => {
  it('comes although an open request’s answer cannot be recorded', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await process.publish('r', ['a']);
    process.loseStores('lose_before');
    const stopping = stop(process);
    await bed.platform.last.accept();
    await bed.time.advance(10_000);
    expect(stopping.ended()).toBe(true);
    expect(bed.time.pending).toBe(0);
    expect(await bed.row('r')).toMatchObject({ phase: 'sending' });
  });

  it('comes although a claim’s commit is unknown and its generation cannot rise', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    process.faults = ({ method }) => (method === 'append' ? 'run' : 'lose_before');
    await process.publish('r', ['a']);
    await bed.time.advance(1_000);
    const stopping = stop(process);
    await bed.time.advance(10_000);
    expect(stopping.ended()).toBe(true);
    expect(bed.time.pending).toBe(0);
  });

  it('comes although a room waits to be read, and tells those who wait for it', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await process.publish('r', ['a']);
    await bed.platform.last.accept();
    process.loseStores();
    const posting = process.engine.rooms.post(await bed.row('r'), { type: 'pause' });
    const refusal = expect(posting).rejects.toThrow('failed before it began');
    await bed.time.advance(1_000);
    const stopping = stop(process);
    await bed.time.advance(10_000);
    await refusal;
    expect(stopping.ended()).toBe(true);
    expect(bed.time.pending).toBe(0);
  });

  it('records the answer after all where the store is back in time', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await process.publish('r', ['a']);
    process.loseStores('lose_before');
    const stopping = stop(process);
    await bed.platform.last.accept();
    await bed.time.advance(3_000);
    process.regainStores();
    await bed.time.advance(1_000);
    expect(stopping.ended()).toBe(true);
    expect(await bed.row('r')).toMatchObject({ phase: 'awaiting_ack' });
  });
});
