/**
 * Everything that can happen next in a state of the world. A worker with a write under way decides nothing: what
 * reaches it meanwhile waits, which is the same as its coming later. What the network holds, and the acks of what the
 * platform has, may come at any later time, any number of times.
 */
import { nextDeadline } from '../../src/room/effects.ts';
import type { RoomEvent } from '../../src/room/events.ts';
import { hasHead, type Nack, type Room } from '../../src/room/room.ts';
import { type Bounds, BUDGETS, type Budget, type Profile } from './bounds.ts';
import { type Catalogue, DUE } from './catalogue.ts';
import { Moves, nowOf, spend, withWorker, workerAt } from './moves.ts';
import { FRESH_WORKER, GONE, NOBODY, type Send, type Stage, type State, type Write } from './state.ts';
import type { Subject } from './subject.ts';

/** system: what the engine, its store and an answering platform do by themselves; only that is counted on for progress. */
export type StepKind = 'system' | 'world' | 'fault';

/**
 * @param who index of the worker that acts, or null
 * @param tell says what happens, for people
 * @param take what comes of it; the same state where that is nothing
 */
export type Visit = (kind: StepKind, who: number | null, tell: () => string, take: () => State) => void;
type Act = (kind: StepKind, tell: () => string, take: () => State) => void;

const LEVELS = ['sent', 'delivered'] as const;
const REFUSALS = ['refused_permanent', 'refused_retryable', 'refused_room', 'refused_channel'] as const;

export class Driver {
  readonly #catalogue: Catalogue;
  readonly #bounds: Bounds;
  readonly #profile: Profile;
  readonly #moves: Moves;

  constructor(catalogue: Catalogue, subject: Subject, bounds: Bounds, profile: Profile) {
    this.#catalogue = catalogue;
    this.#bounds = bounds;
    this.#profile = profile;
    this.#moves = new Moves(catalogue, subject.rules, bounds.clocks, profile.policy.maxAttempts);
  }

