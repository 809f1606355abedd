import { it } from 'vitest';
import { Bed } from '../support/engine.ts';
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
    for (let i = 0; i < 12; i++) {
    await bed.time.advance(1000);
    console.log(bed.time.now - 1_700_000_000_000, bed.platform.log, bed.writes.map((w) => `${w.write.next.key.room} ${w.write.next.phase} ${w.result.kind}`), p.engine.channels.all()[0]!.condition, p.engine.channels.all()[0]!.queued, JSON.stringify(p.logged.slice(-5)), await bed.row('s').then((r) => r.phase));
    }
  });
