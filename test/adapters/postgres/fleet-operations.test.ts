/** What operators change of the fleet, where only a real server shows it: locks, triggers, and who commits first. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PostgresStores } from '../../../src/adapters/postgres/stores.ts';
import type { AuditNote, FleetChange } from '../../../src/engine/operator-ports.ts';
import { registrationOf, takeFreeShards } from '../../support/fleet.ts';
import { postgresServers } from '../../support/postgres.ts';
import { Database } from './database.ts';

const LEASE_MS = 60_000;
const NOTE: AuditNote = { actor: 'ops', action: 'fleet.rebalance', subject: 'fleet', detail: {}, requestId: 'r' };
const WEIGHTS = new Map([['node', 2]]);
const WAITING = 'roomline pool';

describe.each(postgresServers())('$name: a change of the fleet', (server) => {
  let database: Database;
  let opened: PostgresStores;
  beforeEach(async () => {
    database = await Database.create(server);
    opened = database.stores();
    const { ownership } = opened.stores;
    await ownership.register(registrationOf('holder', LEASE_MS));
    await ownership.register(registrationOf('heir', LEASE_MS));
    await takeFreeShards(ownership, 'holder');
  });
  afterEach(() => database.close());

  /** Asks for a change of the fleet as it is now. */
  async function ask(wishes: Partial<FleetChange>): Promise<{ readonly answer: Promise<boolean> }> {
    const { fleet } = opened.operators;
    const { membership } = await fleet.look();
    const change = { weights: WEIGHTS, pins: new Map(), drain: null, moves: [], ...wishes };
    return { answer: fleet.change(membership, change, NOTE) };
  }

  async function nothingIsStored(): Promise<void> {
    const { weights, pins } = await opened.operators.fleet.look();
    const notes = await opened.operators.audit.list({ before: null, limit: 10, subject: null });
    expect([weights.size, pins.size, notes]).toEqual([0, 0, []]);
  }

  const membership = async () => (await opened.operators.fleet.look()).membership;

  it('late rebalance: a shard that is being handed over meanwhile has all of it refused', async () => {
    const owner = await database.session();
    await owner.query(`BEGIN; UPDATE shards SET owner = 'heir', epoch = epoch + 1 WHERE shard = 3`);
    const moves = [2, 3].map((shard) => ({ shard, from: 'holder', to: 'heir' }));
    const { answer } = await ask({ moves, pins: new Map([[4, 'node']]) });
    await database.waits(WAITING);
    await owner.query('COMMIT');
    expect(await answer).toBe(false);
    await nothingIsStored();
    expect((await opened.operators.fleet.look()).shards[2]).toMatchObject({ owner: 'holder', heir: null });
  });

  it('is stored where the hand-over that it waited for did not happen', async () => {
    const owner = await database.session();
    await owner.query(`BEGIN; UPDATE shards SET owner = 'heir', epoch = epoch + 1 WHERE shard = 3`);
    const { answer } = await ask({ moves: [{ shard: 3, from: 'holder', to: 'heir' }] });
    await database.waits(WAITING);
    await owner.query('ROLLBACK');
    expect(await answer).toBe(true);
    expect((await opened.operators.fleet.look()).shards[3]).toMatchObject({ owner: 'holder', heir: 'heir', epoch: 2 });
  });

  it('late drain: of a worker that is being fenced waits for that, is refused, and nobody is deadlocked', async () => {
    const fencer = await database.session();
    await fencer.query(`BEGIN; SELECT FROM workers WHERE worker = 'holder' FOR NO KEY UPDATE`);
    const { answer } = await ask({ drain: { worker: 'holder', draining: true } });
    await database.waits(WAITING);
    // Its trigger takes the row of the fleet.
    await fencer.query(`UPDATE fences SET fenced = true WHERE worker = 'holder'; COMMIT`);
    expect(await answer).toBe(false);
    await nothingIsStored();
  });

  it('late joiner: one that comes first has it refused', async () => {
    const joiner = await database.session();
    await joiner.query(`BEGIN; INSERT INTO workers (worker, lease_until) VALUES ('late', clock_timestamp())`);
    const { answer } = await ask({});
    await database.waits(WAITING);
    await joiner.query('COMMIT');
    expect(await answer).toBe(false);
    await nothingIsStored();
  });

  it('by hand, in SQL, has the shards distributed anew, too; a statement without effect has not', async () => {
    const raisedBy = async (text: string): Promise<number> => {
      const before = await membership();
      await database.query(text);
      return (await membership()) - before;
    };
    const effects: [string, number][] = [];
    for (const text of [
      `INSERT INTO worker_weights VALUES ('a', 1), ('b', 2)`,
      `UPDATE worker_weights SET weight = weight + 1`,
      `UPDATE worker_weights SET weight = 0 WHERE name = 'nobody'`,
      `DELETE FROM worker_weights WHERE name = 'nobody'`,
      `DELETE FROM worker_weights`,
      `INSERT INTO shard_pins VALUES (1, 'a'), (2, 'b')`,
      `INSERT INTO shard_pins VALUES (1, 'a') ON CONFLICT DO NOTHING`,
      `UPDATE shard_pins SET name = 'c' WHERE shard = 2`,
      `UPDATE shard_pins SET name = 'c' WHERE shard = 3`,
      `DELETE FROM shard_pins`,
      `DELETE FROM shard_pins`,
    ]) {
      effects.push([text, await raisedBy(text)]);
    }
    expect(effects.map(([, raised]) => raised)).toEqual([1, 1, 0, 0, 1, 1, 0, 1, 0, 1, 0]);
  });
});
