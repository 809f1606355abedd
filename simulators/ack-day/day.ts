/** One day under one policy: the real engine, alone, on a database in memory and on virtual time. */
import { createMemoryStores } from '../../src/adapters/memory/stores.ts';
import { createSystemClock } from '../../src/adapters/system-clock.ts';
import { createEngine, type Engine } from '../../src/engine/engine.ts';
import { contentDigest } from '../../src/engine/message.ts';
import type { NewMessage } from '../../src/engine/ports.ts';
import { createReferences } from '../../src/engine/reference.ts';
import type { Outcome } from '../../src/room/room.ts';
import { shardOf } from '../../src/room/shard.ts';
import { createMetrics, recipientHasher, Telemetry } from '../../src/telemetry.ts';
import { chanceFor } from '../world/chance.ts';
import { endOfTurn, VirtualTime } from '../world/time.ts';
import { CHARACTERS, type Character } from './characters.ts';
import { drawLoad, type Load } from './load.ts';
import type { DayOptions } from './options.ts';
import { Sender } from './sender.ts';
import { type DayPolicy, readSettings } from './settings.ts';

/** What became of one channel's messages, by message; times in ms since the opening. */
export interface ChannelDay {
  readonly character: Character;
  readonly load: Load;
  readonly sender: Sender;
  readonly settledAt: Float64Array;
  /** 1 where its ack settled it, 0 where it was assumed. */
  readonly proven: Uint8Array;
  /** X of the channel, minute by minute. */
  readonly timeoutsMs: number[];
  /** Minutes in ack-outage mode. */
  outageMinutes: number;
}

export interface Day {
  readonly policy: DayPolicy;
  readonly quantile: number;
  readonly channels: readonly ChannelDay[];
  readonly events: number;
}

const START_MS = 1_700_000_000_000;
/** The engine starts, and takes its shards, before anything is published. */
const OPEN_AT = START_MS + 5_000;
const MINUTE_MS = 60_000;
/** For the last acks, those of phones that were away among them. */
const AFTERMATH_MS = 2 * 3_600_000;
const encoder = new TextEncoder();

/** @throws where a message does not settle, or settles as anything but acked or assumed, or the engine loses its lease */
export async function runDay(
  options: DayOptions,
  policy: DayPolicy,
  onHour: (hour: number) => void = () => undefined,
): Promise<Day> {
  const { seed, hours } = options;
  const dayMs = hours * 3_600_000;
  const time = new VirtualTime(START_MS, chanceFor(seed, 'ties').uniform);
  const settings = readSettings(policy);
  const telemetry = new Telemetry();
  const acked = (channel: string, reference: string): void => {
    const item = { kind: 'status', reference, platformId: null, level: 'delivered', nack: null, at: null } as const;
    const key = { tenant: 'default', channel };
    void engine.acks.receive(key, [{ ...item, cumulative: false }]);
  };
  const channels = CHARACTERS.map((character): ChannelDay => {
    const load = drawLoad(options, character);
    const ack = (reference: string): void => acked(character.name, reference);
    return {
      character,
      load,
      sender: new Sender({ seed, time, openAt: OPEN_AT, dayMs, character, load, ack }),
      settledAt: new Float64Array(load.count).fill(Number.NaN),
      proven: new Uint8Array(load.count),
      timeoutsMs: [],
      outageMinutes: 0,
    };
  });
  const byName = new Map(channels.map((channel) => [channel.character.name, channel]));
  let left = channels.reduce((sum, { load }) => sum + load.count, 0);
  let lives = 0;
  const strange = new Map<Outcome, number>();
  telemetry.on('message.settled', ({ room, messageId, outcome }) => {
    const channel = byName.get(room.channel);
    if (channel === undefined) return;
    const message = Number(messageId);
    channel.settledAt[message] = time.now - OPEN_AT;
    channel.proven[message] = outcome === 'acked' ? 1 : 0;
    if (outcome !== 'acked' && outcome !== 'assumed') strange.set(outcome, (strange.get(outcome) ?? 0) + 1);
    left--;
  });
  const engine: Engine = createEngine(settings.engine, {
    stores: createMemoryStores({ shards: settings.engine.shards, now: () => Math.floor(time.now) }),
    clock: {
      ...createSystemClock({ monotonic: () => time.now - START_MS, wall: () => time.now }),
      after: (delayMs, callback) => time.after(delayMs, callback),
    },
    chance: chanceFor(seed, 'engine').uniform,
    endOfTurn,
    references: createReferences('simulation'),
    channels: settings.channels,
    platform: ({ channel }) => byName.get(channel)?.sender.channel ?? null,
    sharedRates: null,
    signals: null,
    instruments: {
      log: { event: () => undefined, flush: () => undefined, writes: () => true },
      metrics: createMetrics({ version: 'simulation' }),
      telemetry,
      hash: recipientHasher('simulation'),
    },
    newWorkerId: () => `worker-${++lives}`,
    isPermanent: () => false,
    onFailure: (error) => {
      throw error;
    },
  });
  let started = false;
  const start = async (): Promise<void> => {
    await engine.service.start();
    started = true;
  };
  time.after(0, () => void start());
  await time.runUntil(OPEN_AT, () => false);
  if (!started) throw new Error('the engine has not started in time');

  const publishNext = (channel: ChannelDay, message: number): void => {
    if (message >= channel.load.count) return;
    time.after(OPEN_AT + (channel.load.at[message] as number) - time.now, () => {
      void engine.intake.accept(messageOf(channel, message, settings.engine.shards, Math.floor(time.now)));
      publishNext(channel, message + 1);
    });
  };
  for (const channel of channels) publishNext(channel, 0);
  for (let minute = 1; minute * MINUTE_MS <= dayMs + AFTERMATH_MS; minute++) {
    await time.runUntil(OPEN_AT + minute * MINUTE_MS, () => false);
    if (minute * MINUTE_MS <= dayMs) for (const channel of channels) note(engine, channel);
    if (minute % 60 === 0) onHour(minute / 60);
  }
  if (lives !== 1 || left > 0 || strange.size > 0) {
    throw new Error(`${lives} lives, ${left} messages unsettled, as they must not: ${JSON.stringify([...strange])}`);
  }
  return { policy, quantile: settings.quantile, channels, events: time.events };
}

function note(engine: Engine, channel: ChannelDay): void {
  const view = engine.channels.get({ tenant: 'default', channel: channel.character.name })?.view;
  channel.timeoutsMs.push(view?.ackTimeoutMs ?? Number.NaN);
  if (view?.state === 'ack_outage') channel.outageMinutes++;
}

function messageOf({ character, load }: ChannelDay, message: number, shards: number, now: number): NewMessage {
  const room = String(load.room[message]);
  const key = { tenant: 'default', channel: character.name, room };
  const body = encoder.encode(JSON.stringify({ to: room, content: { message } }));
  return {
    key,
    shard: shardOf(key, shards),
    messageId: String(message),
    body,
    digest: contentDigest(body),
    acceptedAt: now,
    notBefore: null,
    expiresAt: null,
    ackTimeoutMs: null,
    failurePolicy: null,
    supersedes: null,
    source: 'pubsub',
  };
}
