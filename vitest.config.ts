import { defineConfig } from 'vitest/config';

/** Tests that get real Postgres servers. Anything else starts none, so that a single test file runs in a second. */
const WITH_POSTGRES = [
  'test/**/*.pg.test.ts',
  'test/adapters/postgres/**/*.test.ts',
  'test/conformance/**/*.test.ts',
  'test/system/**/*.test.ts',
];

/** Tests that start Redis servers, where one is installed. */
const WITH_REDIS = ['test/**/*.redis.test.ts'];

export default defineConfig({
  test: {
    pool: 'forks',
    // Most of the time of the long ones is waiting.
    maxWorkers: 2,
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
          exclude: ['**/node_modules/**', ...WITH_POSTGRES, ...WITH_REDIS],
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
