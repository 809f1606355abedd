/** Rooms by the recipients of their messages, as stores keep them: in memory and in Postgres alike. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Addressed,
  NOTED_FOR_MS,
  type RecipientPage,
  type RecipientStore,
} from '../../src/engine/pipeline-ports.ts';
import type { AppendedRow } from '../../src/engine/ports.ts';
import { shardOf } from '../../src/room/shard.ts';
import { messageOf, SHARDS } from '../support/engine.ts';
import { kindsOfStores, type OpenedStores } from './kinds.ts';

const AT = 1_700_000_000_000;
let names = 0;
const newName = (what: string): string => `${what}-${++names}`;

describe.each(kindsOfStores(SHARDS))('%s: recipient store', (_name, open) => {
  let opened: OpenedStores;
  let store: RecipientStore;
  beforeAll(async () => {
    opened = await open();
    store = opened.operators.recipients;
  });
  afterAll(() => opened.close());

  const addressed = (wishes: Partial<Addressed>): Addressed => ({
    tenant: 'default',
    channel: 'one',
    shard: 1,
    id: 1,
    recipient: 'to',
    at: AT,
    ...wishes,
  });

  /** @param channels by their names; from which id on where that is not the first */
  async function found(
    recipient: string,
    channels: Readonly<Record<string, number>>,
    wishes: Partial<RecipientPage> = {},
  ): Promise<string[]> {
    const tenant = wishes.tenant ?? 'default';
    const asked = Object.entries(channels).map(([channel, after]) => ({
      channel,
      shard: shardOf({ tenant, channel, room: recipient }, SHARDS),
      after,
    }));
    const rooms = await store.find({ tenant, recipient, limit: 100, channels: asked, ...wishes });
    return rooms.map(({ channel, shard, id }) => `${channel} ${shard}/${id}`);
  }

  async function roomNamed(room: string, channel: string, tenant = 'default'): Promise<AppendedRow> {
    const message = messageOf(room, 'm', { key: { tenant, channel, room } });
    const [result] = await opened.stores.rooms.append([message]);
    if (result?.kind !== 'appended') throw new Error('it was not appended');
    return result.row;
  }

  it('finds the rooms that were noted, channel by channel as asked for, the oldest first', async () => {
    const recipient = newName('+49 "ä\\');
    await store.note([
      addressed({ recipient, id: 5 }),
      addressed({ recipient, id: 3 }),
      addressed({ recipient, channel: 'two', id: 4, shard: 2 }),
      addressed({ recipient: newName('another'), id: 9 }),
      addressed({ recipient, tenant: 'other', id: 8 }),
    ]);
    expect(await found(recipient, { two: 0, one: 0 })).toEqual(['two 2/4', 'one 1/3', 'one 1/5']);
    expect(await found(recipient, { one: 0, two: 0 }, { limit: 2 })).toEqual(['one 1/3', 'one 1/5']);
    expect(await found(recipient, { one: 3, two: 0 }, { limit: 2 })).toEqual(['one 1/5', 'two 2/4']);
    expect(await found(recipient, { one: 5 })).toEqual([]);
    expect(await found(recipient, {})).toEqual([]);
    expect(await found(recipient, { one: 0, two: 0 }, { tenant: 'other' })).toEqual(['one 1/8']);
    expect(await found(newName('nobody'), { one: 0, two: 0 })).toEqual([]);
  });

  it('finds rooms that have the name of the recipient, each in its place', async () => {
    const name = newName('named');
    const before = await roomNamed(newName('before'), 'two');
    const one = await roomNamed(name, 'one');
    const two = await roomNamed(name, 'two');
    await roomNamed(name, 'one', 'other');
    const after = await roomNamed(newName('after'), 'two');
    await store.note([before, after].map(({ shard, id }) => addressed({ recipient: name, channel: 'two', shard, id })));
    const places = (channel: string, ...rows: readonly AppendedRow[]) =>
      rows.map(({ shard, id }) => `${channel} ${shard}/${id}`);
    expect(await found(name, { one: 0, two: 0 })).toEqual([
      ...places('one', one),
      ...places('two', before, two, after),
    ]);
    expect(await found(name, { two: before.id }, { limit: 1 })).toEqual(places('two', two));
    expect(await found(name, { one: one.id, two: two.id })).toEqual(places('two', after));
  });

  it('takes the same again, in one call with others, and from many at once', async () => {
    const recipient = newName('again');
    const batch = Array.from({ length: 50 }, (_, index) => addressed({ recipient, id: index + 1 }));
    await store.note([]);
    await Promise.all([store.note(batch), store.note(batch.toReversed()), store.note(batch.slice(10))]);
    expect(await found(recipient, { one: 0 })).toHaveLength(50);
  });

  it('forgets what was noted before a time, the oldest first, where it was not noted again a day later', async () => {
    const recipient = newName('old');
    const begin = AT - 1_000 * NOTED_FOR_MS;
    const at = (id: number, days: number) => addressed({ recipient, id, at: begin + days * NOTED_FOR_MS });
    await store.note([at(1, 0), at(2, 1), at(3, 0), at(4, 0)]);
    await store.note([at(3, 1), at(4, 0.99)]);
    await store.note([at(2, 0)]);
    expect(await store.prune(begin, 10)).toBe(0);
    expect(await store.prune(begin + 1, 1)).toBe(1);
    expect(await found(recipient, { one: 0 })).toHaveLength(3);
    expect(await store.prune(begin + 1, 10)).toBe(1);
    expect(await found(recipient, { one: 0 })).toEqual(['one 1/2', 'one 1/3']);
    expect(await store.prune(begin + NOTED_FOR_MS + 1, 10)).toBe(2);
    expect(await found(recipient, { one: 0 })).toEqual([]);
  });
});
