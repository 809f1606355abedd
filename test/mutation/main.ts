/**
 * `npm run mutate`: changes the pure core in every small way that Stryker knows, and demands that its tests notice.
 * Fails below 90 %, and where a mutant survives that `survivors.ts` does not explain. Takes about twenty minutes;
 * arguments are handed to Stryker, such as `--mutate src/room/ack.ts`. With `--report` the last run is judged again.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SURVIVORS, type Survivor } from './survivors.ts';

interface Report {
  readonly files: Readonly<Record<string, { readonly source: string; readonly mutants: readonly Mutant[] }>>;
}

interface Mutant {
  readonly status: 'Killed' | 'Timeout' | 'Survived' | 'NoCoverage' | 'RuntimeError' | 'CompileError' | 'Ignored';
  readonly replacement: string;
  readonly location: { readonly start: { readonly line: number; readonly column: number } };
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const REPORT = join(ROOT, '.roomline/mutation/report.json');

process.exitCode = main(process.argv.slice(2)) ? 0 : 1;

function main(args: readonly string[]): boolean {
  if (!args.includes('--report')) {
    rmSync(REPORT, { force: true });
    const command = [join(ROOT, 'node_modules/@stryker-mutator/core/bin/stryker.js'), 'run'];
    spawnSync(process.execPath, [...command, 'test/mutation/stryker.json', ...args], { cwd: ROOT, stdio: 'inherit' });
  }
  if (!existsSync(REPORT)) return false;
  return judge(JSON.parse(readFileSync(REPORT, 'utf8')) as Report);
}

function judge({ files }: Report): boolean {
  const unused = new Set(SURVIVORS);
  let killed = 0;
  let survived = 0;
  let unexplained = 0;
  for (const [path, { source, mutants }] of Object.entries(files)) {
    const lines = source.split('\n');
    for (const { status, replacement, location } of mutants) {
      if (status === 'Killed' || status === 'Timeout') killed++;
      if (status !== 'Survived' && status !== 'NoCoverage') continue;
      survived++;
      const line = lines[location.start.line - 1]?.trim() ?? '';
      const explanation = SURVIVORS.find((one) => explains(one, basename(path), line, replacement));
      if (explanation !== undefined) {
        unused.delete(explanation);
        continue;
      }
      unexplained++;
      console.log(
        `unexplained: ${path}:${location.start.line}:${location.start.column}\n    ${line}\n    ${replacement}`,
      );
    }
  }
  for (const { file, line, replacement } of unused) {
    if (!Object.keys(files).some((path) => basename(path) === file)) continue;
    console.log(`explained, but it does not survive: ${file}: ${line} → ${replacement}`);
  }
  const score = (100 * killed) / (killed + survived);
  console.log(`${killed} mutants killed, ${survived} survived (${unexplained} unexplained): ${score.toFixed(1)} %`);
  return score >= 90 && unexplained === 0;
}

function explains(one: Survivor, file: string, line: string, replacement: string): boolean {
  return one.file === file && one.line === line && one.replacement === replacement.split('\n')[0];
}
