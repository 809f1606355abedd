import { describe, expect, it } from 'vitest';
import type { LookupResult } from '../../src/engine/ports.ts';
import { Bed, channelOf, messageOf, nackOf, START, settled } from '../support/engine.ts';

describe('an attempt', () => {
  it('carries the reference, the stored bytes, its number, its worker and its generation', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    const [accepted] = await process.publish('r', ['a']);
    expect(bed.platform.last.request).toEqual({
      reference: accepted?.kind === 'accepted' ? accepted.reference : '',
      body: messageOf('r', 'a').body,
      attempt: 1,
      worker: 'worker-1.1',
      generation: 1,
      timeoutMs: 5_000,
    });
  });

  it('tells apart what goes to the platform and the id of the request that published it', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    const { body } = messageOf('r', 'a');
    const stored = Buffer.concat([Buffer.from('{"requestId":"trace-1",'), body.subarray(1)]);
    await process.publish('r', ['a'], { body: stored });
    const { request } = bed.platform.last;
    expect(request.requestId).toBe('trace-1');
    expect(Buffer.from(request.body)).toEqual(Buffer.from(body));
  });

  it('names the request that published it in every line of the log that is of its message', async () => {
    const bed = new Bed({ channels: [channelOf({ policy: { failurePolicy: 'hold' } })] });
    const process = await bed.boot();
    const { body } = messageOf('r', 'a');
    const stored = Buffer.concat([Buffer.from('{"requestId":"trace-1",'), body.subarray(1)]);
    await process.publish('r', ['a'], { body: stored });
    await bed.platform.last.fail();
    await bed.time.advance(10_000);
    await bed.platform.last.refuse({ permanent: true });
    await process.publish('s', ['b'], { body: stored, failurePolicy: 'move_on' });
    await bed.platform.last.refuse({ permanent: true });
    await process.publish('t', ['c']);
    await bed.platform.last.accept();
    const told = process.logged.filter(({ fields }) => 'sequence' in fields);
    expect(told.map(({ event, fields }) => [event, fields.requestId])).toEqual([
      ['attempt.unknown', 'trace-1'],
      ['attempt.finished', 'trace-1'],
      ['attempt.finished', 'trace-1'],
      ['room.held', 'trace-1'],
      ['attempt.finished', 'trace-1'],
      ['message.dead_lettered', 'trace-1'],
      ['attempt.finished', undefined],
    ]);
  });

  it('is made again after a retryable refusal, with back-off, the same reference and the next number', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await process.publish('r', ['a']);
    const [first] = bed.platform.sends;
    await first?.refuse();
    await bed.time.advance(499);
    expect(bed.platform.sends).toHaveLength(1);
    await bed.time.advance(1);
    expect(bed.platform.last.request).toMatchObject({ attempt: 2, reference: first?.request.reference });
  });

  it('that a permanent refusal ends fails its message, and the next one goes', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await process.publish('r', ['a', 'b']);
    await bed.platform.last.refuse({ permanent: true, code: 'no_such_recipient' });
    expect(await bed.entry('r', 1)).toMatchObject({ outcome: 'failed', reason: 'refused', code: 'no_such_recipient' });
    expect(await bed.stores.deadLetters.list(null, 10)).toMatchObject([{ reason: 'refused', sequence: 1 }]);
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
  });

  it('reads its body where memory does not hold it', async () => {
    const bed = new Bed({ settings: { bodyCacheBytes: 0 } });
    const process = await bed.boot();
    await process.publish('r', ['a']);
    expect(process.countOf('rooms', 'readBodies')).toBe(1);
    expect(bed.platform.last.request.body).toEqual(messageOf('r', 'a').body);
  });

  it('of a message that has settled leaves its place in memory to another', async () => {
    const size = messageOf('r', 'a').body.length;
    const bed = new Bed({ settings: { bodyCacheBytes: 2 * size } });
    const process = await bed.boot();
    await process.publish('s', ['a'], { notBefore: START + 1_000 });
    await process.publish('r', ['a']);
    await bed.platform.last.accept();
    await process.ack(bed, 'r', 1);
    await process.publish('t', ['a']);
    await bed.time.advance(1_000);
    expect(bed.platform.log).toEqual(['r/a', 't/a', 's/a']);
    expect(process.countOf('rooms', 'readBodies')).toBe(0);
  });

  it('does not send a copy of a message that an ack settles while its body is read: the next may be at the platform', async () => {
    const bed = new Bed({ settings: { bodyCacheBytes: 0 } });
    const process = await bed.boot();
    await process.publish('r', ['a', 'b']);
    await bed.platform.last.fail();
    let delayed = 0;
    process.faults = ({ method }) =>
      method === 'readBodies' && delayed++ === 0 ? { action: 'run', afterMs: 1_000 } : 'run';
    await bed.time.until(() => delayed === 1);
    await process.ack(bed, 'r', 1);
    await bed.time.advance(2_000);
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
    expect((await bed.entry('r', 1)).attempts).toMatchObject([
      { number: 1, result: 'unknown' },
      { number: 2, result: 'refused', code: 'settled_meanwhile' },
    ]);
  });

  it('whose body cannot be read sends nothing, uses up nothing, backs off, and is made when it can', async () => {
    const bed = new Bed({ settings: { bodyCacheBytes: 0 }, channels: [channelOf({ policy: { maxAttempts: 2 } })] });
    const process = await bed.boot();
    process.faults = ({ method }) => (method === 'readBodies' ? 'fail_before' : 'run');
    await process.publish('r', ['a']);
    await bed.time.advance(30_000);
    expect(bed.platform.sends).toEqual([]);
    expect(process.countOf('rooms', 'readBodies')).toBeLessThan(10);
    expect(await bed.row('r')).toMatchObject({ phase: 'waiting', spent: 0 });
    expect(process.engine.channels.all()[0]?.condition).toEqual({ state: 'open' });
    process.regainStores();
    await bed.time.advance(60_000);
    expect(bed.platform.log).toEqual(['r/a']);
  });

  it('gives its permit back whatever becomes of it', async () => {
    const bed = new Bed({ channels: [channelOf({ maxConcurrentSends: 1 })] });
    const process = await bed.boot();
    for (const room of ['r', 's', 't', 'u']) await process.publish(room, ['a']);
    await bed.platform.sends[0]?.accept();
    await bed.platform.sends[1]?.refuse();
    await bed.platform.sends[2]?.fail();
    expect(bed.platform.log).toEqual(['r/a', 's/a', 't/a', 'u/a']);
  });
});

