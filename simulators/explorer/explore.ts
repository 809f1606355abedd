/**
 * Breadth first through every state within the bounds, so that the first state found that breaks a property is one of
 * the nearest. Then backwards from every state at rest along what the system does by itself: a state that is not met
 * is stuck.
 */
import type { Bounds, Profile } from './bounds.ts';
import { Catalogue } from './catalogue.ts';
import { Driver } from './driver.ts';
import { PROPERTIES, Violation } from './properties.ts';
import { Packing } from './state.ts';
import type { Subject } from './subject.ts';
import { Column, VectorSet } from './table.ts';
import { type Broken, transcript } from './transcript.ts';

export interface Exploration {
  readonly profile: string;
  readonly states: number;
  readonly transitions: number;
  /** Steps of the longest shortest path. */
  readonly depth: number;
  /** Different rooms, and pairs of room and event that `transition` decided. */
  readonly rooms: number;
  readonly decisions: number;
  /** False where `maxStates` ended it. */
  readonly complete: boolean;
  readonly broken: Broken | null;
}

export interface Limits {
  readonly maxStates: number;
}

export function explore(subject: Subject, profile: Profile, bounds: Bounds, limits: Limits): Exploration {
  const search = new Search(subject, profile, bounds);
  return search.run(limits.maxStates);
}

class Search {
  readonly #profile: Profile;
  readonly #catalogue: Catalogue;
  readonly #driver: Driver;
  readonly #packing: Packing;
  readonly #states: VectorSet;
  readonly #parents = new Column();
  readonly #from = new Column();
  readonly #to = new Column();
  #transitions = 0;
  #depth = 0;

  constructor(subject: Subject, profile: Profile, bounds: Bounds) {
    this.#profile = profile;
    this.#catalogue = new Catalogue(subject, profile);
    this.#driver = new Driver(this.#catalogue, subject, bounds, profile);
    this.#packing = new Packing(bounds.workers);
    this.#states = new VectorSet(this.#packing.width);
  }

  run(maxStates: number): Exploration {
    const atRest = new Column();
    const buffer = new Int32Array(this.#packing.width);
    this.#packing.pack(this.#driver.initial(), buffer);
    this.#states.add(buffer);
    this.#parents.push(0);
    let level = 1;
    for (let number = 0; number < this.#states.size; number++) {
      if (number === level) {
        this.#depth++;
        level = this.#states.size;
      }
      if (number >= maxStates) return this.#result(false, null);
      const state = this.#packing.unpack(this.#states.at(number));
      if (this.#driver.isAtRest(state)) atRest.push(number);
      try {
        this.#driver.successors(state, (kind, _who, _tell, take) => {
          const next = take();
          if (next === state) return;
          this.#transitions++;
          this.#packing.pack(next, buffer);
          const found = this.#states.add(buffer);
          if (found === this.#parents.length) this.#parents.push(number);
          if (kind !== 'system' || found === number) return;
          this.#from.push(number);
          this.#to.push(found);
        });
      } catch (error) {
        if (error instanceof Violation) return this.#result(true, this.#tell(number, error));
        throw error;
      }
    }
    const stuck = this.#firstStuck(atRest);
    if (stuck === null) return this.#result(true, null);
    return this.#result(true, this.#tell(stuck, new Violation('L1', PROPERTIES.L1)));
  }

  /** The first state from which no state at rest is met, or null. */
  #firstStuck(atRest: Column): number | null {
    const { size } = this.#states;
    const starts = new Uint32Array(size + 1);
    for (let edge = 0; edge < this.#to.length; edge++) (starts[this.#to.at(edge) + 1] as number)++;
    for (let number = 0; number < size; number++)
      starts[number + 1] = (starts[number] as number) + (starts[number + 1] as number);
    const sources = new Uint32Array(this.#to.length);
    const filled = starts.slice();
    for (let edge = 0; edge < this.#to.length; edge++) {
      const to = this.#to.at(edge);
      sources[filled[to] as number] = this.#from.at(edge);
      (filled[to] as number)++;
    }
    const met = new Uint8Array(size);
    const queue = new Column();
    const meet = (number: number): void => {
      if (met[number] === 1) return;
      met[number] = 1;
      queue.push(number);
    };
    for (let one = 0; one < atRest.length; one++) meet(atRest.at(one));
    for (let next = 0; next < queue.length; next++) {
      const number = queue.at(next);
      const end = starts[number + 1] as number;
      for (let edge = starts[number] as number; edge < end; edge++) meet(sources[edge] as number);
    }
    const stuck = met.indexOf(0);
    return stuck === -1 ? null : stuck;
  }

  #tell(number: number, violation: Violation): Broken {
    const path = [number];
    for (let at = number; at !== 0; ) {
      at = this.#parents.at(at);
      path.push(at);
    }
    const states = path.reverse().map((one) => this.#states.at(one).slice());
    return transcript(this.#driver, this.#catalogue, this.#packing, states, violation);
  }

  #result(complete: boolean, broken: Broken | null): Exploration {
    return {
      profile: this.#profile.name,
      states: this.#states.size,
      transitions: this.#transitions,
      depth: this.#depth,
      rooms: this.#catalogue.size,
      decisions: this.#catalogue.decisions,
      complete,
      broken,
    };
  }
}
