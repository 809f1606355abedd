/** A room's messages over time: a lane each, so that one sees at a glance why one came before another, or is late. */
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { duration, preciseTime } from '../format.ts';
import { isNarrow } from '../theme.ts';
import { iconPath } from '../ui/icons.tsx';
import { Button } from '../ui/parts.tsx';
import { type Bar, type Lane, MARK_LOOKS, type Mark, type Scale, scaleOf } from './lanes.ts';

const LANE = 34;
const TOP = 30;
const BAR = 12;
const PAD = 14;
const LABELLED_PX = 22;
const LEAST_WIDTH = 520;
const MAX_ZOOM = 64;
const LEAST_IN_SIGHT = 6;
/** A message's time with the platform is at least so long at first, in the usual case. */
const SEEN_PX = 44;

const BAR_WORDS: Readonly<Record<Bar['kind'], string>> = {
  queued: 'waits for its turn',
  sending: 'request open',
  awaiting: 'awaits its ack',
  backing: 'backs off',
  unknown: 'outcome unknown',
};

export interface SwimlaneProps {
  readonly lanes: readonly Lane[];
  readonly selected: number | null;
  /** In sight from the beginning where none is selected; null: the newest. */
  readonly near: number | null;
  readonly onSelect: (sequence: number) => void;
}

interface Pointed {
  readonly index: number;
  readonly sequence: number;
  readonly x: number;
  readonly text: string;
}

export function Swimlane({ lanes, selected, near, onSelect }: SwimlaneProps) {
  const frame = useRef<HTMLElement>(null);
  const names = useRef<HTMLDivElement>(null);
  const placed = useRef(false);
  const [room, setRoom] = useState(800);
  const [zoom, setZoom] = useState(0);
  const [pointed, setPointed] = useState<Pointed | null>(null);

  useLayoutEffect(() => {
    const element = frame.current;
    if (element === null) return undefined;
    const measure = (): void => {
      const left = element.clientWidth - (names.current?.offsetWidth ?? 0);
      setRoom(left);
      setZoom((now) => (now === 0 ? firstZoom(lanes, Math.max(LEAST_WIDTH, left)) : now));
    };
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    measure();
    return () => observer.disconnect();
  }, []);

  const width = Math.max(LEAST_WIDTH, room) * Math.max(1, zoom) - 2 * PAD;
  const scale = useMemo(() => scaleOf(lanes, width), [lanes, width]);
  const height = lanes.length * LANE + 8;

  // The chosen one, else the head, else the newest is in sight from the beginning, and after every step to another.
  useEffect(() => {
    const element = frame.current;
    if (element === null || zoom === 0) return;
    const wanted = lanes.findIndex(({ message }) => message.sequence === (selected ?? near));
    const index = wanted < 0 ? lanes.length - 1 : wanted;
    const lane = lanes[index];
    if (lane === undefined) return;
    const top = index * LANE;
    const isFirst = !placed.current;
    placed.current = true;
    if (isFirst || top < element.scrollTop || top + LANE + TOP > element.scrollTop + element.clientHeight) {
      element.scrollTop = top - element.clientHeight / 3;
    }
    const [from, to] = [scale.x(lane.begun ?? lane.end), scale.x(lane.end)];
    if (from < element.scrollLeft || to > element.scrollLeft + room)
      element.scrollLeft = Math.min(from - room / 4, to - room / 2);
  }, [selected, zoom]);

  const move = (event: KeyboardEvent): void => {
    const at = lanes.findIndex(({ message }) => message.sequence === selected);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: lanes.length - 1 }[event.key];
    const lane = to === undefined ? undefined : lanes[Math.min(lanes.length - 1, Math.max(0, to))];
    if (lane === undefined) return;
    event.preventDefault();
    onSelect(lane.message.sequence);
    document.getElementById(laneId(lane.message.sequence))?.focus();
  };
  const point = (event: MouseEvent): void => {
    const box = (event.currentTarget as SVGElement).getBoundingClientRect();
    const index = Math.floor((event.clientY - box.top) / LANE);
    const lane = lanes[index];
    const x = event.clientX - box.left - PAD;
    setPointed(
      lane === undefined ? null : { index, sequence: lane.message.sequence, x: x + PAD, text: textAt(lane, scale, x) },
    );
  };
  const reachable = selected ?? near ?? lanes.at(-1)?.message.sequence;

  return (
    <div class="swimlane">
      <div class="swimlane-tools">
        <Legend />
        <div class="row">
          <Button
            small
            kind="ghost"
            icon="minus"
            label="Zoom out"
            disabled={zoom <= 1}
            onClick={() => setZoom(zoom / 2)}
          />
          <Button
            small
            kind="ghost"
            icon="plus"
            label="Zoom in"
            disabled={zoom >= MAX_ZOOM}
            onClick={() => setZoom(zoom * 2)}
          />
        </div>
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard */}
      <section class="swimlane-frame" ref={frame} tabIndex={0} aria-label="Picture of the messages over time">
        <div class="swimlane-side" ref={names}>
          <div class="swimlane-corner" />
          <div
            class="swimlane-names"
            role="listbox"
            aria-label="Messages of the room over time"
            tabIndex={-1}
            onKeyDown={move}
          >
            {lanes.map(({ message, summary, why }) => (
              <div
                key={message.sequence}
                id={laneId(message.sequence)}
                role="option"
                aria-selected={message.sequence === selected}
                aria-label={`${summary}. ${why}`}
                tabIndex={message.sequence === reachable ? 0 : -1}
                onClick={() => onSelect(message.sequence)}
                onKeyDown={(event) => {
                  if (event.key === 'Enter' || event.key === ' ') {
                    event.preventDefault();
                    onSelect(message.sequence);
                  }
                }}
              >
                <b>#{message.sequence}</b>
                {!isNarrow.value && <span>{message.messageId}</span>}
              </div>
            ))}
          </div>
        </div>
        <div class="swimlane-picture" style={{ width: `${scale.width + 2 * PAD}px` }}>
          <svg class="swimlane-axis" width={scale.width + 2 * PAD} height={TOP} aria-hidden="true">
            <g transform={`translate(${PAD} 0)`}>
              <Ticks scale={scale} />
            </g>
          </svg>
          <svg
            class="swimlane-lanes"
            width={scale.width + 2 * PAD}
            height={height}
            aria-hidden="true"
            onMouseMove={point}
            onMouseLeave={() => setPointed(null)}
            onClick={() => pointed !== null && onSelect(pointed.sequence)}
          >
            <defs>
              <pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
                <rect class="hatch-ground" width="6" height="6" />
                <rect class="hatch-line" width="2" height="6" />
              </pattern>
            </defs>
            <g transform={`translate(${PAD} 0)`}>
              <Grid scale={scale} height={height} />
              {lanes.map((lane, index) => (
                <LaneDrawn
                  key={lane.message.sequence}
                  lane={lane}
                  before={lanes[index - 1]}
                  y={index * LANE}
                  scale={scale}
                  selected={lane.message.sequence === selected}
                />
              ))}
            </g>
          </svg>
          {pointed !== null && (
            <div
              class="swimlane-tip"
              aria-hidden="true"
              style={{
                left: `${Math.min(scale.width - 110, Math.max(110, pointed.x))}px`,
                top: `${TOP + pointed.index * LANE + (pointed.index === lanes.length - 1 ? -24 : LANE - 2)}px`,
              }}
            >
              {pointed.text}
            </div>
          )}
        </div>
      </section>
    </div>
  );
}

