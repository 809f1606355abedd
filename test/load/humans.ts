/** People who write to each other at their own pace, and the same for a long time under a limit of memory. */
import { setTimeout as delay } from 'node:timers/promises';
import { type HumansJob, run } from './jobs.ts';
import { nameOf } from './publishes.ts';
import { type Cell, LATENCY_HEAD, latencies, latencyCells } from './samples.ts';
import { type Scenario, type ScenarioContext, type Table, targetOf } from './scenario.ts';
import { RunNotClean, type Target, withTarget } from './target.ts';

const PEOPLE = { messages: [5, 15], thinkMs: [1_000, 3_000] } as const;
const ARRIVE_MS = 3_000;
const USERS = { humans: 1_000, soak: 200 } as const;

export const humans: Scenario = {
  describe: ({ users }) =>
    `humans: ${users ?? USERS.humans} users with a connection and a room each, who think ${PEOPLE.thinkMs.map((ms) => ms / 1_000).join('–')} s before each of their ${PEOPLE.messages.join('–')} messages`,

  async measure(context) {
    const rows: Cell[][] = [];
    for (const processes of context.options.processes) {
      await withTarget(targetOf(context, processes), async (target) => {
        await visits(target, 'warm-up-', 100, 0, context);
        const { samples, accepted, tookMs } = await visits(
          target,
          'humans-',
          context.options.users ?? USERS.humans,
          0,
          context,
        );
        const all = latencies(samples, 0, tookMs);
        rows.push([nameOf(processes), accepted.length, ...latencyCells(all)]);
      });
    }
    return [{ title: 'Human-like users', head: ['', 'messages', ...LATENCY_HEAD], rows }];
  },
};

function visits(target: Target, roomPrefix: string, users: number, forMs: number, context: ScenarioContext) {
  return load(target, roomPrefix, { users, ...PEOPLE, arriveMs: ARRIVE_MS, forMs }, context);
}

type Users = Pick<HumansJob, 'users' | 'messages' | 'thinkMs' | 'arriveMs' | 'forMs'>;

async function load(target: Target, roomPrefix: string, users: Users, { signal }: ScenarioContext) {
  const job = { kind: 'humans', urls: target.urls, key: target.key, roomPrefix, round: 1 } as const;
  const outcome = await run({ ...job, ...users }, signal);
  await target.check(roomPrefix, outcome.accepted);
  return outcome;
}

/** The first second, while clients come, does not count. */
const COME_MS = 1_000;

/** A rate that is given, over few clients and many: what concurrency itself costs. */
export const paced: Scenario = {
  describe: ({ connections, rate, seconds }) =>
    `paced: ${rate} messages/s of ${connections.join(', ')} clients together, each with a connection and a room, for ${seconds} s`,

  async measure(context) {
    const { connections, rate, seconds } = context.options;
    const tables: Table[] = [];
    for (const processes of context.options.processes) {
      const rows = await withTarget(targetOf(context, processes), async (target) => {
        await visits(target, 'warm-up-', 100, 0, context);
        const measured: Cell[][] = [];
        for (const clients of connections) {
          const forMs = seconds * 1_000 + COME_MS;
          const paceMs = (clients / rate) * 1_000;
          const job = { users: clients, messages: [1, 1], thinkMs: { paceMs }, arriveMs: COME_MS, forMs } as const;
          const { samples } = await load(target, `paced-${clients}-`, job, context);
          measured.push([clients, ...latencyCells(latencies(samples, COME_MS, forMs))]);
        }
        return measured;
      });
      tables.push({
        title: `Clients that keep a pace, ${nameOf(processes)}`,
        head: ['clients', ...LATENCY_HEAD],
        rows,
      });
    }
    return tables;
  },
};

const LOOK_EVERY_MS = 1_000;
const MB = 1_048_576;
const PARTS = 4;
const DRAIN_MS = 60_000;

/** The rest of a process's memory is buffers, code and stacks. */
function heapMb(memoryMb: number): number {
  return Math.floor(memoryMb * 0.6);
}

/** One process with all that it does, so that whatever is taken is sent, acked and settled as well. */
export const soak: Scenario = {
  describe: ({ users, minutes, memoryMb }) =>
    `soak: ${users ?? USERS.soak} such users for ${minutes} minutes on one process that also sends; old space of its heap limited to ${heapMb(memoryMb)} MB, and the run ends where it is once seen with more than ${memoryMb} MB in physical memory`,

  async measure(context) {
    const { users, minutes, memoryMb } = context.options;
    const environment = { NODE_OPTIONS: `--max-old-space-size=${heapMb(memoryMb)}` };
    const options = { ...targetOf(context, 1), roles: ['worker', 'webhook'], environment };
    return withTarget(options, async (target) => {
      const forMs = minutes * 60_000;
      const seen: { readonly atMs: number; readonly rss: number; readonly heap: number }[] = [];
      const over = new AbortController();
      const startedAt = performance.now();
      const watching = watch(over.signal, async () => {
        const [process] = target.processes;
        if (process?.child?.running !== true) throw new RunNotClean('the process has ended by itself');
        const heap = (await process.metrics()).sum('nodejs_heap_size_used_bytes') / MB;
        const rss = target.memoryMb();
        if (rss > memoryMb) throw new RunNotClean(`the process has ${Math.round(rss)} MB in physical memory`);
        seen.push({ atMs: performance.now() - startedAt, rss, heap });
      });
      const failed = new AbortController();
      watching.catch((error: unknown) => failed.abort(error));
      const signal = AbortSignal.any([context.signal, failed.signal]);
      const visiting = visits(target, 'soak-', users ?? USERS.soak, forMs, { ...context, signal });
      const outcome = await visiting.finally(() => over.abort());
      await watching;
      await target.rig.untilDrained({ deadlineMs: DRAIN_MS, signal: context.signal });
      const parts = Array.from({ length: PARTS }, (_, part): Cell[] => {
        const [from, until] = [(forMs * part) / PARTS, (forMs * (part + 1)) / PARTS];
        const within = seen.filter(({ atMs }) => atMs >= from && atMs < until);
        const mean = (of: (one: (typeof seen)[number]) => number) =>
          within.reduce((sum, one) => sum + of(one), 0) / within.length;
        const most = Math.max(...within.map(({ rss }) => rss));
        return [
          `quarter ${part + 1}`,
          ...[mean(({ rss }) => rss), most, Math.min(...within.map(({ heap }) => heap))],
          ...latencyCells(latencies(outcome.samples, from, until)),
        ];
      });
      return [
        {
          title: `Soak of ${minutes} minutes, ${outcome.accepted.length} messages`,
          head: ['', 'mean RSS MB', 'most RSS MB', 'least heap MB', ...LATENCY_HEAD],
          rows: parts,
        },
      ] satisfies Table[];
    });
  },
};

async function watch(signal: AbortSignal, look: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    await look();
    await delay(LOOK_EVERY_MS, null, { signal }).catch(() => undefined);
  }
}
