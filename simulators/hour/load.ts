/** What is published: conversations that go to and fro, campaigns that begin many at once, and rooms that burst. */
import { chanceFor, type WorldChance } from '../world/chance.ts';
import type { HourOptions } from './options.ts';

/** Messages in the order of their publishing; the index is the message's name. */
export interface Load {
  readonly count: number;
  readonly rooms: number;
  /** Rooms 0 to here burst beyond what the platform lets one user be sent. */
  readonly bursting: number;
  readonly at: Float64Array;
  readonly room: Int32Array;
  /** Its number within its room, from 1. */
  readonly ordinal: Int32Array;
}

/** Of what the number may send in the time without outages. */
const OFFERED = 0.9;
/** Of the messages belong to bursts. */
const IN_BURSTS = 0.025;
const BURST = { min: 50, max: 90, withinMs: 2_000 };
const CONVERSATION = { min: 5, max: 20 };
const TURN = { min: 1, max: 4, gapMs: 400 };
const REPLY = { leastMs: 8_000, meanMs: 60_000 };
/** Of the conversations are begun by a campaign, all of one within a short time. */
const BY_CAMPAIGN = 0.2;
const CAMPAIGNS = { count: 6, withinMs: 20_000 };

interface Draft {
  readonly room: number;
  readonly at: number;
}

/** @param perSecond what the number may send */
export function drawLoad(options: HourOptions, perSecond: number): Load {
  const { seed } = options;
  const lengthMs = options.minutes * 60_000;
  const target = (OFFERED * perSecond * lengthMs) / 1_000;
  const inBursts = target * IN_BURSTS;
  const drafts: Draft[] = [];
  const bursting = Math.max(1, Math.round(inBursts / ((BURST.min + BURST.max) / 2)));
  const bursts: Draft[] = [];
  for (let room = 0; room < bursting; room++) {
    for (const at of burst(chanceFor(seed, 'burst', room), lengthMs)) bursts.push({ room, at });
  }
  let room = bursting;
  for (let planned = bursts.length; planned < target; room++) {
    const times = conversation(chanceFor(seed, 'conversation', room), lengthMs);
    for (const at of times) drafts.push({ room, at });
    planned += times.length;
  }
  if (options.bursts === 'in_one_room') drafts.push(...bursts);
  if (options.bursts === 'spread') for (const { at } of bursts) drafts.push({ room: room++, at });
  return inOrder(drafts, room, options.bursts === 'in_one_room' ? bursting : 0);
}

function burst(chance: WorldChance, lengthMs: number): number[] {
  const start = chance.uniform() * lengthMs * 0.8;
  const count = chance.between(BURST.min, BURST.max);
  return Array.from({ length: count }, () => start + chance.uniform() * BURST.withinMs);
}

function conversation(chance: WorldChance, lengthMs: number): number[] {
  const times: number[] = [];
  let left = chance.between(CONVERSATION.min, CONVERSATION.max);
  let at = chance.uniform() * lengthMs;
  if (chance.hit(BY_CAMPAIGN)) {
    const campaign = chance.between(0, CAMPAIGNS.count - 1);
    at = ((campaign + 0.5) / CAMPAIGNS.count) * lengthMs + chance.uniform() * CAMPAIGNS.withinMs;
  }
  while (left > 0) {
    const turn = Math.min(left, chance.between(TURN.min, TURN.max));
    left -= turn;
    for (let i = 0; i < turn; i++) {
      // What would come after the end comes at the beginning instead: the load is as high there as anywhere.
      times.push(at % lengthMs);
      at += chance.around(TURN.gapMs);
    }
    at += REPLY.leastMs + chance.around(REPLY.meanMs);
  }
  return times;
}

function inOrder(drafts: Draft[], rooms: number, bursting: number): Load {
  drafts.sort((a, b) => a.at - b.at);
  const count = drafts.length;
  const load = {
    count,
    rooms,
    bursting,
    at: new Float64Array(count),
    room: new Int32Array(count),
    ordinal: new Int32Array(count),
  };
  const inRoom = new Int32Array(rooms);
  drafts.forEach(({ room, at }, index) => {
    load.at[index] = at;
    load.room[index] = room;
    const ordinal = (inRoom[room] as number) + 1;
    inRoom[room] = ordinal;
    load.ordinal[index] = ordinal;
  });
  return load;
}
