/**
 * `npm run screenshots`: a fleet at work, and a picture of each view, light and dark, on a laptop and on a phone, into
 * docs/screenshots. `--minutes` says how long the fleet works before, 4 by default: charts have a point for each.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Browser } from 'playwright-core';
import { Fleet } from '../../simulators/cluster/fleet.ts';
import type { SettingsPatch } from '../../simulators/platform/settings.ts';
import { buildDashboard } from '../../simulators/rig/dashboard.ts';
import { type MessageRequest, RoomlineClient } from '../../src/client/client.ts';
import { LAPTOP, launchChromium, PHONE, Tab, type Theme } from './kit/browser.ts';
import { chromiumIsMissing, findChromium } from './kit/chromium.ts';
import { marked, refused, untilRoom } from './kit/traffic.ts';

const FOLDER = fileURLToPath(new URL('../../docs/screenshots/', import.meta.url));
const MOST_BYTES = 180_000;
const { values } = parseArgs({ options: { minutes: { type: 'string', default: '4' } } });
const MINUTES = Number(values.minutes);
const TICK_MS = 250;
const ROOMS = 900;
const FRONT = 'front-1';

const CHANNELS = {
  support: { ackTimeoutMs: 4_000 },
  orders: { ackTimeoutMs: 4_000 },
  campaign: { ackTimeoutMs: 4_000, channelLimit: { perSecond: 30, burst: 10 } },
  alerts: { ackTimeoutMs: 1_000, ackOutage: { afterMs: 8_000, minTimeouts: 10, gapMs: 400 } },
};

const PLATFORM: SettingsPatch = {
  message: {
    send: { responseDelayMs: { kind: 'lognormal', medianMs: 60, p99Ms: 300 } },
    phone: { delayMs: { kind: 'lognormal', medianMs: 600, p99Ms: 3_000 } },
    status: { loseAllProbability: 0.06 },
  },
  channels: { alerts: { message: { status: { loseAllProbability: 1 } } } },
};

/** Rooms that get two messages in a tick, by channel: the same in every run. */
const EACH_TICK = { support: 7, orders: 4, campaign: 4, alerts: 2 } as const;
const TEXTS = ['Your parcel is on its way.', 'Thanks, we are looking into it.', 'Your table is booked for 19:30.'];

/** @param star the room whose messages over time are pictured */
const viewsOf = (star: string) => [
  { name: 'overview', path: '/', ready: 'As it happens' },
  { name: 'rooms', path: '/rooms', ready: 'Rooms that have stayed where they are' },
  { name: 'room', path: `/rooms/support/${encodeURIComponent(star)}?message=4`, ready: 'Messages over time' },
  { name: 'trouble', path: '/trouble', ready: 'Select all on this page' },
  { name: 'fleet', path: '/fleet', ready: 'A worker is leased' },
  { name: 'try', path: '/try', ready: 'Lost acks' },
];

const program = findChromium();
if (program === null) {
  console.error(chromiumIsMissing('this command installs none'));
  process.exit(1);
}
await buildDashboard();
const directory = mkdtempSync(join(tmpdir(), 'roomline-screenshots-'));
// As root, Postgres runs under another account, which must be able to enter.
chmodSync(directory, 0o755);
let fleet: Fleet | null = null;
let browser: Browser | null = null;
const over = new AbortController();
try {
  fleet = await Fleet.start({
    directory,
    seed: 7,
    nodes: [
      { name: FRONT, roles: ['intake', 'api', 'webhook'] },
      ...['worker-1', 'worker-2', 'worker-3'].map((name) => ({ name, roles: ['worker'] as const })),
    ],
    channels: CHANNELS,
    platform: [PLATFORM],
    development: true,
    say: (line) => console.log(line),
  });
  const { url } = fleet.node(FRONT).process;
  const key = fleet.rig.apiKey;
  const api = new RoomlineClient({ url, key });
  await makeTrouble(api);
  const traffic = keepSending(api, over.signal);
  console.log(`The fleet works for ${MINUTES} min …`);
  await Promise.race([delay(MINUTES * 60_000), traffic]);
  await api.operations.rebalance({ weights: { 'worker-3': 1.6 }, pins: [{ first: 0, last: 31, name: 'worker-1' }] });

  browser = await launchChromium(program);
  mkdirSync(FOLDER, { recursive: true });
  const large: string[] = [];
  for (const [index, theme] of (['light', 'dark'] satisfies Theme[]).entries()) {
    for (const [screen, size, scale] of [
      ['laptop', LAPTOP, 1],
      ['phone', PHONE, 1.5],
    ] as const) {
      // One for each tab: it has something open for a minute only.
      const star = `+1555010004${2 * index + (screen === 'phone' ? 1 : 0)}`;
      await makeStar(api, star);
      const tab = await Tab.open(browser, url, { theme, size, scale });
      await tab.enter('/', key);
      for (const { name, path, ready } of viewsOf(star)) {
        await tab.page.goto(`${url}${path}`);
        await tab.page.getByText(ready).or(tab.page.getByLabel(ready)).first().waitFor();
        await tab.page.getByRole('status').filter({ hasText: 'Live' }).waitFor();
        // Charts and rates are of the last seconds.
        await delay(name === 'overview' ? 12_000 : 1_500);
        const file = join(FOLDER, `${name}-${screen}-${theme}.png`);
        await tab.page.screenshot({ path: file });
        const { size: bytes } = statSync(file);
        console.log(`${file} ${Math.round(bytes / 1_000)} kB`);
        if (bytes > MOST_BYTES) large.push(file);
      }
      if (tab.complaints.length > 0) throw new Error(tab.complaints.join('\n'));
      await tab.close();
    }
  }
  if (large.length > 0) throw new Error(`larger than ${MOST_BYTES / 1_000} kB: ${large.join(', ')}`);
  over.abort();
  await traffic;
} finally {
  over.abort();
  await browser?.close();
  await fleet?.stop();
  rmSync(directory, { recursive: true, force: true });
}

