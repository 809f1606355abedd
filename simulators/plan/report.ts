/** Plans and comparisons as text. */
import type { Costs } from './costs.ts';
import type { Inputs } from './options.ts';
import type { Quantiles } from './simulate.ts';
import type { Plan } from './sizing.ts';
import { type Comparison, errorOf } from './validate.ts';

type Line = readonly [what: string, how: string];

export function planText(inputs: Inputs, plan: Plan, { machine, othersPercent }: Costs): string[] {
  const { deployment, expected, lostAcks, room, perSecond } = plan;
  const { postgres, redis, byRole } = deployment;
  const sections: readonly [string, readonly Line[]][] = [
    [
      'Load',
      [
        [
          'messages',
          `${number(perSecond)}/s: ${number(inputs.rooms)} rooms × ${number(inputs.perMinute)} a minute, ${inputs.burst} together, by ${inputs.door}`,
        ],
        [
          'platform',
          `answers in ${pair({ p50: inputs.sendP50Ms, p99: inputs.sendP99Ms })}, acks in ${pair({ p50: inputs.ackP50Ms, p99: inputs.ackP99Ms })}, ${percent(inputs.loss)} lost, X = ${ms(inputs.ackTimeoutMs)}`,
        ],
      ],
    ],
    [
      'Deployment',
      [
        [
          'processes',
          `${deployment.processes} with all roles, a core and ${number(deployment.processMemoryMb)} MB each`,
        ],
        ['… or by roles', `${byRole.intake} intake and API, ${byRole.webhook} webhook, ${byRole.worker} worker`],
        ['maxConcurrentSends', `${deployment.maxConcurrentSends} on each channel`],
        [
          'Postgres',
          `${postgres.cores} cores, ${number(postgres.connections)} connections, ${number(postgres.hotSetMb)} MB of hot pages`,
        ],
        [
          '… writes',
          `${postgres.walMbPerSecond.toFixed(1)} MB/s of WAL, ${number(postgres.commitsPerSecond)} commits/s in ${number(postgres.syncsPerSecond)} syncs/s`,
        ],
        [
          '… stores',
          `${postgres.storageGbPerDay.toFixed(1)} GB a day, ${number(postgres.storageGb)} GB in ${inputs.retentionDays} days`,
        ],
        [
          'Redis',
          redis === null
            ? 'not needed by one process'
            : `${redis.memoryMb} MB, ${redis.corePercent.toFixed(1)} % of a core, ${number(redis.signalsPerSecond)} signals/s`,
        ],
      ],
    ],
    [
      'To expect',
      [
        ['ack → next send', pair(expected.gapMs)],
        ['arrival → first send', `${pair(expected.firstSendMs)} where the room has nothing under way`],
        ['arrival → send', `${pair(expected.sentMs)} of all messages, waits for acks of their room included`],
        ['X → next send', pair(expected.timeoutLateMs)],
        ['CPU per message', `${number(expected.engineUs)} µs Roomline, ${number(expected.postgresUs)} µs Postgres`],
        [
          'in use',
          `${percent(expected.engineLoad)} of each process's core, ${percent(expected.postgresLoad)} of Postgres' cores; ${expected.headroom.toFixed(1)} × this load would fit`,
        ],
        [
          'lost acks',
          `${number(lostAcks.blockedRooms)} rooms wait for one at any time; ${percent(lostAcks.behindLost)} of the messages arrive behind one`,
        ],
        ['acks after X', percent(lostAcks.lateAcks)],
        ['one room', `${rate(room.most)} messages/s at most, gets ${rate(room.wanted)}`],
      ],
    ],
  ];
  const width = Math.max(...sections.flatMap(([, lines]) => lines.map(([what]) => what.length)));
  return [
    ...sections.flatMap(([title, lines]) => [
      title,
      ...lines.map(([what, how]) => `  ${what.padEnd(width)}  ${how}`),
      '',
    ]),
    ...plan.warnings.map(
      ({ code, promise, text }) => `${promise === null ? 'warning' : `NOT KEPT, ${promise}`} (${code}): ${text}`,
    ),
    ...(plan.warnings.length === 0 ? ['nothing speaks against it'] : []),
    `from costs measured on ${machine} (${othersPercent.toFixed(0)} % of it used by others)`,
  ];
}

export function comparisonText(all: readonly Comparison[]): string[] {
  const header = ['workload', 'figure', 'measured', 'model', 'error'];
  const rows = all.map((one) => [
    one.workload,
    one.figure,
    `${number(one.measured)} ${one.unit}`.trim(),
    `${number(one.predicted)} ${one.unit}`.trim(),
    signed(errorOf(one)),
  ]);
  const widths = header.map((_, column) => Math.max(...[header, ...rows].map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ');
  return [line(header), ...rows.map(line), '', ...summary(all)];
}

const KINDS: Readonly<Record<Comparison['kind'], string>> = {
  throughput: 'messages/s',
  cpu: 'CPU per message',
  batches: 'rows in a batch',
  p50: 'p50 of latencies',
  p99: 'p99 of latencies',
};

function summary(all: readonly Comparison[]): string[] {
  return Object.entries(KINDS).flatMap(([kind, name]) => {
    const errors = all
      .filter((one) => one.kind === kind)
      .map((one) => Math.abs(errorOf(one)))
      // Beside what was measured as nothing, an error is no share of anything.
      .filter(Number.isFinite)
      .sort((a, b) => a - b);
    const [median, most] = [errors[Math.floor((errors.length - 1) / 2)], errors.at(-1)];
    if (median === undefined || most === undefined) return [];
    return [`${name}: error of ${percent(median)} (median), ${percent(most)} (greatest) of ${errors.length} figures`];
  });
}

function pair({ p50, p99 }: Quantiles): string {
  return `${ms(p50)} (p50), ${ms(p99)} (p99)`;
}

function ms(value: number): string {
  if (!Number.isFinite(value)) return '–';
  return value < 1_000 ? `${number(value)} ms` : `${(value / 1_000).toFixed(1)} s`;
}

function number(value: number): string {
  if (!Number.isFinite(value)) return '–';
  return value.toLocaleString('en-US', { maximumFractionDigits: value < 10 ? 1 : 0 });
}

function rate(value: number): string {
  return value.toPrecision(2);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;
}

function signed(share: number): string {
  return Number.isFinite(share) ? `${share < 0 ? '−' : '+'}${(Math.abs(share) * 100).toFixed(0)} %` : '–';
}