  /** One message accepted, no process at work yet. */
  initial(): State {
    const budgets = {} as Record<Budget, number>;
    for (const budget of BUDGETS) budgets[budget] = this.#bounds[budget];
    return {
      row: this.#catalogue.appended(this.#catalogue.empty()),
      holder: NOBODY,
      workers: Array.from({ length: this.#bounds.workers }, () => FRESH_WORKER),
      floating: [],
      left: 0,
      arrived: 0,
      cancelOrders: 0,
      skipOrders: 0,
      superseded: 0,
      lastLeft: 0,
      excused: false,
      refusedForGood: false,
      refusedForNow: false,
      doubted: false,
      misjudged: false,
      expired: false,
      budgets,
    };
  }

  /** Nothing need happen any more: all settled, or only an operator can go on. */
  isAtRest(state: State): boolean {
    const row = this.#catalogue.room(state.row);
    if (row.phase === 'held' || (row.paused && row.phase === 'waiting' && row.until === null)) return true;
    return !hasHead(row) && row.phase === 'idle';
  }

  successors(state: State, visit: Visit): void {
    this.#ofWorld(state, (kind, tell, take) => visit(kind, null, tell, take));
    for (const index of state.workers.keys()) {
      const act: Act = (kind, tell, take) => visit(kind, index, tell, take);
      this.#ofLease(state, index, act);
      const { write, dropped, sends } = workerAt(state, index);
      const frozen = sends.findIndex(({ stage }) => stage === 'checked');
      if (frozen !== -1) {
        const { sequence, attempt } = sends[frozen] as Send;
        const tell = (): string => `attempt ${attempt} of message ${sequence} leaves`;
        act('system', tell, () => this.#moves.leave(state, index, frozen));
        continue;
      }
      this.#ofNews(state, index, act);
      for (const [which, send] of workerAt(state, index).sends.entries()) this.#ofSend(state, index, which, send, act);
      if (write !== null) this.#ofWrite(state, index, write, act);
      else if (!dropped) this.#ofDecisions(state, index, act);
    }
  }

  // ------------------------------------------------------------------------------------------------------------- world

  #ofWorld(state: State, act: Act): void {
    const moves = this.#moves;
    const row = this.#catalogue.room(state.row);
    if (row.tail < this.#bounds.messages) {
      const tell = (): string => `message ${row.tail + 1} is appended`;
      act('world', tell, () => ({ ...state, row: this.#catalogue.appended(state.row) }));
    }
    if (this.#profile.expires && !state.expired) {
      act(
        'world',
        () => 'the messages have expired',
        () => ({ ...state, expired: true }),
      );
    }
    for (let sequence = 1; sequence <= row.tail; sequence++) {
      const bit = 1 << sequence;
      if ((state.left & bit) === 0 || (state.arrived & bit) !== 0) continue;
      const tell = (): string => `the platform gets message ${sequence}`;
      act('world', tell, () => ({ ...state, arrived: state.arrived | bit }));
    }
    for (const which of state.floating.keys()) {
      const tell = (): string =>
        `the store takes a write whose sender has gone: ${this.#tellWrite(state.floating[which] as Write)}`;
      act('world', tell, () => moves.executeFloating(state, which));
    }
    if (state.holder === GONE) {
      act(
        'system',
        () => 'the lease that has ended is fenced',
        () => moves.fence(state),
      );
    }
  }

  #ofLease(state: State, index: number, act: Act): void {
    const worker = workerAt(state, index);
    const { budgets, holder } = state;
    if (budgets.crashes > 0 && worker !== FRESH_WORKER) {
      act(
        'fault',
        () => 'is killed and started again',
        () => this.#moves.crash(state, index, FRESH_WORKER),
      );
    }
    if (budgets.steals > 0 && holder === index) {
      const tell = (): string => 'loses its lease and does not know';
      act('fault', tell, () => ({ ...spend(state, 'steals'), holder: GONE }));
    }
  }

  #ofNews(state: State, index: number, act: Act): void {
    const { holder } = state;
    const worker = workerAt(state, index);
    if (worker.believes && holder !== index) {
      act(
        'system',
        () => 'learns that its lease has ended',
        () => this.#moves.notice(state, index),
      );
    }
    if (!worker.believes && holder === NOBODY) {
      act(
        'system',
        () => 'takes the shard and reads its rooms',
        () => {
          const taken = withWorker({ ...state, holder: index }, index, { believes: true });
          return this.#isDue(this.#catalogue.room(state.row)) ? this.#moves.read(taken, index) : taken;
        },
      );
    }
  }

  // ------------------------------------------------------------------------------------------------- store and platform

  #ofWrite(state: State, index: number, write: Write, act: Act): void {
    const told = (): string => this.#tellWrite(write);
    if (write.state === 'issued') {
      act(
        'system',
        () => `has its write taken: ${told()}`,
        () => this.#moves.execute(state, index),
      );
    } else {
      const tell = (): string => `is told ${write.state}: ${told()}`;
      act('system', tell, () => this.#moves.answer(state, index));
    }
    if (state.budgets.losses > 0) {
      const tell = (): string => `never gets the store's answer (${write.state}): ${told()}`;
      act('fault', tell, () => this.#moves.lose(state, index));
    }
  }

  #tellWrite({ course }: Write): string {
    const { room, settled, claims, event, verdict } = this.#catalogue.course(course);
    if (verdict === 'ignored') return event === null ? 'it reads the row again' : this.#catalogue.event(event).type;
    const next = this.#catalogue.room(room);
    const facts = settled.map(({ sequence, outcome }) => `message ${sequence} ${outcome}`);
    if (claims) facts.push(`attempt ${next.attempt} of message ${next.settled + 1} claimed`);
    return [...facts, `room ${next.phase}`].join(', ');
  }

  #ofSend(state: State, index: number, which: number, send: Send, act: Act): void {
    const { budgets } = state;
    const of = `attempt ${send.attempt} of message ${send.sequence}`;
    const open = send.sequence > this.#catalogue.room(state.row).settled;
    const comesTo = (kind: StepKind, stage: Stage, paid: State): void => {
      act(
        kind,
        () => `${of}: ${stage}`,
        () => this.#moves.result(paid, index, which, stage),
      );
    };
    if (send.stage === 'claimed') {
      act(
        'system',
        () => `looks at its lease last thing: ${of}`,
        () => this.#moves.check(state, index, which),
      );
      if (open && budgets.unknowns > 0) comesTo('fault', 'unknown_unsent', spend(state, 'unknowns'));
      if (open && budgets.refusals > 0) comesTo('fault', 'refused_channel', spend(state, 'refusals'));
    } else if (send.stage === 'left') {
      comesTo('system', 'accepted', state);
      if (budgets.unknowns > 0) comesTo('fault', 'unknown_sent', spend(state, 'unknowns'));
      if (budgets.refusals > 0) for (const stage of REFUSALS) comesTo('fault', stage, spend(state, 'refusals'));
    } else if (send.stage !== 'checked' && workerAt(state, index).write === null && !workerAt(state, index).dropped) {
      const event = this.#catalogue.idOf(resultEvent(send, send.stage));
      const told = withWorker(state, index, { sends: workerAt(state, index).sends.toSpliced(which, 1) });
      this.#decisions(told, index, event, () => `hears that ${of} was ${send.stage}`, 'system', act);
    }
  }

  // ---------------------------------------------------------------------------------------------------------- decisions

  #ofDecisions(state: State, index: number, act: Act): void {
    const worker = workerAt(state, index);
    if (worker.believes) this.#ofHolder(state, index, worker.memory, act);
    this.#ofStatuses(state, index, act);
    if (state.budgets.operators > 0) this.#ofOperators(state, index, act);
    if (state.budgets.supersessions > 0) this.#ofPublishers(state, index, act);
  }

  /** What a worker does about a room of its own: what memory calls for, and what sweeps and signals tell it. */
  #ofHolder(state: State, index: number, memory: number | null, act: Act): void {
    const row = this.#catalogue.room(state.row);
    const known = memory === null ? null : this.#catalogue.room(memory);
    const { current, sends } = workerAt(state, index);
    const headless = memory !== null && this.#catalogue.isHeadless(memory);
    const behind = known === null || !current || known.tail < row.tail;
    if (headless || (behind && this.#isDue(row))) {
      act(
        'system',
        () => (headless ? 'reads the messages it has heard of' : 'finds the room by its sweep'),
        () => this.#moves.read(state, index),
      );
    }
    if (known === null || memory === null) return;
    if (known.tail < row.tail) {
      const signal = this.#catalogue.signalOf(state.row, known.tail);
      this.#decisions(state, index, signal, () => 'hears of appended messages', 'system', act);
    }
    for (const effect of this.#catalogue.pendingEffects(memory)) {
      const of = 'attempt' in effect ? `attempt ${effect.attempt} of message ${effect.sequence}` : '';
      if (effect.type === 'request_permit' && !headless && this.#moves.trusts(state, index)) {
        act(
          'system',
          () => 'claims the room',
          () => this.#moves.decide(state, index, null, true),
        );
      }
      if (effect.type === 'send') {
        const isOpen = sends.some(
          (send) => send.own && send.sequence === effect.sequence && send.attempt === effect.attempt,
        );
        const event = this.#catalogue.idOf({ type: 'taken_over', chance: 0 });
        if (isOpen || !this.#moves.trusts(state, index)) continue;
        // Else nothing would bound the copies: once for each message.
        if (state.holder !== index && state.misjudged) continue;
        const from = this.#moves.misjudge(state, index);
        this.#decisions(from, index, event, () => `takes ${of} over`, 'system', act);
      }
      if (effect.type === 'lookup' && this.#profile.lookup && (state.arrived & (1 << effect.sequence)) !== 0) {
        const event = this.#catalogue.idOf(acceptance(effect.sequence, effect.attempt));
        this.#decisions(state, index, event, () => `asks the platform, which has ${of}`, 'world', act);
      }
    }
    this.#ofDeadline(state, index, known, act);
  }

  #ofDeadline(state: State, index: number, room: Room, act: Act): void {
    const now = Math.max(nowOf(state), room.until === null ? 0 : DUE);
    const at = nextDeadline(room);
    if (at === null || at > now) return;
    for (const channelAnswered of room.phase === 'unknown' ? [true, false] : [true]) {
      const event = this.#catalogue.idOf({ type: 'deadline_due', channelAnswered, chance: 0 });
      const tell = (): string =>
        `finds the deadline of ${room.phase} due${channelAnswered ? '' : ', the channel silent'}`;
      this.#decisions(state, index, event, tell, 'system', act, now);
    }
  }

  #ofStatuses(state: State, index: number, act: Act): void {
    const row = this.#catalogue.room(state.row);
    for (let sequence = 1; sequence <= row.tail; sequence++) {
      const bit = 1 << sequence;
      if ((state.arrived & bit) === 0) continue;
      for (const level of LEVELS) {
        const { cumulative } = this.#profile;
        const event = this.#catalogue.idOf({ type: 'ack', sequence, level, at: 0, cumulative });
        this.#decisions(state, index, event, () => `gets the ack ${level} of message ${sequence}`, 'world', act);
      }
      if (state.budgets.nacks > 0) this.#ofNacks(state, index, sequence, row, act);
    }
  }

