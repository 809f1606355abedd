/**
 * What takes a system of the test's own: a payload comes by the queue and is refused; a key may only read; the server goes
 * away, by kill -9, and comes back: the page says so, keeps what it had, and goes on by itself. One in development mode
 * has its platform turned, and is emptied.
 */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Rig, type RigOptions, startRig } from '../../simulators/rig/rig.ts';
import { Secrets } from '../../simulators/rig/secrets.ts';
import { RoomlineClient } from '../../src/client/client.ts';
import { duration, short } from '../../src/dashboard/format.ts';
import { createKey, hashKey } from '../../src/http/keys.ts';
import { eventually } from '../support/events.ts';
import { describeDashboard } from './kit/describe-dashboard.ts';
import { CHANNELS, PLATFORM, SETTINGS } from './kit/setup.ts';
import { marked, message, publish, untilSettled } from './kit/traffic.ts';

const DEADLINE = { deadlineMs: 20_000, everyMs: 100 };

const MINUTE_MS = 60_000;

/** The folder of one system, removed when that is stopped. */
function folder(): string {
  const directory = mkdtempSync(join(tmpdir(), 'roomline-dashboard-own-'));
  // As root, Postgres runs under another account, which must be able to enter.
  chmodSync(directory, 0o755);
  return directory;
}

function start(options: Pick<RigOptions, 'directory' | 'settings' | 'development'>): Promise<Rig> {
  return startRig({ channels: CHANNELS, platform: PLATFORM, settings: SETTINGS, ...options });
}

async function stop(directory: string, rig: Rig | undefined): Promise<void> {
  await rig?.stop();
  rmSync(directory, { recursive: true, force: true });
}

