/**
 * Plays a transcript: lines that begin at the margin are what happens to one room, the indented lines under each are
 * what was decided. `#` begins prose.
 *
 *   room unlocked_by=delivered ack_timeout=5s …   a new room, time 0, with its channel's policy
 *   append [N] [not_before=5s] [expires=9s] [failure=hold] [ack_timeout=2s]     N messages; times count from now
 *   permit · take over · pause · resume · skip N · retry N · cancel N · superseded N · history changed · why
 *   accepted|refused|unknown [message=N] [attempt=N] …      about the last attempt that was sent, unless it is named
 *   ack N LEVEL [cumulative] · nack N permanent|retryable [scope=…] [code=…] [retry_after=…] [id=…]
 *   advance 5s · deadline [silent]                a deadline event; `silent`: nothing else on the channel was answered
 */
import { judgeLate, type LateEvent, type SettledMessage } from '../../src/room/ack.ts';
import { nextDeadline } from '../../src/room/effects.ts';
import type { Effect, Fact, RoomEvent } from '../../src/room/events.ts';
import { explain } from '../../src/room/explain.ts';
import { type AckLevel, type Envelope, headSequence, type Nack, type Policy, type Room } from '../../src/room/room.ts';
import { transition } from '../../src/room/transition.ts';
import { emptyRoom, envelopeOf, policyOf, START } from '../support/rooms.ts';

/** The transcript with what is decided now under each of its lines. */
export function play(transcript: string): string {
  const player = new Player();
  const written: string[] = [];
  for (const line of transcript.split('\n')) {
    if (line.startsWith('  ')) continue;
    written.push(line);
    if (line.trim() === '' || line.startsWith('#')) continue;
    written.push(...player.play(line).map((answer) => `  ${answer}`));
  }
  return written.join('\n');
}

interface Line {
  readonly words: readonly string[];
  readonly options: Readonly<Record<string, string>>;
}

class Player {
  #room: Room = emptyRoom();
  #now = START;
  #policy: Policy = policyOf();
  readonly #history = new Map<number, SettledMessage>();

