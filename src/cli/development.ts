/** `roomline development`: what only a machine without real messages lets one do. */
import type { Command } from 'commander';
import { type ApiAccess, clientOf } from './api.ts';
import { json, jsonAnyway } from './output.ts';

export interface DevelopmentCommandContext {
  readonly access: ApiAccess;
  readonly print: (text: string) => void;
}

export function addDevelopmentCommands(program: Command, { access, print }: DevelopmentCommandContext): void {
  const development = program
    .command('development')
    .description('development mode: the database and the fake platform');

  jsonAnyway(development.command('status'))
    .description('show whether the process is in development mode, and how the fake platform behaves')
    .action(async () => {
      const client = clientOf(access);
      const status = await client.development.get();
      print(json(status.platform ? { ...status, platform: await client.development.platform() } : status));
    });

  jsonAnyway(development.command('reset'))
    .description('delete all rooms, messages, dead letters, failures and charts')
    .argument('<database>', 'the name of the database: a confirmation')
    .action(async (database: string) => print(json(await clientOf(access).development.reset(database))));
}
