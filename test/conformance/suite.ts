/** How a store behaves, whatever it is made of: what entitles the simulation to use the one in memory. */
import { afterAll, afterEach, beforeAll, beforeEach, describe } from 'vitest';
import { describeAppend } from './append.ts';
import { describeBuffer } from './buffer.ts';
import { describeCompareAndSet } from './compare-and-set.ts';
import { describeFleetOperations } from './fleet-operations.ts';
import { describeHistory } from './history.ts';
import { describeInbox } from './inbox.ts';
import { describeLetters } from './letters.ts';
import { describeOrderModel } from './order-model.ts';
import { describeOrders } from './orders.ts';
import { describeOwnership } from './ownership.ts';
import { describeRaces } from './races.ts';
import { describeReads } from './reads.ts';
import { describeChannels, describeDeadLetters } from './small-stores.ts';
import type { Harness, MakeHarness } from './world.ts';

/** @param emptyFleet stores in which there are no workers, no rooms, and nothing was ever planned */
export function describeStore(name: string, makeHarness: MakeHarness, emptyFleet = makeHarness): void {
  describe(`${name}: stores`, () => {
    let harness: Harness;
    beforeAll(async () => {
      harness = await makeHarness();
    });
    afterAll(() => harness.close());
    const stores = () => harness.stores;

    describeAppend(stores);
    describeOrders(stores);
    describeOrderModel(stores, name === 'memory' ? 300 : 15);
    describeCompareAndSet(stores);
    describeReads(stores);
    describeHistory(stores);
    describeInbox(stores);
    describeChannels(stores);
    describeDeadLetters(stores);
    describeLetters(() => harness);
    describeRaces(stores);
  });

  describe(`${name}: a fleet each`, () => {
    let harness: Harness;
    beforeEach(async () => {
      harness = await emptyFleet();
    });
    afterEach(() => harness.close());

    describeBuffer(() => harness);
    describeOwnership(() => harness);
    describeFleetOperations(() => harness);
  });
}
