import { describe, expect, it } from 'vitest';
import { Bed, channelOf, settled, nackOf, CHANNEL } from '../support/engine.ts';
import { stressService } from '../support/stress.ts';

describe('suspicions', () => {
  it('S0 plain', async () => {
    const bed = new Bed();
    const p = await bed.boot();
    await p.publish('r', ['a', 'b']);
    expect(bed.platform.log).toEqual(['r/a']);
    await bed.platform.last.accept();
    await p.ack(bed, 'r', 1);
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
    console.log('writes', bed.committed.length);
    await bed.platform.last.accept();
    await p.ack(bed, 'r', 2);
    await p.engine.service.stop();
    expect(bed.time.pending).toBe(0);
  });
  it('S1 drain with a claim in flight', async () => {
    const bed = new Bed();
    const p = await bed.boot();
    p.faults = ({ method }) => (method === 'compareAndSet' ? { action: 'run', afterMs: 20 } : 'run');
    await p.publish('r', ['a']);
    const stop = p.engine.service.stop();
    await bed.time.advance(1000);
    console.log('S1 sends', bed.platform.log, (await bed.row('r')).phase);
    await bed.platform.sends[0]?.accept();
    await bed.time.advance(1000);
    await stop;
    console.log('S1', (await bed.row('r')).phase, (await bed.row('r')).attempts, bed.time.pending);
  });
  it('S2 silent channel', async () => {
    const bed = new Bed();
    const p = await bed.boot();
    for (let i = 0; i < 10; i++) await p.publish(`r${i}`, ['a']);
    for (const s of bed.platform.sends) void s.fail();
    await bed.time.advance(2_000);
    console.log('S2 sends', bed.platform.sends.length, p.engine.channels.all()[0]?.condition);
  });
  it('S3 stop while the store is away', async () => {
    const bed = new Bed();
    const p = await bed.boot();
    await p.publish('r', ['a']);
    await p.publish('s', ['a']);
    await bed.platform.sends[1]!.accept();
    p.loseStores();
    let done = false;
    const stop = p.engine.service.stop().then(() => { done = true; });
    await bed.platform.sends[0]!.accept();
    await bed.time.advance(60_000);
    console.log('S3 done', done, 'timers', bed.time.pending);
    void stop;
  });
  it('S3b stop while a room waits for the store', async () => {
    const bed = new Bed();
    const p = await bed.boot();
    await p.publish('s', ['a']);
    await bed.platform.sends[0]!.accept();
    p.loseStores();
    await bed.time.advance(5_500);
    let done = false;
    void p.engine.service.stop().then(() => { done = true; });
    await bed.time.advance(60_000);
    console.log('S3b done', done, 'timers', bed.time.pending);
  });
  it('S4 turned away', async () => {
    const bed = new Bed();
    const p = await bed.boot();
    await bed.time.advance(100);
    let once = false;
    p.faults = ({ method }) => {
      if (method === 'compareAndSet' && !once) { once = true; return 'run_then_fail'; }
      if (method === 'raiseGeneration') return { action: 'run', beforeMs: 50 };
      return 'run';
    };
    await p.publish('r', ['a']);
    await bed.time.advance(10);
    await p.publish('s', ['a']);
    await bed.time.advance(100);
    await bed.time.until(() => bed.platform.log.includes('s/a'));
    console.log('S4 s sent after', bed.time.now - 1_700_000_000_110, 'ms', bed.platform.log);
    await bed.time.until(() => bed.platform.log.includes('r/a'));
    console.log('S4 r sent after', bed.time.now - 1_700_000_000_110, 'ms');
  });
  it('S5 delayed raise', async () => {
    let delayed: Promise<number> | null = null;
    let first = true;
    const bed = new Bed({ database: (stores) => ({ ...stores, ownership: new Proxy(stores.ownership, { get(t, m) {
      if (m === 'raiseGeneration' && first) return async (w: string) => { first = false; void new Promise<void>((r) => bed.time.after(3_000, r)).then(() => t.raiseGeneration(w)); throw new Error('broken'); };
      const x = Reflect.get(t, m); return typeof x === 'function' ? x.bind(t) : x; } }) }) });
    void delayed;
    const p = await bed.boot();
    p.failNext('rooms', 'compareAndSet', 'fail_before');
    await p.publish('r', ['a']);
    await bed.time.until(() => bed.platform.log.includes('r/a'));
    await bed.platform.last.accept();
    await p.ack(bed, 'r', 1);
    await bed.time.advance(4_000);
    await p.publish('r', ['b']);
    await bed.time.advance(60_000);
    console.log('S5', bed.platform.log, bed.writes.filter((w) => w.result.kind === 'fenced').length, 'fenced');
  });
  it('S6 body unreadable', async () => {
    const bed = new Bed({ settings: { bodyCacheBytes: 0 } });
    const p = await bed.boot();
    p.faults = ({ method }) => (method === 'readBodies' ? {action:'fail_before', afterMs: 5} : method==='compareAndSet'? {action:'run', afterMs:5} : 'run');
    await p.publish('r', ['a']);
    await bed.time.advance(10_000);
    console.log('S6 writes in 10s', bed.writes.length);
  });
  it('S7 retry after 0', async () => {
    const bed = new Bed();
    const p = await bed.boot();
    bed.platform.answers = () => null;
    p.faults = ({ method }) => (method==='compareAndSet'? {action:'run', afterMs:5} : 'run');
    await p.publish('r', ['a']);
    let n = 0;
    while (bed.time.now < 1_700_000_000_000 + 10_000) {
      if (bed.platform.sends.length > n) { const s = bed.platform.sends[n++]!; await bed.time.advance(5); await s.refuse({ scope: 'channel', retryAfterMs: 0, code: 'throttled' }); }
      else await bed.time.advance(5);
    }
    console.log('S7 sends in 10s', bed.platform.sends.length);
  });
  it('S9 service stress', async () => {
    const bed = new Bed();
    await stressService(() => bed.process().engine.service, { assertReleased: () => { expect(bed.time.pending).toBe(0); } });
  });
  it('S10 clock before sync', async () => {
    const bed = new Bed({ wallWrongByMs: 3_600_000 });
    const a = await bed.boot();
    await a.publish('r', ['a']);
    await a.publish('r', ['b'], { expiresAt: 1_700_000_000_000 + 60_000 });
    await bed.platform.last.accept();
    const b = bed.process();
    await b.ack(bed, 'r', 1);
    console.log('S10', await bed.outcomes('r'));
  });
  it('S11 posts during outage', async () => {
    const bed = new Bed();
    const p = await bed.boot();
    await p.publish('r', ['a']);
    await bed.platform.last.accept();
    p.loseStores();
    const ref = p.references.encode(await bed.row('r'), 1);
    let rejected = 0;
    for (let i = 0; i < 5000; i++) void p.engine.acks.receive(CHANNEL, [{ kind: 'status', reference: ref, platformId: null, level: 'delivered', nack: null, at: null, cumulative: false }]).catch(() => rejected++);
    await bed.time.advance(3_000);
    console.log('S11 rejected', rejected);
  });
  it('S12 timers after stop', async () => {
    const bed = new Bed();
    const p = await bed.boot();
    await p.publish('r', ['a']);
    await bed.platform.last.accept();
    const faultsDuringRelease = p.engine.service.stop();
    await p.ack(bed, 'r', 1, { level: 'sent' });
    await faultsDuringRelease;
    await p.ack(bed, 'r', 1, { level: null, nack: nackOf({ scope: 'account', permanent: true }) });
    await settled();
    console.log('S12 timers', bed.time.pending);
    void channelOf;
  });
});
