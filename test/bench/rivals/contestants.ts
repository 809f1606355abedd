/** What Roomline is compared with besides one transaction per step; README.md says what each does and why. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Contestant } from '../contestant.ts';

/** Installs the queues. */
export const INSTALL = 'npm ci --prefix test/bench/rivals';

const file = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** As many as there may be requests under way: more only wait for each other where acks come at once. */
const SLOTS = 256;
/** Its fetch looks through all waiting jobs, however few it takes. */
const SLOTS_OF_PG_BOSS = 2_000;

interface Form {
  readonly form?: string;
  readonly slots?: number;
}

function queue(
  name: string,
  packageName: string,
  store: 'postgres' | 'redis',
  { form, slots = SLOTS }: Form = {},
): Contestant {
  return {
    name,
    script: file(`${packageName}.ts`),
    args: [String(slots), ...(form === undefined ? [] : [form])],
    needsRedis: store === 'redis',
    discipline: 'roomline',
    installed: () => existsSync(file(`node_modules/${packageName}/package.json`)),
  };
}

function withoutQueue(name: string, pauseMs: number): Contestant {
  return {
    name,
    script: file('no-queue.ts'),
    args: ['0', String(pauseMs)],
    needsRedis: false,
    discipline: 'none',
    installed: () => true,
  };
}

export const RIVALS: readonly Contestant[] = [
  withoutQueue('everything at once', 0),
  withoutQueue('fixed pause of 500 ms', 500),
  queue('BullMQ', 'bullmq', 'redis'),
  queue('BullMQ with fsync always', 'bullmq', 'redis', { form: 'fsync-always' }),
  queue('BullMQ by message', 'bullmq', 'redis', { form: 'a-job-per-message' }),
  queue('GroupMQ', 'groupmq', 'redis'),
  queue('pg-boss', 'pg-boss', 'postgres', { slots: SLOTS_OF_PG_BOSS }),
  queue('Graphile Worker', 'graphile-worker', 'postgres'),
];

/** For workloads whose acks take longer: a slot is held for all that time. */
export function withSlots(contestant: Contestant, slots: number): Contestant {
  const [, ...form] = contestant.args ?? [];
  return { ...contestant, args: [String(slots), ...form] };
}
