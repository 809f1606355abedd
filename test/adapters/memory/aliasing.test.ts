/** What the memory stores keep belongs to them: no caller can change it by changing what it passed in or was given. */
import { describe, expect, test } from 'vitest';
import { createMemoryStores } from '../../../src/adapters/memory/stores.ts';
import type { NewMessage, StoredRoom } from '../../../src/engine/ports.ts';
import { transition } from '../../../src/room/transition.ts';
import { registrationOf } from '../../support/fleet.ts';
import { ack, envelopeOf, permit } from '../../support/rooms.ts';

const key = { tenant: 'default', channel: 'whatsapp-1', room: 'room-1' };

function messageOf(messageId: string): NewMessage {
  return {
    key: { ...key },
    shard: 2,
    messageId,
    body: new TextEncoder().encode(`body of ${messageId}`),
    digest: new TextEncoder().encode(`digest of ${messageId}`),
    acceptedAt: 1_000,
    notBefore: null,
    expiresAt: null,
    ackTimeoutMs: null,
    failurePolicy: null,
    supersedes: null,
    source: 'http',
  };
}

async function setup() {
  const stores = createMemoryStores({ shards: 4, now: () => 1_000 });
  const messages = [messageOf('a'), messageOf('b')];
  await stores.rooms.append(messages);
  const proof = { worker: 'w1', generation: 1 };
  await stores.ownership.register(registrationOf(proof.worker, 10_000));
  const read = async (): Promise<StoredRoom> => (await stores.rooms.findRoom(key, 2)) as StoredRoom;
  return { stores, messages, proof, read };
}

describe('memory stores', () => {
  test('keep a message as it was appended', async () => {
    const { stores, messages, read } = await setup();
    for (const { body, digest } of messages) {
      body.fill(0);
      digest.fill(0);
    }
    const { row } = await read();
    const wanted = { shard: row.shard, id: row.id, sequence: 1 };
    const [body] = await stores.rooms.readBodies([wanted]);
    expect(new TextDecoder().decode(body ?? undefined)).toBe('body of a');
    body?.fill(0);
    const waiting = await stores.history.readWaiting(row, 1);
    expect(new TextDecoder().decode(waiting?.body)).toBe('body of a');
    expect(await stores.rooms.append([messageOf('a')])).toEqual([
      { kind: 'duplicate', address: { shard: row.shard, id: row.id }, sequence: 1 },
    ]);
  });

  test('keep a room as it was written, and hand out nothing that can be changed', async () => {
    const { stores, proof, read } = await setup();
    const { row } = await read();
    const room = { ...row, envelopes: [envelopeOf(1), envelopeOf(2)] };
    const claimed = transition(room, permit, 1_000);
    const attempts = claimed.room.attempts.map((attempt) => ({ ...attempt }));
    const write = { expectedVersion: 0, next: { ...claimed.room, attempts }, facts: claimed.facts, claims: true };
    expect(await stores.rooms.compareAndSet(0, [write], proof)).toEqual([{ kind: 'committed', tail: 2, inbox: [] }]);
    attempts[0] = { ...(attempts[0] as (typeof attempts)[number]), worker: 'somebody else' };
    attempts.length = 0;
    const stored = await read();
    expect(stored.row.attempts.map((attempt) => attempt.worker)).toEqual(['w1']);
    for (const value of [stored, stored.row, stored.row.key, stored.row.attempts, stored.row.attempts[0]]) {
      expect(Object.isFrozen(value)).toBe(true);
    }
    expect(stored.envelopes.every((envelope) => Object.isFrozen(envelope))).toBe(true);

    const settled = transition(claimed.room, ack(1), 1_000);
    const end = { expectedVersion: 1, next: settled.room, facts: settled.facts, claims: false };
    await stores.rooms.compareAndSet(0, [end], null);
    const entry = await stores.history.readSettled(row, 1);
    entry?.body.fill(0);
    expect(Object.isFrozen(entry) && Object.isFrozen(entry?.attempts)).toBe(true);
    expect(new TextDecoder().decode((await stores.history.readSettled(row, 1))?.body)).toBe('body of a');
  });

  test('refuse a room that breaks an invariant, and the whole batch with it', async () => {
    const { stores, read } = await setup();
    const { row } = await read();
    const broken = { ...row, envelopes: [], version: 1, phase: 'unknown' as const };
    const write = { expectedVersion: 0, next: broken, facts: [], claims: false };
    await expect(stores.rooms.compareAndSet(0, [write], null)).rejects.toThrow('I4, I5');
    expect((await read()).row).toEqual(row);
  });
});
