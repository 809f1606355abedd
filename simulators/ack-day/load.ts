/** What is published on one channel: conversations of a few turns, more of them when the day is busy. */
import { chanceFor, type WorldChance } from '../world/chance.ts';
import { type Character, loadAt } from './characters.ts';
import type { DayOptions } from './options.ts';

/** Messages in the order of their publishing. */
export interface Load {
  readonly count: number;
  readonly rooms: number;
  readonly at: Float64Array;
  readonly room: Int32Array;
  /** Its number within its room, from 1. */
  readonly ordinal: Int32Array;
  /** The message ends its turn: what its room waited for. */
  readonly endsTurn: Uint8Array;
  /** When its turn began. */
  readonly turnAt: Float64Array;
}

const TURNS = { min: 2, max: 6 };
const TURN = { min: 1, max: 4, gapMs: 300 };
const REPLY = { leastMs: 10_000, meanMs: 40_000 };
/** Above the busiest moment of `loadAt`. */
const MOST_LOAD = 3;

interface Draft {
  readonly at: number;
  readonly room: number;
  readonly ends: boolean;
  readonly turnAt: number;
}

export function drawLoad({ seed, scale, hours }: DayOptions, character: Character): Load {
  const dayMs = hours * 3_600_000;
  const target = character.messages * scale * (hours / 24);
  const drafts: Draft[] = [];
  let rooms = 0;
  while (drafts.length < target) {
    const room = rooms++;
    const chance = chanceFor(seed, 'conversation', character.name, room);
    drafts.push(...conversation(chance, room, dayMs));
  }
  drafts.sort((a, b) => a.at - b.at || a.room - b.room);
  const count = drafts.length;
  const inRoom = new Int32Array(rooms);
  const ordinal = drafts.map(({ room }) => {
    inRoom[room] = (inRoom[room] as number) + 1;
    return inRoom[room] as number;
  });
  return {
    count,
    rooms,
    at: Float64Array.from(drafts, ({ at }) => at),
    room: Int32Array.from(drafts, ({ room }) => room),
    ordinal: Int32Array.from(ordinal),
    endsTurn: Uint8Array.from(drafts, ({ ends }) => (ends ? 1 : 0)),
    turnAt: Float64Array.from(drafts, ({ turnAt }) => turnAt),
  };
}

function conversation(chance: WorldChance, room: number, dayMs: number): Draft[] {
  const drafts: Draft[] = [];
  let at = beginning(chance) * dayMs;
  for (let turns = chance.between(TURNS.min, TURNS.max); turns > 0 && at < dayMs; turns--) {
    const turnAt = at;
    for (let left = chance.between(TURN.min, TURN.max); left > 0; left--) {
      drafts.push({ at, room, ends: left === 1, turnAt });
      if (left > 1) at += chance.around(TURN.gapMs);
    }
    at += REPLY.leastMs + chance.around(REPLY.meanMs);
  }
  return drafts;
}

/** When in the day, 0 to 1, as often as the day is busy then. */
function beginning(chance: WorldChance): number {
  for (;;) {
    const day = chance.uniform();
    if (chance.uniform() * MOST_LOAD < loadAt(day)) return day;
  }
}
