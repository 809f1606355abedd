/** The ways in which a planted bug may be found: commands that a developer runs anyway. */

export type LaneName = 'core' | 'explorer' | 'simulation' | 'engine' | 'stores' | 'start' | 'chaos';

export interface Lane {
  /** Handed to Node in the folder of the copy. */
  readonly command: readonly string[];
  readonly budgetSeconds: number;
  /** A line of its output that says that a rule was broken, not merely that something went wrong. */
  readonly found: RegExp;
}

const VITEST = ['node_modules/vitest/vitest.mjs', 'run', '--configLoader=native', '--reporter=verbose'];
/** A failed assertion; a suite that could not even be loaded says otherwise. */
const FAILED_TEST = /^\s*×\s.+/;

export const LANES: Readonly<Record<LaneName, Lane>> = {
  core: { command: [...VITEST, 'test/room', 'test/scenarios'], budgetSeconds: 60, found: FAILED_TEST },
  explorer: {
    command: ['simulators/explorer/main.ts', '--steals', '0', '--crashes', '1'],
    budgetSeconds: 240,
    found: /: BROKEN$/,
  },
  simulation: {
    command: ['simulators/world/main.ts', '--seeds', '1..600', '--shrink', '0'],
    budgetSeconds: 120,
    found: /^seed \d+: /,
  },
  engine: { command: [...VITEST, 'test/engine'], budgetSeconds: 90, found: FAILED_TEST },
  stores: {
    command: [
      ...VITEST,
      'test/conformance/postgres',
      'test/adapters/postgres/fences',
      'test/adapters/postgres/interleavings',
    ],
    budgetSeconds: 240,
    found: FAILED_TEST,
  },
  start: {
    command: [...VITEST, 'test/adapters/postgres/checks'],
    budgetSeconds: 120,
    found: FAILED_TEST,
  },
  chaos: {
    command: ['simulators/chaos/main.ts', '--minutes', '1', '--seed', '11'],
    budgetSeconds: 240,
    found: /^FAIL the oracle on /,
  },
};
