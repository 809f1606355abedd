/** What a room's timeline says, made ready to be drawn: one lane for each message, on a scale without idle hours. */
import type { RoomView } from '../../client/client.ts';
import type { TimelineView } from '../../http/pipeline-schemas.ts';
import { duration, words } from '../format.ts';
import type { IconName, Tone } from '../ui/looks.ts';

export const PHASE_LOOKS: Readonly<Record<RoomView['phase'], readonly [Tone, IconName, string]>> = {
  idle: ['ok', 'check', 'nothing waits'],
  ready: ['calm', 'waiting', 'waiting for a permit'],
  waiting: ['calm', 'waiting', 'waiting'],
  sending: ['info', 'sending', 'sending'],
  awaiting_ack: ['flow', 'awaiting', 'awaiting ack'],
  backing_off: ['warn', 'backing', 'backing off'],
  unknown: ['unsure', 'unknown', 'outcome unknown'],
  held: ['bad', 'held', 'held'],
};

export type TimelineMessage = TimelineView['messages'][number];

export interface Bar {
  readonly kind: 'queued' | 'sending' | 'awaiting' | 'backing' | 'unknown';
  readonly from: number;
  readonly to: number;
  /** It has not ended yet. */
  readonly open: boolean;
}

export interface Mark {
  readonly at: number;
  readonly kind: 'acked' | 'late' | 'assumed' | 'failed' | 'refused' | 'unknown' | 'other';
}

export interface Lane {
  readonly message: TimelineMessage;
  readonly bars: readonly Bar[];
  readonly marks: readonly Mark[];
  readonly begun: number | null;
  readonly settled: number | null;
  readonly end: number;
  /** In words, for those who do not see the picture and as the line below it. */
  readonly summary: string;
  readonly why: string;
}

/** @param messages in the order of their sequences */
export function lanesOf(messages: readonly TimelineMessage[], now: number): Lane[] {
  const lanes: Lane[] = [];
  for (const message of messages) lanes.push(laneOf(message, lanes.at(-1), now));
  return lanes;
}

function laneOf(message: TimelineMessage, before: Lane | undefined, now: number): Lane {
  const { events, outcome } = message;
  const bars: Bar[] = [];
  const marks: Mark[] = [];
  const accepted = events.find(({ event }) => event === 'accepted')?.at ?? events[0]?.at ?? now;
  const settled = events.find(({ event }) => event === 'settled')?.at ?? null;
  let stage: { kind: Bar['kind']; from: number } | null = { kind: 'queued', from: accepted };
  let begun: number | null = null;
  const close = (at: number): void => {
    if (stage !== null && at >= stage.from) bars.push({ ...stage, to: at, open: false });
  };
  for (const { event, at, result, late, level } of events) {
    if (event === 'attempt_begun') {
      close(at);
      begun ??= at;
      stage = { kind: 'sending', from: at };
    } else if (event === 'attempt_ended') {
      close(at);
      const kind = result === 'accepted' ? 'awaiting' : result === 'refused' ? 'backing' : 'unknown';
      if (kind !== 'awaiting') marks.push({ at, kind: result === 'refused' ? 'refused' : 'unknown' });
      // What follows its settling is the end of a request that nobody waits for any more.
      stage = settled !== null && at >= settled ? null : { kind, from: at };
    } else if (event === 'acked')
      marks.push({ at, kind: late === true ? 'late' : level === 'sent' ? 'other' : 'acked' });
    else if (event === 'settled') {
      close(at);
      stage = null;
      if (outcome === 'assumed') marks.push({ at, kind: 'assumed' });
      else if (outcome === 'failed') marks.push({ at, kind: 'failed' });
      else if (outcome !== 'acked') marks.push({ at, kind: 'other' });
      else if (!marks.some(({ kind }) => kind === 'acked')) marks.push({ at, kind: 'acked' });
    }
  }
  if (stage !== null) bars.push({ ...stage, to: Math.max(now, stage.from), open: true });
  const end = Math.max(...bars.map(({ to }) => to), ...marks.map(({ at }) => at), accepted);
  const lane = { message, bars, marks, begun, settled, end };
  return { ...lane, summary: summaryOf(message, accepted, begun, settled), why: whyOf(lane, before, accepted) };
}

