/** What a process tells of itself agrees with what the stores hold. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { endOfTurn } from '../../simulators/world/time.ts';
import { Reporter, stageOf } from '../../src/engine/pipeline.ts';
import { type PipelineStore, STAGES } from '../../src/engine/pipeline-ports.ts';
import type { Total } from '../../src/engine/tallies.ts';
import type { RoomRow } from '../../src/room/room.ts';
import { CHANNEL, channelOf, messageOf, SHARDS } from '../support/engine.ts';
import { Stage } from '../support/pipeline.ts';

const OTHER = { tenant: 'other', channel: 'sales' };

function countsOf(rows: readonly RoomRow[]) {
  const rooms = STAGES.map(() => 0);
  const messages = STAGES.map(() => 0);
  for (const row of rows) {
    const stage = stageOf(row);
    if (stage === null) continue;
    rooms[stage] = (rooms[stage] as number) + 1;
    messages[stage] = (messages[stage] as number) + row.tail - row.settled;
  }
  return { rooms, messages };
}

describe('the part of a process', () => {
  it('counts its rooms by stage with their messages, its intake, its queues and what it did in the last minute', async () => {
    const stage = new Stage([channelOf({ maxConcurrentSends: 2 })]);
    const { process } = await stage.boot();
    for (const room of ['r1', 'r2', 'r3']) await stage.publish(process, room, ['a', 'b']);
    await stage.bed.platform.sends[0]?.accept();
    await stage.bed.platform.sends[1]?.refuse({ permanent: true });
    await stage.round();
    const part = await stage.part(process.engine.ownership.worker);
    const rows = await stage.rows();
    expect(part?.channels).toEqual([
      {
        tenant: 'default',
        channel: 'support',
        ...countsOf(rows),
        permitQueue: 0,
        lastMinute: { accepted: 6, settled: 1, failed: 1 },
      },
    ]);
    expect(part).toMatchObject({ asOf: stage.bed.time.now, shards: SHARDS, intake: 0, openSends: 2, unlisted: 0 });
  });

  it('counts once what is on its way: not what the buffer holds until it is inserted', async () => {
    const stage = new Stage();
    const { process } = await stage.boot();
    process.loseStores();
    const accepted = (['http', 'pubsub', 'buffer'] as const).map((source, index) =>
      process.engine.intake.accept(messageOf('r', `m-${index}`, { source })),
    );
    const { engine, clock, instruments } = process;
    const onFailure = (error: unknown): void => void process.failures.push(error);
    const reporter = new Reporter({
      ...engine,
      buffering: () => [
        { ...CHANNEL, messages: 3 },
        { ...OTHER, messages: 1 },
      ],
      store: stage.store,
      clock,
      endOfTurn,
      instruments,
      onFailure,
    });
    const accepting = async () => {
      const part = await reporter.glance(0);
      const channels = part?.channels.filter((one) => one.accepting !== undefined);
      return [part?.intake, channels?.map((one) => [one.tenant, one.accepting])];
    };
    expect(await accepting()).toEqual([
      2 + 4,
      [
        ['default', 2 + 3],
        ['other', 1],
      ],
    ]);
    process.regainStores();
    await stage.bed.time.advance(1_000);
    await Promise.all(accepted);
    expect(await accepting()).toEqual([
      4,
      [
        ['default', 3],
        ['other', 1],
      ],
    ]);
  });

  it('counts rooms that have left memory because only an operator can move them, until one does', async () => {
    const stage = new Stage([channelOf({ policy: { failurePolicy: 'hold' } })]);
    const { process } = await stage.boot();
    await stage.publish(process, 'held', ['a', 'b', 'c']);
    await stage.bed.platform.last.refuse({ permanent: true });
    await stage.publish(process, 'paused', ['a']);
    await stage.bed.platform.last.accept();
    await process.engine.rooms.post(await stage.bed.row('paused'), { type: 'pause' });
    await process.ack(stage.bed, 'paused', 1);
    await stage.publish(process, 'paused', ['b', 'c']);
    await stage.round();
    expect(process.engine.rooms.size).toBe(0);
    const held = STAGES.indexOf('held');
    const paused = STAGES.indexOf('paused');
    const before = (await stage.part(process.engine.ownership.worker))?.channels[0];
    expect([before?.rooms[held], before?.messages[held]]).toEqual([1, 3]);
    expect([before?.rooms[paused], before?.messages[paused]]).toEqual([1, 2]);
    await stage.bed.time.advance(3_000);
    expect((await stage.listed()).map(({ phase }) => phase)).toEqual(['waiting', 'held']);

    const row = await stage.bed.row('held');
    await process.engine.rooms.post(row, { type: 'skip', sequence: 1 });
    await stage.round();
    const after = (await stage.part(process.engine.ownership.worker))?.channels[0];
    expect(after?.rooms[held]).toBe(0);
    expect((await stage.listed()).map(({ phase }) => phase)).toEqual(['waiting']);
  });

  it('goes with the process, and is told under its new name by the next life', async () => {
    const stage = new Stage();
    const { process, reporter } = await stage.boot();
    const first = process.engine.ownership.worker;
    process.loseStores();
    // Whoever comes meanwhile fences it.
    const other = await stage.bed.boot();
    await stage.bed.time.until(() => other.engine.ownership.shards.size === SHARDS);
    process.regainStores();
    await stage.bed.time.until(() => ![first, null].includes(process.engine.ownership.worker));
    await stage.round();
    await stage.round();
    const second = process.engine.ownership.worker;
    expect(second).not.toBe(first);
    expect(await stage.part(second)).toMatchObject({ worker: second });
    expect(await stage.part(first)).toBeNull();
    await reporter.service.stop();
    expect(await stage.part(second)).toBeNull();
  });

  it('agrees with the stored rooms after whatever happened', async () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('publish' as const), room: fc.nat(5), count: fc.integer({ min: 1, max: 3 }) }),
      fc.record({ do: fc.constantFrom('accept', 'refuse', 'reject', 'fail', 'ack' as const), which: fc.nat(20) }),
      fc.record({ do: fc.constantFrom('pause', 'resume', 'skip' as const), room: fc.nat(5) }),
      fc.record({ do: fc.constant('wait' as const), ms: fc.nat(9_000) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 30 }), fc.boolean(), async (steps, holds) => {
        const policy = { failurePolicy: holds ? ('hold' as const) : ('move_on' as const), minGapMs: 700 };
        const stage = new Stage([channelOf({ maxConcurrentSends: 3, policy })]);
        const { process, reporter } = await stage.boot();
        const { engine } = process;
        for (const [index, each] of steps.entries()) {
          if (each.do === 'publish') {
            const ids = Array.from({ length: each.count }, (_, number) => `m${index}.${number}`);
            await stage.publish(process, `r${each.room}`, ids);
          } else if (each.do === 'wait') await stage.bed.time.advance(each.ms);
          else if ('which' in each) {
            const { sends } = stage.bed.platform;
            const send = sends[each.which % Math.max(1, sends.length)];
            if (send === undefined) continue;
            if (each.do === 'accept') await send.accept();
            else if (each.do === 'refuse') await send.refuse();
            else if (each.do === 'reject') await send.refuse({ permanent: true });
            else if (each.do === 'fail') await send.fail();
            else {
              const row = await stage.bed.row(send.room);
              if (row.phase === 'awaiting_ack') await process.ack(stage.bed, send.room, row.settled + 1);
            }
          } else if (stage.rooms.has(`r${each.room}`)) {
            const row = await stage.bed.row(`r${each.room}`);
            const sequence = row.settled + 1;
            await engine.rooms.post(row, each.do === 'skip' ? { type: 'skip', sequence } : { type: each.do });
          }
        }
        await stage.quietRound();
        const rows = await stage.rows();
        const part = await stage.part(engine.ownership.worker);
        const { rooms, messages } = part?.channels[0] ?? {};
        expect({ rooms, messages }).toEqual(countsOf(rows));
        // Listed are those, and only those, that have been where they are for longer than 2 s.
        const now = part?.asOf ?? 0;
        const waits = rows.filter((row) => stageOf(row) !== null);
        const listed = await stage.listed();
        for (const row of waits.filter(({ phase, since }) => phase !== 'idle' && now - since > 2_000)) {
          expect(listed).toContainEqual(expect.objectContaining({ id: row.id, phase: row.phase, since: row.since }));
        }
        for (const { id, since } of listed) {
          expect(now - since).toBeGreaterThan(2_000);
          expect(waits.map((row) => row.id)).toContain(id);
        }
        expect(process.failures).toEqual([]);
        await reporter.service.stop();
      }),
      { numRuns: 60 },
    );
  });
});

describe('the list of lingering rooms', () => {
  it('holds a room from when it has waited for 2 s until it goes on', async () => {
    const stage = new Stage([channelOf({ maxConcurrentSends: 1, policy: { ackTimeoutMs: 30_000 } })]);
    const { process } = await stage.boot();
    await stage.publish(process, 'r1', ['a']);
    await stage.publish(process, 'r2', ['a']);
    const publishedAt = stage.bed.time.now;
    await stage.round();
    expect(await stage.listed()).toEqual([]);
    await stage.bed.time.advance(2_000);
    const { id, shard } = await stage.bed.row('r2');
    expect((await stage.listed()).map((one) => [one.phase, one.since])).toEqual([
      // It waits since its message came: nothing was written since.
      ['ready', publishedAt],
      ['sending', publishedAt],
    ]);
    expect((await stage.listed())[0]).toMatchObject({ id, shard, ...CHANNEL });
    await stage.bed.platform.last.accept();
    await stage.bed.time.advance(1_000);
    expect(await stage.listed()).toEqual([]);
    await stage.bed.time.advance(2_000);
    expect((await stage.listed()).map(({ phase }) => phase)).toEqual(['sending', 'awaiting_ack']);
  });

  it('is taken over with the shards, and what is out of date goes', async () => {
    const stage = new Stage([channelOf({ policy: { ackTimeoutMs: 60_000 } })]);
    const { process: first, reporter } = await stage.boot();
    await stage.publish(first, 'r1', ['a']);
    await stage.publish(first, 'r2', ['a']);
    await stage.bed.platform.sends[0]?.accept();
    await stage.bed.time.advance(3_000);
    expect((await stage.listed()).map(({ phase }) => phase)).toEqual(['sending', 'awaiting_ack']);
    await stage.bed.platform.sends[1]?.accept();
    await first.engine.service.stop();
    await reporter.service.stop();
    // Nobody holds them, and they wait all the same.
    expect(await stage.listed()).toHaveLength(2);
    const { process: second } = await stage.boot();
    await stage.bed.time.advance(3_000);
    const rows = await stage.rows();
    const ids = rows.map(({ id }) => id).sort((a, b) => a - b);
    const listed = await stage.listed();
    expect(listed.map(({ id }) => id).sort((a, b) => a - b)).toEqual(ids);
    for (const { phase } of listed) expect(phase).toBe('awaiting_ack');
    expect(second.engine.ownership.shards.size).toBe(SHARDS);
  });

  it('says how many it has no room for yet, and comes to them in the next rounds', async () => {
    const stage = new Stage([channelOf({ maxConcurrentSends: 1_000, policy: { ackTimeoutMs: 60_000 } })]);
    const { process } = await stage.boot();
    for (let index = 0; index < 620; index++) await stage.publish(process, `r${index}`, ['a']);
    await stage.bed.time.advance(2_000);
    await stage.round();
    expect(await stage.listed()).toHaveLength(500);
    expect((await stage.part(process.engine.ownership.worker))?.unlisted).toBe(120);
    await stage.round();
    expect(await stage.listed()).toHaveLength(620);
    await stage.round();
    expect((await stage.part(process.engine.ownership.worker))?.unlisted).toBe(0);
  });
});

describe('minutes', () => {
  const chart = async (stage: Stage) => {
    const { now } = stage.bed.time;
    const to = Math.ceil(now / 60_000) * 60_000 + 60_000;
    return stage.store.chart({ channel: CHANNEL, tenants: null, from: to - 3_600_000, to, stepMs: 60_000 });
  };

  it('are stored when they are over, once, also where the answer of the store is lost', async () => {
    const stage = new Stage();
    let lost = 2;
    const lossy = new Proxy(stage.store, {
      get: (target, name: keyof PipelineStore) => {
        if (name !== 'addMinutes') return target[name].bind(target);
        return async (...args: Parameters<PipelineStore['addMinutes']>) => {
          await target.addMinutes(...args);
          if (lost-- > 0) throw new Error('the answer was lost');
        };
      },
    });
    const { process } = await stage.boot(lossy);
    await stage.publish(process, 'r1', ['a', 'b']);
    await stage.bed.time.advance(250);
    await stage.bed.platform.last.accept();
    await stage.bed.time.advance(500);
    await process.ack(stage.bed, 'r1', 1);
    await stage.bed.platform.last.refuse({ permanent: true });
    expect(await chart(stage)).toEqual([]);
    await stage.bed.time.advance(64_000);
    const points = await chart(stage);
    expect(points).toHaveLength(1);
    expect(points[0]?.activity.totals).toMatchObject({ accepted: 2, attempts: 2, acked: 1, failed: 1, assumed: 0 });
    const { histograms } = points[0]?.activity ?? {};
    const sum = (counts: readonly number[] = []): number => counts.reduce((all, one) => all + one, 0);
    expect([histograms?.acceptToFirstSend, histograms?.ackToNextSend, histograms?.ackDelay].map(sum)).toEqual([
      2, 1, 1,
    ]);
    expect(sum(histograms?.acceptToSettled)).toBe(2);
    expect(process.logged.filter(({ fields }) => fields.reason === 'pipeline')).toHaveLength(1);
  });

  it('count timeouts, late acks and possible duplicates', async () => {
    const stage = new Stage();
    const { process } = await stage.boot();
    await stage.publish(process, 'r1', ['a']);
    await stage.bed.platform.last.accept();
    await stage.bed.time.advance(6_000);
    await process.ack(stage.bed, 'r1', 1);
    await stage.publish(process, 'r2', ['a']);
    await stage.publish(process, 'r3', ['a']);
    const [, unknown, answered] = stage.bed.platform.sends;
    await unknown?.fail();
    await answered?.accept();
    await stage.bed.time.until(() => stage.bed.platform.sends.length === 4);
    await stage.bed.time.advance(61_000);
    const totals = (await chart(stage)).map(({ activity }) => activity.totals);
    const sumOf = (total: Total): number => totals.reduce((sum, one) => sum + one[total], 0);
    expect([sumOf('timeouts'), sumOf('assumed'), sumOf('lateAcks'), sumOf('possibleDuplicates')]).toEqual([2, 2, 1, 1]);
  });

  it('of a process that stops are stored before it is over', async () => {
    const stage = new Stage();
    const { process, reporter } = await stage.boot();
    await stage.publish(process, 'r1', ['a']);
    await reporter.service.stop();
    expect((await chart(stage)).map(({ activity }) => activity.totals.accepted)).toEqual([1]);
  });
});
