/** Acceptances that wait for the ack they could be stored with, and everything that may come between. */
import { describe, expect, it } from 'vitest';
import { Bed, channelOf, type Process, settled } from '../support/engine.ts';

const WAIT_MS = 20;

type Channel = Parameters<typeof channelOf>[0];

function bedOf(channel: Channel = {}): Bed {
  return new Bed({
    settings: { acceptanceLingerMs: WAIT_MS },
    channels: [channelOf({ echoesReference: 'always', ...channel })],
  });
}

/** What was stored of the room, in order: the phase that each write leads to, and what it settles. */
function storedOf(bed: Bed, room: string): string[] {
  return bed.committed
    .filter(({ next }) => next.key.room === room)
    .map(({ facts, next }) => {
      const settles = facts.flatMap((fact) => (fact.kind === 'settled' ? [`${fact.sequence} ${fact.outcome}`] : []));
      return [...settles, `${next.phase} ${next.settled + 1}`].join(', ');
    });
}

async function sentTo(bed: Bed, room: string, ids: readonly string[]): Promise<Process> {
  const process = await bed.boot();
  await process.publish(room, ids);
  return process;
}

describe('an acceptance that waits for its ack', () => {
  it('is stored with it, and with the next claim, in one write', async () => {
    const bed = bedOf();
    const process = await sentTo(bed, 'r', ['a', 'b']);
    await bed.platform.last.accept('platform-id-1');
    await bed.time.advance(WAIT_MS / 2 - 1);
    await process.ack(bed, 'r', 1);
    expect(storedOf(bed, 'r')).toEqual(['sending 1', '1 acked, sending 2']);
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
    const { attempts, platformId } = await bed.entry('r', 1);
    expect(attempts).toMatchObject([{ number: 1, result: 'accepted' }]);
    expect(platformId).toBe('platform-id-1');
  });

  it('is stored alone when the wait is over, and timed from the answer', async () => {
    const bed = bedOf({ policy: { ackTimeoutMs: 3_000 } });
    await sentTo(bed, 'r', ['a', 'b']);
    await bed.platform.last.accept();
    const answeredAt = bed.time.now;
    await bed.time.advance(WAIT_MS / 2 - 1);
    expect(storedOf(bed, 'r')).toEqual(['sending 1']);
    await bed.time.advance(WAIT_MS / 2 + 1);
    expect(storedOf(bed, 'r')).toEqual(['sending 1', 'awaiting_ack 1']);
    expect((await bed.row('r')).until).toBe(answeredAt + 3_000);
    await bed.time.advance(2_999 - WAIT_MS);
    expect(bed.platform.log).toEqual(['r/a']);
    await bed.time.advance(1);
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
    expect(await bed.outcomes('r')).toEqual(['assumed']);
  });

  it('waits in company: those of one half of the wait are one batch', async () => {
    const bed = bedOf();
    const process = await bed.boot();
    for (const room of ['r', 's', 't']) {
      await process.publish(room, ['a']);
      await bed.platform.last.accept();
      await bed.time.advance(2);
    }
    const before = process.countOf('rooms', 'compareAndSet');
    await bed.time.advance(WAIT_MS);
    expect(process.countOf('rooms', 'compareAndSet') - before).toBe(1);
    for (const room of ['r', 's', 't']) expect(await bed.row(room)).toMatchObject({ phase: 'awaiting_ack' });
  });

  it('does not wait where another process is, which the ack may come to', async () => {
    const bed = bedOf();
    const worker = await sentTo(bed, 'r', ['a', 'b']);
    const webhooks = await bed.boot({ roles: ['webhook'] });
    await bed.time.until(() => !worker.engine.ownership.alone);
    await bed.platform.last.accept();
    expect(storedOf(bed, 'r')).toEqual(['sending 1', 'awaiting_ack 1']);
    await webhooks.ack(bed, 'r', 1);
    expect(storedOf(bed, 'r').slice(2)).toEqual(['1 acked, ready 2']);
  });

  it('does not wait where acks may come without our reference: they find the room by what is stored', async () => {
    const bed = bedOf({ echoesReference: 'never' });
    await sentTo(bed, 'r', ['a']);
    await bed.platform.last.accept();
    expect(storedOf(bed, 'r')).toEqual(['sending 1', 'awaiting_ack 1']);
  });

  it('does not wait where it settles the message itself', async () => {
    const bed = bedOf({ policy: { unlockedBy: 'accepted' } });
    await sentTo(bed, 'r', ['a', 'b']);
    await bed.platform.last.accept();
    expect(storedOf(bed, 'r')).toEqual(['sending 1', '1 acked, sending 2']);
  });

  it('does not wait where the ack timeout is no longer than that', async () => {
    const bed = bedOf({ policy: { ackTimeoutMs: WAIT_MS } });
    await sentTo(bed, 'r', ['a']);
    await bed.platform.last.accept();
    expect(storedOf(bed, 'r')).toEqual(['sending 1', 'awaiting_ack 1']);
  });

  it('is stored with the nack that comes first', async () => {
    const bed = bedOf();
    const process = await sentTo(bed, 'r', ['a', 'b']);
    await bed.platform.last.accept();
    const nack = { permanent: true, scope: 'message', retryAfterMs: null, code: 'no_such_phone' } as const;
    await process.engine.rooms.post(await bed.row('r'), {
      type: 'nack',
      sequence: 1,
      nack,
      platformId: null,
      at: bed.time.now,
      chance: 0,
    });
    await settled();
    expect(storedOf(bed, 'r')).toEqual(['sending 1', '1 failed, sending 2']);
  });

  it('is stored at once with what an operator asks for', async () => {
    const bed = bedOf();
    const process = await sentTo(bed, 'r', ['a', 'b']);
    await bed.platform.last.accept();
    await process.engine.rooms.post(await bed.row('r'), { type: 'pause' });
    expect(await bed.row('r')).toMatchObject({ phase: 'awaiting_ack', paused: true });
  });

  it('loses to an ack that another process stores first: the answer is added to the history', async () => {
    const bed = bedOf();
    const holder = await bed.boot();
    const other = await bed.boot({ roles: ['api', 'webhook'] });
    await holder.publish('r', ['a', 'b']);
    await bed.platform.last.accept();
    await other.ack(bed, 'r', 1);
    await bed.time.advance(5_000);
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
    expect(await bed.entry('r', 1)).toMatchObject({ outcome: 'acked', attempts: [{ number: 1, result: 'accepted' }] });
  });

  it('dies with its process: the successor waits for evidence, and sends nothing twice once there is', async () => {
    const bed = bedOf();
    const first = await sentTo(bed, 'r', ['a', 'b']);
    await bed.platform.last.accept();
    first.loseStores();
    const second = await bed.boot();
    await bed.time.advance(11_000);
    expect((await bed.row('r')).phase).toBe('unknown');
    await second.ack(bed, 'r', 1);
    await bed.time.advance(1_000);
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
    expect(await bed.outcomes('r')).toEqual(['acked']);
  });

  it('is stored at once where its shard is left', async () => {
    const bed = bedOf();
    const process = await sentTo(bed, 'r', ['a', 'b']);
    await bed.platform.last.accept();
    process.engine.rooms.leave(new Set([(await bed.row('r')).shard]));
    await settled();
    expect(await bed.row('r')).toMatchObject({ phase: 'awaiting_ack' });
  });

  it('is on disk before a drain has ended, which does not wait for its ack', async () => {
    const bed = bedOf();
    const process = await sentTo(bed, 'r', ['a', 'b']);
    await bed.platform.last.accept();
    const drained = process.engine.rooms.drain();
    await settled();
    await drained;
    expect(await bed.row('r')).toMatchObject({ phase: 'awaiting_ack', settled: 0 });
  });

  it('is decided against the row as it is where that has changed meanwhile', async () => {
    const bed = bedOf();
    const holder = await bed.boot();
    const other = await bed.boot({ roles: ['api', 'webhook'] });
    await holder.publish('r', ['a', 'b']);
    await bed.platform.last.accept();
    await other.engine.rooms.post(await bed.row('r'), { type: 'pause' });
    await bed.time.advance(5 * WAIT_MS);
    expect(await bed.row('r')).toMatchObject({ phase: 'awaiting_ack', paused: true });
  });
});
