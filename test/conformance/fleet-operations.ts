/** The fleet as operators see and change it. */
import { describe, expect, it } from 'vitest';
import type { AuditNote, FleetChange, FleetPicture, FleetStore } from '../../src/engine/operator-ports.ts';
import { handOverLimitMs } from '../../src/room/shard.ts';
import { registrationOf, takeFreeShards } from '../support/fleet.ts';
import { type Harness, LONG_LEASE_MS, SHORT_LEASE_MS, World } from './world.ts';

const NOTE: AuditNote = {
  actor: 'ops',
  action: 'fleet.rebalance',
  subject: 'fleet',
  detail: { weights: { 'node-"ä\\': 2 } },
  requestId: 'request-1',
};

const changeOf = (wishes: Partial<FleetChange> = {}): FleetChange => {
  return { weights: new Map(), pins: new Map(), drain: null, moves: [], ...wishes };
};

/** What a change may change, without what time changes. */
function rowsOf({ members, shards, pins, weights, membership, planned }: FleetPicture): unknown {
  const undated = members.map(({ leaseLeftMs, ...member }) => member);
  const still = shards.map(({ heirLeftMs, ...shard }) => ({ ...shard, late: (heirLeftMs ?? 0) < 0 }));
  return { membership, planned, members: undated, shards: still, pins: [...pins], weights: [...weights] };
}

