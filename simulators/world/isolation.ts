/**
 * R5 in a small form: the same world twice, without faults and with latencies that never change, once with and once
 * without rooms on a channel whose acks never come. What the other rooms do must be the same at the same virtual time.
 */
import { drawPlan } from './draw-plan.ts';
import type { FeedFaults, Plan, PlatformFaults, StoreFaults } from './plan.ts';
import { runPlan } from './world.ts';

export interface Isolation {
  /** Messages of the other rooms that were compared. */
  readonly compared: number;
  /** The latest that any of them settled because of the rooms that were added, in virtual ms. */
  readonly worstDelayMs: number;
  /** How long the added rooms kept their channel waiting, in virtual ms. */
  readonly muteMs: number;
  readonly violations: readonly string[];
}

const MUTE_ACK_TIMEOUT_MS = 5_000;

export async function compareWithMute(seed: number): Promise<Isolation> {
  const calm = calmPlan(seed);
  const mute = Array.from({ length: 8 }, (_, index) => ({
    name: `mute-${index}`,
    channel: 'mute' as const,
    source: 'pubsub' as const,
    messages: [1, 2].map((n) => ({ id: `mute-${index}/${n}`, at: 100 * n, notBefore: null, expiresAt: null })),
  }));
  const without = await runPlan(calm, { steady: true });
  const beside = await runPlan({ ...calm, rooms: [...calm.rooms, ...mute] }, { steady: true });
  let worstDelayMs = 0;
  for (const [message, at] of without.settledAt) {
    const then = beside.settledAt.get(message) ?? Number.POSITIVE_INFINITY;
    worstDelayMs = Math.max(worstDelayMs, then - at);
  }
  const muted = [...beside.settledAt].filter(([message]) => message.startsWith('mute/')).map(([, at]) => at);
  return {
    compared: without.settledAt.size,
    worstDelayMs,
    muteMs: Math.max(0, ...muted),
    violations: [...without.violations, ...beside.violations],
  };
}

function calmPlan(seed: number): Plan {
  const plan = drawPlan(seed);
  return {
    ...plan,
    mode: 'liveness',
    lasting: 'nothing',
    processes: 1,
    skewedClocks: false,
    channel: { ...plan.channel, muteAckTimeoutMs: MUTE_ACK_TIMEOUT_MS },
    rooms: plan.rooms
      .filter(({ channel }) => channel === 'main')
      .map((room) => ({
        ...room,
        messages: room.messages.map((message) => ({ ...message, notBefore: null, expiresAt: null })),
      })),
    acts: [],
    failpoints: [],
    platform: none(plan.platform),
    store: none(plan.store),
    feed: none(plan.feed),
  };
}

function none<Faults extends PlatformFaults | StoreFaults | FeedFaults>(faults: Faults): Faults {
  return Object.fromEntries(Object.keys(faults).map((name) => [name, 0])) as unknown as Faults;
}
