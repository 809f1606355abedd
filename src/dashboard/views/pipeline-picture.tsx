/** The pipeline as a picture: how many messages stand where, and how fast they go on. */
import { useEffect, useRef } from 'preact/hooks';
import { useLocation } from 'wouter-preact';
import { counted, rate, short } from '../format.ts';
import { isNarrow, prefersStillness } from '../theme.ts';
import { type IconName, iconPath } from '../ui/icons.tsx';
import type { Tone } from '../ui/parts.tsx';

export type StageName =
  | 'accepted'
  | 'parked'
  | 'waiting'
  | 'sending'
  | 'awaiting'
  | 'backing'
  | 'unknown'
  | 'held'
  | 'settled';

export interface StageShown {
  readonly name: StageName;
  readonly label: string;
  readonly tone: Tone;
  readonly icon: IconName;
  /** Null: not told to this key. */
  readonly value: number | null;
  /** The value is a rate, of the ends of the pipeline; else it is how many messages stand there. */
  readonly perSecond?: boolean;
  readonly note: string;
  /** Where its rooms are listed. */
  readonly href?: string;
}

export interface Flow {
  /** Messages per second. */
  readonly accepted: number;
  readonly sent: number;
  readonly settled: number;
}

interface Box {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}

interface Edge {
  readonly from: StageName;
  readonly to: StageName;
  readonly path: string;
  /** Whose rate it carries; null: it shows only whether anything stands at its end. */
  readonly rate: keyof Flow | null;
}

interface Layout {
  readonly width: number;
  readonly height: number;
  readonly boxes: Readonly<Record<StageName, Box>>;
  readonly edges: readonly Edge[];
}

const big = (x: number): Box => ({ x, y: 2, w: 172, h: 122 });
const small = (x: number): Box => ({ x, y: 196, w: 172, h: 90 });

const WIDE: Layout = {
  width: 1084,
  height: 288,
  boxes: {
    accepted: big(2),
    waiting: big(229),
    sending: big(456),
    awaiting: big(683),
    settled: big(910),
    parked: small(60),
    backing: small(294),
    unknown: small(528),
    held: small(762),
  },
  edges: [
    { from: 'accepted', to: 'waiting', path: 'M174 63H229', rate: 'accepted' },
    { from: 'accepted', to: 'parked', path: 'M110 124V196', rate: null },
    { from: 'parked', to: 'waiting', path: 'M201.5 196V70', rate: null },
    { from: 'waiting', to: 'sending', path: 'M401 63H456', rate: 'sent' },
    { from: 'sending', to: 'awaiting', path: 'M628 63H683', rate: 'sent' },
    { from: 'awaiting', to: 'settled', path: 'M855 63H910', rate: 'settled' },
    { from: 'sending', to: 'backing', path: 'M496 124V223Q496 241 478 241H466', rate: null },
    { from: 'backing', to: 'sending', path: 'M428.5 196V70', rate: null },
    { from: 'sending', to: 'unknown', path: 'M584 124V196', rate: null },
    { from: 'unknown', to: 'awaiting', path: 'M655.5 196V70', rate: null },
    { from: 'unknown', to: 'held', path: 'M700 241H762', rate: null },
    { from: 'held', to: 'settled', path: 'M934 241H978Q996 241 996 223V124', rate: null },
  ],
};

const row = (index: number): Box => ({ x: 2, y: 2 + index * 118, w: 196, h: 92 });
const aside = (index: number): Box => ({ x: 244, y: 2 + index * 118, w: 124, h: 92 });

const TALL: Layout = {
  width: 370,
  height: 568,
  boxes: {
    accepted: row(0),
    waiting: row(1),
    sending: row(2),
    awaiting: row(3),
    settled: row(4),
    parked: aside(0),
    backing: aside(1),
    unknown: aside(2),
    held: aside(3),
  },
  edges: [
    { from: 'accepted', to: 'waiting', path: 'M100 94V120', rate: 'accepted' },
    { from: 'accepted', to: 'parked', path: 'M198 48H244', rate: null },
    {
      from: 'parked',
      to: 'waiting',
      path: 'M270 94V98Q270 107 261 107H230Q221 107 221 116V136Q221 145 212 145H198',
      rate: null,
    },
    { from: 'waiting', to: 'sending', path: 'M100 212V238', rate: 'sent' },
    { from: 'sending', to: 'awaiting', path: 'M100 330V356', rate: 'sent' },
    { from: 'awaiting', to: 'settled', path: 'M100 448V474', rate: 'settled' },
    { from: 'sending', to: 'backing', path: 'M198 262H208Q221 262 221 249V179Q221 166 234 166H244', rate: null },
    { from: 'sending', to: 'unknown', path: 'M198 288H244', rate: null },
    { from: 'unknown', to: 'held', path: 'M306 330V356', rate: null },
    { from: 'held', to: 'settled', path: 'M306 448V507Q306 520 293 520H198', rate: null },
  ],
};

export function PipelinePicture({ stages, flow }: { readonly stages: readonly StageShown[]; readonly flow: Flow }) {
  const narrow = isNarrow.value;
  const { width, height, boxes, edges } = narrow ? TALL : WIDE;
  const values = new Map(stages.map(({ name, value }) => [name, value ?? 0]));
  const most = Math.max(1, ...stages.filter(({ perSecond }) => perSecond !== true).map(({ value }) => value ?? 0));
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset cannot stand around a picture
    <svg class="pipeline" viewBox={`0 0 ${width} ${height}`} role="group" aria-label="Pipeline: messages by stage">
      {edges.map(({ from, to, path, rate: of }) => {
        const isUsed =
          of === null
            ? (values.get(to) ?? 0) + (values.get(from) ?? 0) > 0 && isTrouble(from, to, values)
            : flow[of] > 0;
        return (
          <Pipe
            key={`${from}-${to}`}
            path={path}
            perSecond={of === null ? 0 : flow[of]}
            used={isUsed}
            main={of !== null}
          />
        );
      })}
      {stages.map((stage) => (
        <StageBox key={stage.name} stage={stage} box={boxes[stage.name]} most={most} />
      ))}
    </svg>
  );
}