/** Users of all channels, at an even pace until the signal. */
async function keepSending(api: RoomlineClient, signal: AbortSignal): Promise<void> {
  for (let tick = 0; !signal.aborted; tick++) {
    const messages = Object.entries(EACH_TICK).flatMap(([channel, count]) =>
      Array.from({ length: 2 * count }, (_, index): MessageRequest => {
        const room = `+1555010${1_000 + ((tick * count + (index >> 1)) % ROOMS)}`;
        return { channel, room, content: { text: TEXTS[(tick + index) % TEXTS.length] ?? '' } };
      }),
    );
    for await (const result of api.publishAll(messages)) if ('error' in result) throw result.error;
    await delay(TICK_MS, null, { signal }).catch(() => undefined);
  }
}

/** Dead letters of several kinds, and rooms that wait for somebody. */
async function makeTrouble(api: RoomlineClient): Promise<void> {
  const codes = ['number_unknown', 'user_blocked', 'number_unknown', 'window_closed', 'number_unknown', 'user_blocked'];
  const messages = codes.flatMap((code, kind) =>
    Array.from({ length: 3 }, (_, index): MessageRequest => {
      const channel = kind % 2 === 0 ? 'support' : 'orders';
      return { channel, room: `+1555019${1_000 + kind * 10 + index}`, content: { text: refused(code) } };
    }),
  );
  const held = Array.from(
    { length: 4 },
    (_, index): MessageRequest => ({
      channel: 'orders',
      room: `+1555018${1_000 + index}`,
      content: { text: refused('template_paused') },
      failurePolicy: 'hold',
    }),
  );
  for await (const result of api.publishAll([...messages, ...held])) if ('error' in result) throw result.error;
}

/** A room in which everything happens that can: a lost ack, a refusal that is tried again, an answer that never comes. */
async function makeStar(api: RoomlineClient, room: string): Promise<void> {
  const later = { kind: 'refuse', probability: 1, attempts: 2, status: 503, scope: 'message', permanent: false };
  const quick = { phone: { delayMs: 700 }, status: { loseAllProbability: 0 } };
  const texts = [
    marked('Hello', quick),
    marked('Your order has been packed.', { ...quick, phone: { delayMs: 1_900 } }),
    marked('It is on its way.', { status: { loseAllProbability: 1 } }),
    marked('It arrives today.', { ...quick, send: { faults: { later } } }),
    marked('It is at your door.', quick),
    marked('How was it?', { ...quick, phone: { delayMs: 3_400 } }),
    marked('Thank you.', { phone: { delayMs: 600_000 } }),
    'See you soon.',
  ];
  const messages = texts.map((text, index): MessageRequest => {
    const last = index >= texts.length - 2;
    return {
      channel: 'support',
      room,
      messageId: `order-77-${index + 1}`,
      content: { text },
      ...(last ? { ackTimeoutMs: 600_000 } : {}),
    };
  });
  for await (const result of api.publishAll(messages)) if ('error' in result) throw result.error;
  await untilRoom(api, room, ({ head, phase }) => head === texts.length - 1 && phase === 'awaiting_ack', 'support');
}