  #ofNacks(state: State, index: number, sequence: number, row: Room, act: Act): void {
    const isHead = sequence === row.settled + 1;
    const ids = [null, ...Array.from({ length: isHead ? row.attempt : 1 }, (_, one) => platformId(sequence, one + 1))];
    for (const permanent of [true, false]) {
      const paid = spend(state, 'nacks');
      for (const id of ids) {
        const nack = nackOf(permanent, 'message');
        const event = this.#catalogue.idOf({ type: 'nack', sequence, nack, platformId: id, at: 0, chance: 0 });
        const tell = (): string => `gets the status failed (${nack.code}, ${id ?? 'no id'}) of message ${sequence}`;
        this.#decisions(paid, index, event, tell, 'fault', act, nowOf(state), state);
      }
    }
  }

  #ofOperators(state: State, index: number, act: Act): void {
    const row = this.#catalogue.room(state.row);
    const head = row.settled + 1;
    const paid = spend(state, 'operators');
    const order = (event: RoomEvent, from: State): void => {
      const told = 'sequence' in event ? `${event.type} message ${event.sequence}` : event.type;
      const id = this.#catalogue.idOf(event);
      this.#decisions(from, index, id, () => `is ordered to ${told}`, 'fault', act, nowOf(state), state);
    };
    order({ type: row.paused ? 'resume' : 'pause' }, paid);
    if (!hasHead(row)) return;
    order({ type: 'retry', sequence: head }, paid);
    order({ type: 'skip', sequence: head }, { ...paid, skipOrders: paid.skipOrders | (1 << head) });
    for (let sequence = head; sequence <= row.tail; sequence++) {
      order({ type: 'cancel', sequence }, { ...paid, cancelOrders: paid.cancelOrders | (1 << sequence) });
    }
  }

  /** A message takes the place of an older one that has not settled; whoever took it in decides that. */
  #ofPublishers(state: State, index: number, act: Act): void {
    const row = this.#catalogue.room(state.row);
    const paid = spend(state, 'supersessions');
    for (let sequence = row.settled + 1; sequence < row.tail; sequence++) {
      const event = this.#catalogue.idOf({ type: 'superseded', sequence });
      const from = { ...paid, superseded: paid.superseded | (1 << sequence) };
      const tell = (): string => `hears that message ${sequence} is superseded`;
      this.#decisions(from, index, event, tell, 'fault', act, nowOf(state), state);
    }
  }

  /**
   * An event is decided; where that leaves the room claimable, with a claim in the same write, too.
   * @param unpaid the state where the event changes nothing
   */
  #decisions(
    state: State,
    index: number,
    event: number,
    tell: () => string,
    kind: StepKind,
    act: Act,
    now = nowOf(state),
    unpaid = state,
  ): void {
    act(kind, tell, () => {
      const next = this.#moves.decide(state, index, event, false, now);
      return next === state ? unpaid : next;
    });
    const { memory } = workerAt(state, index);
    if (!this.#moves.trusts(state, index)) return;
    const course = this.#catalogue.decide(memory ?? state.row, event, now, false);
    if (course.verdict !== 'applied' || !this.#catalogue.isClaimable(course.room)) return;
    act(
      kind,
      () => `${tell()}, and claims`,
      () => this.#moves.decide(state, index, event, true, now),
    );
  }

  /** A sweep finds it: claimable, open, or timed. */
  #isDue(row: Room): boolean {
    if (row.phase === 'sending' || nextDeadline(row) !== null) return true;
    if (!hasHead(row) || row.paused) return false;
    return row.phase === 'idle' || row.phase === 'ready' || row.reason === 'channel';
  }
}

