/** Try it: messages handed in and knobs of the fake platform turned, with the effect in the API. */
import type { Page } from 'playwright-core';
import { expect, it } from 'vitest';
import type { PlatformKnobs, PlatformView } from '../../src/http/development-schemas.ts';
import { eventually } from '../support/events.ts';
import { PHONE } from './kit/browser.ts';
import { describeDashboard } from './kit/describe-dashboard.ts';
import { message, publish, untilRoom, untilSettled } from './kit/traffic.ts';

interface HeldAnswer extends PlatformKnobs {
  /** Lets the page have it, and resolves when the page has drawn what it makes of it. */
  tell(): Promise<void>;
}

/** The platform's answers, in their order, which the page has only once it is told. */
async function hold(page: Page, method: 'GET' | 'PATCH'): Promise<readonly HeldAnswer[]> {
  const held: HeldAnswer[] = [];
  await page.route('**/v1/development/platform', async (route) => {
    if (route.request().method() !== method) return route.fallback();
    const response = await route.fetch();
    const view: PlatformView = await response.json();
    held.push({
      ...view.knobs,
      tell: async () => {
        await route.fulfill({ response });
        await page.evaluate('new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))');
      },
    });
  });
  return held;
}

describeDashboard('try it', ({ api, open }) => {
  it('publishes one message, and leads to its room', async () => {
    const tab = await open('/try');
    const form = tab.page.getByRole('form', { name: 'Publish' });
    await form.getByLabel('Channel').selectOption({ label: 'main' });
    await form.getByLabel('Room', { exact: true }).fill('tried');
    await form.getByLabel('Text').fill('Hello from the dashboard');
    await form.getByRole('button', { name: 'Publish', exact: true }).click();
    await tab.page.getByRole('status').filter({ hasText: '1 message' }).waitFor();
    await untilSettled(api, 'tried');
    await tab.page.getByRole('link', { name: 'tried', exact: true }).click();
    await tab.page.getByRole('heading', { level: 1 }).filter({ hasText: 'tried' }).waitFor();
  });

  it('publishes many messages to many rooms, in order', async () => {
    const tab = await open('/try');
    const form = tab.page.getByRole('form', { name: 'Publish' });
    await form.getByRole('radio', { name: 'Many rooms' }).click();
    await form.getByLabel('Channel').selectOption({ label: 'main' });
    await form.getByLabel('Rooms', { exact: true }).fill('20');
    await form.getByLabel('Messages for each').fill('3');
    await form.getByLabel('Names begin with').fill('crowd-');
    await form.getByRole('button', { name: 'Publish 60 messages' }).click();
    await tab.page.getByRole('status').filter({ hasText: '60 messages' }).waitFor();
    await untilSettled(api, 'crowd-01');
    const { counts } = await untilSettled(api, 'crowd-20');
    expect(counts.accepted).toBe(3);
  });

  it('says what the platform does, and makes it do otherwise', async () => {
    const tab = await open('/try');
    const { knobs } = await api.development.platform();
    const loss = tab.page.getByRole('slider', { name: 'Lost acks' });
    await loss.waitFor();
    expect(await loss.inputValue()).toBe(String(Math.round(100 * knobs.ackLoss)));
    await loss.fill('100');
    await eventually('acks are lost', async () => (await api.development.platform()).knobs.ackLoss === 1);
    await loss.fill('0');
    await eventually('they are not', async () => (await api.development.platform()).knobs.ackLoss === 0);

    const phones = tab.page.getByRole('switch', { name: 'Phones are on' });
    await phones.click();
    await eventually('phones are off', async () => !(await api.development.platform()).knobs.phonesOnline);
    await phones.click();
    await eventually('phones are on', async () => (await api.development.platform()).knobs.phonesOnline);
  });

  it('a turn confirmed late loses to the next one: the knob stands where it was turned to last', async () => {
    const { page } = await open('/try');
    const loss = page.getByRole('slider', { name: 'Lost acks' });
    await loss.waitFor();
    const asked = await hold(page, 'GET');
    await loss.fill('30');
    await eventually('the platform knows', async () => (await api.development.platform()).knobs.ackLoss === 0.3);
    await loss.fill('60');
    const changes = await hold(page, 'PATCH');
    await eventually('the answer of after the turn is there', () => asked.some((answer) => answer.ackLoss === 0.3));
    for (const { tell } of asked) await tell();
    await eventually('the next turn is on its way', () => changes.length > 0);
    expect(await loss.inputValue()).toBe('60');
    await Promise.all(changes.map(({ tell }) => tell()));
    await page.unrouteAll({ behavior: 'ignoreErrors' });
    await eventually('the last turn holds', async () => (await api.development.platform()).knobs.ackLoss === 0.6);
    await api.development.changePlatform({ knobs: { ackLoss: 0 } });
  });

  it('an answer that is overtaken confirms nothing: the switch stands where it was put', async () => {
    const { page } = await open('/try');
    const phones = page.getByRole('switch', { name: 'Phones are on' });
    await phones.waitFor();
    const asked = await hold(page, 'GET');
    await phones.click();
    await eventually('phones are off', async () => !(await api.development.platform()).knobs.phonesOnline);
    const [first, second] = await eventually('it was asked for twice', () => {
      const after = asked.filter(({ phonesOnline }) => !phonesOnline);
      return after.length > 1 && after;
    });
    await first?.tell();
    expect(await phones.getAttribute('aria-checked')).toBe('false');
    await second?.tell();
    expect(await phones.getAttribute('aria-checked')).toBe('false');
    await page.unrouteAll({ behavior: 'ignoreErrors' });
    await api.development.changePlatform({ knobs: { phonesOnline: true } });
  });

  it('begins an outage that one can watch, and ends it', async () => {
    const tab = await open('/try');
    await tab.page.getByLabel('Kind of outage').selectOption('refuse');
    await tab.page.getByRole('button', { name: 'Begin' }).click();
    await eventually('it goes on', async () =>
      (await api.development.platform()).outages.some(({ kind }) => kind === 'refuse'),
    );
    await tab.page.getByText('The platform is away').waitFor();
    await api.publish({ channel: 'main', room: 'in-an-outage', content: { text: 'Wait' } });
    await untilRoom(api, 'in-an-outage', ({ counts }) => counts.waiting === 1);
    await tab.page.getByRole('button', { name: 'End the outage' }).click();
    await eventually('it is over', async () => (await api.development.platform()).outages.length === 0);
    await untilSettled(api, 'in-an-outage');
  });

  it('plays a scene: the platform is set so, and messages are handed in', async () => {
    const before = (await api.development.platform()).totals.accepted;
    const tab = await open('/try');
    await tab.page.getByRole('button', { name: /^Play.*A third of the acks is lost/ }).click();
    await tab.page.getByText('1000 messages for 200 rooms are handed in').waitFor();
    const { knobs } = await api.development.platform();
    expect(knobs.ackLoss).toBe(0.33);
    await eventually('they are sent', async () => (await api.development.platform()).totals.accepted >= before + 200, {
      deadlineMs: 20_000,
      everyMs: 200,
    });
    await api.development.changePlatform({ knobs: { ackLoss: 0 } });
  });

  it('empties the database only for who types its name', async () => {
    await publish(api, [message('not-emptied')]);
    const tab = await open('/try');
    await tab.page.getByRole('button', { name: 'Empty the database…' }).click();
    const ask = tab.page.getByRole('dialog', { name: 'Empty the database' });
    const empty = ask.getByRole('button', { name: 'Empty it' });
    expect(await empty.isDisabled()).toBe(true);
    await ask.getByLabel('Name of the database').fill('another');
    expect(await empty.isDisabled()).toBe(true);
    await tab.page.keyboard.press('Escape');
    await ask.waitFor({ state: 'hidden' });
    expect((await api.rooms.get('main', 'not-emptied')).counts.accepted).toBe(1);
  });

  it('keeps within a phone', async () => {
    const tab = await open('/try', { size: PHONE });
    await tab.page.getByRole('slider', { name: 'Lost acks' }).waitFor();
    expect(await tab.overhang()).toBe(0);
  });
});
