/** Entry point of the `roomline` command. The parts that a command needs are loaded when it runs. */
import { readFileSync } from 'node:fs';
import { runCommand } from './program.ts';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

// Whoever read the output has had enough, such as `head`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

const status = await runCommand(process.argv.slice(2), {
  version,
  env: process.env,
  print: (text) => process.stdout.write(text),
  printError: (text) => process.stderr.write(text),
  fetch,
  stdin: process.stdin,
  serve: async (options) => (await import('../main.ts')).serve(options),
  migrate: async (databaseUrl, shards, serviceRole) =>
    (await import('../adapters/postgres/migrate.ts')).migrate(databaseUrl, {
      shards,
      ...(serviceRole === undefined ? {} : { serviceRole }),
    }),
  openDatabase: async (config) => (await import('./database-tool.ts')).openDatabaseTool(config),
});
// `serve` may have set a status of its own.
if (status !== 0) process.exitCode = status;
