import { describe, expect, it } from 'vitest';
import { Bed, channelOf, messageOf, settled } from '../support/engine.ts';

describe('the sweeper', () => {
  it('finds a room whose signal was lost: another process appended to it', async () => {
    const bed = new Bed();
    await bed.boot();
    const other = await bed.boot({ roles: ['api', 'webhook'] });
    await other.publish('r', ['a']);
    expect(bed.platform.sends).toEqual([]);
    await bed.time.advance(5_000);
    expect(bed.platform.log).toEqual(['r/a']);
  });

  it('finds messages behind those that its process knows of', async () => {
    const bed = new Bed({ channels: [channelOf({ policy: { unlockedBy: 'accepted' } })] });
    const holder = await bed.boot();
    const other = await bed.boot({ roles: ['api', 'webhook'] });
    await holder.publish('r', ['a']);
    await other.publish('r', ['b']);
    await bed.platform.last.accept();
    // The answer’s own write brings the raised tail along.
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
    await other.publish('r', ['c']);
    await bed.time.advance(5_000);
    await bed.platform.last.accept();
    expect(bed.platform.log).toEqual(['r/a', 'r/b', 'r/c']);
  });

  it('finds a room past its deadline that is in nobody’s memory', async () => {
    const bed = new Bed();
    const holder = await bed.boot();
    const other = await bed.boot({ roles: ['api', 'webhook'] });
    await other.publish('r', ['a'], { notBefore: bed.time.now + 12_000 });
    await bed.time.advance(11_999);
    expect(bed.platform.sends).toEqual([]);
    await bed.time.advance(1);
    expect(bed.platform.log).toEqual(['r/a']);
    expect(holder.failures).toEqual([]);
  });

  it('goes on after a scan that failed', async () => {
    const bed = new Bed();
    const holder = await bed.boot();
    const other = await bed.boot({ roles: ['api', 'webhook'] });
    await other.publish('r', ['a']);
    const lost = ['scan', 'changedSince'];
    holder.faults = ({ method }) => (lost.includes(method) ? 'fail_before' : 'run');
    await bed.time.advance(6_000);
    expect(bed.platform.sends).toEqual([]);
    holder.faults = ({ method }) => (method === 'changedSince' ? 'fail_before' : 'run');
    await bed.time.advance(5_000);
    expect(bed.platform.log).toEqual(['r/a']);
  });

  it('counts a claimable room that two sweeps found unattended (R6), and no room that stands in a queue', async () => {
    const bed = new Bed({ channels: [channelOf({ maxConcurrentSends: 1 })] });
    const process = await bed.boot();
    await process.publish('open', ['a']);
    await process.publish('queued', ['a']);
    await bed.time.advance(12_000);
    expect(await process.gauge('livenessViolations')).toBe(0);
    await bed.platform.last.accept();

    // A lease that cannot be renewed: the room cannot be claimed, and stands nowhere.
    process.faults = ({ method }) => (method === 'renew' ? 'fail_before' : 'run');
    await bed.time.advance(6_000);
    for (const { room } of bed.platform.sends) expect(['open', 'queued']).toContain(room);
    await bed.platform.last.accept();
    await process.publish('unattended', ['a']);
    await bed.time.advance(5_000);
    expect(await process.gauge('livenessViolations')).toBe(0);
    await bed.time.advance(5_000);
    expect(await process.gauge('livenessViolations')).toBe(1);
    process.regainStores();
    await bed.time.advance(10_000);
    expect(bed.platform.log.at(-1)).toBe('unattended/a');
    await settled();
    expect(await process.gauge('livenessViolations')).toBe(0);
  });

  it('takes no room for unattended that waits for the successor of a process that ends', async () => {
    const bed = new Bed({ settings: { sweepEveryMs: 1_000 } });
    const process = await bed.boot();
    await process.publish('open', ['a', 'b']);
    const stopped = process.engine.service.stop();
    const other = await bed.boot();
    await other.publish('later', ['a']);
    // The open request keeps the process for as long as it may take.
    await bed.time.advance(4_500);
    expect(await process.gauge('livenessViolations')).toBe(0);
    await bed.platform.last.accept();
    await bed.time.advance(1_000);
    await stopped;
    await bed.time.advance(3_000);
    expect(bed.platform.log).toEqual(['open/a', 'later/a']);
  });

  it('tells how many rooms wait for a permit whenever the metrics are asked for, not only when it sweeps', async () => {
    const bed = new Bed({ channels: [channelOf({ maxConcurrentSends: 1 })] });
    const process = await bed.boot();
    for (const room of ['open', 'first', 'second']) await process.publish(room, ['a']);
    expect(await process.instruments.metrics.render()).toMatch(/roomline_permit_queue\{channel="[^"]+"\} 2\n/);
    expect(await process.instruments.metrics.render()).toContain('roomline_rooms_active 3\n');
  });

  it('takes no room of a channel that is not configured for unattended', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    const key = { tenant: 'default', channel: 'gone', room: 'r' };
    await process.engine.intake.accept(messageOf('r', 'a', { key }));
    await bed.time.advance(16_000);
    expect(await process.gauge('livenessViolations')).toBe(0);
    expect(bed.platform.sends).toEqual([]);
    expect(await bed.row('r', key)).toMatchObject({ phase: 'idle', tail: 1 });
  });
});
