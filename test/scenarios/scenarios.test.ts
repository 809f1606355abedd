/**
 * Every transcript of this folder, played again: what is written under its lines must be what is decided today.
 * `REWRITE_SCENARIOS=1 npx vitest run test/scenarios` writes the answers anew; review the difference as prose.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { play } from './transcript.ts';

const FOLDER = new URL('./', import.meta.url);
const NAMES = readdirSync(FOLDER).filter((name) => name.endsWith('.txt'));

describe('scenarios', () => {
  test('there are transcripts', () => {
    expect(NAMES.length).toBeGreaterThan(25);
  });

  test.each(NAMES)('%s', (name) => {
    const file = new URL(name, FOLDER);
    const written = readFileSync(file, 'utf8');
    expect(written).toMatch(/^# .+\n# .*R[1-7].*\n\n/);
    const played = play(written);
    if (process.env.REWRITE_SCENARIOS === '1') writeFileSync(file, played);
    else expect(played).toBe(written);
  });
});