/** An edge to the side is lit while something stands in the stage beside the way. */
function isTrouble(from: StageName, to: StageName, values: ReadonlyMap<StageName, number>): boolean {
  const side = [from, to].find((name) => name === 'backing' || name === 'unknown' || name === 'parked');
  const last = from === 'held' || to === 'held' ? 'held' : side;
  return last !== undefined && (values.get(last) ?? 0) > 0;
}

const DASH = 18;

/** Dots that run along a pipe, the faster the more messages do: their number goes up by tens, their speed by steps. */
function Pipe({
  path,
  perSecond,
  used,
  main,
}: {
  readonly path: string;
  readonly perSecond: number;
  readonly used: boolean;
  readonly main: boolean;
}) {
  const dots = useRef<SVGPathElement>(null);
  const motion = useRef<Animation | null>(null);
  const still = prefersStillness.value;
  const speed = perSecond <= 0 ? 0 : 0.5 + Math.log10(1 + perSecond);

  useEffect(() => {
    if (still || !main) return undefined;
    const [dx, dy] = stepOf(path);
    // A transform, and nothing else, is moved by the compositor: the picture is not painted anew for it.
    const running = dots.current?.animate(
      [{ transform: 'translate(0px, 0px)' }, { transform: `translate(${dx}px, ${dy}px)` }],
      { duration: 1_000, iterations: Number.POSITIVE_INFINITY },
    );
    motion.current = running ?? null;
    return () => running?.cancel();
  }, [still, main, path]);
  useEffect(() => {
    const running = motion.current;
    if (running === null) return;
    if (speed === 0) running.pause();
    else {
      running.updatePlaybackRate(speed);
      running.play();
    }
  }, [speed]);

  return (
    <g class={`pipe ${used ? 'used' : ''} ${main ? '' : 'side-pipe'}`}>
      <path d={path} class="pipe-wall" />
      {main && <path d={lengthened(path)} class="pipe-dots" ref={dots} stroke-dasharray={`0.01 ${DASH}`} />}
    </g>
  );
}

/** How a main pipe, a straight line, is gone along by one dot: right or down. */
function stepOf(path: string): readonly [dx: number, dy: number] {
  return path.includes('H') ? [DASH, 0] : [0, DASH];
}

/** Begins a dot earlier, below the box that it comes from, so that there is one to come at every moment. */
function lengthened(path: string): string {
  const [dx, dy] = stepOf(path);
  return path.replace(/^M([\d.]+) ([\d.]+)/, (_, x: string, y: string) => `M${Number(x) - dx} ${Number(y) - dy}`);
}

function StageBox({ stage, box, most }: { readonly stage: StageShown; readonly box: Box; readonly most: number }) {
  const { label, tone, icon, value, note, href, perSecond = false } = stage;
  const [, navigate] = useLocation();
  const { x, y, w, h } = box;
  const isLarge = h > 100;
  const isTight = w < 150;
  const active = (value ?? 0) > 0;
  // The root brings small numbers into view beside large ones.
  const level = perSecond || value === null ? 0 : Math.sqrt(Math.min(1, value / most));
  const shown = perSecond ? rate(value ?? 0) : short(value);
  const amount = perSecond ? `${shown} messages per second` : counted(value ?? 0, 'message');
  const pad = isTight ? 12 : 16;
  const inner = (
    <g class={`stage ${active ? 'active' : ''}`} data-tone={tone} transform={`translate(${x} ${y})`}>
      <rect class="stage-ground" width={w} height={h} rx={14} />
      <svg x={0} y={0} width={w} height={h} aria-hidden="true">
        <rect
          class="stage-level"
          x={1}
          y={1}
          width={w - 2}
          height={h - 2}
          rx={13}
          style={{ transform: `scaleY(${level})` }}
        />
      </svg>
      <rect class="stage-edge" width={w} height={h} rx={14} />
      <path class="stage-icon" d={iconPath(icon)} transform={`translate(${pad} ${isLarge ? 17 : 13}) scale(1.05)`} />
      <text class="stage-label" x={pad + 24} y={isLarge ? 30 : 26}>
        {label}
      </text>
      <text class="stage-value" x={pad} y={isLarge ? 76 : 57} font-size={isLarge ? 38 : 24}>
        {shown}
        {perSecond && (
          <tspan class="stage-unit" dx={5}>
            /s
          </tspan>
        )}
      </text>
      <text class="stage-note" x={pad} y={isLarge ? 103 : 77}>
        {isTight ? note.split(' · ')[0] : note}
      </text>
    </g>
  );
  const said = `${label}: ${value === null ? 'not told to this key' : amount}, ${note}`;
  if (href === undefined) {
    return (
      // biome-ignore lint/a11y/noInteractiveElementToNoninteractiveRole: a group of a picture does nothing by itself
      <g role="img" aria-label={said}>
        {inner}
      </g>
    );
  }
  return (
    <a
      href={href}
      aria-label={`${said}. Show its rooms`}
      onClick={(event: MouseEvent) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
        event.preventDefault();
        navigate(href);
      }}
    >
      {inner}
    </a>
  );
}
