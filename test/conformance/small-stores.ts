import { describe, expect, it } from 'vitest';
import { fingerprintOf, refusedPayload } from '../../src/engine/fingerprint.ts';
import type { ChannelCondition, Stores } from '../../src/engine/ports.ts';
import { START } from '../support/rooms.ts';
import { World } from './world.ts';

export function describeChannels(stores: () => Stores): void {
  describe('channels', () => {
    it('keeps the newest change, in whichever order they come', async () => {
      const world = new World(stores());
      const { channels } = world.stores;
      const channel = { tenant: 'default', channel: world.channel };
      const at = async (): Promise<number | undefined> => {
        return (await channels.load()).find((one) => one.channel.channel === world.channel)?.at;
      };
      await channels.save(channel, { state: 'stopped', reason: 'a', since: START }, START);
      await channels.save(channel, { state: 'open' }, START - 1);
      expect(await at()).toBe(START);
      await channels.save(channel, { state: 'open' }, START);
      await channels.save(channel, { state: 'ack_outage', since: START + 1 }, START + 1);
      expect(await at()).toBe(START + 1);
    });

    it('keeps the last condition of each channel', async () => {
      const world = new World(stores());
      const { channels } = world.stores;
      const { tenant } = world.key();
      const conditions: ChannelCondition[] = [
        { state: 'slowed', until: START + 1, reason: 'limit' },
        { state: 'stopped', reason: 'no answer', since: START },
        { state: 'ack_outage', since: START },
        { state: 'open' },
      ];
      for (const condition of conditions) {
        await channels.save({ tenant, channel: world.channel }, condition, START);
        const loaded = await channels.load();
        const ours = loaded.filter(({ channel }) => channel.channel === world.channel);
        expect(ours).toEqual([{ channel: { tenant, channel: world.channel }, condition, at: START }]);
      }
      await channels.save({ tenant: 'other', channel: world.channel }, { state: 'open' }, START);
      const names = (await channels.load()).filter(({ channel }) => channel.channel === world.channel);
      expect(names.map(({ channel }) => channel.tenant).sort()).toEqual(['default', 'other']);
    });
  });
}

export function describeDeadLetters(stores: () => Stores): void {
  describe('dead letters of intake', () => {
    function letter(dedupeKey: string, detail = 'not JSON') {
      const attributes = { odd: '\u0000"\\', key: '{,}' };
      return {
        reason: 'body_malformed_json',
        detail,
        payload: Uint8Array.of(0, 1, 255),
        attributes,
        dedupeKey,
        at: START,
      };
    }

    it('are kept once for each key, however often they come', async () => {
      const { deadLetters } = stores();
      await deadLetters.putIntake([letter('once-1'), letter('once-1'), letter('once-2')]);
      await deadLetters.putIntake([letter('once-2'), letter('once-3'), letter('x'.repeat(10_000))]);
      await deadLetters.putIntake([]);

      const kept = await deadLetters.list(null, 4);
      expect(kept).toHaveLength(4);
      expect(kept[0]).toEqual({
        id: kept[0]?.id,
        at: START,
        kind: 'intake',
        reason: 'body_malformed_json',
        tenant: null,
        channel: null,
        address: null,
        sequence: null,
        detail: 'not JSON',
        fingerprint: fingerprintOf(null, refusedPayload('body_malformed_json')),
      });
    });

    it('are listed newest first, page by page', async () => {
      const { deadLetters } = stores();
      for (const key of ['page-1', 'page-2', 'page-3']) await deadLetters.putIntake([letter(key, key)]);
      const newest = await deadLetters.list(null, 2);
      const older = await deadLetters.list(newest[1]?.id ?? null, 1);

      expect([...newest, ...older].map((one) => one.detail)).toEqual(['page-3', 'page-2', 'page-1']);
    });
  });
}
