/**
 * Pictures behind texts, on two WhatsApp numbers in one run: on one they are uploaded while the text waits for its ack,
 * on the other they go as links, which the platform then fetches. Both ways take the same time for the same picture.
 */
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { instant } from '../../simulators/platform/settings.ts';
import { withMark } from '../../simulators/platform/text-mark.ts';
import { type Form, load } from '../../simulators/rig/publisher.ts';
import { type Rig, startRig } from '../../simulators/rig/rig.ts';
import { CERTIFICATE, file, startFiles } from '../support/files.ts';
import { sayProfile, startEngine } from './engine.ts';
import { ascending, figure, quantile } from './figures.ts';
import { Observations } from './observations.ts';
import type { BenchOptions } from './options.ts';
import { judge } from './system.ts';
import { LONG_ACK_TIMEOUT_MS, RUN_DEADLINE_MS, type Workload } from './workload.ts';

/** An upload, and the platform's own fetching of a link. */
const MEDIA_MS = 500;
/** Of a delivery: longer than an upload, as the way to a phone mostly is. */
const DELIVERY_MS = 1_000;
const WAYS = ['ahead', 'linked'] as const;
type Way = (typeof WAYS)[number];
const NUMBERS: Readonly<Record<Way, string>> = { ahead: '900000000000002', linked: '900000000000003' };

export const media: Workload = {
  describe(options) {
    const { rooms, messages } = sizeOf(options);
    return `media: on each of two numbers ${rooms} rooms × ${messages} messages, every second one a picture; an upload or the fetching of a link takes ${MEDIA_MS} ms, a delivery ${DELIVERY_MS} ms`;
  },

  async measure(context) {
    const { options, run, signal, say } = context;
    const { rooms, messages } = sizeOf(options);
    const directory = join(tmpdir(), `roomline-bench-${randomBytes(6).toString('hex')}`);
    const files = await startFiles(file(), CERTIFICATE);
    const policy = (way: Way): object => ({
      ackTimeoutMs: LONG_ACK_TIMEOUT_MS,
      channelLimit: { perSecond: 0 },
      roomLimit: { everyMs: 0 },
      whatsapp: { phoneNumberId: NUMBERS[way] },
      media: { prepare: way === 'ahead', allowedHosts: [files.host], maxConcurrent: 64 },
      ...options.channel,
    });
    const form: Form = ({ room, messageId, content: { run: name, index } }) => {
      const text = withMark('Look', { run: name, key: messageId });
      const to = `+1555${1_000_000 + Number(/\d+$/.exec(room)?.[0])}`;
      if (index % 2 === 1) return { to, content: { type: 'text', text: { body: text } } };
      return { to, content: { type: 'image', image: { link: files.link(`/${index}.jpg`), caption: text } } };
    };
    try {
      const rig = await startRig({
        directory,
        profile: 'whatsapp',
        platformTls: true,
        channels: { ahead: policy('ahead'), linked: policy('linked') },
        settings: options.settings,
        platform: [
          instant,
          {
            message: { phone: { delayMs: DELIVERY_MS }, status: { sent: { probability: 0 } } },
            channel: {
              limit: null,
              pairLimit: null,
              media: { uploadDelayMs: MEDIA_MS, linkDelayMs: MEDIA_MS },
              webhooks: { batch: { minSize: 1, maxSize: 1, lingerMs: 0 }, connections: 512 },
            },
          },
        ],
        startEngine: false,
        signal,
        warn: say,
      });
      try {
        await startEngine(rig, context);
        const published = new Map<Way, ReturnType<Rig['publisher']>['log']>();
        await Promise.all(
          WAYS.map(async (way) => {
            const { publisher, log } = rig.publisher(`${run}-${way}`);
            published.set(way, log);
            await publisher.publish(load(`${run}-${way}`, way, rooms, messages), { form, signal });
          }),
        );
        await rig.untilDrained({ deadlineMs: RUN_DEADLINE_MS, signal });
        await rig.untilQuiet({ deadlineMs: RUN_DEADLINE_MS, signal });
        await rig.engine.stop();
        sayProfile(context);
        const measured = { ahead: await seen(rig, 'ahead'), linked: await seen(rig, 'linked') };
        const ratio = (share: (of: Measured) => number): number => share(measured.ahead) / share(measured.linked);
        const each = WAYS.flatMap((way) => [
          figure(`${way}: from ack to request of the picture, p50`, 'ms', half(measured[way].sent)),
          figure(`${way}: from ack to picture on the phone, p50`, 'ms', half(measured[way].shown)),
          figure(`${way}: pictures that went as an upload`, '%', measured[way].uploadedShare * 100),
        ]);
        return {
          ratios: [],
          figures: [
            figure(
              'ack to picture on the phone, ahead / linked, p50',
              '×',
              ratio(({ shown }) => half(shown)),
            ),
            figure(
              'ack to request of the picture, ahead / linked, p50',
              '×',
              ratio(({ sent }) => half(sent)),
            ),
            ...each,
          ],
        };

        async function seen(rig: Rig, way: Way): Promise<Measured> {
          const observations = new Observations(`${run}-${way}`);
          const pictures = [...(published.get(way)?.entries() ?? [])];
          const judged = {
            // What goes as an upload is another content than the link that was published.
            published: pictures.map(({ hash: _hash, ...entry }) => entry),
            final: await rig.database.finalState(way),
            options: {
              unlockedBy: ['delivered' as const],
              ackTimeoutMs: LONG_ACK_TIMEOUT_MS,
              expectedMessages: rooms * messages,
            },
          };
          await judge(rig, way, judged, observations);
          return measure(rig, `${run}-${way}`);
        }
      } finally {
        await rig.stop();
      }
    } finally {
      await files.close();
      rmSync(directory, { recursive: true, force: true });
    }
  },
};