describeDashboard('a system of its own', ({ open, visit }) => {
  const reading = createKey().key;
  let directory: string;
  let rig: Rig;
  beforeAll(async () => {
    directory = folder();
    const keys = [
      {
        name: 'rig',
        hash: hashKey(new Secrets(directory).apiKey()),
        scopes: ['publish', 'read', 'operate'],
      },
      { name: 'reading', hash: hashKey(reading), scopes: ['read'] },
    ];
    rig = await start({ directory, settings: { ...SETTINGS, auth: { keys } } });
  });
  afterAll(() => stop(directory, rig));

  it('says so where a key may only read', async () => {
    const { url } = rig.engine;
    const api = new RoomlineClient({ url, key: rig.apiKey });
    await publish(api, [message('read-only')]);
    await untilSettled(api, 'read-only');
    const tab = await open('/fleet', { url, key: reading });
    tab.allow(/status of 403/);
    await tab.page.getByText('Your key may not see the fleet').waitFor();
    expect(await tab.page.getByRole('button', { name: 'Rebalance…' }).count()).toBe(0);
    await tab.page.goto(`${url}/rooms/main/read-only`);
    await tab.page.getByRole('button', { name: 'Pause', exact: true }).click();
    const ask = tab.page.getByRole('dialog', { name: 'Pause room read-only?' });
    await ask.getByText('This key may not do that.').waitFor();
    expect(await ask.getByRole('button', { name: 'Pause', exact: true }).count()).toBe(0);
    expect((await api.rooms.get('main', 'read-only')).paused).toBe(false);
  });

  it('has charts that end with the last minute of the API, over the range that is chosen', async () => {
    const { url } = rig.engine;
    const api = new RoomlineClient({ url, key: rig.apiKey });
    const lost = marked('Lost', { status: { loseAllProbability: 1 } });
    await publish(api, [message('charted'), message('charted'), message('charted', lost, { ackTimeoutMs: 300 })]);
    await untilSettled(api, 'charted');
    // The minute that runs is stored as the process ends.
    await rig.engine.stop();
    await rig.engine.start();
    const { at = 0 } = (await api.charts()).points.at(-1) ?? {};

    const tab = await visit('/', { url });
    const { page } = tab;
    await page.clock.setFixedTime(at + MINUTE_MS);
    await tab.signIn(rig.apiKey);
    const range = page.getByRole('radiogroup', { name: 'Range of the charts' });
    await page.getByRole('img', { name: 'Messages. Latest: ' }).waitFor();
    expect(await range.getByRole('radio', { name: '15 min', exact: true }).getAttribute('aria-checked')).toBe('true');
    for (const [name, value, rangeMs, step] of [
      ['1 hour', '1h', 60 * MINUTE_MS, 60],
      ['6 hours', '6h', 360 * MINUTE_MS, 300],
    ] as const) {
      await range.getByRole('radio', { name, exact: true }).click();
      expect(new URL(page.url()).searchParams.get('range')).toBe(value);
      const to = Math.floor((at + MINUTE_MS) / (1_000 * step)) * 1_000 * step;
      const { points } = await api.charts({ from: to - rangeMs, to, step });
      const last = points.find((point) => point.at === to - 1_000 * step);
      const total = (total: string) => short(last?.totals[total] ?? 0);
      const quantiles = (latency: string) => {
        const { p50 = null, p99 = null } = last?.latencies[latency] ?? {};
        return `p50 ${duration(p50)}, p99 ${duration(p99)}`;
      };
      // The last that happened, in whichever minute that was.
      if (value === '1h') expect([total('assumed'), total('timeouts')]).toEqual(['1', '1']);
      for (const label of [
        `Messages. Latest: Accepted ${total('accepted')}, Acked ${total('acked')}, Assumed ${total('assumed')}, Failed ${total('failed')}.`,
        `Gap from ack to next send. Latest: ${quantiles('ackToNextSend')}.`,
        `Ack delay. Latest: ${quantiles('ackDelay')}.`,
        `Timeouts. Latest: Ack timeouts ${total('timeouts')}, Late acks ${total('lateAcks')}, Possible duplicates ${total('possibleDuplicates')}.`,
      ])
        await page.getByRole('img', { name: label, exact: true }).waitFor();
      await page.getByRole('heading', { name: step === 60 ? 'Messages per minute' : 'Messages per 5 min' }).waitFor();
    }
    await page.reload();
    await range.locator('[aria-checked=true]', { hasText: '6 hours' }).waitFor();
  });

  it('lets nobody try where messages are real', async () => {
    const { url } = rig.engine;
    const tab = await open('/try', { url, key: rig.apiKey });
    await tab.page.getByText('Development mode is off.').waitFor();
    expect(await tab.page.getByRole('main').getByRole('button').count()).toBe(0);
    expect(await tab.page.getByRole('form').count()).toBe(0);
    const places = tab.page.getByRole('navigation', { name: 'Views' }).getByRole('link');
    expect(await places.allTextContents()).toEqual(['Overview', 'Rooms', 'Trouble', 'Fleet']);
  });

  it('lets a payload that intake refused be corrected and replayed', async () => {
    const { url } = rig.engine;
    const api = new RoomlineClient({ url, key: rig.apiKey });
    const { publisher } = rig.publisher();
    const content = { key: 'mistyped', run: 'mistyped', index: 1, text: 'Hello' };
    await publisher.publish([{ channel: 'mian', room: 'mistyped', messageId: 'mistyped', content }]);
    const letter = await eventually(
      'intake has refused it',
      async () => (await api.deadLetters.list({ kind: 'intake' })).letters[0],
      DEADLINE,
    );
    const { page } = await open(`/trouble?letter=${letter.id}`, { url, key: rig.apiKey });
    const detail = page.getByRole('dialog', { name: `Dead letter #${letter.id}` });
    const draft = detail.getByLabel('Payload, to be corrected');
    const button = detail.getByRole('button', { name: 'Replay it so' });
    const text = await draft.inputValue();
    await draft.fill('{');
    await detail.getByText('This is no JSON object.').waitFor();
    expect(await button.isDisabled()).toBe(true);
    await draft.fill(text.replace('mian', 'main'));
    await button.click();
    const ask = page.getByRole('dialog', { name: 'Replay as corrected' });
    await ask.getByText('Intake takes it so').waitFor();
    expect((await api.deadLetters.get(letter.id)).state).toBe('open');
    await ask.getByRole('button', { name: 'Replay it so' }).click();
    await ask.getByText('It is message 1 of its room').waitFor();
    await untilSettled(api, 'mistyped');
    expect((await api.deadLetters.get(letter.id)).state).toBe('replayed');
  });

  it('goes on after the server was away, without the page being loaded anew', { timeout: 90_000 }, async () => {
    const { url } = rig.engine;
    const api = new RoomlineClient({ url, key: rig.apiKey });
    await publish(api, [message('before')]);
    await untilSettled(api, 'before');
    const tab = await open('/', { url, key: rig.apiKey });
    const { page } = tab;
    const live = page.getByRole('status').filter({ hasText: 'Live' });
    await live.waitFor();
    await page.evaluate('globalThis.isTheSamePage = true');

    // Requests that nobody answers are told of by the browser itself.
    tab.allow(/ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_INCOMPLETE_CHUNKED_ENCODING/);
    await rig.engine.kill9();
    await page.getByText('Disconnected.').waitFor();
    await page.getByText('What you see is the last that was known').first().waitFor();
    expect(await tab.accessibility()).toEqual([]);
    await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
    // Other views say it, too, and have a way on.
    await tab.go('Fleet');
    await page.getByText('No answer').first().waitFor();
    await tab.go('Overview');

    await rig.engine.start();
    expect(rig.engine.url).toBe(url);
    await live.waitFor({ timeout: DEADLINE.deadlineMs });
    await page.getByText('Disconnected.').waitFor({ state: 'detached' });
    await publish(api, [message('after')]);
    await untilSettled(api, 'after');
    await page.getByRole('region', { name: 'As it happens' }).getByText('after', { exact: true }).first().waitFor();
    await tab.go('Fleet');
    await page.getByRole('table', { name: 'Workers' }).waitFor();
    expect(await page.evaluate('globalThis.isTheSamePage')).toBe(true);
    await eventually('nobody was signed out', async () => (await page.getByLabel('API key').count()) === 0, DEADLINE);
  });
});

