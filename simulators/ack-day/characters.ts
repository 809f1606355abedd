/**
 * The channels of the day: how much they carry, how their acks come on a good day, and what befalls them. All of it is
 * assumed, not measured: a body that is log-normal, a heavy tail, phones that are away, acks that never come.
 */

export interface Window {
  readonly from: number;
  readonly to: number;
}

/**
 * `slow_delivery`: messages take ten times as long to the phone. `slow_statuses`: only their acks do. `lost`: no ack leaves
 * the platform. `held`: none does until the end, and then all at once.
 */
export type IncidentKind = 'slow_delivery' | 'slow_statuses' | 'lost' | 'held';

export interface Incident {
  readonly kind: IncidentKind;
  /** Where in the day it begins, 0 to 1. */
  readonly at: number;
  readonly minutes: number;
}

export interface Character {
  readonly name: string;
  /** X where it is fixed, and what the adaptive one never exceeds. */
  readonly ackTimeoutMs: number;
  /** Messages of a whole day at scale 1. */
  readonly messages: number;
  /** From the platform's taking a message to its ack at our webhook, in the middle of a quiet night. */
  readonly ack: { readonly medianMs: number; readonly p99Ms: number };
  /** Of that time, how much passes before the phone shows the message. */
  readonly transit: number;
  /** Of the messages take a way of their own: Pareto (exponent 1) from so many ms on. */
  readonly tail: { readonly share: number; readonly fromMs: number };
  /** Of the users are away once in their conversation, for so long on average. */
  readonly away: { readonly share: number; readonly meanMs: number };
  /** Of the messages never have an ack, though the phone shows them. */
  readonly never: number;
  readonly incidents: readonly Incident[];
}

const HOUR = 1 / 24;

export const CHARACTERS: readonly Character[] = [
  {
    name: 'whatsapp',
    ackTimeoutMs: 10_000,
    messages: 24_000,
    ack: { medianMs: 800, p99Ms: 3_500 },
    transit: 0.75,
    tail: { share: 0.01, fromMs: 3_000 },
    away: { share: 0.05, meanMs: 600_000 },
    never: 0.12,
    incidents: [
      { kind: 'slow_delivery', at: 10 * HOUR, minutes: 20 },
      { kind: 'held', at: 19.5 * HOUR, minutes: 30 },
    ],
  },
  {
    name: 'messenger',
    ackTimeoutMs: 5_000,
    messages: 18_000,
    ack: { medianMs: 300, p99Ms: 1_400 },
    transit: 0.7,
    tail: { share: 0.01, fromMs: 1_500 },
    away: { share: 0.08, meanMs: 900_000 },
    never: 0.1,
    incidents: [{ kind: 'lost', at: 14 * HOUR, minutes: 30 }],
  },
  {
    name: 'sms',
    ackTimeoutMs: 15_000,
    messages: 12_000,
    ack: { medianMs: 2_500, p99Ms: 8_000 },
    transit: 0.8,
    tail: { share: 0.02, fromMs: 6_000 },
    away: { share: 0.03, meanMs: 1_800_000 },
    never: 0.15,
    incidents: [{ kind: 'held', at: 16 * HOUR, minutes: 30 }],
  },
  {
    name: 'gateway',
    ackTimeoutMs: 30_000,
    messages: 6_000,
    ack: { medianMs: 1_200, p99Ms: 6_000 },
    transit: 0.5,
    tail: { share: 0.02, fromMs: 5_000 },
    away: { share: 0.02, meanMs: 600_000 },
    never: 0.13,
    incidents: [
      { kind: 'slow_statuses', at: 11 * HOUR, minutes: 20 },
      { kind: 'lost', at: 17 * HOUR, minutes: 30 },
    ],
  },
];

/** How busy the day is at a time (0 to 1 of it): quiet before dawn, two tops; its mean is about 1. */
export function loadAt(day: number): number {
  const top = (at: number, width: number): number => Math.exp(-(((day - at) / width) ** 2));
  return 0.2 + 1.9 * top(11 / 24, 0.14) + 1.7 * top(19.5 / 24, 0.1);
}

/** Acks take longer on a busy platform: 1 in a quiet night, about 1.7 at the tops. */
export function slowness(day: number): number {
  return 1 + 0.35 * (loadAt(day) - 0.2);
}

export function windowOf({ at, minutes }: Incident, dayMs: number): Window {
  return { from: at * dayMs, to: at * dayMs + minutes * 60_000 };
}
