/** Webhook calls that are signed rightly and still must not do what they say: whose messages, how many, how late. */
import { describe, expect, test } from 'vitest';
import type { RoomKey } from '../../src/room/room.ts';
import { ask } from './checks.ts';
import { message } from './corpus/entry.ts';
import { bearer, JSON_PUBLISH, NOW_MS, type Rig, signed } from './rig.ts';
import type { Tally } from './tally.ts';

export function describeEvidence(rig: () => Rig, tally: Tally): void {
  const call = async (statuses: unknown, path = '/v1/webhooks/default/main'): Promise<unknown> => {
    tally.add('evidence');
    const body = Buffer.from(JSON.stringify({ statuses }));
    const { answer } = await ask(rig(), { method: 'POST', path, headers: signed(body), body });
    expect(answer.status, answer.text).toBe(200);
    return JSON.parse(answer.text);
  };
  const publish = async (room: string): Promise<string> => {
    const body = Buffer.from(message({ room }));
    const { answer } = await ask(rig(), { method: 'POST', path: '/v1/messages', headers: JSON_PUBLISH, body });
    expect(answer.status).toBe(202);
    return (JSON.parse(answer.text) as { id: string }).id;
  };
  const view = async (id: string): Promise<Record<string, unknown>> => {
    const request = { method: 'GET', path: `/v1/messages/${id}`, headers: bearer('read'), body: null };
    return JSON.parse((await ask(rig(), request)).answer.text) as Record<string, unknown>;
  };
  const key = (room: string): RoomKey => ({ tenant: 'default', channel: 'main', room });

  describe('evidence, rightly signed', () => {
    test('of another channel settles nothing, by reference or by id', async () => {
      const id = await publish('foreign');
      const { platformId } = await view(id);
      const before = await rig().records.snapshot([key('foreign')]);
      await call([{ reference: id, status: 'delivered' }], '/v1/webhooks/default/twin');
      await call([{ id: platformId, status: 'delivered' }], '/v1/webhooks/default/twin');
      await call([{ id: platformId, status: 'failed', error: { scope: 'account' } }], '/v1/webhooks/default/twin');
      await call([{ watermark: NOW_MS, to: 'foreign', status: 'read' }], '/v1/webhooks/default/twin');
      expect(await rig().records.snapshot([key('foreign')])).toBe(before);
      await call([{ id: platformId, status: 'delivered' }]);
      expect(await view(id)).toMatchObject({ state: 'settled', outcome: 'acked' });
    });

    test('of a reference with one character changed settles nothing', async () => {
      const id = await publish('forged');
      const before = await rig().records.snapshot([key('forged')]);
      const forged = Array.from(
        id,
        (letter, at) => `${id.slice(0, at)}${letter === 'A' ? 'B' : 'A'}${id.slice(at + 1)}`,
      );
      expect(await call(forged.map((reference) => ({ reference, status: 'delivered' })))).toEqual({ received: 26 });
      expect(await rig().records.snapshot([key('forged')])).toBe(before);
    });

    test('of the future settles the message in flight, and no other', async () => {
      const ids = [await publish('future'), await publish('future')];
      await call([{ watermark: Number.MAX_SAFE_INTEGER, to: 'future', status: 'delivered' }]);
      expect(await view(ids[0] as string)).toMatchObject({ outcome: 'acked', levelAt: Number.MAX_SAFE_INTEGER });
      expect(await view(ids[1] as string)).toMatchObject({ state: 'waiting', level: 'accepted' });
    });

    test('of a time before the message was accepted settles nothing', async () => {
      const id = await publish('past');
      await call([{ watermark: NOW_MS - 1, to: 'past', status: 'read' }]);
      expect(await view(id)).toMatchObject({ state: 'waiting' });
    });

    test('of 5,000 statuses takes effect although one cannot be read', async () => {
      const ids = [await publish('batch-1'), await publish('batch-2'), await publish('batch-3')];
      const statuses: unknown[] = Array.from({ length: 5_000 }, (_, at) => ({ id: `others-${at}`, status: 'sent' }));
      ids.forEach((reference, at) => {
        statuses[at * 2_000 + 1] = { reference, status: 'delivered' };
      });
      statuses[2_000] = { reference: ids, status: { $ne: null } };
      expect(await call(statuses)).toEqual({ received: 5_000 });
      for (const id of ids) expect(await view(id)).toMatchObject({ outcome: 'acked' });
    });

    test('of one message 5,000 times takes effect once', async () => {
      const id = await publish('repeated');
      await call(Array(5_000).fill({ reference: id, status: 'delivered', at: NOW_MS }));
      await call(Array(1_000).fill({ reference: id, status: 'read', at: NOW_MS + 1 }));
      expect(await view(id)).toMatchObject({ outcome: 'acked', level: 'read', levelAt: NOW_MS + 1 });
    });

    test('that contradicts itself is told in full', async () => {
      const id = await publish('contradicted');
      await call([
        { reference: id, status: 'failed', error: { permanent: true, code: 'gone' } },
        { reference: id, status: 'delivered' },
        { reference: id, status: 'failed', error: { permanent: true, code: 'gone' } },
      ]);
      expect(await view(id)).toMatchObject({ state: 'settled' });
    });
  });
}
