/**
 * Tests the tests of the Postgres store: takes one predicate, one lock or one distinction at a time out of every statement
 * that writes, or out of those that are named, and runs the behaviour, fence and interleaving tests on that. By hand, for
 * it takes hours:
 *
 *   node test/adapters/postgres/mutate-sql.ts [statement …]
 *
 * Prints what became of each mutant. Ends with 1 where one survives for which no reason is known, or where one is
 * noticed after all that a reason was given for.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { mutantsOf } from './sql-mutants.ts';
import { SURVIVORS } from './sql-survivors.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const SQL = 'src/adapters/postgres/sql';
const COPIED = ['src', 'test', 'simulators', 'config', 'package.json', 'vitest.config.ts', 'tsconfig.json'];
/** The quickest first: the first failure ends a run. */
const TESTS = [
  'conformance/operator-stores',
  'conformance/postgres',
  'fences',
  'rest',
  'rooms',
  'maintenance',
  'fleet',
  'fleet-operations',
  'another-history',
  'interleavings/direct',
];
/** One server is enough: what a predicate is for does not depend on its version. */
const ONLY = 'embedded \\d+(?!.*pooled)';

const WRITES = /\b(?:INSERT INTO|UPDATE [a-z]+|DELETE FROM|FOR NO KEY UPDATE)\b/;

const checkout = mkdtempSync(join(tmpdir(), 'roomline-mutants-'));
try {
  for (const path of COPIED) cpSync(join(ROOT, path), join(checkout, path), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(checkout, 'node_modules'));
  const failures = await runTests();
  if (failures !== null) throw new Error(`the tests fail without any mutant:\n${failures}`);
  process.exitCode = (await tryAll(process.argv.slice(2))) ? 0 : 1;
} finally {
  rmSync(checkout, { recursive: true, force: true });
}

async function tryAll(wanted: readonly string[]): Promise<boolean> {
  const counts = { noticed: 0, explained: 0, unexplained: 0, outdated: 0 };
  for (const file of readdirSync(join(ROOT, SQL)).sort()) {
    const statement = file.replace('.sql', '');
    const sql = readFileSync(join(ROOT, SQL, file), 'utf8');
    if (wanted.length > 0 ? !wanted.includes(statement) : !WRITES.test(sql)) continue;
    for (const mutant of mutantsOf(statement, sql)) {
      writeFileSync(join(checkout, SQL, file), mutant.text);
      const noticed = (await runTests()) !== null;
      const reason = SURVIVORS[mutant.name];
      const verdict = noticed
        ? reason === undefined
          ? 'noticed'
          : 'outdated'
        : reason === undefined
          ? 'unexplained'
          : 'explained';
      counts[verdict]++;
      process.stdout.write(`${verdict.padEnd(11)} ${mutant.name}${reason === undefined ? '' : `: ${reason}`}\n`);
    }
    writeFileSync(join(checkout, SQL, file), sql);
  }
  process.stdout.write(
    `${Object.entries(counts)
      .map(([verdict, count]) => `${count} ${verdict}`)
      .join(', ')}\n`,
  );
  return counts.unexplained === 0 && counts.outdated === 0;
}

/** Null where every test passes, else what was said. */
async function runTests(): Promise<string | null> {
  const paths = TESTS.map((name) =>
    name.startsWith('conformance') ? `test/${name}.test.ts` : `test/adapters/postgres/${name}.test.ts`,
  );
  const args = ['node_modules/vitest/vitest.mjs', 'run', '--configLoader=native', '--bail=1', '-t', ONLY, ...paths];
  const child = spawn(process.execPath, args, { cwd: checkout, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stdout.on('data', (data: Buffer) => (said += data.toString()));
  child.stderr.on('data', (data: Buffer) => (said += data.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return code === 0 ? null : said;
}
