import { describe, expect, it } from 'vitest';
import { keyOf } from '../http/fixture.ts';
import { runRoomline } from '../support/command.ts';
import { FleetBed, SHARDS } from '../support/fleet-admin.ts';

const HALF = SHARDS / 2;

/** @param told is called with every line on the error channel */
async function start(bed: FleetBed, told?: (text: string) => void) {
  const url = await bed.serve();
  return (...args: string[]) => runRoomline({ url, key: keyOf('operate') }, args, told);
}

const pair = async () => {
  const bed = await new FleetBed().withWorkers('a', 'b');
  return { bed, run: await start(bed) };
};

const lines = (text: string): string[] => text.split('\n').map((line) => line.replace(/\s+/g, ' ').trim());

describe('roomline workers', () => {
  it('lists them in a table', async () => {
    const { bed, run } = await pair();
    await run('rebalance', '--weight', 'a=1.5', '--weight', 'gone=2');
    await run('drain', 'b');
    const { status, out } = await run('workers');
    expect(status).toBe(0);
    const { membership } = await bed.look();
    expect(lines(out)).toEqual([
      'NODE WORKER ROLES WEIGHT STATE SHARDS LEAVING COMING ROOMS WAITING',
      `a a-1 intake,api,webhook,worker 1.5 (own 1) lease 10000 ms ${HALF} 0 0 0 0`,
      `b b-1 intake,api,webhook,worker 1 draining ${HALF} 0 0 0 0`,
      `membership ${membership}, to be distributed, 0 shards of nobody`,
      'weights of nodes that are not there: gone=2',
      '',
    ]);
  });

  it('gives programs what the API says', async () => {
    const { run } = await pair();
    const list = JSON.parse((await run('workers', '--json')).out);
    expect(list.workers.map(({ name, shards }: { name: string; shards: number }) => [name, shards])).toEqual([
      ['a', HALF],
      ['b', HALF],
    ]);
  });
});

describe('roomline shards', () => {
  it('lists them all, those of one worker, or those that move', async () => {
    const { bed, run } = await pair();
    const shard = (await bed.look()).shards.findIndex(({ owner }) => owner === 'a-1');
    expect((await run('rebalance', '--move', `${shard}=b`, '--pin', `${shard}=b`)).status).toBe(0);
    expect(lines((await run('shards', '--moving')).out)).toEqual([
      'SHARD OWNER MOVING PIN EPOCH ROOMS WAITING',
      `${shard} a to b in 12000 ms b 2 0 0`,
      '',
    ]);
    const all = JSON.parse((await run('shards', '--json')).out).shards;
    expect(all.map((each: { shard: number }) => each.shard)).toEqual(Array.from({ length: SHARDS }, (_, i) => i));
    expect(JSON.parse((await run('shards', '--worker', 'b', '--json')).out).shards).toHaveLength(HALF + 1);
    expect(await run('shards', '--worker', 'ghost')).toMatchObject({ status: 1, error: /worker_not_found/ as never });
  });

  it('reads page after page', async () => {
    const bed = await new FleetBed(undefined, 5_000).withWorkers('a');
    const run = await start(bed);
    expect(JSON.parse((await run('shards', '--json')).out).shards).toHaveLength(5_000);
  });
});

describe('roomline drain', () => {
  it('drains a worker, and takes that back', async () => {
    const { bed, run } = await pair();
    expect(await run('drain', 'a')).toEqual({ status: 0, out: 'a (a-1) gives its shards away.\n', error: '' });
    const draining = async () => (await bed.look()).members.map((member) => member.draining);
    expect(await draining()).toEqual([true, false]);
    expect((await run('drain', 'a-1', '--undo')).out).toBe('a (a-1) may have shards again.\n');
    expect(await draining()).toEqual([false, false]);
  });

  it('waits until it holds nothing, and says how far that is', async () => {
    const bed = await new FleetBed().withWorkers('a', 'b');
    const steps = [() => bed.plan(), () => bed.handOver()];
    const run = await start(
      bed,
      () =>
        void steps
          .shift()?.()
          .then(() => steps.shift()?.()),
    );
    const { status, out, error } = await run('drain', 'a', '--wait');
    expect([status, out, error]).toEqual([0, 'a (a-1) holds nothing.\n', `${HALF} shards left\n`]);
    expect(await bed.owned()).toEqual({ 'b-1': SHARDS });
  });

  it('does not wait for what nobody takes, and not where somebody takes the drain back', async () => {
    const bed = await new FleetBed().withWorkers('a');
    const run = await start(bed, () => void bed.plan());
    expect((await run('drain', 'a')).error).toMatch(/^worker_last: /);
    const forced = await run('drain', 'a', '--force', '--wait');
    expect([forced.status, lines(forced.error)]).toEqual([
      1,
      [`${SHARDS} shards left`, `Nobody takes its ${SHARDS} shards.`, ''],
    ]);

    const other = await new FleetBed().withWorkers('a', 'b');
    const undo = await start(other);
    let undone: Promise<unknown> | null = null;
    const drain = await start(other, () => {
      undone ??= undo('drain', 'a', '--undo');
    });
    expect((await drain('drain', 'a', '--wait')).error).toContain('Somebody has taken the drain back.');
    await undone;
  });

  it('refuses an undo with other options', async () => {
    const { bed, run } = await pair();
    for (const option of ['--wait', '--force']) {
      expect((await run('drain', 'a', '--undo', option)).status).toBe(1);
    }
    expect(await bed.audit()).toEqual([]);
  });
});

