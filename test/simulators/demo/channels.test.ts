/** What the demonstration sends to each platform, as the fake one of that name reads it; and what it says of it. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { DEMO_CHANNELS } from '../../../simulators/demo/channels.ts';
import { introduction, parts } from '../../../simulators/demo/introduction.ts';
import type { DemoOptions } from '../../../simulators/demo/options.ts';
import { summary, waysToGoOn } from '../../../simulators/demo/report.ts';
import { rigOptions } from '../../../simulators/demo/scenario.ts';
import { plain } from '../../../simulators/demo/terminal.ts';
import { contentHash } from '../../../simulators/platform/content-hash.ts';
import { PROFILES, type ProfileName } from '../../../simulators/platform/profiles.ts';
import { changeSettings, defaultSettings } from '../../../simulators/platform/settings.ts';
import { directToken } from '../../../simulators/rig/credentials.ts';
import { load } from '../../../simulators/rig/publisher.ts';
import { PRINTED } from './made-up.ts';

const NAMES = Object.keys(DEMO_CHANNELS) as ProfileName[];
const REAL = NAMES.filter((name) => name !== 'generic');
const DEFAULTS = JSON.parse(readFileSync(new URL('../../../config/default.json', import.meta.url), 'utf8'));

function settingsOf(name: ProfileName): {
  readonly ackTimeoutMs: number;
  readonly channelLimit: { perSecond: number };
} {
  return { ...DEFAULTS.channelDefaults, ...DEFAULTS.platformDefaults[name] };
}

function optionsFor(channel: ProfileName): DemoOptions {
  const { rooms, messages } = DEMO_CHANNELS[channel];
  return { channel, rooms, messages, exit: true, json: null, port: 8_080, data: '/data', seed: 1 };
}

const RUNNING = {
  pubsub: { address: '127.0.0.1:1' },
  postgres: { host: '127.0.0.1', port: 2, major: 18, dataDirectory: '/data/postgres' },
  engine: { url: 'http://127.0.0.1:8080' },
  platform: { url: 'http://127.0.0.1:4' },
} as const;

const printed = (channel: ProfileName): string[] => [
  ...introduction(optionsFor(channel), plain),
  ...parts(RUNNING, optionsFor(channel)),
];

describe('every platform', () => {
  it('that the fake one can be has a demonstration', () => {
    expect(NAMES.sort()).toEqual(Object.keys(PROFILES).sort());
  });
});

describe.each(NAMES)('a message on %s', (name) => {
  const channel = DEMO_CHANNELS[name];
  const profile = PROFILES[name];
  const messages = [...load('r1', 'demo', 1_200, 2)];
  const first = messages[0]!;
  const token = directToken(name);
  const directly = (message: (typeof messages)[number]) => {
    const { to = message.room, content } = channel.form(message);
    return channel.direct({ token, reference: 'r1-0-0', to, content });
  };
  const read = (message: (typeof messages)[number]) => {
    const { path, headers, body } = directly(message);
    const { channel: knobs } = changeSettings(defaultSettings, profile.settings);
    return profile.readSend(
      headers,
      Buffer.from(body),
      { ...knobs, request: { ...knobs.request, requireRoomlineHeaders: false } },
      path,
    );
  };

  it('is one that the platform takes, from who it is told', () => {
    const { path, headers } = directly(first);
    expect(profile.route('POST', path)).toBe('send');
    expect(profile.credential(headers, path)).toBe(token);
    expect(read(first)).not.toHaveProperty('refusal');
  });

  it('arrives with its name, and with the digest that the publisher logs', () => {
    expect(read(first)).toMatchObject({ key: first.messageId, run: 'r1' });
    const { content } = read(first) as { content: unknown };
    expect(contentHash(content)).toBe(contentHash(channel.form(first).content));
  });

  it('goes to one recipient for each room', () => {
    const recipients = messages.map((message) => (read(message) as { to: string }).to);
    expect(new Set(recipients).size).toBe(1_200);
    expect(recipients.slice(0, 1_200)).toEqual(recipients.slice(1_200));
  });
});

describe.each(REAL)('the demonstration of %s', (name) => {
  const channel = DEMO_CHANNELS[name];
  const { words, ackTimeoutMs } = channel;

  it('says what it shows, in lines that fit a terminal', () => {
    const lines = printed(name);
    expect(lines.join('\n')).toContain(words.platform);
    expect(lines.filter((line) => line.length > 130)).toEqual([]);
  });

  it('waits as long for an ack as the platform has it by default, and says so', () => {
    expect(ackTimeoutMs).toBe(settingsOf(name).ackTimeoutMs);
    if (channel.ack !== null) expect(words.next).toContain(`after ${ackTimeoutMs / 1_000} s`);
  });

  it('says which limits hold', () => {
    expect(printed(name)).toContain(`  ${words.limit}`);
  });

  it('lets the ways without Roomline off every limit', () => {
    const { platform = [] } = rigOptions(channel, { atOnce: 'a', pause: 'b' });
    const settings = [PROFILES[name].settings, ...platform].reduce(changeSettings, defaultSettings);
    for (const way of ['at-once', 'fixed-pause']) {
      const none = { limit: null, pairLimit: null, heavyLimit: null, groupLimit: null, queue: null };
      expect(settings.channels[way]?.knobs).toMatchObject(none);
      expect(settings.accounts[settings.channels[way]?.account ?? way]).toEqual({ limit: null });
    }
  });
});

describe('the limit that a demonstration names', () => {
  it.each(REAL.filter((name) => settingsOf(name).channelLimit.perSecond > 0))('is that of %s by default', (name) => {
    const { limit = '' } = DEMO_CHANNELS[name].words;
    const { perSecond } = settingsOf(name).channelLimit;
    expect(limit).toContain(`${perSecond} messages/s`);
    const { rooms, messages, leastPerSecond } = DEMO_CHANNELS[name];
    expect(leastPerSecond).toBeLessThan(perSecond);
    // Well within two minutes.
    expect((rooms * messages) / perSecond).toBeLessThan(60);
  });

  it('is that of the queue on twilio', () => {
    const { queue } = PROFILES.twilio.settings.channel!;
    expect(DEMO_CHANNELS.twilio.words.limit).toContain(`${queue!.perSecond} messages/s`);
  });
});

describe('what is printed', () => {
  it('has not changed for the generic platform', () => {
    expect(`\n${printed('generic').join('\n')}\n`).toMatchInlineSnapshot(`
      "

      Roomline  1,000 rooms × 10 messages, in order within every room

        Pub/Sub   127.0.0.1:1            embedded; the load is published here
        Postgres  127.0.0.1:2            version 18, data in /data/postgres
        Roomline  http://127.0.0.1:8080  next message when the last is delivered, or after 5 s
        platform  http://127.0.0.1:4     fake; loses 12 % of the acks
        phones                           take 0.6 s (median) to 4 s (99th percentile) per message

      The same 10,000 messages, three ways, on the same platform:
      "
    `);
  });

  it('tells how Telegram differs', () => {
    expect(`\n${printed('telegram').join('\n')}\n`).toMatchInlineSnapshot(`
      "

      Roomline  100 rooms × 10 messages on Telegram, in order within every room

        Pub/Sub   127.0.0.1:1            embedded; the load is published here
        Postgres  127.0.0.1:2            version 18, data in /data/postgres
        Roomline  http://127.0.0.1:8080  next message when the last is answered: Telegram tells nothing else
        Telegram  http://127.0.0.1:4     fake, in its own format; requests get there in 0.04 s (median) to 0.25 s
        phones                           show messages in the order in which Telegram got them
        A bot may send 30 messages/s, and 1/s to each chat, which bounds Roomline's time. The other two ways are free of limits.

      The same 1,000 messages, three ways, on the same platform:
      "
    `);
    const roomline = { ...PRINTED.roomline, outcomes: { acked: 1_000 } };
    expect(summary({ ...PRINTED, roomline }, plain, DEMO_CHANNELS.telegram).slice(0, 2)).toEqual([
      "  Roomline: 1,000 acked by Telegram's answer.",
      "  Telegram's answer is the ack, and it gives the message its place in the chat.",
    ]);
  });

  it('tells of messages on Telegram that were not acked', () => {
    const roomline = { ...PRINTED.roomline, outcomes: { acked: 990, assumed: 10 } };
    const [line] = summary({ ...PRINTED, roomline }, plain, DEMO_CHANNELS.telegram);
    expect(line).toBe('  Roomline: 990 acked, 10 assumed after 5 s without an ack.');
  });

  it('names a room that the platform has, as an address needs it', () => {
    const lines = waysToGoOn('http://127.0.0.1:8080', 'key', plain, DEMO_CHANNELS.whatsapp.words.room).join('\n');
    expect(lines).toContain('"room":"+15550100001"');
    expect(lines).toContain('/v1/rooms/demo/%2B15550100001');
  });
});
