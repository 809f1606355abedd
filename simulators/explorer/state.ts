/** A state of the world, and how it is kept: as a few numbers, with like workers in one order. */
import { BUDGETS, type Budget } from './bounds.ts';

/** Where a request of an attempt stands: claimed · about to leave · left · answered, the answer not yet told to the room. */
export type Stage =
  | 'claimed'
  | 'checked'
  | 'left'
  | 'accepted'
  | 'refused_permanent'
  | 'refused_retryable'
  | 'refused_room'
  | 'refused_channel'
  | 'unknown_sent'
  | 'unknown_unsent';

export interface Send {
  readonly sequence: number;
  readonly attempt: number;
  readonly stage: Stage;
  /** It was claimed in this life of its process. */
  readonly own: boolean;
}

/** A compare-and-set on its way. */
export interface Write {
  /** Number of the course that it stores; refused: of what is left of that. */
  readonly course: number;
  /** issued: the store has not taken it; else the answer is under way. */
  readonly state: 'issued' | 'committed' | 'refused';
  /** issued: decided from the row as it is. committed: the row has not changed since. */
  readonly current: boolean;
  /** The lease and generation that it proves hold. */
  readonly proof: boolean;
  /** The permit that it claims with has not been given back. */
  readonly permit: boolean;
  /** committed: the store's tail. */
  readonly tail: number;
}

export interface Worker {
  /** It believes that it holds the shard. */
  readonly believes: boolean;
  /** Number of the room in its memory, or null. */
  readonly memory: number | null;
  /** The memory is the row as it is. */
  readonly current: boolean;
  readonly write: Write | null;
  readonly sends: readonly Send[];
  /** It gave the room up although it holds it; only where the rules let it. */
  readonly dropped: boolean;
}

/** Holder of the shard: nobody yet, one whose lease has ended and who is not fenced yet, or a worker's index. */
export const NOBODY = -1;
export const GONE = -2;

export interface State {
  readonly row: number;
  readonly holder: number;
  readonly workers: readonly Worker[];
  /** Writes whose sender is dead or has given up waiting: the store may take them yet. */
  readonly floating: readonly Write[];
  /** Sequences of which a request has left, and which the platform has; one bit each. */
  readonly left: number;
  readonly arrived: number;
  readonly cancelOrders: number;
  readonly skipOrders: number;
  readonly superseded: number;
  readonly lastLeft: number;
  readonly excused: boolean;
  readonly refusedForGood: boolean;
  readonly refusedForNow: boolean;
  readonly doubted: boolean;
  /** A worker without a lease has taken the head's attempt over; only where clocks are wrong. */
  readonly misjudged: boolean;
  readonly expired: boolean;
  readonly budgets: Readonly<Record<Budget, number>>;
}

export const FRESH_WORKER: Worker = {
  believes: false,
  memory: null,
  current: false,
  write: null,
  sends: [],
  dropped: false,
};

/** Values kept once and known by a number. */
class Numbered<Value> {
  readonly #values: Value[] = [];
  readonly #numbers = new Map<string, number>();

  numberOf(key: string, value: Value): number {
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    this.#numbers.set(key, this.#values.length);
    return this.#values.push(value) - 1;
  }

  at(number: number): Value {
    return this.#values[number] as Value;
  }
}

const FIXED = 6;

/** Packs states into numbers and back. Two worlds that differ in the names of their workers only are one. */
export class Packing {
  readonly width: number;
  readonly #workers = new Numbered<Worker>();
  readonly #floating = new Numbered<readonly Write[]>();
  readonly #known = new WeakMap<Worker, number>();

  constructor(workers: number) {
    this.width = FIXED + workers;
  }

  /** Writes the state to `into`; returns where each place's worker was before. */
  pack(state: State, into: Int32Array): readonly number[] {
    const order = state.workers
      .map((worker, index) => ({ index, number: this.#numberOf(worker) * 2 + Number(index === state.holder) }))
      .sort((a, b) => a.number - b.number);
    into[0] = state.row;
    into[1] = this.#floating.numberOf(floatingKey(state.floating), state.floating);
    into[2] = state.holder < 0 ? state.holder : order.findIndex(({ index }) => index === state.holder);
    into[3] = state.left | (state.arrived << 8) | (state.cancelOrders << 16) | (state.skipOrders << 24);
    into[4] =
      Number(state.excused) |
      (Number(state.refusedForGood) << 1) |
      (Number(state.refusedForNow) << 2) |
      (Number(state.doubted) << 3) |
      (Number(state.expired) << 4) |
      (Number(state.misjudged) << 5) |
      (state.lastLeft << 6) |
      (state.superseded << 16);
    into[5] = BUDGETS.reduce((packed, budget, index) => packed | (state.budgets[budget] << (4 * index)), 0);
    for (const [place, { number }] of order.entries()) into[FIXED + place] = number >>> 1;
    return order.map(({ index }) => index);
  }

  unpack(from: Int32Array): State {
    const masks = from[3] as number;
    const flags = from[4] as number;
    const packed = from[5] as number;
    const budgets = {} as Record<Budget, number>;
    for (const [index, budget] of BUDGETS.entries()) budgets[budget] = (packed >>> (4 * index)) & 15;
    return {
      row: from[0] as number,
      floating: this.#floating.at(from[1] as number),
      holder: from[2] as number,
      workers: Array.from(from.subarray(FIXED, this.width), (number) => this.#workers.at(number)),
      left: masks & 255,
      arrived: (masks >>> 8) & 255,
      cancelOrders: (masks >>> 16) & 255,
      skipOrders: masks >>> 24,
      excused: (flags & 1) !== 0,
      refusedForGood: (flags & 2) !== 0,
      refusedForNow: (flags & 4) !== 0,
      doubted: (flags & 8) !== 0,
      expired: (flags & 16) !== 0,
      misjudged: (flags & 32) !== 0,
      lastLeft: (flags >>> 6) & 255,
      superseded: flags >>> 16,
      budgets,
    };
  }

  #numberOf(worker: Worker): number {
    const known = this.#known.get(worker);
    if (known !== undefined) return known;
    const number = this.#workers.numberOf(workerKey(worker), worker);
    this.#known.set(worker, number);
    return number;
  }
}

function writeKey(write: Write): string {
  return `${write.course}${write.state}${write.current}${write.proof}${write.permit}${write.tail}`;
}

function workerKey(worker: Worker): string {
  const { believes, memory, current, write, dropped } = worker;
  const sends = worker.sends.map((one) => `${one.sequence}.${one.attempt}${one.stage}${one.own}`).sort();
  return `${believes} ${memory} ${current} ${dropped} ${write === null ? '' : writeKey(write)} ${sends.join()}`;
}

function floatingKey(writes: readonly Write[]): string {
  return writes.map(writeKey).sort().join();
}