function platformId(sequence: number, attempt: number): string {
  return `id-${sequence}.${attempt}`;
}

function nackOf(permanent: boolean, scope: Nack['scope']): Nack {
  return { permanent, scope, retryAfterMs: null, code: permanent ? 'permanent' : 'retryable' };
}

function acceptance(sequence: number, attempt: number): RoomEvent {
  const id = platformId(sequence, attempt);
  return { type: 'attempt_accepted', sequence, attempt, platformId: id, platformAt: null, ackTimeoutMs: null };
}

function resultEvent({ sequence, attempt }: Send, stage: Exclude<Stage, 'claimed' | 'checked' | 'left'>): RoomEvent {
  const refused = (nack: Nack): RoomEvent => ({ type: 'attempt_refused', sequence, attempt, nack, chance: 0 });
  const unanswered = (bytesLeft: boolean): RoomEvent => {
    return { type: 'attempt_unknown', sequence, attempt, code: 'timeout', bytesLeft, chance: 0 };
  };
  switch (stage) {
    case 'accepted':
      return acceptance(sequence, attempt);
    case 'refused_permanent':
      return refused(nackOf(true, 'message'));
    case 'refused_retryable':
      return refused(nackOf(false, 'message'));
    case 'refused_room':
      return refused(nackOf(false, 'room'));
    case 'refused_channel':
      return refused(nackOf(false, 'channel'));
    case 'unknown_sent':
      return unanswered(true);
    case 'unknown_unsent':
      return unanswered(false);
    default:
      return stage satisfies never;
  }
}
