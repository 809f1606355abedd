/** What a process tells of itself, as those see it who listen: how much, how often, and for how long. */
import { describe, expect, it } from 'vitest';
import { Live } from '../../src/engine/live.ts';
import { decodeBatch, decodeInterest, encodeInterest } from '../../src/engine/live-codec.ts';
import type { Interest, LivePart, Settlement, SettlementFilter } from '../../src/engine/live-ports.ts';
import type { PipelinePart } from '../../src/engine/pipeline-ports.ts';
import { createReferences } from '../../src/engine/reference.ts';
import { Tallies } from '../../src/engine/tallies.ts';
import { Telemetry } from '../../src/telemetry.ts';
import { SteppedTime } from '../support/engine.ts';
import { LiveWire } from '../support/live.ts';

const EVERYTHING: SettlementFilter = { kinds: ['settled', 'failed'], tenants: null, channel: null, room: null };

async function start(bus: 'wire' | 'none' = 'wire') {
  const time = new SteppedTime();
  const wire = new LiveWire();
  const telemetry = new Telemetry();
  const glances: number[] = [];
  const part: PipelinePart = { worker: 'w', asOf: 1, shards: 4, intake: 0, openSends: 0, unlisted: 3, channels: [] };
  const live = new Live({
    bus: bus === 'wire' ? wire.port() : null,
    reporter: {
      glance: async (maxAgeMs) => {
        glances.push(maxAgeMs);
        return part;
      },
    },
    channels: { get: () => null, tallies: new Tallies() },
    references: createReferences('a secret of this test'),
    telemetry,
    clock: { now: () => time.now, monotonic: () => time.now, after: (ms, callback) => time.after(ms, callback) },
    teller: 'this',
    onFailure: (error) => {
      throw error;
    },
  });
  await live.service.start();
  const heard: Settlement[] = [];
  const missed: [number | null, string][] = [];
  const parts: (LivePart | null)[] = [];
  const want = (interest: Interest | null) =>
    live.want(interest, {
      onPart: (_teller, one) => parts.push(one),
      onSettlements: (settlements) => heard.push(...settlements),
      onMissed: (count, reason) => missed.push([count, reason]),
    });
  const settle = (sequence: number, channel = 'support', room = 'r') =>
    telemetry.emit('message.settled', {
      room: { tenant: 'default', channel, room },
      address: { shard: 1, id: 2 },
      sequence,
      messageId: '',
      outcome: 'acked',
      reason: 'ack',
      level: 'delivered',
      code: null,
      attempts: 1,
      possiblyDelivered: false,
      at: time.now,
    });
  /** What another process says that its readers want. */
  const elsewhere = (interest: Interest | null): void =>
    void wire.port().tell('interest', encodeInterest('that', interest));
  const batches = () =>
    wire.told.flatMap(({ topic, text }) => {
      const told = topic === 'feed' ? decodeBatch(text) : null;
      return told === null ? [] : [told];
    });
  return { time, wire, telemetry, live, glances, heard, missed, parts, want, settle, elsewhere, batches };
}

describe('What a process tells of itself', () => {
  it('is at most so much at once, here and elsewhere, and the rest is counted', async () => {
    const { time, want, settle, elsewhere, heard, missed, batches } = await start();
    want({ totals: false, settlements: [{ ...EVERYTHING, channel: 'support' }] });
    elsewhere({ totals: false, settlements: [EVERYTHING] });
    for (let sequence = 1; sequence <= 1_200; sequence++) settle(sequence);
    settle(1, 'other');
    await time.advance(50);
    expect(heard).toHaveLength(1_000);
    expect(missed).toEqual([[200, 'busy']]);
    expect(batches().map(({ number, batch }) => [number, batch.settlements.length, batch.dropped])).toEqual([
      [1, 1_000, 201],
    ]);
    settle(1_201);
    await time.advance(50);
    expect(heard.at(-1)).toMatchObject({ sequence: 1_201, messageId: null, kind: 'settled' });
    expect(batches().at(-1)).toMatchObject({ number: 2, batch: { dropped: 0 } });
    expect(batches().at(-1)?.batch).not.toHaveProperty('part');
  });

  it('names what is wanted as long as that is not too much', async () => {
    const { wire, want } = await start();
    const rooms = (count: number): Interest => ({
      totals: true,
      settlements: Array.from({ length: count }, (_, room) => ({
        ...EVERYTHING,
        kinds: ['failed'],
        room: `r-${room % 33}`,
      })),
    });
    const told = () => decodeInterest(wire.told.at(-1)?.text ?? '')?.interest?.settlements;
    want(rooms(32));
    expect(told()).toHaveLength(32);
    want({ ...rooms(32), settlements: [...rooms(32).settlements, ...rooms(32).settlements] });
    expect(told()).toHaveLength(32);
    want(rooms(33));
    expect(told()).toEqual([{ ...EVERYTHING, kinds: ['failed'] }]);
  });

  it('comes twice a second while somebody wants totals, and never else', async () => {
    const { time, wire, want, elsewhere, parts, glances, batches } = await start();
    elsewhere({ totals: false, settlements: [EVERYTHING] });
    await time.advance(2_000);
    expect(glances).toEqual([]);
    elsewhere({ totals: true, settlements: [] });
    await time.advance(2_000);
    expect(batches().length).toBeGreaterThanOrEqual(3);
    expect(batches().every(({ batch }) => batch.part?.worker === 'w' && !('unlisted' in batch.part))).toBe(true);
    expect(new Set(glances)).toEqual(new Set([300]));
    elsewhere(null);
    const before = wire.told.length;
    want({ totals: true, settlements: [] });
    await time.advance(2_000);
    expect(parts).toHaveLength(4);
    expect(wire.told.slice(before).every(({ topic }) => topic === 'interest')).toBe(true);
    want(null);
    await time.advance(2_000);
    expect(parts).toHaveLength(4);
    expect(time.pending).toBe(0);
  });

  it('ends with it: others are told that it has gone, and that nothing is wanted here', async () => {
    const { wire, live, telemetry, want, elsewhere, batches, time } = await start();
    want({ totals: true, settlements: [EVERYTHING] });
    elsewhere({ totals: true, settlements: [] });
    await live.service.stop();
    expect(batches().at(-1)?.batch).toMatchObject({ part: null });
    expect(decodeInterest(wire.told.at(-1)?.text ?? '')).toEqual({ teller: 'this', interest: null });
    expect(telemetry.wants('message.settled')).toBe(false);
    expect(time.pending).toBe(0);
    want({ totals: true, settlements: [EVERYTHING] });
    expect(telemetry.wants('message.settled')).toBe(false);
  });

  it('reaches those at the same process where there is no way to others', async () => {
    const { time, live, want, settle, heard } = await start('none');
    want({ totals: false, settlements: [EVERYTHING] });
    settle(1);
    await time.advance(50);
    expect(live.reaches).toBe('process');
    expect(heard).toHaveLength(1);
  });
});
