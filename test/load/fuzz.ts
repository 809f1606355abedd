/** The fuzzer that draws requests from the OpenAPI document, for as long as one likes. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Scenario } from './scenario.ts';
import { RunNotClean } from './target.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SUITES = ['test/fuzz/contract.test.ts', 'test/http/bad-input.test.ts', 'test/fuzz/wire.test.ts'];
/** Beside what a request takes. */
const TIMEOUT_MS = 120_000;
const MS_PER_REQUEST = 50;

export const fuzz: Scenario = {
  describe: ({ requests }) =>
    `fuzz: ${requests} requests drawn from the contract, whole and broken, and the tables of bad input: each is answered in time, by a status, a code and a body that the contract has for it`,

  async measure({ options: { requests }, signal }) {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const command = ['node_modules/vitest/vitest.mjs', 'run', '--configLoader=native', '--no-cache'];
    const timeout = `--testTimeout=${TIMEOUT_MS + requests * MS_PER_REQUEST}`;
    const startedAt = performance.now();
    const child = spawn(process.execPath, [...command, timeout, ...SUITES], {
      cwd: ROOT,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, ROOMLINE_FUZZ_CASES: String(requests), ROOMLINE_FUZZ_SEED: String(seed) },
      signal,
    });
    const [code] = (await once(child, 'exit')) as [number | null];
    if (code !== 0) throw new RunNotClean(`a request was not answered as the contract says (seed ${seed})`);
    const took = (performance.now() - startedAt) / 1_000;
    return [
      { title: 'Requests drawn from the contract', head: ['requests', 'seed', 's'], rows: [[requests, seed, took]] },
    ];
  },
};
