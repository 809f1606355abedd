import { defineConfig } from 'vitest/config';

/** What judges mutants of the pure core: its own tests. They need no server, and a run takes seconds. */
export default defineConfig({
  test: { include: ['test/room/**/*.test.ts', 'test/scenarios/**/*.test.ts'], pool: 'threads' },
});
