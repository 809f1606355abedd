/** What one act makes of the world: an event decided, a write taken or answered, a request sent or answered. */
import type { Bounds, Budget } from './bounds.ts';
import { type Catalogue, type Course, LATE, NOW } from './catalogue.ts';
import { judgeCommit, judgeSend, PROPERTIES, Violation } from './properties.ts';
import { GONE, NOBODY, type Send, type Stage, type State, type Worker, type Write } from './state.ts';
import type { Rules } from './subject.ts';

/** Verdicts on an ack or nack that may come from an attempt which memory does not know: the row is read first. */
const UNKNOWN_ATTEMPT: ReadonlySet<string | null> = new Set(['not_begun', 'nothing_open', 'stale_attempt']);

export class Moves {
  readonly #catalogue: Catalogue;
  readonly #rules: Rules;
  readonly #clocks: Bounds['clocks'];
  readonly #maxAttempts: number;

  constructor(catalogue: Catalogue, rules: Rules, clocks: Bounds['clocks'], maxAttempts: number) {
    this.#catalogue = catalogue;
    this.#rules = rules;
    this.#clocks = clocks;
    this.#maxAttempts = maxAttempts;
  }

  // ---------------------------------------------------------------------------------------------------------- deciding

  /**
   * A worker decides an event from its memory, or from the row where it has none; what must be stored is issued.
   * @param event null for a claim alone
   */
  decide(state: State, index: number, event: number | null, claims: boolean, now = nowOf(state)): State {
    const worker = workerAt(state, index);
    const { memory } = worker;
    const course = this.#catalogue.decide(memory ?? state.row, event, now, claims);
    if (memory !== null && memory !== state.row && this.#mustRead(course)) {
      return this.decideFresh(state, index, event, now);
    }
    return this.#take(state, index, course, memory === null || worker.current);
  }

  /** The worker reads the row first. */
  decideFresh(state: State, index: number, event: number | null, now = nowOf(state)): State {
    const read = this.read(state, index);
    if (event === null) return read;
    return this.#take(read, index, this.#catalogue.decide(state.row, event, now, false), true);
  }

  /** It looks at its lease, and finds it good. */
  trusts(state: State, index: number): boolean {
    return this.#clocks === 'honest' ? state.holder === index : workerAt(state, index).believes;
  }

  /** A worker without a lease takes an attempt over, misled by its clock. */
  misjudge(state: State, index: number): State {
    return state.holder === index ? state : { ...state, misjudged: true };
  }

