import type { Delay } from '../delay.ts';

/** What a request meets instead of being accepted. */
export interface Refusal {
  /** HTTP status without an `error` object; 0: the connection ends without an answer. */
  readonly status: number;
  /** Said in `retry-after`, in whole seconds; null: nothing is said. */
  readonly retryAfterMs: number | null;
  /** Share of the requests that meet it. */
  readonly share: number;
}

export interface Webhook {
  /** The calls are spread over them. */
  readonly urls: readonly string[];
  readonly secret: string;
}

/** How a channel behaves. */
export interface Knobs {
  /** The only one that is accepted; of the others' it must differ. */
  readonly token: string;
  /** Null: nobody is told of anything. */
  readonly webhook: Webhook | null;
  /** From the receipt of a request to its answer. */
  readonly answerDelayMs: Delay;
  /** From the answer to the `delivered` status, which is also when the phone shows the message. */
  readonly ackDelayMs: Delay;
  /** Share of the messages whose status is never told. */
  readonly lossShare: number;
  /** Recipients whose names begin so are never told of; empty: there are none. */
  readonly silentRooms: string;
  readonly refusal: Refusal | null;
  /** Statuses in one call: as many as wait, at most `size`, and fewer only after `lingerMs`. */
  readonly batch: { readonly size: number; readonly lingerMs: number };
}

export type ChannelPatch = Partial<Knobs>;

export interface LeanSettings {
  readonly defaults: Partial<Knobs>;
  /** Null removes one. */
  readonly channels: Readonly<Record<string, ChannelPatch | null>>;
}

export type LeanPatch = Partial<LeanSettings>;

export const QUICK: Knobs = {
  token: '',
  webhook: null,
  answerDelayMs: 0,
  ackDelayMs: 0,
  lossShare: 0,
  silentRooms: '',
  refusal: null,
  batch: { size: 1, lingerMs: 0 },
};

/** Lays one over the other. @throws Error where it names a knob that does not exist */
export function changeLean(settings: LeanSettings, patch: LeanPatch): LeanSettings {
  const { defaults = {}, channels = {}, ...unknown } = patch;
  for (const name of Object.keys(unknown)) throw new Error(`there is no setting "${name}"`);
  for (const knobs of [defaults, ...Object.values(channels)]) {
    const wrong = Object.keys(knobs ?? {}).find((name) => !(name in QUICK));
    if (wrong !== undefined) throw new Error(`there is no knob "${wrong}"`);
  }
  const merged: Record<string, ChannelPatch | null> = { ...settings.channels };
  for (const [name, knobs] of Object.entries(channels)) {
    merged[name] = knobs === null ? null : { ...merged[name], ...knobs };
  }
  return { defaults: { ...settings.defaults, ...defaults }, channels: merged };
}

/** Of every channel that there is, all knobs. */
export function channelsOf({ defaults, channels }: LeanSettings): Map<string, Knobs> {
  return new Map(
    Object.entries(channels).flatMap(([name, knobs]) =>
      knobs === null ? [] : [[name, { ...QUICK, ...defaults, ...knobs }] as const],
    ),
  );
}
