/** Single publishes over connections that are never idle: beside an empty route, up a ramp, through a spike. */
import { type ConnectionsJob, type Outcome, run } from './jobs.ts';
import { LATENCY_HEAD, latencies, latencyCells, type Sample } from './samples.ts';
import { type Scenario, type ScenarioContext, type Table, targetOf } from './scenario.ts';
import { countStatements } from './statements.ts';
import { type Target, withTarget } from './target.ts';

/** At the start of each step, while its connections open. */
const IGNORED_MS = 1_000;
const WARM_UP = { connections: 50, forMs: 5_000 } as const;

/** Publishes and the empty route in turns, so that both have the same machine. */
export const connections: Scenario = {
  describe: ({ connections: counts, seconds, rounds }) =>
    `connections: single publishes over ${counts.join(', ')} connections, and the same requests to an empty route, by turns: ${rounds} × ${seconds} s each`,

  async measure(context) {
    const tables: Table[] = [];
    for (const processes of context.options.processes) {
      const measured = await withTarget(targetOf(context, processes), (target) =>
        target.withEmptyRoute((emptyUrl) => besideEmpty(target, emptyUrl, context)),
      );
      tables.push({ ...measured, title: `${measured.title}, ${nameOf(processes)}` });
    }
    return tables;
  },
};

async function besideEmpty(target: Target, emptyUrl: string, context: ScenarioContext): Promise<Table> {
  const { connections: counts, seconds, rounds } = context.options;
  const forMs = seconds * 1_000 + IGNORED_MS;
  const publish = publisher(target, context);
  const empty = (count: number, ms: number) => {
    const groups = [{ connections: count, fromMs: 0, forMs: ms }];
    const job = { kind: 'connections', key: target.key, urls: [emptyUrl], roomPrefix: 'empty-', round: 1 } as const;
    return run({ ...job, groups, isEmptyRoute: true }, context.signal);
  };
  await publish([{ connections: WARM_UP.connections, fromMs: 0, forMs: WARM_UP.forMs }]);
  await empty(WARM_UP.connections, WARM_UP.forMs);
  const rows: (string | number)[][] = [];
  for (const count of counts) {
    let [ours, theirs]: [Sample[], Sample[]] = [[], []];
    let [messages, generatorMs, statements] = [0, 0, 0];
    const cpu = { api: 0, postgres: 0 };
    for (let round = 1; round <= rounds; round++) {
      const before = target.cpu();
      const counting = await countStatements(target);
      const published = await publish([{ connections: count, fromMs: 0, forMs }]);
      statements += (await counting?.()) ?? Number.NaN;
      const after = target.cpu();
      messages += published.accepted.length;
      generatorMs += published.cpuMs;
      cpu.api += after.api - before.api;
      cpu.postgres += after.postgres - before.postgres;
      ours = ours.concat(shifted(published.samples, round, forMs));
      theirs = theirs.concat(shifted((await empty(count, forMs)).samples, round, forMs));
    }
    const [a, b] = [steady(ours, rounds, forMs), steady(theirs, rounds, forMs)];
    rows.push([
      count,
      ...[Math.round(a.perSecond), a.p50, a.p99, a.errors],
      ...[Math.round(b.perSecond), b.p50, b.p99, b.errors],
      ...[a.p50 / b.p50, a.p99 / b.p99],
      ...[cpu.api, cpu.postgres, generatorMs].map((ms) => (ms * 1_000) / messages),
      (statements / messages) * 1_000,
    ]);
    context.say(`  ${count} connections done`);
  }
  const head = [
    'connections',
    ...['publishes/s', 'p50 ms', 'p99 ms', 'errors'],
    ...['empty/s', 'p50 ms', 'p99 ms', 'errors'],
    ...['p50 ×', 'p99 ×'],
    ...['API µs', 'Postgres µs', 'generator µs', 'statements/1,000'],
  ];
  return { title: 'Single publishes beside an empty route', head, rows };
}

