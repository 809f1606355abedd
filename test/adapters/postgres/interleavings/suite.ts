/**
 * Plays in every order of their steps, each on rooms of its own. What comes out must be what comes out when one actor
 * plays after the other, in one order or the other: rows and answers alike.
 */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { World } from '../../../conformance/world.ts';
import type { Route } from '../../../support/postgres.ts';
import { type Final, faults, look } from './judge.ts';
import { allOrders, serialOrders } from './orders.ts';
import type { Play } from './plays.ts';
import { type Part, Stage, type Stop } from './stage.ts';

const ACTORS = ['anna', 'bert', 'carl'];
const TIMEOUT_MS = 60_000;

interface Outcome {
  readonly final: Final;
  readonly answers: readonly unknown[];
  readonly faults: readonly string[];
}

/** @param without stops that nobody makes: fewer orders */
export function describePlays(route: Route, plays: readonly Play[], without: readonly Stop[] = []): void {
  describe(`${route.name}: interleavings`, () => {
    let stage: Stage;
    let played = 0;
    beforeAll(async () => {
      // A fence ends what keeps it waiting for half a second: here that would be whoever is stopped.
      vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
      stage = await Stage.open(route, ACTORS);
    });
    afterAll(async () => {
      vi.useRealTimers();
      await stage.close();
      process.stdout.write(`interleavings on ${route.name}: ${plays.length} plays in ${played} orders\n`);
    });

    it.each(plays)(
      '$name',
      async (play) => {
        const cast = { stage, play, without };
        const steps = await countSteps(cast);
        const allowed: string[] = [];
        for (const order of serialOrders(steps)) allowed.push(comparable(play, await run(cast, order)));
        for (const order of allOrders(steps)) {
          const outcome = await run(cast, order);
          played++;
          const told = `steps ${order.map((actor) => ACTORS[actor]).join(', ')}`;
          expect(outcome.faults, told).toEqual([]);
          const seen = comparable(play, outcome);
          if (!allowed.includes(seen))
            expect(seen, `${told}: as after one and then the other`).toBe(nearest(seen, allowed));
          const holds = play.holds?.(outcome.final, outcome.answers) ?? true;
          expect(holds, `${told} ${JSON.stringify(outcome)}`).toBe(true);
        }
      },
      TIMEOUT_MS,
    );
  });
}

interface Cast {
  readonly stage: Stage;
  readonly play: Play;
  readonly without: readonly Stop[];
}

async function prepare({ stage, play, without }: Cast, world: World): Promise<Part[]> {
  const parts = await play.prepare(world, stage);
  return parts.map((part) => ({ ...part, stops: part.stops.filter((stop) => !without.includes(stop)) }));
}

async function countSteps(cast: Cast): Promise<number[]> {
  const parts = await prepare(cast, new World(cast.stage.opened.stores));
  return parts.map((part) => part.stops.length + 1);
}

async function run(cast: Cast, order: readonly number[]): Promise<Outcome> {
  const { stage } = cast;
  const world = new World(stage.opened.stores);
  const parts = await prepare(cast, world);
  const before = await look(stage, world);
  const actors = await stage.play(parts, order);
  const final = await look(stage, world);
  return { final, answers: actors.map((actor) => actor.answer), faults: faults(before, final, actors) };
}

function comparable({ blind = [] }: Play, { final, answers }: Outcome): string {
  // A room that has something to claim: whether its phase says so depends on who saw whom, its holder claims it either way.
  const rooms = final.rooms.map((room) =>
    room.phase === 'ready' || (room.phase === 'idle' && room.tail > room.settled)
      ? { ...room, phase: 'claimable' }
      : room,
  );
  const seen = Object.entries({ ...final, rooms }).filter(([table]) => !blind.includes(table as keyof Final));
  return JSON.stringify([Object.fromEntries(seen), answers], null, 1);
}

/** Of what is allowed that which has most lines of what was seen: the difference to that one tells most. */
function nearest(seen: string, allowed: readonly string[]): string | undefined {
  const lines = new Set(seen.split('\n'));
  const common = (text: string) => text.split('\n').filter((line) => lines.has(line)).length;
  return allowed.toSorted((a, b) => common(b) - common(a))[0];
}