  #mustRead(course: Course): boolean {
    if (course.event === null || course.verdict !== 'ignored') return false;
    if (course.reason === 'not_accepted_yet') return true;
    if (!UNKNOWN_ATTEMPT.has(course.reason)) return false;
    const { type } = this.#catalogue.event(course.event);
    return type === 'ack' || type === 'nack';
  }

  #take(state: State, index: number, course: Course, current: boolean): State {
    const worker = workerAt(state, index);
    if (course.verdict === 'ignored') {
      // Room and effects stay; a room that was read for it is kept where the worker holds it.
      return worker.memory === null && worker.believes ? this.read(state, index) : state;
    }
    if (course.verdict === 'noted') {
      return worker.believes ? withWorker(state, index, { memory: course.room, current }) : state;
    }
    const issued: Write = {
      course: course.id,
      state: 'issued',
      current,
      proof: state.holder === index,
      permit: true,
      tail: 0,
    };
    const known = worker.memory === null && worker.believes ? { memory: state.row, current: true } : {};
    return withWorker(state, index, { ...known, write: this.#foreseen(issued) });
  }

  /** The row, read into a holder's memory; others keep nothing. */
  read(state: State, index: number): State {
    const { believes } = workerAt(state, index);
    return withWorker(state, index, { memory: believes ? state.row : null, current: believes });
  }

  // ------------------------------------------------------------------------------------------------------------ storing

  /** What the store will say to a write that can no longer be taken is known already. */
  #foreseen(write: Write): Write {
    if (write.state !== 'issued') return write;
    const course = this.#catalogue.course(write.course);
    const fenced = course.claims && !write.proof && this.#rules.provesLease;
    if (!fenced && (write.current || !this.#rules.comparesVersions)) return write;
    const { id } = this.#catalogue.unstored(course);
    return { course: id, state: 'refused', current: false, proof: false, permit: false, tail: 0 };
  }

  /** The store takes a worker's write. */
  execute(state: State, index: number): State {
    const write = workerAt(state, index).write as Write;
    const { tail } = this.#catalogue.room(state.row);
    const after = this.#commit(state, write);
    return withWorker(after, index, { write: { ...write, state: 'committed', current: true, tail } });
  }

  /** The store takes a write whose sender knows nothing of it any more. */
  executeFloating(state: State, which: number): State {
    const floating = state.floating.toSpliced(which, 1);
    return this.#commit({ ...state, floating }, state.floating[which] as Write);
  }

  #commit(state: State, write: Write): State {
    const course = this.#catalogue.course(write.course);
    const before = this.#catalogue.room(state.row);
    const row = this.#catalogue.stored(state.row, course);
    const after = this.#catalogue.room(row);
    const event = course.event === null ? null : this.#catalogue.event(course.event);
    const failed = event?.type === 'nack' && event.sequence === before.settled + 1 ? event.nack : null;
    const refusedForGood = state.refusedForGood || failed?.permanent === true;
    const refusedForNow = state.refusedForNow || failed?.permanent === false;
    judgeCommit({
      before,
      after,
      settled: course.settled,
      claims: course.claims,
      maxAttempts: this.#maxAttempts,
      left: state.left,
      arrived: state.arrived,
      cancelOrders: state.cancelOrders,
      skipOrders: state.skipOrders,
      superseded: state.superseded,
      lastLeft: state.lastLeft,
      excused: state.excused,
      refusedForGood,
      refusedForNow,
      doubted: state.doubted,
      misjudged: state.misjudged,
      openAtHolder: (sequence) => isOpenAtHolder(state, sequence),
    });
    const sameHead = after.settled === before.settled;
    // Of a settled message it no longer matters what the platform has of it and who had ordered what.
    const past = (2 << after.settled) - 1;
    return {
      ...state,
      row,
      arrived: state.arrived | (state.left & past),
      cancelOrders: state.cancelOrders & ~past,
      skipOrders: state.skipOrders & ~past,
      superseded: state.superseded & ~past,
      workers: state.workers.map((worker) => this.#outdated(worker, after.settled)),
      floating: state.floating.map((one) => this.#foreseen({ ...one, current: false })).filter(isIssued),
      excused: sameHead && (state.excused || failed !== null) && !course.claims,
      refusedForGood: sameHead && refusedForGood,
      refusedForNow: sameHead && refusedForNow,
      doubted: sameHead && state.doubted,
      misjudged: sameHead && state.misjudged,
    };
  }

  /** The row has changed: nothing that was read before is current. */
  #outdated(worker: Worker, settled: number): Worker {
    const { write } = worker;
    const sends = worker.sends.some((send) => isOver(send, settled))
      ? worker.sends.filter((send) => !isOver(send, settled))
      : worker.sends;
    if (!worker.current && (write === null || !write.current) && sends === worker.sends) return worker;
    return {
      ...worker,
      sends,
      current: false,
      write: write === null ? null : this.#foreseen({ ...write, current: false }),
    };
  }

  /** The store's answer reaches its worker. */
  answer(state: State, index: number): State {
    const worker = workerAt(state, index);
    const write = worker.write as Write;
    const course = this.#catalogue.course(write.course);
    const idle = withWorker(state, index, { write: null });
    if (write.state !== 'committed') return this.#again(idle, index, course);
    if (!worker.believes) return withWorker(idle, index, { memory: null, current: false });
    const memory = this.#catalogue.withTail(course.room, write.tail);
    if (write.current && !this.#catalogue.sameRow(memory, state.row)) {
      throw new Violation('S1', `${PROPERTIES.S1}; they differ after a commit`);
    }
    const known = withWorker(idle, index, { memory, current: write.current });
    if (!course.claims || !write.permit) return known;
    const room = this.#catalogue.room(course.room);
    const send: Send = { sequence: room.settled + 1, attempt: room.attempt, stage: 'claimed', own: true };
    return withWorker(known, index, { sends: [...worker.sends, send] });
  }

  /** The store's answer never comes: what was issued may be taken yet, unless a raised generation makes it void. */
  lose(state: State, index: number): State {
    const write = workerAt(state, index).write as Write;
    const course = this.#catalogue.course(write.course);
    const isVoid = course.claims && this.#rules.raisesGeneration;
    const floating =
      write.state === 'issued' && !isVoid ? [...state.floating, { ...write, permit: false }] : state.floating;
    const excused = state.excused || (course.claims && write.state === 'committed');
    const doubted = state.doubted || (course.claims && write.state === 'committed');
    const idle = withWorker({ ...spend(state, 'losses'), floating, excused, doubted }, index, { write: null });
    return this.#again(idle, index, course);
  }

  #again(state: State, index: number, course: Course): State {
    if (!this.#rules.readsAgain) return withWorker(state, index, { memory: null, current: false, dropped: true });
    return this.decideFresh(state, index, course.event);
  }

  // ------------------------------------------------------------------------------------------------------------ sending

  /** The last check. */
  check(state: State, index: number, which: number): State {
    const worker = workerAt(state, index);
    const send = worker.sends[which] as Send;
    const rules = this.#rules;
    const inItsLife = send.own && this.trusts(state, index);
    const known = worker.memory === null ? 0 : this.#catalogue.room(worker.memory).settled;
    if ((rules.sendsInItsLifeOnly && !inItsLife) || (rules.sendsUnsettledOnly && inItsLife && known >= send.sequence)) {
      return this.result(state, index, which, 'refused_channel');
    }
    return withSend(state, index, which, { ...send, stage: 'checked' });
  }

  /** The request leaves; its process may have been frozen since the check. */
  leave(state: State, index: number, which: number): State {
    const send = workerAt(state, index).sends[which] as Send;
    judgeSend(this.#catalogue.room(state.row), send.sequence, state.lastLeft, state.left, state.holder === index);
    const left: State = {
      ...state,
      left: state.left | (1 << send.sequence),
      arrived:
        send.sequence <= this.#catalogue.room(state.row).settled ? state.arrived | (1 << send.sequence) : state.arrived,
      lastLeft: Math.max(state.lastLeft, send.sequence),
    };
    return this.result(left, index, which, 'left');
  }

  /** What the attempt came to, for its worker alone so far. */
  result(state: State, index: number, which: number, stage: Stage): State {
    const send = workerAt(state, index).sends[which] as Send;
    const { settled, attempt } = this.#catalogue.room(state.row);
    const isHead = send.sequence === settled + 1 && send.attempt === attempt;
    const ended = { ...send, stage };
    const after = isOver(ended, settled)
      ? withWorker(state, index, { sends: workerAt(state, index).sends.toSpliced(which, 1) })
      : withSend(state, index, which, ended);
    if (stage === 'left') return after;
    if (stage === 'accepted') return { ...after, arrived: state.arrived | (1 << send.sequence) };
    if (!isHead) return after;
    const unknown = stage === 'unknown_sent' || stage === 'unknown_unsent';
    return {
      ...after,
      excused: true,
      refusedForGood: state.refusedForGood || stage === 'refused_permanent',
      refusedForNow: state.refusedForNow || stage === 'refused_retryable',
      doubted: state.doubted || unknown,
    };
  }

  // ---------------------------------------------------------------------------------------------------------- ownership

  crash(state: State, index: number, fresh: Worker): State {
    const { write } = workerAt(state, index);
    return {
      ...spend(state, 'crashes'),
      holder: state.holder === index ? GONE : state.holder,
      workers: state.workers.with(index, fresh),
      floating: write?.state === 'issued' ? [...state.floating, { ...write, permit: false }] : state.floating,
    };
  }

  /** The gone holder's fence is set: none of its claims is taken any more. */
  fence(state: State): State {
    const begun = this.#catalogue.room(state.row).attempt > 0;
    const fenced = (write: Write): Write => this.#foreseen({ ...write, proof: false });
    return {
      ...state,
      holder: NOBODY,
      workers: state.workers.map((worker) =>
        worker.write?.state === 'issued' ? { ...worker, write: fenced(worker.write) } : worker,
      ),
      floating: state.floating.map(fenced).filter(isIssued),
      excused: begun,
      doubted: begun,
    };
  }

  /** The worker learns that its lease has ended, and forgets what it knew; requests go on to their answers. */
  notice(state: State, index: number): State {
    const { write, sends } = workerAt(state, index);
    return withWorker(state, index, {
      believes: false,
      memory: null,
      current: false,
      write: write === null ? null : { ...write, permit: false },
      sends: sends.map((send) => (send.own ? { ...send, own: false } : send)),
    });
  }
}

export function nowOf(state: State): number {
  return state.expired ? LATE : NOW;
}

export function workerAt(state: State, index: number): Worker {
  return state.workers[index] as Worker;
}

export function withWorker(state: State, index: number, change: Partial<Worker>): State {
  return { ...state, workers: state.workers.with(index, { ...workerAt(state, index), ...change }) };
}

function withSend(state: State, index: number, which: number, send: Send): State {
  return withWorker(state, index, { sends: workerAt(state, index).sends.with(which, send) });
}

export function spend(state: State, budget: Budget): State {
  return { ...state, budgets: { ...state.budgets, [budget]: state.budgets[budget] - 1 } };
}

/** The answer to a request of a settled message changes nothing any more, whenever it comes. */
function isOver(send: Send, settled: number): boolean {
  return send.sequence <= settled && send.stage !== 'claimed' && send.stage !== 'checked';
}

function isIssued(write: Write): boolean {
  return write.state === 'issued';
}

function isOpenAtHolder(state: State, sequence: number): boolean {
  if (state.holder < 0) return false;
  return workerAt(state, state.holder).sends.some(
    (send) =>
      send.own &&
      send.sequence === sequence &&
      (send.stage === 'claimed' || send.stage === 'checked' || send.stage === 'left'),
  );
}
