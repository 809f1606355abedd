/** A path through the states as lines for people. */
import { headSequence, type Room } from '../../src/room/room.ts';
import type { Catalogue } from './catalogue.ts';
import type { Driver } from './driver.ts';
import { Violation } from './properties.ts';
import type { Packing, State } from './state.ts';

export interface Broken {
  /** The property's id, or invariants by number. */
  readonly id: string;
  readonly message: string;
  /** The shortest way there, one step a line. */
  readonly path: readonly string[];
}

/** @param states from the first to the one in which the violation shows, or out of which the breaking step leads */
export function transcript(
  driver: Driver,
  catalogue: Catalogue,
  packing: Packing,
  states: readonly Int32Array[],
  violation: Violation,
): Broken {
  const buffer = new Int32Array(packing.width);
  const lines: string[] = [];
  let names: readonly string[] = Array.from({ length: packing.width }, (_, index) => `w${index + 1}`);
  let row = -1;
  for (const [step, packed] of states.entries()) {
    const state = packing.unpack(packed);
    if (state.row !== row) {
      row = state.row;
      lines.push(`      ${describe(catalogue.room(row))}`);
    }
    const target = states[step + 1] ?? null;
    const taken = stepTo(driver, packing, state, target, buffer);
    if (taken === null) continue;
    const who = taken.who === null ? '' : `${names[taken.who]} `;
    lines.push(`${String(step + 1).padStart(4)}. ${who}${taken.told}`);
    const before = names;
    names = taken.order.map((index) => before[index] as string);
  }
  return { id: violation.id, message: violation.message, path: lines };
}

interface Taken {
  readonly who: number | null;
  readonly told: string;
  readonly order: readonly number[];
}

/** The step that leads to the target, or, where there is none, the one that breaks a property. */
function stepTo(
  driver: Driver,
  packing: Packing,
  state: State,
  target: Int32Array | null,
  buffer: Int32Array,
): Taken | null {
  let taken: Taken | null = null;
  let last: Taken | null = null;
  try {
    driver.successors(state, (_kind, who, tell, take) => {
      if (taken !== null) return;
      last = { who, told: tell(), order: [] };
      const order = packing.pack(take(), buffer);
      if (target?.every((number, at) => number === buffer[at]) === true) taken = { who, told: tell(), order };
    });
  } catch (error) {
    if (error instanceof Violation && taken === null) return last;
    if (!(error instanceof Violation)) throw error;
  }
  return taken;
}

function describe(room: Room): string {
  const { phase, settled, tail, attempt, level, reason, paused, mark } = room;
  const parts = [`${settled} of ${tail} settled`];
  if (attempt > 0) parts.push(`message ${headSequence(room)} at attempt ${attempt}`);
  if (level !== 'none') parts.push(level);
  if (mark !== null) parts.push(`to ${mark}`);
  if (paused) parts.push('paused');
  return `row: ${phase}${reason === null ? '' : ` (${reason})`}, ${parts.join(', ')}`;
}