/** Such that the time of a message with the platform can be seen; powers of two. */
function firstZoom(lanes: readonly Lane[], width: number): number {
  const scale = scaleOf(lanes, width);
  const lengths = lanes
    .flatMap(({ begun, settled, end }) => (begun === null ? [] : [scale.x(settled ?? end) - scale.x(begun)]))
    .sort((a, b) => a - b);
  const usual = lengths[Math.floor(lengths.length / 2)] ?? SEEN_PX;
  // Several lanes are in sight at a time.
  const most = 2 ** Math.max(0, Math.floor(Math.log2(lanes.length / LEAST_IN_SIGHT)));
  return Math.min(most, 2 ** Math.max(0, Math.ceil(Math.log2(SEEN_PX / Math.max(1, usual)))));
}

function laneId(sequence: number): string {
  return `lane-${sequence}`;
}

function textAt({ bars, marks, message }: Lane, scale: Scale, x: number): string {
  const mark = marks.find(({ at }) => Math.abs(scale.x(at) - x) < 9);
  if (mark !== undefined) return `#${message.sequence} ${MARK_LOOKS[mark.kind].label} · ${preciseTime(mark.at)}`;
  const bar = bars.findLast(({ from, to }) => scale.x(from) - 3 <= x && x <= scale.x(to) + 3);
  const idle = scale.breaks.find((one) => one.x <= x && x <= one.x + one.width);
  if (bar === undefined) return idle === undefined ? `#${message.sequence}` : `${duration(idle.ms)} idle, left out`;
  return `#${message.sequence} ${BAR_WORDS[bar.kind]} · ${duration(bar.to - bar.from)}${bar.open ? ' so far' : ''}`;
}

function Ticks({ scale: { ticks } }: { readonly scale: Scale }) {
  return (
    <g class="axis">
      {ticks.map(({ x, at }) => (
        <text key={at} x={x} y={19} text-anchor={x < 24 ? 'start' : 'middle'}>
          {at % 1_000 === 0 ? preciseTime(at).slice(0, 8) : preciseTime(at)}
        </text>
      ))}
    </g>
  );
}

