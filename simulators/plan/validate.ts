/** How far the model is from what was measured: the bench's loads on the bench's machine, figure by figure. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Measured, readMeasured } from './calibrate.ts';
import { type UnitCosts, unfit } from './costs.ts';
import type { SystemSpec } from './model.ts';
import { type Load, lognormal, type Outcome, simulate, uniform } from './simulate.ts';

export interface Comparison {
  readonly workload: string;
  readonly figure: string;
  readonly kind: 'throughput' | 'cpu' | 'p50' | 'p99' | 'batches';
  readonly unit: string;
  readonly measured: number;
  readonly predicted: number;
}

/** One load of a workload: what it does, and which of its figures the model has. */
interface Scenario {
  readonly workload: string;
  readonly label: string;
  readonly load: (measured: Measured) => Load;
  readonly spec: Partial<SystemSpec>;
  readonly shows: 'passage' | 'latency' | 'timeouts';
}

const AT_ONCE = (rooms: number, perRoom: number): Load => ({ rooms, burst: 1, arrival: { kind: 'at_once', perRoom } });
const STEADY = (rooms: number, burst: number, perSecond: number, seconds: number): Load => ({
  rooms,
  burst,
  arrival: { kind: 'steady', perSecond, seconds, inTurn: true },
});
/** Of the disk of that machine. */
const SYNC_MS = 0.2;
const LONG_MS = 120_000;
const QUICK = uniform(0, 5);
const PHONES = lognormal({ p50: 100, p99: 400 });
const CHAT = { permits: 512, ackMs: PHONES, loss: 0.12, ackTimeoutMs: 2_000 };

/** As test/bench has them. */
const SCENARIOS: readonly Scenario[] = [
  { workload: 'throughput', label: 'Roomline', load: () => AT_ONCE(2_000, 10), spec: {}, shows: 'passage' },
  {
    workload: 'throughput',
    label: 'Roomline, statuses by 10',
    load: () => AT_ONCE(2_000, 10),
    spec: { batch: { size: 10, lingerMs: 5 } },
    shows: 'passage',
  },
  { workload: 'quiet', label: 'Roomline', load: () => STEADY(20, 2, 40, 10), spec: { permits: 64 }, shows: 'latency' },
  {
    workload: 'steady',
    label: 'Roomline',
    load: () => STEADY(2_000, 3, 600, 30),
    spec: { permits: 64 },
    shows: 'latency',
  },
  { workload: 'chat', label: 'Roomline, at once', load: () => AT_ONCE(25_000, 2), spec: CHAT, shows: 'passage' },
  {
    workload: 'chat',
    label: 'Roomline, half of capacity',
    load: ({ value }) => STEADY(25_000, 2, value('capacity') / 2, 30),
    spec: CHAT,
    shows: 'latency',
  },
  {
    workload: 'timeouts',
    label: '',
    load: () => AT_ONCE(25_000, 1),
    spec: { loss: 1, ackTimeoutMs: 45_000 },
    shows: 'timeouts',
  },
];

/** Of the machine that the bench ran on. */
function specOf(measured: Measured, label: string, own: Partial<SystemSpec>): SystemSpec {
  const cores = Number.parseInt(measured.machine, 10);
  const others = label === '' ? 0 : measured.value(`${label}: share of the machine that others used`) / 100;
  return {
    engines: 1,
    place: { kind: 'together', cores, othersShare: others },
    door: 'pubsub',
    window: 5_000,
    lanes: 2,
    permits: 256,
    maxRows: 500,
    lingerMs: 2,
    acceptanceLingerMs: 20,
    roundTripMs: 0.1,
    syncMs: SYNC_MS,
    signalMs: 0,
    ackTimeoutMs: LONG_MS,
    answerMs: () => 0.2,
    ackMs: QUICK,
    loss: 0,
    batch: { size: 1, lingerMs: 0 },
    ...own,
  };
}

/** @throws RoomlineError `config_invalid` where a file is not of its workload as it is by default */
export function validate(folder: string, costs: UnitCosts): Comparison[] {
  const files = new Map<string, Measured>();
  for (const name of filesOf(folder)) {
    const measured = readMeasured(join(folder, name));
    const changed = ['rooms', 'messages', 'minutes'].filter((option) => (measured.options[option] ?? null) !== null);
    if (changed.length > 0) throw unfit(measured.file, `measured with its own ${changed.join(', ')}`);
    files.set(measured.workload.split(':', 1)[0] as string, measured);
  }
  return SCENARIOS.flatMap((scenario) => {
    const measured = files.get(scenario.workload);
    if (measured === undefined) return [];
    const outcome = simulate(specOf(measured, scenario.label, scenario.spec), costs, scenario.load(measured));
    return compared(scenario, measured, outcome);
  });
}

/** @throws RoomlineError `config_invalid` where nothing was measured */
function filesOf(folder: string): string[] {
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.json')) : [];
  if (names.length === 0) throw unfit(folder, 'nothing was measured; `node test/bench/measure.ts` does it');
  return names;
}

function compared({ workload, label, shows }: Scenario, { value }: Measured, outcome: Outcome): Comparison[] {
  const prefix = label === '' ? '' : `${label}: `;
  const name = label.startsWith('Roomline, ') ? `${workload}, ${label.slice('Roomline, '.length)}` : workload;
  const compare = (kind: Comparison['kind'], unit: string, figure: string, predicted: number): Comparison => {
    return { workload: name, figure, kind, unit, measured: value(`${prefix}${figure}`), predicted };
  };
  const { gapMs, firstSendMs, givenUpLateMs } = outcome;
  if (shows === 'timeouts') {
    return [
      compare('p50', 'ms', 'settled so much later than X, p50', givenUpLateMs.p50),
      compare('p99', 'ms', 'settled so much later than X, p99', givenUpLateMs.p99),
    ];
  }
  return [
    ...(shows === 'passage'
      ? [
          compare('throughput', '/s', 'end to end', outcome.perSecond),
          compare('throughput', '/s', 'middle 80 %', outcome.steadyPerSecond),
        ]
      : []),
    compare('cpu', 'µs', 'CPU per message, engine', outcome.engineUs),
    compare('cpu', 'µs', 'CPU per message, Postgres', outcome.postgresUs),
    compare('batches', '', 'rows per compare-and-set', outcome.rowsPerWrite),
    compare('p50', 'ms', 'gap from ack to next send, p50', gapMs.p50),
    compare('p99', 'ms', 'gap from ack to next send, p99', gapMs.p99),
    ...(shows === 'latency'
      ? [
          compare('p50', 'ms', 'from publish to first send, p50', firstSendMs.p50),
          compare('p99', 'ms', 'from publish to first send, p99', firstSendMs.p99),
        ]
      : []),
  ];
}

export function errorOf({ measured, predicted }: Comparison): number {
  return predicted / measured - 1;
}
