/** The fake platform's knobs: what it loses, how slow it is, and whether it is there at all. */
import { useId, useRef, useState } from 'preact/hooks';
import type { PlatformKnobs, PlatformPatch, PlatformView } from '../../http/development-schemas.ts';
import { api, troubleOf, useResource } from '../api.ts';
import { count, duration } from '../format.ts';
import { Button, Field } from '../ui/parts.tsx';
import { Loaded, Notice } from '../ui/states.tsx';

const LOOK_EVERY_MS = 2_000;
/** A slider that is dragged tells of every pixel: the platform is told once it rests. */
const REST_MS = 150;

type OutageKind = NonNullable<PlatformPatch['outage']>['kind'];

const OUTAGES: Readonly<Record<OutageKind, string>> = {
  refuse: 'refuses connections',
  reset: 'cuts connections',
  black_hole: 'swallows requests',
  crawl: 'answers 30 s late',
  server_error: 'answers 503',
};

const OUTAGE_KINDS = Object.keys(OUTAGES) as readonly OutageKind[];

const SHARES = [
  { knob: 'ackLoss', label: 'Lost acks', hint: 'Messages that arrive, and of which nothing is ever told.' },
  { knob: 'refusals', label: 'Refusals', hint: 'Attempts that are told: not now (429).' },
  { knob: 'serverErrors', label: 'Server errors', hint: 'Attempts that are answered 503, and not taken.' },
  {
    knob: 'lostAnswers',
    label: 'Lost answers',
    hint: 'Attempts that are taken, with no answer: the outcome is unknown.',
  },
] as const satisfies readonly { readonly knob: keyof PlatformKnobs; readonly label: string; readonly hint: string }[];

const DELAYS = [
  { knob: 'responseDelay', label: 'Answers take', hint: 'Until the platform says that it has a message.' },
  { knob: 'phoneDelay', label: 'Phones take', hint: 'From there to the phone; the ack follows.' },
] as const satisfies readonly { readonly knob: keyof PlatformKnobs; readonly label: string; readonly hint: string }[];

/** Steps of a slider of delays, in ms: each about half as long again as the one before. */
const STEPS_MS = [
  0, 20, 50, 100, 150, 250, 400, 600, 1_000, 1_500, 2_500, 4_000, 6_000, 10_000, 15_000, 30_000,
] as const;
/** One in a hundred takes so much longer than half do. */
const TAIL = 6;

export function FakePlatform() {
  const platform = useResource(() => api().development.platform(), [], LOOK_EVERY_MS);
  // What was changed here and not yet confirmed stands before what the platform said last.
  const [changed, setChanged] = useState<Partial<PlatformKnobs>>({});
  const [error, setError] = useState<unknown>();
  const waiting = useRef<{ patch: Partial<PlatformKnobs>; timer: ReturnType<typeof setTimeout> }>();
  const sent = useRef<Promise<void>>(Promise.resolve());

  const change = async (patch: PlatformPatch): Promise<void> => {
    setError(undefined);
    try {
      await api().development.changePlatform(patch);
      await platform.refresh();
    } catch (refused) {
      setError(refused);
    }
    // A knob that was turned again meanwhile stands where it was turned to.
    const confirmed: Partial<PlatformKnobs> = patch.knobs ?? {};
    setChanged((before) => without(before, confirmed));
  };
  /** One change at a time: the platform has them in the order in which they were made. */
  const send = (patch: PlatformPatch): Promise<void> => {
    sent.current = sent.current.then(() => change(patch));
    return sent.current;
  };
  const turn = (knobs: Partial<PlatformKnobs>): void => {
    setChanged((before) => ({ ...before, ...knobs }));
    const patch = { ...waiting.current?.patch, ...knobs };
    clearTimeout(waiting.current?.timer);
    const timer = setTimeout(() => {
      waiting.current = undefined;
      void send({ knobs: patch as NonNullable<PlatformPatch['knobs']> });
    }, REST_MS);
    waiting.current = { patch, timer };
  };

  return (
    <Loaded of={platform} what="Asking the platform">
      {(view) => {
        const knobs = { ...view.knobs, ...changed };
        return (
          <div class="form">
            {error !== undefined && (
              <Notice tone="bad" title={`${troubleOf(error).title}.`} live>
                {troubleOf(error).detail} {troubleOf(error).action}
              </Notice>
            )}
            <div class="knobs">
              {SHARES.map(({ knob, label, hint }) => (
                <Slider
                  key={knob}
                  label={label}
                  hint={hint}
                  max={100}
                  value={Math.round(100 * knobs[knob])}
                  text={`${Math.round(100 * knobs[knob])} %`}
                  onInput={(value) => turn({ [knob]: value / 100 })}
                />
              ))}
              {DELAYS.map(({ knob, label, hint }) => (
                <Slider
                  key={knob}
                  label={label}
                  hint={hint}
                  max={STEPS_MS.length - 1}
                  value={stepOf(knobs[knob]?.medianMs ?? 0)}
                  text={knobs[knob] === null ? 'as drawn' : duration(knobs[knob].medianMs)}
                  onInput={(step) => turn({ [knob]: delayOf(step) })}
                />
              ))}
            </div>
            <div class="row">
              <Switch
                label="Phones are on"
                on={knobs.phonesOnline}
                onChange={(phonesOnline) => turn({ phonesOnline })}
              />
            </div>
            <Outage view={view} onChange={send} />
            <p class="muted small">
              {count(view.totals.accepted)} accepted, {count(view.totals.shown)} on phones, {count(view.totals.refused)}{' '}
              refused since it began.
            </p>
          </div>
        );
      }}
    </Loaded>
  );
}

