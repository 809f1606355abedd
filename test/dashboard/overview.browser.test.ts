/** Overview: the pipeline as the API counts it, its numbers as the feed tells them, and messages turning over as they settle. */
import { isDeepStrictEqual } from 'node:util';
import { expect, it } from 'vitest';
import type { RoomlineClient } from '../../src/client/client.ts';
import type { LiveTotals } from '../../src/client/live.ts';
import { count, duration, percent, rate, short } from '../../src/dashboard/format.ts';
import { eventually } from '../support/events.ts';
import type { Tab } from './kit/browser.ts';
import { describeDashboard } from './kit/describe-dashboard.ts';
import { ackedAfter, marked, message, publish, refused, untilRoom, untilSettled } from './kit/traffic.ts';

const DEADLINE = { deadlineMs: 30_000, everyMs: 100 };
const LOST = marked('Lost', { status: { loseAllProbability: 1 } });

describeDashboard('overview', ({ api, open }) => {
  it('shows in each stage what the API counts there', async () => {
    const waiting = Array.from({ length: 7 }, (_, index) => message('overview-waits', `${index}`));
    await publish(api, [
      message('overview-waits', ackedAfter(600_000), { ackTimeoutMs: 600_000 }),
      ...waiting,
      message('overview-held', refused('overview_code'), { failurePolicy: 'hold' }),
    ]);
    await untilRoom(api, 'overview-waits', ({ phase }) => phase === 'awaiting_ack');
    await untilRoom(api, 'overview-held', ({ phase }) => phase === 'held');
    const tab = await open('/');
    const picture = tab.page.getByRole('group', { name: 'Pipeline: messages by stage' });
    const shown = async (label: string) => {
      const name = await picture.locator(`[aria-label^="${label}:"]`).getAttribute('aria-label');
      return Number(/: ([\d,]+) message/.exec(name ?? '')?.[1]?.replaceAll(',', ''));
    };
    for (const [label, stage] of [
      ['Waiting', 'waiting'],
      ['Awaiting ack', 'awaitingAck'],
      ['Held', 'held'],
    ] as const) {
      await eventually(
        `${label} is what the API says`,
        async () => {
          const counted = (await api.pipeline()).stages[stage].messages;
          return counted > 0 && (await shown(label)) === counted;
        },
        DEADLINE,
      );
    }
    await picture.getByRole('link', { name: /^Held: / }).click();
    await tab.page.getByRole('heading', { level: 1, name: 'Rooms' }).waitFor();
    await tab.page.getByRole('link', { name: 'overview-held' }).waitFor();
  });

  it('turns over a message that waits for its ack as the ack comes', async () => {
    const tab = await open('/?channel=slow');
    await tab.page.getByRole('status').filter({ hasText: 'Live' }).waitFor();
    await publish(api, [message('turned-over', ackedAfter(5_000), { channel: 'slow', ackTimeoutMs: 60_000 })]);
    const tile = tab.page
      .getByRole('list', { name: 'Messages, waiting and just settled' })
      .getByRole('listitem')
      .filter({ hasText: 'turned-over' });
    await tile.getByText('awaiting ack').waitFor();
    expect((await api.rooms.get('slow', 'turned-over')).phase).toBe('awaiting_ack');
    await tile.getByText('delivered').waitFor();
    expect((await api.rooms.get('slow', 'turned-over')).counts).toMatchObject({ accepted: 1, settled: 1 });
    expect(await tile.count()).toBe(1);
  });

  it('shows in each stage of a channel what the API counts there', async () => {
    const faulty = (text: string, fault: object) =>
      marked(text, { send: { faults: { it: { probability: 1, attempts: 1, ...fault } } } });
    const later = {
      ...{ kind: 'refuse', status: 409, code: 'later', scope: 'message', permanent: false },
      ...{ retryAfterMs: 15_000, retryAfterIn: 'both' },
    };
    const long = marked('Long', { send: { responseDelayMs: 1_800 }, phone: { delayMs: 0 } });
    const to = (room: string, text: string, more = {}) => message(room, text, { channel: 'slow', ...more });
    // Another number of each, so that none can stand for another.
    const rooms = (name: string, many: number, text: string, more = {}) =>
      Array.from({ length: many }, (_, index) => to(`stage-${name}-${index}`, text, more));
    await publish(api, [
      ...rooms('unknown', 2, faulty('Unknown', { kind: 'silence', when: 'before_acceptance' })),
      ...rooms('later', 3, faulty('Later', later)),
      ...rooms('held', 4, refused('stage_code'), { failurePolicy: 'hold' }),
      ...rooms('acked', 5, ackedAfter(15_000), { ackTimeoutMs: 60_000 }),
      ...Array.from({ length: 12 }, () => to('stage-sending', long)),
    ]);
    for (const ahead of rooms('ahead', 6, 'Second', { order: 2 })) await api.publish(ahead);
    const tab = await open('/?channel=slow');
    const counted = async (): Promise<Record<string, number>> => {
      const { channels } = await api.pipeline();
      const { stages, parked } = channels.find(({ channel }) => channel === 'slow') ?? {};
      return {
        Parked: parked?.messages ?? 0,
        Waiting: stages?.waiting.messages ?? 0,
        Sending: stages?.sending.messages ?? 0,
        'Awaiting ack': stages?.awaitingAck.messages ?? 0,
        'Backing off': stages?.backingOff.messages ?? 0,
        Unknown: stages?.unknown.messages ?? 0,
        Held: stages?.held.messages ?? 0,
      };
    };
    await eventually(
      'something is in each stage, and the picture says so',
      async () => {
        const there = await counted();
        const shown = await stagesIn(tab, Object.keys(there));
        return Object.values(there).every((messages) => messages > 0) && isDeepStrictEqual(shown, there);
      },
      { deadlineMs: 30_000, everyMs: 20 },
    );
  });

  it('has the numbers that the feed adds up to', async () => {
    const feed = listen(api);
    // What the page hears is a part of what is heard here, so it begins later.
    await eventually('totals are heard', () => feed.heard.length > 0, DEADLINE);
    const tab = await open('/');
    await tab.page.getByRole('status').filter({ hasText: 'Live' }).waitFor();
    const text = (index: number) => message(`numbers-${index}`, 'Two, so that there is a gap between them');
    await publish(api, [
      ...Array.from({ length: 8 }, (_, index) => [text(index), text(index)]).flat(),
      message('numbers-lost', LOST, { ackTimeoutMs: 300 }),
    ]);
    try {
      await eventually(
        'they are of one stretch of the feed',
        async () => {
          const shown = await numbersIn(tab);
          // One of 17 acks was lost: of what the page has heard since, a part is proven and a part is not.
          if (!/^\d+\.\d %$/.test(shown.ackRate) || shown.timeouts === '0' || shown.gap === '–') return false;
          return feed.heard.some((_, index) => isDeepStrictEqual(shown, numbersOf(feed.heard.slice(index))));
        },
        { deadlineMs: 30_000, everyMs: 20 },
      );
    } finally {
      await feed.close();
    }
  });

  it('shows a message as it settles', async () => {
    const tab = await open('/');
    await tab.page.getByRole('status').filter({ hasText: 'Live' }).waitFor();
    const card = tab.page.getByRole('region', { name: 'As it happens' });
    // Where many settle at once, some are shown: another one is published until it is among them.
    await eventually(
      'it is shown',
      async () => {
        await publish(api, [message('overview-settles')]);
        await untilSettled(api, 'overview-settles');
        return (await card.getByText('overview-settles').count()) > 0;
      },
      DEADLINE,
    );
  });

  it('can be of one channel, under an address of its own', async () => {
    const tab = await open('/');
    const select = tab.page.getByRole('combobox', { name: 'Channel' });
    await eventually('the channels are known', async () => (await select.locator('option').count()) > 1, DEADLINE);
    await select.selectOption({ label: 'quiet' });
    expect(new URL(tab.page.url()).searchParams.get('channel')).toBe('quiet');
    await tab.page.reload();
    await eventually('it still is', async () => (await select.inputValue()).includes('quiet'), DEADLINE);
  });
});