function summaryOf(message: TimelineMessage, accepted: number, begun: number | null, settled: number | null): string {
  const { sequence, outcome, events } = message;
  const attempts = events.filter(({ event }) => event === 'attempt_begun').length;
  const parts = [
    `Message ${sequence}: ${outcome === null ? 'open' : outcome}`,
    begun === null ? 'not sent yet' : `waited ${duration(begun - accepted)}`,
    ...(attempts > 1 ? [`${attempts} attempts`] : []),
    ...(settled !== null && begun !== null
      ? [`settled ${duration(settled - begun)} after its first attempt began`]
      : []),
    ...(events.some(({ late }) => late === true) ? ['its ack came late'] : []),
  ];
  return parts.join(', ');
}

/** Why it came when it did. */
function whyOf(lane: Omit<Lane, 'summary' | 'why'>, before: Lane | undefined, accepted: number): string {
  const { begun, message, settled } = lane;
  const predecessor = before === undefined || before.message.sequence !== message.sequence - 1 ? undefined : before;
  if (begun === null) {
    if (settled !== null) return `It was never sent: ${words(message.outcome ?? 'settled')}.`;
    if (predecessor !== undefined && predecessor.settled === null)
      return `It waits for message ${predecessor.message.sequence}, which has not settled.`;
    return 'It has not been sent yet.';
  }
  if (predecessor === undefined && message.sequence > 1) {
    return `Its first attempt began ${duration(begun - accepted)} after it was accepted; the message before it is not shown.`;
  }
  if (predecessor?.settled == null || predecessor.settled < accepted) {
    return `Nothing stood before it: its first attempt began ${duration(begun - accepted)} after it was accepted.`;
  }
  const { outcome, sequence } = predecessor.message;
  const how =
    outcome === 'acked'
      ? 'was acked'
      : outcome === 'assumed'
        ? 'had got no ack in time and was assumed to be there'
        : `had settled as ${outcome}`;
  const waited = predecessor.settled - accepted;
  return `Its first attempt began ${duration(Math.max(0, begun - predecessor.settled))} after message ${sequence} ${how}; of its waiting, ${duration(waited)} was for that.`;
}

// --------------------------------------------------------------------------------------------------------------- scale

export interface Stretch {
  readonly from: number;
  readonly to: number;
  readonly x: number;
  readonly width: number;
}

export interface Scale {
  readonly width: number;
  readonly stretches: readonly Stretch[];
  /** Idle time that is left out. */
  readonly breaks: readonly { readonly x: number; readonly width: number; readonly ms: number }[];
  readonly ticks: readonly { readonly x: number; readonly at: number }[];
  readonly x: (at: number) => number;
}

const TICK_PX = 110;
const LEAST_TICK_PX = 84;
/** What stands for idle time that is left out, and the share of the width that all of it may take. */
const BREAK_PX = { most: 44, least: 10 } as const;
const BREAKS_SHARE = 0.25;
/** Idle time is left out when it is longer than this, and than a message usually takes, so many times. */
const IDLE_LEAST_MS = 1_000;
const IDLE_MESSAGES = 2;

/** @param width px for everything */
export function scaleOf(lanes: readonly Lane[], width: number): Scale {
  const spans = lanes
    .flatMap(({ bars, marks }) => [
      ...bars.map(({ from, to }) => [from, to] as const),
      ...marks.map(({ at }) => [at, at] as const),
    ])
    .sort((a, b) => a[0] - b[0]);
  const joined = join(spans, 0);
  const lengths = lanes.map(({ begun, end }) => end - (begun ?? end)).sort((a, b) => a - b);
  const usual = lengths[Math.floor(lengths.length / 2)] ?? 0;
  const merged = join(joined, Math.max(IDLE_LEAST_MS, usual * IDLE_MESSAGES));
  const share = (width * BREAKS_SHARE) / Math.max(1, merged.length - 1);
  const breakPx = Math.min(BREAK_PX.most, Math.max(BREAK_PX.least, share));
  const covered = Math.max(
    1,
    merged.reduce((sum, [from, to]) => sum + Math.max(1, to - from), 0),
  );
  const room = Math.max(120, width - breakPx * Math.max(0, merged.length - 1));
  const stretches: Stretch[] = [];
  const breaks: { x: number; width: number; ms: number }[] = [];
  let x = 0;
  for (const [index, [from, to]] of merged.entries()) {
    const last = merged[index - 1];
    if (last !== undefined) {
      breaks.push({ x, width: breakPx, ms: from - last[1] });
      x += breakPx;
    }
    const length = (room * Math.max(1, to - from)) / covered;
    stretches.push({ from, to, x, width: length });
    x += length;
  }
  const place = (at: number): number => {
    const stretch = stretches.findLast(({ from }) => from <= at) ?? stretches[0];
    if (stretch === undefined) return 0;
    const share = (at - stretch.from) / Math.max(1, stretch.to - stretch.from);
    return stretch.x + Math.min(1, Math.max(0, share)) * stretch.width;
  };
  return { width: x, stretches, breaks, ticks: ticksOf(stretches, covered / room), x: place };
}