/** Rounds behind each other, each without its beginning. */
function shifted(samples: readonly Sample[], round: number, forMs: number): Sample[] {
  const kept = samples.filter(({ atMs }) => atMs >= IGNORED_MS && atMs < forMs);
  return kept.map((sample) => ({ ...sample, atMs: sample.atMs - IGNORED_MS + (round - 1) * (forMs - IGNORED_MS) }));
}

function steady(samples: readonly Sample[], rounds: number, forMs: number) {
  return latencies(samples, 0, rounds * (forMs - IGNORED_MS));
}

const RAMP = { steps: 10, connections: 50 } as const;

export const ramp: Scenario = {
  describe: ({ seconds }) =>
    `ramp: ${RAMP.connections} connections more every ${seconds} s, up to ${RAMP.steps * RAMP.connections}; each publishes without a pause`,
  measure: (context) =>
    overTime(context, (stepMs) => {
      const all = RAMP.steps * stepMs;
      const groups = Array.from({ length: RAMP.steps }, (_, step) => {
        return { connections: RAMP.connections, fromMs: step * stepMs, forMs: all - step * stepMs };
      });
      const windows = groups.map(({ fromMs }, step) => {
        return { name: `${(step + 1) * RAMP.connections} connections`, fromMs, untilMs: fromMs + stepMs };
      });
      return { title: 'Ramp', groups, windows };
    }),
};

const SPIKE = { before: 50, most: 1_000 } as const;

export const spike: Scenario = {
  describe: ({ seconds }) =>
    `spike: ${SPIKE.before} connections for ${seconds} s, ${SPIKE.most} for ${seconds} s, ${SPIKE.before} for ${seconds} s; each publishes without a pause`,
  measure: (context) =>
    overTime(context, (stepMs) => {
      const groups = [
        { connections: SPIKE.before, fromMs: 0, forMs: 3 * stepMs },
        { connections: SPIKE.most - SPIKE.before, fromMs: stepMs, forMs: stepMs },
      ];
      const windows = [SPIKE.before, SPIKE.most, SPIKE.before].map((count, step) => {
        return { name: `${count} connections`, fromMs: step * stepMs, untilMs: (step + 1) * stepMs };
      });
      return { title: 'Spike', groups, windows };
    }),
};

interface Course {
  readonly title: string;
  readonly groups: ConnectionsJob['groups'];
  readonly windows: readonly { readonly name: string; readonly fromMs: number; readonly untilMs: number }[];
}

async function overTime(context: ScenarioContext, courseOf: (stepMs: number) => Course): Promise<Table[]> {
  const { title, groups, windows } = courseOf(context.options.seconds * 1_000);
  const tables: Table[] = [];
  for (const processes of context.options.processes) {
    const rows = await withTarget(targetOf(context, processes), async (target) => {
      const publish = publisher(target, context);
      await publish([{ connections: WARM_UP.connections, fromMs: 0, forMs: WARM_UP.forMs }]);
      const { samples } = await publish(groups);
      return windows.map(({ name, fromMs, untilMs }) => [name, ...latencyCells(latencies(samples, fromMs, untilMs))]);
    });
    tables.push({ title: `${title}, ${nameOf(processes)}`, head: ['', ...LATENCY_HEAD], rows });
  }
  return tables;
}

/** Publishes and checks what came of it. */
function publisher(target: Target, { signal }: ScenarioContext) {
  let loads = 0;
  return async (groups: ConnectionsJob['groups']): Promise<Outcome> => {
    const roomPrefix = `publishes-${++loads}-`;
    const job = { kind: 'connections', key: target.key, urls: target.urls, roomPrefix, round: 1 } as const;
    const outcome = await run({ ...job, groups, isEmptyRoute: false }, signal);
    await target.check(roomPrefix, outcome.accepted);
    return outcome;
  };
}

export function nameOf(processes: number): string {
  return processes === 1 ? 'one process' : `${processes} processes`;
}