/** How many messages the picture says are in each stage; NaN where it says nothing. */
async function stagesIn({ page }: Tab, labels: readonly string[]): Promise<Record<string, number>> {
  const names = await page.evaluate<string[]>(
    `[...document.querySelectorAll('svg.pipeline [aria-label]')].map((stage) => stage.getAttribute('aria-label'))`,
  );
  const messages = (label: string): number => {
    const said = names.find((name) => name.startsWith(`${label}: `)) ?? '';
    return Number(/: ([\d,]+) message/.exec(said)?.[1]?.replaceAll(',', '') ?? Number.NaN);
  };
  return Object.fromEntries(labels.map((label) => [label, messages(label)]));
}

/** The totals of the live feed, as they come. */
function listen(api: RoomlineClient): { readonly heard: readonly LiveTotals[]; readonly close: () => Promise<void> } {
  const heard: LiveTotals[] = [];
  const ended = new AbortController();
  const reading = (async () => {
    for await (const event of api.live({ events: 'totals' }, { signal: ended.signal })) {
      if (event.event === 'totals' && event.data.intervalMs !== null) heard.push(event.data);
    }
  })();
  return {
    heard,
    close() {
      ended.abort();
      return reading;
    },
  };
}

interface Numbers {
  readonly accepted: string;
  readonly settled: string;
  readonly throughput: string;
  readonly open: string;
  readonly ackRate: string;
  readonly order: string;
  readonly gap: string;
  readonly slowestGap: string;
  readonly timeouts: string;
  readonly failed: string;
}

