import { cpSync, lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { binariesIn, embeddedBinaries, embeddedPackage } from '../../../simulators/postgres/binaries.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'roomline-binaries-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('the embedded programs', () => {
  it('are completed where the package was installed without its install script', () => {
    const links = JSON.parse(readFileSync(join(embeddedPackage(), 'native', 'pg-symlinks.json'), 'utf8')) as unknown[];
    expect(links.length).toBeGreaterThan(0);
    // As "npm ci --ignore-scripts" leaves it: without any link.
    const installed = join(folder, 'package');
    cpSync(embeddedPackage(), installed, { recursive: true, filter: (path) => !lstatSync(path).isSymbolicLink() });
    const said: string[] = [];
    for (let time = 0; time < 2; time++) {
      const { directory, major } = embeddedBinaries(null, (line) => said.push(line), installed);
      expect({ directory, major }).toEqual({ directory: join(installed, 'native', 'bin'), major: 18 });
    }
    const libraries = join(installed, 'native', 'lib');
    const made = readdirSync(libraries).filter((name) => lstatSync(join(libraries, name)).isSymbolicLink());
    expect(made).toHaveLength(links.length);
    expect(said).toEqual([]);
  });
});

describe('the programs in a folder', () => {
  it('are refused with the reason where they are none', () => {
    expect(() => binariesIn(folder, null)).toThrow(/no usable Postgres in .*ENOENT/);
  });
});