/** The knobs that stand elsewhere than `confirmed` has them. */
function without(knobs: Partial<PlatformKnobs>, confirmed: Partial<PlatformKnobs>): Partial<PlatformKnobs> {
  const known: Readonly<Record<string, unknown>> = confirmed;
  return Object.fromEntries(Object.entries(knobs).filter(([name, value]) => known[name] !== value));
}

function stepOf(ms: number): number {
  const nearest = STEPS_MS.map((step, index) => ({ index, far: Math.abs(step - ms) })).sort((a, b) => a.far - b.far)[0];
  return nearest?.index ?? 0;
}

function delayOf(step: number): { readonly medianMs: number; readonly p99Ms: number } {
  const medianMs = STEPS_MS[step] ?? 0;
  return { medianMs, p99Ms: medianMs * TAIL };
}

interface SliderProps {
  readonly label: string;
  readonly hint: string;
  readonly value: number;
  readonly max: number;
  /** The value in words. */
  readonly text: string;
  readonly onInput: (value: number) => void;
}

function Slider({ label, hint, value, max, text, onInput }: SliderProps) {
  const id = useId();
  return (
    <div class="knob">
      <label for={id}>{label}</label>
      <output for={id}>{text}</output>
      <input
        id={id}
        class="range"
        type="range"
        min={0}
        max={max}
        step={1}
        value={value}
        aria-valuetext={text}
        aria-describedby={`${id}-hint`}
        onInput={({ currentTarget }) => onInput(Number(currentTarget.value))}
      />
      <p class="hint" id={`${id}-hint`}>
        {hint}
      </p>
    </div>
  );
}

interface SwitchProps {
  readonly label: string;
  readonly on: boolean;
  readonly onChange: (on: boolean) => void;
}

function Switch({ label, on, onChange }: SwitchProps) {
  return (
    <button type="button" class="switch" role="switch" aria-checked={on} onClick={() => onChange(!on)}>
      <i aria-hidden="true" />
      {label}
    </button>
  );
}

interface OutageProps {
  readonly view: PlatformView;
  readonly onChange: (patch: PlatformPatch) => Promise<void>;
}

function Outage({ view, onChange }: OutageProps) {
  const [kind, setKind] = useState<OutageKind>('refuse');
  const [now] = view.outages;
  if (now !== undefined) {
    const known = OUTAGE_KINDS.find((each) => each === now.kind);
    return (
      <div class="outage">
        <Notice tone="bad" icon="unplugged" title="The platform is away:" live>
          it {known === undefined ? now.kind : OUTAGES[known]}. Rooms wait; nothing fails for it.
        </Notice>
        <Button kind="primary" onClick={() => void onChange({ outage: null })}>
          End the outage
        </Button>
      </div>
    );
  }
  return (
    <div class="outage">
      <Field label="Kind of outage">
        {(ids) => (
          <select
            {...ids}
            class="input"
            value={kind}
            onChange={({ currentTarget }) =>
              setKind(OUTAGE_KINDS.find((each) => each === currentTarget.value) ?? 'refuse')
            }
          >
            {OUTAGE_KINDS.map((each) => (
              <option key={each} value={each}>
                {OUTAGES[each]}
              </option>
            ))}
          </select>
        )}
      </Field>
      <Button kind="danger" onClick={() => void onChange({ outage: { kind } })}>
        Begin
      </Button>
    </div>
  );
}
