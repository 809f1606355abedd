/** What processes tell of themselves, as stores keep it: in memory and in Postgres alike. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LingeringRoom, PipelinePart, PipelineStore } from '../../src/engine/pipeline-ports.ts';
import { newActivity } from '../../src/engine/tallies.ts';
import type { Phase } from '../../src/room/room.ts';
import { messageOf } from '../support/engine.ts';
import { ALL_ROLES } from '../support/fleet.ts';
import { kindsOfStores, type OpenedStores } from './kinds.ts';

const MINUTE = 60_000;
let names = 0;
const newName = (what: string): string => `${what}-${++names}`;

const partOf = (worker: string, wishes: Partial<PipelinePart> = {}): PipelinePart => ({
  worker,
  asOf: 1_000,
  shards: 2,
  intake: 3,
  openSends: 1,
  unlisted: 0,
  channels: [
    {
      tenant: 'default',
      channel: 'ä"\\',
      rooms: [1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
      messages: [4, 0, 0, 0, 0, 0, 0, 0, 0, 0],
      permitQueue: 1,
      lastMinute: { accepted: 9, settled: 8, failed: 1 },
    },
  ],
  ...wishes,
});

describe.each(kindsOfStores(4))('%s: pipeline store', (_name, open) => {
  let opened: OpenedStores;
  let store: PipelineStore;
  beforeAll(async () => {
    opened = await open();
    store = opened.operators.pipeline;
  });
  afterAll(() => opened.close());

  async function register(leaseMs = 60_000): Promise<string> {
    const worker = newName('worker');
    const registration = { worker, name: `node of ${worker}`, roles: ALL_ROLES, weight: 1, leaseMs, hears: null };
    await opened.stores.ownership.register(registration);
    return worker;
  }
  const memberOf = async (worker: string) => (await store.members()).find((member) => member.worker === worker);

  describe('parts', () => {
    it('are of processes that are not known to have ended, the last one each told', async () => {
      const worker = await register();
      const stranger = newName('stranger');
      expect(await memberOf(worker)).toEqual({ worker, name: `node of ${worker}`, isAlive: true, part: null });
      await store.report(partOf(worker));
      const last = partOf(worker, { asOf: 2_000, shards: 1 });
      await store.report(last);
      await store.report(partOf(stranger));
      expect(await memberOf(worker)).toEqual({ worker, name: `node of ${worker}`, isAlive: true, part: last });
      expect(await memberOf(stranger)).toBeUndefined();
      await store.withdraw(worker);
      expect(await memberOf(worker)).toMatchObject({ part: null });
    });

    it('are of a process without a lease until it is fenced', async () => {
      const worker = await register(1);
      await store.report(partOf(worker));
      await expect.poll(() => memberOf(worker)).toMatchObject({ isAlive: false, part: { worker } });
    });
  });

  it('tells what is parked, by channel', async () => {
    const { rooms } = opened.stores;
    const channel = newName('channel');
    const depth = async () => (await store.parked()).filter((one) => one.channel === channel);
    const message = (room: string, order: number) => ({
      ...messageOf(room, `${room}-${order}`, { key: { tenant: 'default', channel, room } }),
      order,
    });
    expect(await depth()).toEqual([]);
    await rooms.append([message('one', 3), message('one', 2), message('two', 2), message('three', 1)]);
    expect(await depth()).toEqual([{ tenant: 'default', channel, rooms: 2, messages: 3 }]);
    await rooms.append([message('one', 1)]);
    expect(await depth()).toEqual([{ tenant: 'default', channel, rooms: 1, messages: 1 }]);
  });

  describe('shards', () => {
    it('are held by an owner that has a lease', async () => {
      const worker = await register();
      expect(await store.heldShards([0, 1, 2, 3])).toEqual(new Set());
      const { ownership } = opened.stores;
      const { membership = 0 } = (await ownership.beginPlan(worker)) ?? {};
      const moves = [1, 3].map((shard) => ({ shard, from: null, to: worker }));
      await ownership.applyPlan(membership, moves);
      expect(await store.heldShards([0, 1, 3])).toEqual(new Set([1, 3]));
      expect(await store.heldShards([])).toEqual(new Set());
    });
  });

  describe('lists of lingering rooms', () => {
    const roomOf = (id: number, wishes: Partial<LingeringRoom> = {}): LingeringRoom => ({
      shard: id % 4,
      id,
      tenant: 'default',
      channel: 'support',
      phase: 'awaiting_ack',
      since: 1_000 + id,
      ...wishes,
    });
    const ALL: readonly Phase[] = ['ready', 'awaiting_ack', 'held'];
    const pageOf = { channel: null, phases: ALL, before: 1_000_000, after: null, limit: 100 };

    it('are read by phase, then by the time since when, then by id, page by page', async () => {
      const tenant = newName('tenant');
      const random = Array.from({ length: 40 }, (_, index) =>
        roomOf(10_000 + index * 7, {
          tenant,
          phase: ALL[index % 3] as Phase,
          since: 1_000 + ((index * 37) % 11),
          channel: index % 2 === 0 ? 'even' : 'odd',
        }),
      );
      await store.list('w1', random.toReversed(), []);
      const expected = random.toSorted(
        (a, b) => ALL.indexOf(a.phase) - ALL.indexOf(b.phase) || a.since - b.since || a.id - b.id,
      );
      for (const channel of [null, 'odd']) {
        const seen: LingeringRoom[] = [];
        for (let last: LingeringRoom | null = null; ; ) {
          const phases = last === null ? ALL : ALL.slice(ALL.indexOf(last.phase));
          const page: LingeringRoom[] = await store.lingering({
            ...pageOf,
            tenants: [tenant],
            channel: channel === null ? null : { tenant, channel },
            phases,
            after: last,
            limit: 7,
          });
          seen.push(...page);
          if (page.length < 7) break;
          last = page.at(-1) ?? null;
        }
        expect(seen).toEqual(expected.filter((room) => channel === null || room.channel === channel));
      }
      const old = await store.lingering({ ...pageOf, tenants: [tenant], phases: ['held'], before: 1_004 });
      expect(old).toEqual(expected.filter(({ phase, since }) => phase === 'held' && since <= 1_004));
      expect(old.length).toBeGreaterThan(0);
    });

    it('are read of several tenants in one order, of none nothing', async () => {
      const [one, other, third] = [newName('tenant'), newName('tenant'), newName('tenant')];
      const tenants = [one, other, third];
      const rooms = Array.from({ length: 30 }, (_, index) =>
        roomOf(20_000 + index, {
          tenant: tenants[index % 3] as string,
          phase: ALL[index % 2] as Phase,
          since: 1_000 + ((index * 7) % 5),
        }),
      );
      await store.list('w1', rooms, []);
      const expected = rooms
        .filter(({ tenant }) => tenant !== third)
        .sort((a, b) => ALL.indexOf(a.phase) - ALL.indexOf(b.phase) || a.since - b.since || a.id - b.id);
      const seen: LingeringRoom[] = [];
      for (let last: LingeringRoom | null = null; ; ) {
        const phases = last === null ? ALL : ALL.slice(ALL.indexOf(last.phase));
        const asked = { ...pageOf, tenants: [other, one], phases, after: last, limit: 3 };
        const page: LingeringRoom[] = await store.lingering(asked);
        seen.push(...page);
        if (page.length < 3) break;
        last = page.at(-1) ?? null;
      }
      expect(seen).toEqual(expected);
      expect(await store.lingering({ ...pageOf, tenants: [] })).toEqual([]);
    });

    it('hold a room once for each worker, as it is now, until it leaves', async () => {
      const tenant = newName('tenant');
      const page = { ...pageOf, tenants: [tenant] };
      await store.list('w1', [roomOf(1, { tenant }), roomOf(2, { tenant })], []);
      const moved = roomOf(1, { tenant, phase: 'held', since: 9_000 });
      await store.list('w1', [moved], [roomOf(2)]);
      expect(await store.lingering(page)).toEqual([moved]);
      await store.list('w2', [moved], []);
      expect(await store.lingering(page)).toEqual([moved, moved]);
      // Its own list only.
      await store.list('w2', [], [moved]);
      expect(await store.lingering(page)).toEqual([moved]);
      await store.list('w1', [], [moved]);
      expect(await store.lingering(page)).toEqual([]);
    });

    it('are cleared of what others left in some shards', async () => {
      const tenant = newName('tenant');
      const [first, second] = [roomOf(5, { tenant }), roomOf(6, { tenant })];
      await store.list('w1', [first, second], []);
      await store.list('w2', [second], []);
      await store.clearOthers('w2', [first.shard, second.shard]);
      expect(await store.lingering({ ...pageOf, tenants: [tenant] })).toEqual([second]);
      await store.clearOthers('w3', [first.shard]);
      expect(await store.lingering({ ...pageOf, tenants: [tenant] })).toEqual([second]);
    });
  });

  describe('minutes', () => {
    const activityOf = (accepted: number, counts: readonly number[]) => {
      const activity = newActivity();
      activity.totals.accepted = accepted;
      activity.totals.possibleDuplicates = 1;
      activity.histograms.ackDelay.push(...counts);
      return activity;
    };
    const minuteOf = (tenant: string, channel: string, minute: number, accepted: number, counts: number[] = []) => ({
      tenant,
      channel,
      minute: minute * MINUTE,
      activity: activityOf(accepted, counts),
    });
    const rangeOf = (tenant: string, channel: string | null) => ({
      tenants: [tenant],
      channel: channel === null ? null : { tenant, channel },
      from: 100 * MINUTE,
      to: 104 * MINUTE,
      stepMs: MINUTE,
    });

    it('add up over processes, each number of a process once', async () => {
      const tenant = newName('tenant');
      const [one, two] = [newName('worker'), newName('worker')];
      await store.addMinutes(one, 1, [minuteOf(tenant, 'a', 100, 5, [1, 2])]);
      await store.addMinutes(one, 1, [minuteOf(tenant, 'a', 100, 5, [1, 2])]);
      await store.addMinutes(two, 1, [minuteOf(tenant, 'a', 100, 3, [0, 0, 7])]);
      await store.addMinutes(one, 2, [minuteOf(tenant, 'a', 102, 1), minuteOf(tenant, 'b', 102, 10, [4])]);
      await store.report(partOf(one, { asOf: 5 }));
      await store.addMinutes(one, 2, [minuteOf(tenant, 'b', 102, 10, [4])]);
      const ofA = await store.chart(rangeOf(tenant, 'a'));
      expect(ofA.map(({ at, activity }) => [at / MINUTE, activity.totals.accepted])).toEqual([
        [100, 8],
        [102, 1],
      ]);
      expect(ofA[0]?.activity).toMatchObject({
        totals: { possibleDuplicates: 2, acked: 0 },
        histograms: { ackDelay: [1, 2, 7], acceptToSettled: [] },
      });
      const all = await store.chart(rangeOf(tenant, null));
      expect(all.map(({ activity }) => activity.totals.accepted)).toEqual([8, 11]);
    });

    it('are those of one tenant, of several, or of all together', async () => {
      const [one, other, third] = [newName('tenant'), newName('tenant'), newName('tenant')];
      const far = 50_000_000;
      const minutes = [one, other, third].map((tenant, index) => minuteOf(tenant, 'a', far, 10 ** index));
      await store.addMinutes(newName('worker'), 1, minutes);
      const accepted = async (tenants: readonly string[] | null) => {
        const range = { channel: null, tenants, from: far * MINUTE, to: (far + 1) * MINUTE, stepMs: MINUTE };
        return (await store.chart(range)).map(({ at, activity }) => [at / MINUTE, activity.totals.accepted]);
      };
      expect(await accepted([one])).toEqual([[far, 1]]);
      expect(await accepted([third, one])).toEqual([[far, 101]]);
      expect(await accepted(null)).toEqual([[far, 111]]);
      expect(await accepted([])).toEqual([]);
    });

    it('are read in steps from the beginning of the range', async () => {
      const tenant = newName('tenant');
      const minutes = [99, 100, 101, 102, 103, 104].map((minute) => minuteOf(tenant, 'a', minute, 2 ** (minute - 99)));
      await store.addMinutes(newName('worker'), 1, minutes);
      const points = await store.chart({ ...rangeOf(tenant, 'a'), stepMs: 3 * MINUTE });
      expect(points.map(({ at, activity }) => [at / MINUTE, activity.totals.accepted])).toEqual([
        [100, 2 + 4 + 8],
        [103, 16],
      ]);
    });

    it('are dropped when they are old, the oldest first', async () => {
      const tenant = newName('tenant');
      const worker = newName('worker');
      await store.addMinutes(
        worker,
        1,
        [1, 2, 3].map((minute) => minuteOf(tenant, 'a', minute, minute)),
      );
      expect(await store.prune(3 * MINUTE, 1)).toBe(1);
      const left = await store.chart({ ...rangeOf(tenant, 'a'), from: 0, to: 10 * MINUTE });
      expect(left.map(({ at }) => at / MINUTE)).toEqual([2, 3]);
      expect(await store.prune(3 * MINUTE, 10)).toBe(1);
      expect(await store.prune(3 * MINUTE, 10)).toBe(0);
    });
  });

  it('reads the messages of a room from either end, without their bodies', async () => {
    const room = newName('room');
    const batch = ['a', 'b', 'c', 'd', 'e'].map((id) => messageOf(room, id));
    const appended = await opened.stores.rooms.append(batch);
    const [first] = appended;
    if (first?.kind !== 'appended') throw new Error('it was not appended');
    const address = { shard: first.row.shard, id: first.row.id };
    const sequences = async (order: 'oldest' | 'newest', after: number | null, limit: number) =>
      (await store.timeline(address, order, after, limit)).map(({ sequence }) => sequence);
    expect(await sequences('oldest', null, 3)).toEqual([1, 2, 3]);
    expect(await sequences('oldest', 3, 3)).toEqual([4, 5]);
    expect(await sequences('newest', null, 2)).toEqual([5, 4]);
    expect(await sequences('newest', 2, 9)).toEqual([1]);
    const [entry] = await store.timeline(address, 'oldest', null, 1);
    expect(entry).toEqual({
      address,
      sequence: 1,
      messageId: 'a',
      acceptedAt: batch[0]?.acceptedAt,
      notBefore: null,
      expiresAt: null,
      ackTimeoutMs: null,
      failurePolicy: null,
      cancelledBy: null,
    });
    expect(await store.timeline({ shard: address.shard, id: address.id + 1_000 }, 'oldest', null, 5)).toEqual([]);
  });
});