function join(spans: readonly (readonly [number, number])[], gap: number): [number, number][] {
  const joined: [number, number][] = [];
  for (const [from, to] of spans) {
    const last = joined.at(-1);
    if (last !== undefined && from - last[1] <= gap) last[1] = Math.max(last[1], to);
    else joined.push([from, to]);
  }
  return joined;
}

const STEPS_MS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000,
  21_600_000, 86_400_000,
];

function ticksOf(stretches: readonly Stretch[], msPerPx: number): { x: number; at: number }[] {
  const step = STEPS_MS.find((ms) => ms / msPerPx >= TICK_PX) ?? 86_400_000;
  const all = stretches.flatMap(({ from, to, x, width }) => {
    const first = Math.ceil(from / step) * step;
    const many = Math.floor((to - first) / step) + 1;
    if (many < 1) return [{ x, at: from }];
    return Array.from({ length: Math.min(200, many) }, (_, index) => {
      const at = first + index * step;
      return { at, x: x + ((at - from) / Math.max(1, to - from)) * width };
    });
  });
  // Each stretch begins its own; those that would stand in each other's way are left out.
  let last = Number.NEGATIVE_INFINITY;
  return all.filter(({ x }) => {
    if (x - last < LEAST_TICK_PX) return false;
    last = x;
    return true;
  });
}

// --------------------------------------------------------------------------------------------------------------- words

export const MARK_LOOKS: Readonly<
  Record<Mark['kind'], { readonly tone: Tone; readonly icon: IconName; readonly label: string }>
> = {
  acked: { tone: 'ok', icon: 'check', label: 'acked' },
  late: { tone: 'ok', icon: 'ring', label: 'late ack' },
  assumed: { tone: 'warn', icon: 'diamond', label: 'ack timeout: assumed' },
  failed: { tone: 'bad', icon: 'cross', label: 'failed' },
  refused: { tone: 'warn', icon: 'cross', label: 'refused for now' },
  unknown: { tone: 'unsure', icon: 'unknown', label: 'outcome unknown' },
  other: { tone: 'calm', icon: 'minus', label: 'sent, or given up' },
};

type TimelineEvent = TimelineMessage['events'][number];

/** One event as a line. */
export function eventLook(event: TimelineEvent): {
  readonly tone: Tone;
  readonly icon: IconName;
  readonly text: string;
} {
  const code = event.code == null ? '' : ` (${event.code})`;
  switch (event.event) {
    case 'accepted':
      return { tone: 'info', icon: 'accepted', text: 'Accepted by intake' };
    case 'attempt_begun':
      return { tone: 'info', icon: 'sending', text: `Attempt ${event.attempt} began` };
    case 'attempt_ended': {
      const result = event.result ?? 'ended';
      const tone = result === 'accepted' ? 'flow' : result === 'refused' ? 'warn' : 'unsure';
      const icon = result === 'accepted' ? 'awaiting' : result === 'refused' ? 'backing' : 'unknown';
      const by = result === 'accepted' ? 'accepted by the platform' : words(result);
      return { tone, icon, text: `Attempt ${event.attempt}: ${by}${code}` };
    }
    case 'acked':
      return {
        tone: 'ok',
        icon: event.late === true ? 'ring' : 'check',
        text: `${event.late === true ? 'Late ack' : 'Ack'}: ${event.level}`,
      };
    case 'settled': {
      const tone =
        event.outcome === 'acked'
          ? 'ok'
          : event.outcome === 'assumed'
            ? 'warn'
            : event.outcome === 'failed'
              ? 'bad'
              : 'calm';
      const icon =
        event.outcome === 'acked'
          ? 'settled'
          : event.outcome === 'assumed'
            ? 'diamond'
            : event.outcome === 'failed'
              ? 'cross'
              : 'minus';
      return { tone, icon, text: `Settled: ${event.outcome} (${words(event.reason ?? '')})` };
    }
  }
}
