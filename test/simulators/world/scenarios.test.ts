import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readPlan } from '../../../simulators/world/plan.ts';
import { runPlan } from '../../../simulators/world/world.ts';

const FOLDER = fileURLToPath(new URL('scenarios', import.meta.url));
const names = readdirSync(FOLDER).filter((name) => name.endsWith('.json'));

/** Each is the smallest world that showed a bug: one that we had, or one that we planted in a copy. */
describe('a world that once showed a bug', () => {
  it('is kept', () => {
    expect(names.length).toBeGreaterThan(0);
  });

  for (const name of names) {
    it(`is clean: ${name.replace('.json', '').replaceAll('-', ' ')}`, async () => {
      const report = await runPlan(readPlan(readFileSync(join(FOLDER, name), 'utf8')));
      expect(report.violations).toEqual([]);
      expect(report.events).toBeGreaterThan(0);
    });
  }
});