function Grid({ scale: { stretches, breaks, ticks }, height }: { readonly scale: Scale; readonly height: number }) {
  return (
    <g class="axis">
      {ticks.map(({ x, at }) => (
        <path key={at} d={`M${x} 0V${height}`} />
      ))}
      {breaks.map(({ x, width, ms }, index) => (
        <g key={stretches[index]?.from} class="break" transform={`translate(${x} 0)`}>
          <rect x={2} y={0} width={width - 4} height={height} />
          {width >= LABELLED_PX && (
            <text transform={`translate(${width / 2} ${height / 2}) rotate(-90)`} text-anchor="middle" dy={4}>
              {duration(ms)} idle
            </text>
          )}
        </g>
      ))}
    </g>
  );
}

interface LaneDrawnProps {
  readonly lane: Lane;
  readonly before: Lane | undefined;
  readonly y: number;
  readonly scale: Scale;
  readonly selected: boolean;
}

function LaneDrawn({ lane, before, y, scale, selected }: LaneDrawnProps) {
  const middle = LANE / 2;
  const { begun, message } = lane;
  const accepted = lane.bars[0]?.from ?? 0;
  const freed = before?.message.sequence === message.sequence - 1 ? before.settled : null;
  return (
    <g class={`lane ${selected ? 'selected' : ''}`} transform={`translate(0 ${y})`}>
      <rect class="lane-ground" x={-PAD} width={scale.width + 2 * PAD} height={LANE} />
      {begun !== null && freed !== null && freed >= accepted && freed <= begun && (
        // From the settling of the one before to the first attempt of this one: what ordered them.
        <path
          class="lane-link"
          d={`M${scale.x(freed)} ${-middle + 9}V${middle - 6}Q${scale.x(freed)} ${middle} ${Math.min(scale.x(begun), scale.x(freed) + 6)} ${middle}H${scale.x(begun)}`}
        />
      )}
      {lane.bars.map((bar) => (
        <BarDrawn key={`${bar.kind}${bar.from}`} bar={bar} middle={middle} scale={scale} />
      ))}
      {lane.marks.map((mark) => (
        <MarkDrawn key={`${mark.kind}${mark.at}`} mark={mark} x={scale.x(mark.at)} middle={middle} />
      ))}
    </g>
  );
}

function BarDrawn({
  bar: { kind, from, to, open },
  middle,
  scale,
}: {
  readonly bar: Bar;
  readonly middle: number;
  readonly scale: Scale;
}) {
  const x = scale.x(from);
  const length = scale.x(to) - x;
  if (kind === 'sending' || kind === 'awaiting') {
    const least = kind === 'sending' ? 4 : 0;
    return (
      <rect
        class={`bar ${kind} ${open ? 'open' : ''}`}
        x={x}
        y={middle - BAR / 2}
        width={Math.max(least, length)}
        height={BAR}
        rx={Math.min(4, Math.max(least, length) / 2)}
      />
    );
  }
  return <path class={`bar ${kind} ${open ? 'open' : ''}`} d={`M${x} ${middle}h${length}`} />;
}

function MarkDrawn({ mark, x, middle }: { readonly mark: Mark; readonly x: number; readonly middle: number }) {
  const { tone, icon } = MARK_LOOKS[mark.kind];
  if (mark.kind === 'assumed') return <path class="mark" data-tone={tone} d={`M${x} ${middle - 8}l8 8l-8 8l-8 -8z`} />;
  if (mark.kind === 'late') return <circle class="mark hollow" data-tone={tone} cx={x} cy={middle} r={6.5} />;
  return (
    <g data-tone={tone}>
      <circle class="mark" cx={x} cy={middle} r={8} />
      <path class="mark-sign" d={iconPath(icon)} transform={`translate(${x - 5} ${middle - 5}) scale(0.625)`} />
    </g>
  );
}

function keysOf<K extends string>(words: Readonly<Record<K, unknown>>): readonly K[] {
  return Object.keys(words) as K[];
}

function Legend() {
  return (
    <ul class="swimlane-legend" aria-label="Signs of the picture">
      {keysOf(BAR_WORDS).map((kind) => (
        <li key={kind}>
          <svg width="24" height="12" aria-hidden="true">
            {kind === 'sending' || kind === 'awaiting' ? (
              <rect class={`bar ${kind}`} x={1} y={1} width={22} height={10} rx={3} />
            ) : (
              <path class={`bar ${kind}`} d="M2 6h20" />
            )}
          </svg>
          {BAR_WORDS[kind]}
        </li>
      ))}
      {keysOf(MARK_LOOKS).map((kind) => (
        <li key={kind}>
          <svg width="18" height="18" aria-hidden="true">
            <MarkDrawn mark={{ at: 0, kind }} x={9} middle={9} />
          </svg>
          {MARK_LOOKS[kind].label}
        </li>
      ))}
      <li>
        <svg width="24" height="18" aria-hidden="true">
          <path class="lane-link" d="M3 1V6Q3 12 9 12H23" />
        </svg>
        let the next one go
      </li>
      <li>
        <svg class="axis" width="14" height="18" aria-hidden="true">
          <g class="break">
            <rect x={1} width={12} height={18} />
          </g>
        </svg>
        idle time, left out
      </li>
    </ul>
  );
}