describeDashboard('a system in development mode', ({ open }) => {
  let directory: string;
  let rig: Rig;
  let api: RoomlineClient;
  beforeAll(async () => {
    directory = folder();
    rig = await start({ directory, development: true });
    api = new RoomlineClient({ url: rig.engine.url, key: rig.apiKey });
  });
  afterAll(() => stop(directory, rig));
  const tryIt = async () => (await open('/try', { url: rig.engine.url, key: rig.apiKey })).page;
  const knobs = async () => (await api.development.platform()).knobs;

  it('has a slider for each thing that the platform may do', async () => {
    const page = await tryIt();
    for (const [name, knob] of [
      ['Lost acks', 'ackLoss'],
      ['Refusals', 'refusals'],
      ['Server errors', 'serverErrors'],
      ['Lost answers', 'lostAnswers'],
    ] as const) {
      const slider = page.getByRole('slider', { name });
      await slider.fill('20');
      await eventually(`${name}: some`, async () => (await knobs())[knob] === 0.2);
      await slider.fill('0');
      await eventually(`${name}: none`, async () => (await knobs())[knob] === 0);
    }
    for (const [name, knob] of [
      ['Answers take', 'responseDelay'],
      ['Phones take', 'phoneDelay'],
    ] as const) {
      const slider = page.getByRole('slider', { name });
      await slider.fill('6');
      expect(await slider.getAttribute('aria-valuetext')).toBe('400 ms');
      await eventually(`${name}: 400 ms`, async () => (await knobs())[knob]?.medianMs === 400);
      await slider.fill('1');
      await eventually(`${name}: 20 ms`, async () => (await knobs())[knob]?.medianMs === 20);
    }
  });

  it('plays each scene: the platform is set so, and messages are handed in', { timeout: 90_000 }, async () => {
    const calm = { ackLoss: 0, refusals: 0, serverErrors: 0, lostAnswers: 0, phonesOnline: true };
    const page = await tryIt();
    for (const [name, expected, outages] of [
      ['Answers get lost', { ...calm, lostAnswers: 0.15 }, []],
      ['An outage of 15 s', calm, ['refuse']],
      ['A calm hour', calm, []],
    ] as const) {
      const before = await accepted();
      await page.getByRole('button', { name: new RegExp(`^Play.*${name}`) }).click();
      await page
        .getByRole('status')
        .filter({ hasText: `${name}: 1000 messages for 200 rooms` })
        .waitFor();
      const platform = await api.development.platform();
      expect(platform.knobs).toMatchObject(expected);
      expect(platform.outages.map(({ kind }) => kind)).toEqual(outages);
      expect((await accepted()) - before).toBe(1_000);
    }
  });

  it('is emptied by who types its name', async () => {
    await publish(api, [message('emptied')]);
    const { database } = await api.development.get();
    const page = await tryIt();
    await page.getByRole('button', { name: 'Empty the database…' }).click();
    const ask = page.getByRole('dialog', { name: 'Empty the database' });
    await ask.getByLabel('Name of the database').fill(database ?? '');
    expect((await api.rooms.get('main', 'emptied')).counts.accepted).toBe(1);
    await ask.getByRole('button', { name: 'Empty it' }).click();
    await ask.getByText('holds no rooms and no messages').waitFor();
    await expect(api.rooms.get('main', 'emptied')).rejects.toMatchObject({ code: 'room_not_found' });
  });

  /** Messages that intake has taken since the process began. */
  async function accepted(): Promise<number> {
    return (await rig.engine.metrics()).sum('roomline_messages_accepted_total');
  }
});
