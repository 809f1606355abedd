/** What operators configure and do, as stores keep it: in memory and in Postgres alike. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AuditNote } from '../../src/engine/operator-ports.ts';
import type { ChannelKey } from '../../src/engine/ports.ts';
import { Database } from '../adapters/postgres/database.ts';
import { postgresRoutes } from '../support/postgres.ts';
import { kindsOfStores, type OpenedStores } from './kinds.ts';
import { SHARDS, World } from './world.ts';

let names = 0;
const newKey = (): ChannelKey => ({ tenant: 'default', channel: `channel-${++names}` });

function noteOf(key: ChannelKey, detail: AuditNote['detail'] = {}): AuditNote {
  return { actor: 'ops', action: 'channel.put', subject: `channel:${key.channel}`, detail, requestId: 'request-1' };
}

describe.each(kindsOfStores(SHARDS))('%s: operator stores', (_name, open) => {
  let opened: OpenedStores;
  beforeAll(async () => {
    opened = await open();
  });
  afterAll(() => opened.close());

  const ofChannel = async ({ channel }: ChannelKey) => {
    const { channels } = await opened.operators.settings.load();
    return channels.filter(({ key }) => key.channel === channel);
  };
  const subject = (key: ChannelKey) =>
    opened.operators.audit.list({ before: null, limit: 100, subject: noteOf(key).subject });

  it('keep the settings of a channel with the number of the change, who made it and when', async () => {
    const { settings } = opened.operators;
    const key = newKey();
    const before = await settings.revision();
    const first = await settings.put(key, { list: [1, { env: 'A' }], text: 'ä"\\' }, null, noteOf(key));
    expect(first?.revision).toBeGreaterThan(before);
    expect(Math.abs((first?.at ?? 0) - Date.now())).toBeLessThan(60_000);
    expect(await ofChannel(key)).toEqual([
      {
        key,
        settings: { list: [1, { env: 'A' }], text: 'ä"\\' },
        revision: first?.revision,
        updatedAt: first?.at,
        updatedBy: 'ops',
      },
    ]);
    const second = await settings.put(key, { list: [] }, first?.revision ?? 0, { ...noteOf(key), actor: 'other' });
    expect(second?.revision).toBeGreaterThan(first?.revision ?? 0);
    expect(await ofChannel(key)).toMatchObject([
      { settings: { list: [] }, revision: second?.revision, updatedBy: 'other' },
    ]);
    expect(await settings.revision()).toBe(second?.revision);
  });

  it('change nothing, and note nothing, where the settings are others than expected', async () => {
    const { settings } = opened.operators;
    const key = newKey();
    expect(await settings.put(key, {}, 1, noteOf(key))).toBeNull();
    expect(await settings.remove(key, 1, noteOf(key))).toBeNull();
    const { revision = 0 } = (await settings.put(key, { a: 1 }, null, noteOf(key))) ?? {};
    expect(await settings.put(key, { a: 2 }, null, noteOf(key))).toBeNull();
    expect(await settings.put(key, { a: 2 }, revision - 1, noteOf(key))).toBeNull();
    expect(await settings.remove(key, revision + 1, noteOf(key))).toBeNull();
    expect(await ofChannel(key)).toMatchObject([{ settings: { a: 1 }, revision }]);
    expect(await subject(key)).toHaveLength(1);
  });

  it('change nothing of a channel that has another name or tenant', async () => {
    const { settings } = opened.operators;
    const key = newKey();
    const { revision = 0 } = (await settings.put(key, { a: 1 }, null, noteOf(key))) ?? {};
    for (const other of [newKey(), { ...key, tenant: 'other' }]) {
      expect(await settings.put(other, { a: 2 }, revision, noteOf(other))).toBeNull();
      expect(await settings.remove(other, revision, noteOf(other))).toBeNull();
    }
    expect(await ofChannel(key)).toMatchObject([{ key, settings: { a: 1 }, revision }]);
  });

  it('never give a number twice, also not to a channel of the same name', async () => {
    const { settings } = opened.operators;
    const key = newKey();
    const { revision: first = 0 } = (await settings.put(key, {}, null, noteOf(key))) ?? {};
    const removed = await settings.remove(key, first, { ...noteOf(key), action: 'channel.delete' });
    expect(removed).toBeGreaterThan(first);
    expect(await settings.revision()).toBe(removed);
    expect(await ofChannel(key)).toEqual([]);
    const again = await settings.put(key, {}, null, noteOf(key));
    expect(again?.revision).toBeGreaterThan(removed ?? 0);
    expect((await subject(key)).map(({ action }) => action)).toEqual(['channel.put', 'channel.delete', 'channel.put']);
  });

  it('let one of several win that change a channel at once', async () => {
    const { settings } = opened.operators;
    const key = newKey();
    const many = Array.from({ length: 8 }, (_, by) => by);
    const added = await Promise.all(many.map((by) => settings.put(key, { by }, null, noteOf(key))));
    const [first, ...rest] = added.filter((one) => one !== null);
    expect(rest).toEqual([]);
    const changed = await Promise.all(
      many.map((by) =>
        by % 2 === 0
          ? settings.put(key, { by }, first?.revision ?? 0, noteOf(key))
          : settings.remove(key, first?.revision ?? 0, noteOf(key)),
      ),
    );
    expect(changed.filter((one) => one !== null)).toHaveLength(1);
    expect(await subject(key)).toHaveLength(2);
  });

  it('list what operators did, newest first, page by page, of a subject or of all', async () => {
    const { audit } = opened.operators;
    const key = newKey();
    for (const number of [1, 2, 3]) await audit.record(noteOf(key, { number, nested: { list: ['x'] } }));
    await audit.record({ ...noteOf(newKey()), action: 'shard.pin' });
    const [newest] = await audit.list({ before: null, limit: 1, subject: null });
    expect(newest).toMatchObject({ action: 'shard.pin' });
    const page = await audit.list({ before: null, limit: 2, subject: noteOf(key).subject });
    expect(page.map(({ detail }) => detail)).toEqual([3, 2].map((number) => ({ number, nested: { list: ['x'] } })));
    const older = await audit.list({ before: page[1]?.id ?? 0, limit: 9, subject: noteOf(key).subject });
    expect(older).toEqual([
      { ...noteOf(key, { number: 1, nested: { list: ['x'] } }), id: older[0]?.id, at: older[0]?.at },
    ]);
    expect(Math.abs((older[0]?.at ?? 0) - Date.now())).toBeLessThan(60_000);
  });
});

describe('Postgres', () => {
  it('counts the rooms of a channel that have unsettled messages, and forgets its condition with it', async () => {
    const [route] = postgresRoutes();
    if (route === undefined) throw new Error('no Postgres to test with');
    const database = await Database.on(route);
    try {
      const { stores, operators } = database.stores();
      const world = new World(stores);
      const key = { tenant: 'default', channel: world.channel };
      expect(await operators.settings.waitingRooms(key)).toBe(0);
      await stores.rooms.append([
        world.message('1', { room: 'a' }),
        world.message('2', { room: 'a' }),
        world.message('3', { room: 'b' }),
      ]);
      expect(await operators.settings.waitingRooms(key)).toBe(2);
      expect(await operators.settings.waitingRooms({ ...key, tenant: 'other' })).toBe(0);
      const others = [
        { ...key, tenant: 'other' },
        { ...key, channel: 'another' },
      ];
      for (const one of [key, ...others]) {
        await stores.channels.save(one, { state: 'stopped', reason: 'token_revoked', since: 1 }, 1);
      }
      const { revision = 0 } = (await operators.settings.put(key, {}, null, noteOf(key))) ?? {};
      expect(await operators.settings.remove(key, revision - 1, noteOf(key))).toBeNull();
      expect(await stores.channels.load()).toHaveLength(3);
      expect(await operators.settings.remove(key, revision, noteOf(key))).not.toBeNull();
      const left = await stores.channels.load();
      expect(left).toHaveLength(others.length);
      for (const one of others) expect(left).toContainEqual(expect.objectContaining({ channel: one }));
    } finally {
      await database.close();
    }
  });
});
