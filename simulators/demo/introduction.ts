/** What is printed before the run. */
import { relative } from 'node:path';
import type { Rig } from '../rig/rig.ts';
import { DEMO_CHANNELS } from './channels.ts';
import type { DemoOptions } from './options.ts';
import type { Paint } from './terminal.ts';
import { count, counted } from './text.ts';

export function introduction({ channel, rooms, messages }: DemoOptions, paint: Paint): string[] {
  const load = `${counted(rooms, 'room')} × ${counted(messages, 'message')}`;
  const { on = '' } = DEMO_CHANNELS[channel].words;
  return ['', `${paint('bold', 'Roomline')}  ${load}${on}, in order within every room`, ''];
}

/** What is told of the running parts. */
export interface Running {
  readonly pubsub: Pick<Rig['pubsub'], 'address'>;
  readonly postgres: Pick<Rig['postgres'], 'host' | 'port' | 'major' | 'dataDirectory'>;
  readonly engine: Pick<Rig['engine'], 'url'>;
  readonly platform: Pick<Rig['platform'], 'url'>;
}

export function parts(rig: Running, { channel, port, rooms, messages }: DemoOptions): string[] {
  const { words } = DEMO_CHANNELS[channel];
  const rows = [
    ['Pub/Sub', rig.pubsub.address, 'embedded; the load is published here'],
    [
      'Postgres',
      `${rig.postgres.host}:${rig.postgres.port}`,
      `version ${rig.postgres.major}, data in ${folder(rig.postgres.dataDirectory)}`,
    ],
    ['Roomline', rig.engine.url, words.next],
    [words.platform, rig.platform.url, words.fake],
    ['phones', '', words.phones],
  ];
  const taken = port !== 0 && new URL(rig.engine.url).port !== String(port);
  return [
    ...leftAligned(rows),
    ...(words.limit === undefined ? [] : [`  ${words.limit}`]),
    ...(taken ? [`  Port ${port} is taken: Roomline listens on ${new URL(rig.engine.url).port}.`] : []),
    '',
    `The same ${count(rooms * messages)} messages, three ways, on the same platform:`,
  ];
}

/** Where to watch. */
export function dashboard(url: string, apiKey: string, paint: Paint): string[] {
  return [`  Watch it at ${paint('bold', `${url}/`)}`, `  sign in with  ${paint('bold', apiKey)}`];
}

function leftAligned(rows: readonly (readonly string[])[]): string[] {
  const widths = [0, 1].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) => `  ${row.map((text, column) => text.padEnd(widths[column] ?? 0)).join('  ')}`);
}

function folder(path: string): string {
  const below = relative(process.cwd(), path);
  return below.startsWith('..') ? path : below;
}
