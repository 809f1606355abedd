/**
 * The page while very many rooms are live: a system of its own, every room with messages under way, and what that costs
 * the page and the process that serves it. Used by a test, which bounds the figures, and by the command that prints them.
 */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { buildDashboard } from '../../../simulators/rig/dashboard.ts';
import { type Rig, startRig } from '../../../simulators/rig/rig.ts';
import { RoomlineClient } from '../../../src/client/client.ts';
import { eventually } from '../../support/events.ts';
import { type LongTasks, launchChromium, Tab } from './browser.ts';

export interface CrowdOptions {
  readonly program: string;
  readonly rooms: number;
  /** Handed in for each room before the page is looked at. */
  readonly messages: number;
  /** How long each view is looked at. */
  readonly watchMs: number;
  readonly views: readonly CrowdView[];
  readonly say?: (line: string) => void;
}

export interface CrowdView {
  readonly path: string;
  readonly name: string;
}

export interface ViewFigures {
  readonly view: string;
  /** Rooms that have an unsettled message, at the end of the look. */
  readonly liveRooms: number;
  readonly settledPerSecond: number;
  readonly framesPerSecond: number;
  readonly longestFrameMs: number;
  /** Of a processor, for each frame: below 16 for 60 in a second. Unlike the others it hardly depends on other work. */
  readonly processorMsPerFrame: number;
  readonly longTasks: LongTasks;
  /** Of the page's script, after a collection. */
  readonly heapBytes: number;
  readonly elements: number;
  readonly complaints: readonly string[];
}

export interface CrowdFigures {
  readonly rooms: number;
  readonly views: readonly ViewFigures[];
  /** Of one core, by the process that serves page and feed and sends as well: without anybody looking, and with. */
  readonly processorShare: { readonly unwatched: number; readonly watched: number };
}

/** The quickest that a message of the crowd is acked, and the slowest: a room is never long without one under way. */
const ACK_MS = { kind: 'uniform', minMs: 10_000, maxMs: 20_000 } as const;
const BATCH_DEADLINE_MS = 120_000;

export async function measureCrowd(options: CrowdOptions): Promise<CrowdFigures> {
  const { program, rooms, messages, watchMs, views, say = () => undefined } = options;
  await buildDashboard();
  const directory = mkdtempSync(join(tmpdir(), 'roomline-dashboard-crowd-'));
  // As root, Postgres runs under another account, which must be able to enter.
  chmodSync(directory, 0o755);
  let rig: Rig | null = null;
  try {
    say('Postgres, the platform and Roomline …');
    rig = await startRig({
      directory,
      channels: { main: { ackTimeoutMs: 60_000 } },
      leanPlatform: { defaults: { ackDelayMs: ACK_MS, batch: { size: 200, lingerMs: 20 } } },
    });
    const { engine, apiKey } = rig;
    const api = new RoomlineClient({ url: engine.url, key: apiKey });
    say(`${rooms} rooms with ${messages} messages each …`);
    for await (const result of api.publishAll(crowd(rooms, messages))) if ('error' in result) throw result.error;
    const liveRooms = async () => {
      const { stages } = await eventually('all is counted', async () => {
        const pipeline = await api.pipeline();
        return pipeline.complete && pipeline;
      });
      const { waiting, sending, awaitingAck, backingOff, unknown, held } = stages;
      return [waiting, sending, awaitingAck, backingOff, unknown, held].reduce((sum, { rooms: some }) => sum + some, 0);
    };
    await eventually('all rooms are live', async () => (await liveRooms()) >= rooms, {
      deadlineMs: BATCH_DEADLINE_MS,
      everyMs: 250,
    });
    const processor = await shareOfACore(rig, watchMs);

    const browser = await launchChromium(program);
    try {
      const figures: ViewFigures[] = [];
      const processes = await browser.newBrowserCDPSession();
      const rendererMs = async () => {
        const { processInfo } = await processes.send('SystemInfo.getProcessInfo');
        return (
          1_000 * processInfo.filter(({ type }) => type === 'renderer').reduce((sum, each) => sum + each.cpuTime, 0)
        );
      };
      const tab = await Tab.open(browser, engine.url, { reducedMotion: false });
      await tab.enter('/', apiKey);
      let watched = 0;
      for (const { path, name } of views) {
        say(`${name} …`);
        await tab.page.goto(`${engine.url}${path}`);
        await tab.page.getByRole('status').filter({ hasText: 'Live' }).waitFor();
        await tab.longTasks();
        const settledBefore = await settled(rig);
        const rendererBefore = await rendererMs();
        const [frames, share] = await Promise.all([tab.frames(watchMs), shareOfACore(rig, watchMs)]);
        const processorMs = (await rendererMs()) - rendererBefore;
        watched += share / views.length;
        figures.push({
          view: name,
          liveRooms: await liveRooms(),
          settledPerSecond: Math.round(((await settled(rig)) - settledBefore) / (watchMs / 1_000)),
          framesPerSecond: Math.round(frames.count / (watchMs / 1_000)),
          longestFrameMs: frames.longestMs,
          processorMsPerFrame: Math.round((10 * processorMs) / frames.count) / 10,
          longTasks: await tab.longTasks(),
          heapBytes: await tab.heapBytes(),
          elements: await tab.page.evaluate<number>('document.querySelectorAll("*").length'),
          complaints: tab.complaints,
        });
      }
      return { rooms, views: figures, processorShare: { unwatched: processor, watched } };
    } finally {
      await browser.close();
    }
  } finally {
    await rig?.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

function* crowd(rooms: number, messages: number) {
  for (let index = 1; index <= messages; index++) {
    for (let number = 1; number <= rooms; number++) {
      yield { channel: 'main', room: `crowd-${number}`, content: { text: `Message ${index}` } };
    }
  }
}

async function settled({ engine }: Rig): Promise<number> {
  return (await engine.metrics()).sum('roomline_messages_settled_total');
}

/** What the process used of a core over so long, 0 to 1 and above. */
async function shareOfACore({ engine }: Rig, forMs: number): Promise<number> {
  const used = async () => (await engine.metrics()).sum('process_cpu_seconds_total');
  const [before, from] = [await used(), performance.now()];
  await delay(forMs);
  return ((await used()) - before) / ((performance.now() - from) / 1_000);
}