  play(text: string): string[] {
    const line = parse(text);
    const [verb = ''] = line.words;
    switch (verb) {
      case 'room':
        this.#room = emptyRoom();
        this.#now = START;
        this.#policy = policy(line.options);
        this.#history.clear();
        return [`idle, v0`];
      case 'advance':
        this.#now += duration(line.words[1] ?? '');
        return [`at ${seconds(this.#now - START)}`];
      case 'why':
        return [explain(this.#room, { state: 'open', reason: null, until: null }, true, this.#now)];
      default:
        return this.#decide(this.#eventOf(line));
    }
  }

  #decide(event: RoomEvent): string[] {
    const { verdict, room, facts, effects } = transition(this.#room, event, this.#now);
    this.#room = room;
    const judged = effects.flatMap((effect) => (effect.type === 'judge_late' ? this.#judge(effect, event) : []));
    for (const fact of facts) this.#keep(fact);
    const heading = verdict.kind === 'ignored' ? `ignored: ${verdict.reason}` : `${stateOf(room, this.#now)}`;
    return [heading, ...facts.map(factLine), ...judged, ...effects.map(effectLine)];
  }

  #keep(fact: Fact): void {
    if (fact.kind !== 'settled') return;
    const { outcome, level, levelAt } = fact;
    this.#history.set(fact.sequence, { outcome, level, levelAt, lateNackCode: null });
  }

  /** What the engine does with an ack or nack of settled messages, so that a transcript shows what becomes of them. */
  #judge(effect: Extract<Effect, { type: 'judge_late' }>, event: RoomEvent): string[] {
    const late = lateEventOf(event);
    const first = effect.cumulative ? 1 : effect.sequence;
    const lines: string[] = [];
    for (let sequence = first; sequence <= effect.sequence; sequence++) {
      const message = this.#history.get(sequence);
      if (message === undefined) throw new Error(`message ${sequence} has not settled`);
      const verdict = judgeLate(message, late);
      if (verdict.kind !== 'ignored') this.#history.set(sequence, verdict.next);
      const what =
        verdict.kind === 'raised'
          ? `rises to ${verdict.next.level}, stays ${message.outcome}`
          : verdict.kind === 'failed_late'
            ? `failed late (${verdict.next.lateNackCode}), stays ${message.outcome}`
            : verdict.reason;
      const letter =
        verdict.kind !== 'ignored' && verdict.deadLetter !== null ? `, dead letter ${verdict.deadLetter}` : '';
      lines.push(`history: message ${sequence} ${what}${letter}`);
    }
    return lines;
  }

  #eventOf({ words, options }: Line): RoomEvent {
    const [verb = '', ...rest] = words;
    const sequence = Number(options.message ?? headSequence(this.#room));
    const attempt = Number(options.attempt ?? Math.max(1, this.#room.attempt));
    const chance = 0;
    switch (verb) {
      case 'append':
        return this.#append(Number(rest[0] ?? 1), options);
      case 'permit':
        return { type: 'permit_granted', worker: options.worker ?? 'w1', generation: 1 };
      case 'accepted': {
        const platformId = options.id ?? null;
        return { type: 'attempt_accepted', sequence, attempt, platformId, platformAt: null, ackTimeoutMs: null };
      }
      case 'refused':
        return { type: 'attempt_refused', sequence, attempt, nack: nack(rest[0], options), chance };
      case 'unknown': {
        const bytesLeft = !rest.includes('unsent');
        return { type: 'attempt_unknown', sequence, attempt, code: options.code ?? 'timeout', bytesLeft, chance };
      }
      case 'take':
        return { type: 'taken_over', chance };
      case 'history':
        return { type: 'history_changed' };
      case 'ack': {
        const level = (rest[1] ?? 'delivered') as Exclude<AckLevel, 'none'>;
        const cumulative = rest.includes('cumulative');
        return { type: 'ack', sequence: Number(rest[0]), level, at: this.#now, cumulative };
      }
      case 'nack': {
        const platformId = options.id ?? null;
        const failure = nack(rest[1], options);
        return { type: 'nack', sequence: Number(rest[0]), nack: failure, platformId, at: this.#now, chance };
      }
      case 'deadline':
        return { type: 'deadline_due', channelAnswered: !rest.includes('silent'), chance };
      case 'pause':
      case 'resume':
        return { type: verb };
      case 'skip':
      case 'retry':
      case 'cancel':
      case 'superseded':
        return { type: verb, sequence: Number(rest[0]) };
      default:
        throw new Error(`a transcript has no line "${verb}"`);
    }
  }

  #append(count: number, options: Line['options']): RoomEvent {
    const { tail } = this.#room;
    const later = (name: string): number | null =>
      options[name] === undefined ? null : this.#now + duration(options[name]);
    const envelopes = Array.from({ length: count }, (_, index): Envelope => {
      const wishes = { notBefore: later('not_before'), expiresAt: later('expires'), acceptedAt: this.#now };
      return envelopeOf(tail + 1 + index, { ...wishes, policy: policy(options, this.#policy) });
    });
    return { type: 'tail_raised', tail: tail + count, envelopes };
  }
}

// --------------------------------------------------------------------------------------------------------- reading

function parse(text: string): Line {
  const parts = text.trim().split(/\s+/);
  const words = parts.filter((part) => !part.includes('='));
  const options = Object.fromEntries(parts.filter((part) => part.includes('=')).map((part) => part.split('=')));
  return { words, options };
}

function policy(options: Line['options'], base: Policy = policyOf()): Policy {
  const ms = (name: string, otherwise: number): number =>
    options[name] === undefined ? otherwise : duration(options[name]);
  return {
    ...base,
    unlockedBy: (options.unlocked_by ?? base.unlockedBy) as Policy['unlockedBy'],
    ackTimeoutMs: ms('ack_timeout', base.ackTimeoutMs),
    minGapMs: ms('min_gap', base.minGapMs),
    roomLimit: {
      everyMs: ms('room_limit', base.roomLimit.everyMs),
      burst: Number(options.room_burst ?? base.roomLimit.burst),
    },
    maxAttempts: Number(options.max_attempts ?? base.maxAttempts),
    unknownGraceMs: ms('grace', base.unknownGraceMs),
    unknownPolicy: (options.unknown ?? base.unknownPolicy) as Policy['unknownPolicy'],
    failurePolicy: (options.failure ?? base.failurePolicy) as Policy['failurePolicy'],
  };
}

function nack(kind: string | undefined, options: Line['options']): Nack {
  if (kind !== 'permanent' && kind !== 'retryable') throw new Error('a refusal is permanent or retryable');
  return {
    permanent: kind === 'permanent',
    scope: (options.scope ?? 'message') as Nack['scope'],
    retryAfterMs: options.retry_after === undefined ? null : duration(options.retry_after),
    code: options.code ?? kind,
  };
}

function duration(text: string): number {
  const [, amount, unit] = /^(\d+(?:\.\d+)?)(ms|s)$/.exec(text) ?? [];
  if (amount === undefined) throw new Error(`"${text}" is no duration`);
  return Number(amount) * (unit === 's' ? 1_000 : 1);
}

function lateEventOf(event: RoomEvent): LateEvent {
  if (event.type === 'ack') return { type: 'ack', level: event.level, at: event.at };
  if (event.type === 'nack') return { type: 'nack', nack: event.nack, at: event.at };
  throw new Error(`${event.type} is not judged late`);
}

// --------------------------------------------------------------------------------------------------------- writing

function seconds(ms: number): string {
  return `${ms / 1_000} s`;
}

function stateOf(room: Room, now: number): string {
  const parts: string[] = [room.reason === null ? room.phase : `${room.phase} (${room.reason})`];
  if (room.tail === room.settled) parts.push('nothing waits');
  else
    parts.push(
      `head ${headSequence(room)}${room.tail > room.settled + 1 ? ` of ${headSequence(room)}–${room.tail}` : ''}`,
    );
  if (room.attempt > 0) parts.push(`attempt ${room.attempt}${room.spent > 0 ? ` (${room.spent} used up)` : ''}`);
  if (room.level !== 'none') parts.push(`level ${room.level}`);
  if (room.mark !== null) parts.push(`${room.mark} marked`);
  if (room.nack !== null) parts.push(`nack ${room.nack.code} noted`);
  if (room.paused && room.reason !== 'paused') parts.push('paused');
  const deadline = nextDeadline(room);
  if (deadline !== null) parts.push(`deadline in ${seconds(deadline - now)}`);
  return `${parts.join(', ')}, v${room.version}`;
}

function factLine(fact: Fact): string {
  switch (fact.kind) {
    case 'settled': {
      const doubts = `${fact.possiblyDelivered ? ', possibly delivered' : ''}${fact.deadLetter ? ', dead letter' : ''}`;
      const code = fact.code === null ? '' : ` ${fact.code}`;
      const attempts = `${fact.attempts.length} attempt${fact.attempts.length === 1 ? '' : 's'}`;
      return `settled: message ${fact.sequence} ${fact.outcome} (${fact.reason}${code}), level ${fact.level}, ${attempts}${doubts}`;
    }
    case 'cancel_marked':
      return `marked: message ${fact.sequence} is cancelled when its turn comes${fact.by === 'operator' ? '' : ` (${fact.by})`}`;
    case 'accepted_as':
      return `named: message ${fact.sequence} is ${fact.platformId}`;
    case 'answered_late':
      return `history: attempt ${fact.attempt} of message ${fact.sequence} was answered: ${fact.result}`;
    default:
      return fact satisfies never;
  }
}

function effectLine(effect: Effect): string {
  switch (effect.type) {
    case 'request_permit':
    case 'channel_silent':
      return `> ${effect.type}`;
    case 'send':
    case 'lookup':
      return `> ${effect.type} message ${effect.sequence}, attempt ${effect.attempt}`;
    case 'load_envelopes':
      return `> ${effect.type} from ${effect.from}`;
    case 'judge_late':
      return `> ${effect.type} ${effect.cumulative ? 'up to ' : ''}message ${effect.sequence}`;
    default:
      return effect satisfies never;
  }
}