describe('roomline rebalance', () => {
  it('shows what would move, with warnings, and changes nothing', async () => {
    const { bed, run } = await pair();
    const before = await bed.rows();
    const { status, out } = await run('rebalance', '--dry-run', '--weight', 'a=3', '--pin', '7=later');
    expect(status).toBe(0);
    const shown = lines(out);
    expect(shown.slice(0, 3)).toEqual([
      'NODE WORKER BEFORE AFTER',
      `a a-1 ${HALF} ${HALF + HALF / 2}`,
      `b b-1 ${HALF} ${HALF - HALF / 2}`,
    ]);
    expect(shown[3]).toMatch(/^shard \d+ b -> a$/);
    const { membership } = await bed.look();
    expect(shown.slice(-4)).toEqual([
      `and ${HALF / 2 - 20} more`,
      'WARNING pins to later: not the name of a node that takes shards. Correct the name; or leave it: the pins count as soon as such a node takes shards. [pin_waits]',
      `${HALF / 2} shards would move, as of membership ${membership}. Nothing was changed.`,
      '',
    ]);
    expect(await bed.rows()).toEqual(before);
  });

  it('changes weights, pins and places, each as often as it is said', async () => {
    const { bed, run } = await pair();
    const { out } = await run(
      ...['rebalance', '--weight', 'a=2', '--weight', 'x=y=0.5', '--pin', '1=b', '--pin', '4-6=a=b', '--json'],
    );
    expect(JSON.parse(out)).toMatchObject({ dryRun: false });
    const { weights, pins, membership } = await bed.look();
    expect(weights).toEqual(
      new Map([
        ['a', 2],
        ['x=y', 0.5],
      ]),
    );
    expect(pins).toEqual(
      new Map([
        [1, 'b'],
        [4, 'a=b'],
        [5, 'a=b'],
        [6, 'a=b'],
      ]),
    );

    const back = await run(
      'rebalance',
      '--weight',
      'a=',
      '--unpin',
      '4-5',
      '--unpin',
      '1',
      '--if-membership',
      `${membership}`,
    );
    expect(back.status).toBe(0);
    const then = await bed.look();
    expect([[...then.weights], [...then.pins]]).toEqual([[['x=y', 0.5]], [[6, 'a=b']]]);
    const late = await run('rebalance', '--if-membership', `${membership}`);
    expect([late.status, late.error.split(':')[0]]).toEqual([1, 'membership_changed']);
  });

  it('distributes anew without anything said, and shows how far that is', async () => {
    const { bed, run } = await pair();
    bed.now += 1_000;
    await bed.join('c');
    expect((await run('rebalance')).out).toContain('See "roomline rebalance --progress"');
    expect((await run('rebalance', '--progress')).out).toContain('to be distributed: 0 to be handed over');
    await bed.plan();
    const third = Math.round(SHARDS / 3);
    const { out } = await run('rebalance', '--progress');
    expect(lines(out)[0]).toMatch(
      new RegExp(`^being handed over: ${third} to be handed over, 0 moved since .*, 0 of nobody$`),
    );
    expect(out).toMatch(/^a -> c {2,}\d+ shards {2}within 12000 ms$/m);
    expect(out).toMatch(/^last: fleet\.rebalance by operate at /m);
    await bed.handOver();
    expect(JSON.parse((await run('rebalance', '--progress', '--json')).out)).toMatchObject({
      running: false,
      moved: third,
    });
    expect((await run('rebalance', '--progress')).out).toMatch(/^nothing moves: /);
  });

  it.each([
    [['--weight', 'a']],
    [['--weight', 'a=-1']],
    [['--weight', 'a=x']],
    [['--weight', 'a=1', '--weight', 'a=2']],
    [['--weight', '=1']],
    [['--pin', '12']],
    [['--pin', 'x=a']],
    [['--pin', '12=']],
    [['--unpin', '1-']],
    [['--move', '-1=a']],
    [['--if-membership', '1.5']],
    [['--progress', '--weight', 'a=1']],
    [['--progress', '--dry-run']],
  ])('refuses %j and changes nothing', async (args) => {
    const { bed, run } = await pair();
    const before = await bed.rows();
    const { status, error } = await run('rebalance', ...args);
    expect(status).not.toBe(0);
    expect(error).not.toBe('');
    expect(await bed.rows()).toEqual(before);
  });

  it.each([
    ['shard_out_of_range', ['--pin', `${SHARDS}=a`]],
    ['shard_repeated', ['--pin', '1=a', '--unpin', '0-2']],
    ['weight_invalid', ['--weight', 'a=1001']],
    ['worker_not_found', ['--move', '1=ghost']],
    ['worker_last', ['--weight', 'a=0', '--weight', 'b=0']],
  ])('says %s as the API does', async (code, args) => {
    const { bed, run } = await pair();
    const before = await bed.rows();
    const { status, error } = await run('rebalance', ...args);
    expect([status, error.split(':')[0]]).toEqual([1, code]);
    expect(await bed.rows()).toEqual(before);
  });
});
