import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Tests that get real Postgres servers. Anything else starts none, so that a single test file runs in a second. */
const WITH_POSTGRES = [
  'test/**/*.pg.test.ts',
  'test/adapters/postgres/**/*.test.ts',
  'test/conformance/**/*.test.ts',
  'test/system/**/*.test.ts',
];

/** Tests that start Redis servers, where one is installed. */
const WITH_REDIS = ['test/**/*.redis.test.ts'];

/** Tests that get a running system and a browser to look at it. */
const WITH_BROWSER = ['test/**/*.browser.test.ts'];

/** What takes longest, the longest first: begun late, one of them would go on alone. */
const LONGEST = [
  'adapters/postgres/interleavings/direct',
  'simulators/demo/demo',
  'system/crashes',
  'dashboard/crowd.browser',
  'conformance/postgres',
  'system/orders',
  'system/outages',
  'adapters/postgres/interleavings/pooled',
  'system/chaos',
  'system/channels',
  'system/buffer-roles',
  'dashboard/shell.browser',
  'dashboard/own-system.browser',
  'dashboard/fleet.browser',
  'dashboard/trouble.browser',
  'dashboard/room.browser',
  'dashboard/tenants.browser',
  'dashboard/overview.browser',
  'dashboard/try.browser',
  'system/unreachable',
  'system/dependencies',
  'system/everything',
  'system/buffer',
  'simulators/model',
  'system/redis',
  'system/fleet',
  'adapters/pubsub/queue-outages',
  'simulators/postgres/embedded',
  'system/pipeline',
  'adapters/redis/signals.redis',
  'simulators/explorer/explore',
  'simulators/hour/hour',
  'system/operator-channels',
  'system/fleet-emulator',
  'adapters/pubsub/contract',
  'deploy/package',
  'system/fleet-operations',
];

/** The others come project by project: a process goes on with the next file of the same one. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification): number => {
      const found = LONGEST.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`));
      return found < 0 ? LONGEST.length : found;
    };
    return (await super.sort(files)).toSorted(
      (a, b) => place(a) - place(b) || a.project.name.localeCompare(b.project.name),
    );
  }
}

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    pool: 'forks',
    // Most of the time of the long ones is waiting.
    maxWorkers: 3,
    // Files that follow each other share a process: it saves the better part of a second for each.
    isolate: false,
    testTimeout: 20_000,
    hookTimeout: 60_000,
    teardownTimeout: 30_000,
    reporters: ['default'],
    projects: [
      {
        extends: true,
        test: {
          name: 'plain',
          include: ['test/**/*.test.ts'],
          exclude: ['**/node_modules/**', ...WITH_POSTGRES, ...WITH_REDIS, ...WITH_BROWSER],
        },
      },
      {
        extends: true,
        test: {
          name: 'postgres',
          include: WITH_POSTGRES,
          globalSetup: ['test/support/global-setup.ts'],
          // Where there is no pooler, the files for it hold no tests.
          passWithNoTests: true,
        },
      },
      {
        extends: true,
        test: {
          name: 'dashboard',
          include: WITH_BROWSER,
          globalSetup: ['test/dashboard/kit/setup.ts'],
          // Where there is no browser, its files hold no tests.
          passWithNoTests: true,
          testTimeout: 60_000,
          hookTimeout: 120_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'redis',
          include: WITH_REDIS,
          globalSetup: ['test/support/redis-setup.ts'],
          // Where there is none, its files hold no tests.
          passWithNoTests: true,
        },
      },
    ],
  },
});