/** @param harness a new one for every test */
export function describeFleetOperations(harness: () => Harness): void {
  describe('what operators do with the fleet', () => {
    const fleet = (): FleetStore => harness().operators.fleet;
    const notes = () => harness().operators.audit.list({ before: null, limit: 10, subject: 'fleet' });

    /** `holder` has every shard; `other` has none yet. Distributed, so far as anybody knows. */
    async function pair(otherLeaseMs = LONG_LEASE_MS): Promise<void> {
      const { ownership } = harness().stores;
      await ownership.register(registrationOf('holder', LONG_LEASE_MS, { name: 'node-h', weight: 1.5 }));
      await ownership.register(registrationOf('other', otherLeaseMs, { name: 'node-o' }));
      await takeFreeShards(ownership, 'holder');
    }

    /** Stores a change of the fleet as it is. */
    async function change(wishes: Partial<FleetChange>): Promise<void> {
      const { membership } = await fleet().look();
      expect(await fleet().change(membership, changeOf(wishes), NOTE)).toBe(true);
    }

    it('is shown with everything that it is distributed from, and when it changed', async () => {
      const before = await fleet().look();
      await pair();
      const picture = await fleet().look();
      expect(picture.members).toMatchObject([
        { worker: 'holder', name: 'node-h', weight: 1.5, ownWeight: 1.5, operatorWeight: null, generation: 1 },
        { worker: 'other', name: 'node-o', weight: 1, ownWeight: 1, operatorWeight: null, generation: 1 },
      ]);
      expect(picture.membership).toBeGreaterThan(before.membership);
      expect(picture.planned).toBe(picture.membership);
      expect(picture.changedAt).toBeGreaterThanOrEqual(before.changedAt);
      expect(picture.members[0]?.registeredAt).toBeGreaterThanOrEqual(before.changedAt);
      expect(picture.shards[0]).toMatchObject({ owner: 'holder', heir: null, heirLeftMs: null, epoch: 1 });
      expect(picture.shards[0]?.movedAt).toBeGreaterThanOrEqual(picture.changedAt);
      expect([picture.pins.size, picture.weights.size]).toEqual([0, 0]);
    });

    it('takes a weight for the nodes of a name before their own, and back; who plans sees it', async () => {
      await pair();
      const { ownership } = harness().stores;
      await change({
        weights: new Map([
          ['node-h', 0.25],
          ['nobody', 3],
        ]),
      });
      const weighted = await fleet().look();
      expect(weighted.members[0]).toMatchObject({ weight: 0.25, ownWeight: 1.5, operatorWeight: 0.25 });
      expect(weighted.weights).toEqual(
        new Map([
          ['node-h', 0.25],
          ['nobody', 3],
        ]),
      );
      expect((await ownership.view()).members[0]).toMatchObject({ weight: 0.25 });
      expect(weighted.planned).toBeLessThan(weighted.membership);
      expect(await ownership.beginPlan('other')).toMatchObject({ membership: weighted.membership });

      await change({
        weights: new Map([
          ['node-h', null],
          ['never-was', null],
        ]),
      });
      const back = await fleet().look();
      expect(back.members[0]).toMatchObject({ weight: 1.5, operatorWeight: null });
      expect([...back.weights]).toEqual([['nobody', 3]]);
    });

    it('pins shards to the nodes of a name, elsewhere, and no longer; who plans sees it', async () => {
      await pair();
      const { ownership } = harness().stores;
      await change({
        pins: new Map([
          [3, 'node-o'],
          [1, 'node-o'],
          [2, 'nobody'],
        ]),
      });
      expect([...(await ownership.view()).pins]).toEqual(
        expect.arrayContaining([
          [1, 'node-o'],
          [2, 'nobody'],
          [3, 'node-o'],
        ]),
      );
      await change({
        pins: new Map([
          [1, null],
          [2, 'node-h'],
          [9, null],
        ]),
      });
      const { pins } = await fleet().look();
      expect(new Map([...pins].sort())).toEqual(
        new Map([
          [2, 'node-h'],
          [3, 'node-o'],
        ]),
      );
      expect((await ownership.view()).pins).toEqual(pins);
    });

    it('drains a worker, and lets it have shards again', async () => {
      await pair();
      const { ownership } = harness().stores;
      const draining = async () => (await ownership.view()).members.map((member) => member.draining);
      await change({ drain: { worker: 'holder', draining: true } });
      expect(await draining()).toEqual([true, false]);
      await change({ drain: { worker: 'holder', draining: true } });
      await change({ drain: { worker: 'holder', draining: false } });
      expect(await draining()).toEqual([false, false]);
      const { membership, planned } = await fleet().look();
      expect(planned).toBeLessThan(membership);
    });

    it('promises shards to another, withdraws that, and gives away at once what nobody has', async () => {
      await pair();
      const { ownership } = harness().stores;
      await change({
        moves: [
          { shard: 4, from: 'holder', to: 'other' },
          { shard: 5, from: 'holder', to: 'other' },
        ],
      });
      const promised = await fleet().look();
      expect(promised.shards[4]).toMatchObject({ owner: 'holder', heir: 'other', epoch: 2 });
      expect(promised.shards[4]?.heirLeftMs).toBeGreaterThan(LONG_LEASE_MS);
      expect(promised.shards[4]?.heirLeftMs).toBeLessThanOrEqual(handOverLimitMs(LONG_LEASE_MS));
      const owned = (await ownership.ownShards('holder')).filter(({ shard }) => shard === 4);
      expect(await ownership.handOver('holder', owned)).toEqual([4]);
      const given = await fleet().look();
      expect(given.shards[4]).toMatchObject({ owner: 'other', heir: null, heirLeftMs: null });
      expect(given.shards[4]?.movedAt).toBeGreaterThanOrEqual(given.changedAt);
      expect(given.shards[5]?.movedAt).toBe(promised.shards[5]?.movedAt);

      // Another heir is no more time to hand over to it.
      await harness().stepClock(LONG_LEASE_MS / 2);
      await ownership.register(registrationOf('third', LONG_LEASE_MS));
      await change({ moves: [{ shard: 5, from: 'holder', to: 'third' }] });
      const again = (await fleet().look()).shards[5];
      expect(again).toMatchObject({ owner: 'holder', heir: 'third' });
      expect(again?.heirLeftMs).toBeLessThanOrEqual(handOverLimitMs(LONG_LEASE_MS) - LONG_LEASE_MS / 2);
      await change({ moves: [{ shard: 5, from: 'holder', to: null }] });
      expect((await fleet().look()).shards[5]).toMatchObject({ owner: 'holder', heir: null });
      await ownership.release('holder');
      await change({ moves: [{ shard: 6, from: null, to: 'other' }] });
      expect((await ownership.ownShards('other')).map(({ shard }) => shard)).toEqual([4, 6]);
    });

    it('has the shards distributed anew where nothing else is changed, and keeps who did what', async () => {
      await pair();
      const before = await fleet().look();
      await change({});
      const then = await fleet().look();
      expect(then.membership).toBeGreaterThan(before.membership);
      expect(then.planned).toBe(before.planned);
      expect(then.changedAt).toBeGreaterThanOrEqual(before.changedAt);
      expect(await notes()).toMatchObject([NOTE]);
    });

    const everything = (): Partial<FleetChange> => ({
      weights: new Map([
        ['node-o', 2],
        ['node-h', null],
      ]),
      pins: new Map([
        [1, 'node-o'],
        [2, null],
      ]),
      drain: { worker: 'other', draining: true },
      moves: [{ shard: 7, from: 'holder', to: 'other' }],
    });

    it('two rebalances at once: of two that were decided from the same, one is stored whole and one not at all', async () => {
      await pair();
      const { membership } = await fleet().look();
      const stored = await Promise.all(
        [2, 3].map((weight) =>
          fleet().change(
            membership,
            changeOf({ weights: new Map([['node-o', weight]]), pins: new Map([[weight, 'node-o']]) }),
            { ...NOTE, requestId: `request-${weight}` },
          ),
        ),
      );
      expect(stored.filter(Boolean)).toHaveLength(1);
      const { weights, pins } = await fleet().look();
      const won = stored[0] ? 2 : 3;
      expect([[...weights], [...pins]]).toEqual([[['node-o', won]], [[won, 'node-o']]]);
      expect(await notes()).toMatchObject([{ requestId: `request-${won}` }]);
    });

    it.each([
      ['for another membership', {}, 1],
      [
        'with a shard that has another owner',
        {
          moves: [
            { shard: 7, from: 'holder', to: 'other' },
            { shard: 8, from: 'other', to: 'holder' },
          ],
        },
        0,
      ],
      ['with a shard of nobody that has an owner', { moves: [{ shard: 8, from: null, to: 'other' }] }, 0],
      ['with a worker that is not there', { drain: { worker: 'ghost', draining: true } }, 0],
    ] satisfies [string, Partial<FleetChange>, number][])(
      'a change %s changes nothing at all',
      async (_name, wrong, off) => {
        await pair();
        await change({ weights: new Map([['node-h', 3]]), pins: new Map([[2, 'node-h']]) });
        const before = await fleet().look();
        const asked = changeOf({ ...everything(), ...wrong });

        expect(await fleet().change(before.membership - off, asked, NOTE)).toBe(false);
        expect(rowsOf(await fleet().look())).toEqual(rowsOf(before));
        expect(await notes()).toHaveLength(1);
        expect(await fleet().change(before.membership, changeOf(everything()), NOTE)).toBe(true);
      },
    );

    it('counts the rooms that have work by shard, and their messages', async () => {
      const { stores } = harness();
      const world = new World(stores);
      expect(await fleet().countWork()).toEqual([]);
      await world.roomWith(2, 'one');
      await world.roomWith(3, 'two');
      await new World(stores).roomWith(1);
      const counted = await fleet().countWork();
      expect(counted).toHaveLength(2);
      expect(counted).toContainEqual({ shard: world.shard, rooms: 2, waiting: 5 });
    });

    it('shows whose lease has ended until they are fenced, and no one afterwards', async () => {
      await pair(SHORT_LEASE_MS);
      await harness().endLease('other');
      expect((await fleet().look()).members[1]?.leaseLeftMs).toBeLessThanOrEqual(0);
      await harness().stores.ownership.fence('other');
      expect((await fleet().look()).members.map(({ worker }) => worker)).toEqual(['holder']);
    });
  });
}
