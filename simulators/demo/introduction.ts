/** What is printed before the run. */
import { relative } from 'node:path';
import type { Rig } from '../rig/rig.ts';
import type { DemoOptions } from './options.ts';
import { ACK_LOSS, ACK_TIMEOUT_MS, PHONE } from './scenario.ts';
import type { Paint } from './terminal.ts';
import { count, counted } from './text.ts';

export function introduction({ rooms, messages }: DemoOptions, paint: Paint): string[] {
  const load = `${counted(rooms, 'room')} × ${counted(messages, 'message')}`;
  return ['', `${paint('bold', 'Roomline')}  ${load}, in order within every room`, ''];
}

export function parts(rig: Rig, { port, rooms, messages }: DemoOptions): string[] {
  const rows = [
    ['Pub/Sub', rig.pubsub.address, 'embedded; the load is published here'],
    [
      'Postgres',
      `${rig.postgres.host}:${rig.postgres.port}`,
      `version ${rig.postgres.major}, data in ${folder(rig.postgres.dataDirectory)}`,
    ],
    ['Roomline', rig.engine.url, `next message when the last is delivered, or after ${ACK_TIMEOUT_MS / 1_000} s`],
    ['platform', rig.platform.url, `fake; loses ${ACK_LOSS * 100} % of the acks`],
    [
      'phones',
      '',
      `take ${PHONE.medianMs / 1_000} s (median) to ${PHONE.p99Ms / 1_000} s (99th percentile) per message`,
    ],
  ];
  const taken = port !== 0 && new URL(rig.engine.url).port !== String(port);
  return [
    ...leftAligned(rows),
    ...(taken ? [`  Port ${port} is taken: Roomline listens on ${new URL(rig.engine.url).port}.`] : []),
    '',
    `The same ${count(rooms * messages)} messages, three ways, on the same platform:`,
  ];
}

function leftAligned(rows: readonly (readonly string[])[]): string[] {
  const widths = [0, 1].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) => `  ${row.map((text, column) => text.padEnd(widths[column] ?? 0)).join('  ')}`);
}

function folder(path: string): string {
  const below = relative(process.cwd(), path);
  return below.startsWith('..') ? path : below;
}