describe('an unknown outcome', () => {
  async function unknown(found: LookupResult | Error): Promise<{ bed: Bed; references: string[] }> {
    const references: string[] = [];
    const bed = new Bed();
    bed.platform.lookUp = async (reference) => {
      references.push(reference);
      if (found instanceof Error) throw found;
      return found;
    };
    const process = await bed.boot();
    await process.publish('r', ['a', 'b']);
    await bed.platform.last.fail();
    await settled();
    return { bed, references };
  }

  it('is looked up once, and what the platform knows settles it', async () => {
    const { bed, references } = await unknown({
      kind: 'found',
      level: 'delivered',
      platformId: 'gw-1',
      platformAt: START - 5,
    });
    expect(references).toHaveLength(1);
    expect(await bed.entry('r', 1)).toMatchObject({ outcome: 'acked', platformId: 'gw-1', platformAt: START - 5 });
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
  });

  it('found accepted waits for its ack and is not sent again', async () => {
    const { bed } = await unknown({ kind: 'found', level: 'accepted', platformId: 'gw-1', platformAt: null });
    expect(await bed.row('r')).toMatchObject({ phase: 'awaiting_ack', attempt: 1, platformId: 'gw-1' });
    await bed.time.advance(5_000);
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
  });

  it('found failed is refused', async () => {
    const { bed } = await unknown({
      kind: 'failed',
      nack: nackOf({ permanent: true, code: 'gone' }),
      platformId: null,
    });
    expect(await bed.entry('r', 1)).toMatchObject({ outcome: 'failed', code: 'gone' });
  });

  it('without evidence is judged after the grace', async () => {
    const { bed, references } = await unknown({ kind: 'no_evidence' });
    expect(await bed.row('r')).toMatchObject({ phase: 'unknown', until: START + 2_000 });
    await bed.time.advance(2_000);
    expect(references).toHaveLength(1);
    expect(await bed.row('r')).toMatchObject({ phase: 'waiting', reason: 'channel' });
  });
});