/** As they stand on the page at one moment. */
async function numbersIn({ page }: Tab): Promise<Numbers> {
  const { stages, stats } = await page.evaluate<{ stages: string[]; stats: [string, string, string, string][] }>(`({
    stages: [...document.querySelectorAll('svg.pipeline [aria-label]')].map((stage) => stage.getAttribute('aria-label')),
    stats: [...document.querySelectorAll('dl.stats .stat')].map((stat) =>
      ['.stat-label', '.stat-value', '.stat-hint'].map((part) => stat.querySelector(part).textContent)
        .concat(stat.querySelector('.share')?.getAttribute('aria-label') ?? '')),
  })`);
  const stat = (label: string) => stats.find(([name]) => name.startsWith(label)) ?? ['', '', '', ''];
  const perSecond = (label: string) =>
    /: (\S+) messages per second/.exec(stages.find((name) => name.startsWith(`${label}: `)) ?? '')?.[1] ?? '';
  const [, gap, gaps] = stat('Gap, ack to next send');
  const [, ackRate, , order] = stat('Ack rate');
  return {
    accepted: perSecond('Accepted'),
    settled: perSecond('Settled'),
    throughput: stat('Throughput')[1],
    open: stat('Not settled')[1],
    ackRate,
    order: order.replace(/^[^:]*: /, ''),
    gap,
    slowestGap: gaps.replace(/^.*p99 /, ''),
    timeouts: stat('Ack timeouts')[1],
    failed: stat('Failed')[1],
  };
}

/** What the page is to say where it has heard these totals: rates of 3 s, gaps of 20 s, the others of a minute. */
function numbersOf(heard: readonly LiveTotals[]): Numbers {
  const sum = (ticks: readonly LiveTotals[], of: (tick: LiveTotals) => number) =>
    ticks.reduce((total, tick) => total + of(tick), 0);
  const minute = heard.slice(-120);
  const now = minute.slice(-6);
  const perSecond = (of: (tick: LiveTotals) => number) =>
    rate((1_000 * sum(now, of)) / sum(now, ({ intervalMs }) => intervalMs ?? 0));
  const settled = perSecond(
    ({ counts }) => counts.acked + counts.assumed + counts.failed + counts.expired + counts.cancelled + counts.skipped,
  );
  const [acked, assumed] = [sum(minute, ({ counts }) => counts.acked), sum(minute, ({ counts }) => counts.assumed)];
  const gaps = minute.slice(-40).filter(({ gapMs }) => gapMs.p50 !== null);
  const mean = sum(gaps, ({ gapMs }) => gapMs.count * (gapMs.p50 ?? 0)) / sum(gaps, ({ gapMs }) => gapMs.count);
  const latest = heard.at(-1);
  const share = (part: number) => percent(acked + assumed === 0 ? null : part / (acked + assumed));
  return {
    accepted: perSecond(({ counts }) => counts.accepted),
    settled,
    throughput: `${settled}/s`,
    open: short(Object.values(latest?.stages ?? {}).reduce((total, { messages }) => total + messages, 0)),
    ackRate: share(acked),
    order: `proven ${share(acked)}, assumed ${share(assumed)}`,
    gap: gaps.length === 0 ? '–' : duration(mean),
    slowestGap: gaps.length === 0 ? '–' : duration(Math.max(...gaps.map(({ gapMs }) => gapMs.p99 ?? 0))),
    timeouts: short(sum(minute, ({ counts }) => counts.timeouts)),
    failed: count(latest?.lastMinute.failed),
  };
}