interface Measured {
  /** From the ack before a picture to its request, and to its arrival; ms, ascending. */
  readonly sent: readonly number[];
  readonly shown: readonly number[];
  readonly uploadedShare: number;
}

async function measure(rig: Rig, run: string): Promise<Measured> {
  const keys = new Map<number, string>();
  const ackedAt = new Map<string, number>();
  const receivedAt = new Map<string, number>();
  const shownAt = new Map<string, number>();
  let uploaded = 0;
  for await (const record of rig.platform.groundTruth()) {
    if (record.t === 'receipt' && record.m !== undefined && record.key?.startsWith(`${run}/`)) {
      keys.set(record.m, record.key);
      receivedAt.set(record.key, record.at);
      if (record.media !== undefined) uploaded++;
    } else if (record.t === 'shown') {
      shownAt.set(keys.get(record.m) ?? '', record.at);
    } else if (record.t === 'call') {
      for (const m of record.m) ackedAt.set(keys.get(m) ?? '', record.at);
    }
  }
  const pictures = [...receivedAt.keys()].filter((key) => Number(key.slice(key.lastIndexOf('/') + 1)) % 2 === 0);
  const since = (key: string, at: ReadonlyMap<string, number>): number => {
    const slash = key.lastIndexOf('/');
    const before = `${key.slice(0, slash)}/${Number(key.slice(slash + 1)) - 1}`;
    return (at.get(key) ?? Number.NaN) - (ackedAt.get(before) ?? Number.NaN);
  };
  return {
    sent: ascending(pictures.map((key) => since(key, receivedAt))),
    shown: ascending(pictures.map((key) => since(key, shownAt))),
    uploadedShare: uploaded / pictures.length,
  };
}

function half(values: readonly number[]): number {
  return quantile(values, 0.5);
}

function sizeOf({ rooms, messages }: BenchOptions): { rooms: number; messages: number } {
  return { rooms: rooms ?? 20, messages: messages ?? 6 };
}
