import { hasHead, headEnvelope, headSequence, type Room } from './room.ts';

/** What a room's channel does, as far as it concerns a room that waits. */
export interface ChannelView {
  readonly state: 'open' | 'slowed' | 'stopped' | 'ack_outage';
  readonly reason: string | null;
  readonly until: number | null;
  /** X at present, in ms; left out where the channel is not known. */
  readonly ackTimeoutMs?: number;
}

/** What a room's publisher's order lacks. */
export interface GapView {
  readonly waitsFor: number;
  readonly since: number;
  /** Messages behind it. */
  readonly parked: number;
  /** Null: when an operator orders it. */
  readonly skippedAt: number | null;
}

/** R7: the one line that says why a room waits, for people. Carries no recipient and no body. */
export function explain(
  room: Room,
  channel: ChannelView,
  held: boolean,
  now: number,
  gap: GapView | null = null,
): string {
  if (gap === null) return explainHead(room, channel, held, now);
  const atRest = !hasHead(room) && (room.phase === 'idle' || room.phase === 'ready');
  return atRest ? gapLine(gap, now) : `${explainHead(room, channel, held, now)}; ${gapLine(gap, now)}`;
}

function gapLine({ waitsFor, since, parked, skippedAt }: GapView, now: number): string {
  const end = skippedAt === null ? 'until an operator skips it' : `${left(skippedAt, now)} more at most`;
  const count = parked === 1 ? '1 message is parked' : `${parked} messages are parked`;
  return `${count}: order ${waitsFor} has been missing for ${left(now, since)}, and is waited for ${end}`;
}

function explainHead(room: Room, channel: ChannelView, held: boolean, now: number): string {
  const head = `message ${headSequence(room)}`;
  const behind = room.tail > room.settled + 1 ? ` (${room.tail - room.settled - 1} more wait behind it)` : '';
  const of = room.paused && room.reason !== 'paused' ? `; the room is paused by an operator${behind}` : behind;
  switch (room.phase) {
    case 'idle':
    case 'ready':
      if (!hasHead(room)) return 'nothing waits: every accepted message has settled';
      return `${head} waits for ${nextTurn(channel, held, now)}${of}`;
    case 'waiting':
      return `${head} ${waitingLine(room, channel, held, now)}${of}`;
    case 'sending':
      return `${head} is being sent (attempt ${room.attempt})${room.mark === null ? '' : `; ${room.mark} follows its answer`}${of}`;
    case 'awaiting_ack':
      return `${head} was accepted and waits up to ${left(room.until, now)} for its ack${levelLine(room)}${adaptedLine(room, channel)}${of}`;
    case 'backing_off':
      return `${head} ${noAnswer(room) ? 'got no answer' : 'was refused'} (${lastCode(room)}); attempt ${room.attempt + 1} follows in ${left(room.until, now)}${of}`;
    case 'unknown':
      return `the outcome of ${head} is unknown (${lastCode(room)}); evidence is waited for ${left(room.until, now)}${of}`;
    case 'held':
      return `${head} is held (${room.reason}, ${heldFor(room)}) until an operator retries, skips or cancels it${replaced(room)}${of}`;
    default:
      return room.phase satisfies never;
  }
}

function waitingLine(room: Room, channel: ChannelView, held: boolean, now: number): string {
  if (room.reason === 'paused') return 'waits: the room is paused by an operator';
  if (room.reason === 'limit') {
    const refused = room.attempts.at(-1)?.result === 'refused';
    const by = refused ? `the platform limits this room (${lastCode(room)})` : 'the limit on what one room is sent';
    return `waits ${left(room.until, now)}: ${by}`;
  }
  if (room.reason === 'not_before') {
    const wished = (headEnvelope(room)?.notBefore ?? 0) > room.gapUntil;
    return `waits ${left(room.until, now)}: ${wished ? 'its publisher asked for a later time' : 'the minimum gap after the last message'}`;
  }
  return `waits for ${nextTurn(channel, held, now)}`;
}

function nextTurn(channel: ChannelView, held: boolean, now: number): string {
  if (!held) return 'a worker to take over its shard';
  if (channel.state === 'stopped')
    return `its channel, which is stopped (${channel.reason}); it is probed until it answers`;
  if (channel.state === 'slowed')
    return `its channel, which is slowed (${channel.reason}) for ${left(channel.until, now)}`;
  return 'a permit';
}

function levelLine(room: Room): string {
  return room.level === 'accepted' ? '' : ` (so far: ${room.level})`;
}

function adaptedLine(room: Room, { state, ackTimeoutMs }: ChannelView): string {
  if (state === 'ack_outage') return '; the acks of its channel have stopped';
  const policy = headEnvelope(room)?.policy;
  const most = policy?.ackTimeoutMs ?? 0;
  if (policy?.ownAckTimeout === true || ackTimeoutMs === undefined || ackTimeoutMs >= most) return '';
  return `; its channel's acks take less than ${seconds(ackTimeoutMs)} at present (at most ${seconds(most)})`;
}

/** Only the head of a held room can have this mark: any other would have settled. */
function replaced(room: Room): string {
  return headEnvelope(room)?.cancelledBy == null ? '' : '; it is not sent, a newer message has superseded it';
}

function noAnswer(room: Room): boolean {
  const result = room.attempts.at(-1)?.result;
  return result === 'unknown' || result === 'interrupted';
}

function heldFor(room: Room): string {
  return room.reason === 'history_changed' ? 'the database may have lost what became of it' : lastCode(room);
}

function lastCode(room: Room): string {
  return room.attempts.at(-1)?.code ?? 'no code';
}

function left(until: number | null, now: number): string {
  if (until === null) return 'an unknown time';
  return seconds(Math.max(0, until - now));
}

function seconds(ms: number): string {
  return ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`;
}
