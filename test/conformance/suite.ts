/** How a store behaves, whatever it is made of: what entitles the simulation to use the one in memory. */
import { afterAll, afterEach, beforeAll, beforeEach, describe } from 'vitest';
import { describeAppend } from './append.ts';
import { describeCompareAndSet } from './compare-and-set.ts';
import { describeFleetOperations } from './fleet-operations.ts';
import { describeHistory } from './history.ts';
import { describeInbox } from './inbox.ts';
import { describeLetters } from './letters.ts';
import { describeOwnership } from './ownership.ts';
import { describeRaces } from './races.ts';
import { describeReads } from './reads.ts';
import { describeChannels, describeDeadLetters } from './small-stores.ts';
import type { Harness, MakeHarness } from './world.ts';

export function describeStore(name: string, makeHarness: MakeHarness): void {
  describe(`${name}: stores`, () => {
    let harness: Harness;
    beforeAll(async () => {
      harness = await makeHarness();
    });
    afterAll(() => harness.close());
    const stores = () => harness.stores;

    describeAppend(stores);
    describeCompareAndSet(stores);
    describeReads(stores);
    describeHistory(stores);
    describeInbox(stores);
    describeChannels(stores);
    describeDeadLetters(stores);
    describeLetters(() => harness);
    describeRaces(stores);
  });

  describe(`${name}: a database each`, () => {
    let harness: Harness;
    beforeEach(async () => {
      harness = await makeHarness();
    });
    afterEach(() => harness.close());

    describeOwnership(() => harness);
    describeFleetOperations(() => harness);
  });
}
