import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { chromiumIsMissing, findChromium, installChromium } from './kit/chromium.ts';

it('is what CHROMIUM_PATH names, else the first on the path', () => {
  const folder = mkdtempSync(join(tmpdir(), 'roomline-find-chromium-'));
  try {
    const [named, onPath] = [join(folder, 'named'), join(folder, 'chromium')];
    for (const program of [named, onPath]) writeFileSync(program, '');
    expect(findChromium({ CHROMIUM_PATH: named, PATH: folder })).toBe(named);
    expect(findChromium({ PATH: folder })).toBe(onPath);
    expect(() => findChromium({ CHROMIUM_PATH: join(folder, 'none'), PATH: folder })).toThrow(/CHROMIUM_PATH/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

it('is installed by apt where that may be, and one line says what to do where it is not', () => {
  expect(installChromium((_, [verb]) => (verb === '--version' ? 0 : 100), true)).toMatch(/could not/);
  expect(installChromium(() => 0, true)).toBeNull();
  const line = chromiumIsMissing(installChromium(() => 0, false));
  expect(line).toMatch(/may not install it: .*apt-get install chromium.*CHROMIUM_PATH/);
  expect(line).not.toContain('\n');
});
