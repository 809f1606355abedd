/** What holds on every view: who is let in, addresses, the keyboard, the policy, contrast and names, and the width of a phone. */
import { beforeAll, expect, it } from 'vitest';
import { eventually } from '../support/events.ts';
import { PHONE, type Tab, type Theme } from './kit/browser.ts';
import { describeDashboard } from './kit/describe-dashboard.ts';
import { ackedAfter, message, publish, refused, untilRoom } from './kit/traffic.ts';

const VIEWS = [
  ['/', 'Overview'],
  ['/rooms', 'Rooms'],
  ['/trouble', 'Trouble'],
  ['/fleet', 'Fleet'],
  ['/try', 'Try it'],
] as const;
const PLACES = [
  ...VIEWS.map(([path]) => path),
  '/rooms/main/shown-everywhere',
  '/trouble/failures',
  '/trouble/rooms',
  '/trouble/channels',
];
const THEMES: readonly Theme[] = ['light', 'dark'];

describeDashboard('every view', ({ system, api, open, visit }) => {
  beforeAll(async () => {
    await publish(api, [
      message('shown-everywhere', 'one'),
      message('shown-everywhere', refused('shown_code')),
      message('held-everywhere', refused('shown_code'), { failurePolicy: 'hold' }),
      message('shown-everywhere', ackedAfter(600_000), { ackTimeoutMs: 600_000 }),
      message('shown-everywhere', 'four'),
    ]);
    await untilRoom(api, 'shown-everywhere', ({ head, phase }) => head === 3 && phase === 'awaiting_ack');
    await untilRoom(api, 'held-everywhere', ({ phase }) => phase === 'held');
  });

  it('is for those with a key, which stays in this tab', async () => {
    const tab = await visit('/trouble');
    tab.allow(/status of 401/);
    await tab.page.getByLabel('API key').fill('rl_not_a_key');
    await tab.page.keyboard.press('Enter');
    await tab.page.getByRole('alert').filter({ hasText: 'not accepted' }).waitFor();
    await tab.signIn(system.key);
    // Where one wanted to go.
    await tab.page.getByRole('heading', { level: 1, name: 'Trouble' }).waitFor();
    const { url, local, cookies } = await tab.page.evaluate<{ url: string; local: string; cookies: string }>(
      '({ url: location.href, local: JSON.stringify(localStorage), cookies: document.cookie })',
    );
    for (const place of [url, local, cookies, ...tab.requests]) expect(place).not.toContain(system.key);
    await tab.page.reload();
    await tab.page.getByRole('heading', { level: 1, name: 'Trouble' }).waitFor();
    const other = await visit('/');
    await other.page.getByLabel('API key').waitFor();

    await tab.page.getByRole('button', { name: 'Sign out' }).click();
    await tab.page.getByLabel('API key').waitFor();
    await tab.page.reload();
    await tab.page.getByLabel('API key').waitFor();
  });

  it.each(VIEWS)('has an address: %s is %s', async (path, name) => {
    const tab = await open(path);
    await tab.page.getByRole('heading', { level: 1, name }).waitFor();
    expect(await tab.page.title()).toBe(`${name} · Roomline`);
    const current = tab.page.getByRole('navigation', { name: 'Views' }).locator('[aria-current=page]');
    expect(await current.textContent()).toContain(name);
  });

  it('says so where there is none', async () => {
    const tab = await open('/nowhere');
    await tab.page.getByText('There is no page at this address').waitFor();
  });

  it('is served with a policy that lets nothing in from elsewhere, and nothing inline', async () => {
    const { headers } = await fetch(`${system.url}/fleet`, { headers: { accept: 'text/html' } });
    const policy = headers.get('content-security-policy') ?? '';
    expect(policy).toContain(`default-src 'none'`);
    expect(policy).not.toMatch(/unsafe|https?:|\*|data:/);
    expect(policy).toContain(`frame-ancestors 'none'`);
  });

  it('can be gone through by keyboard alone', async () => {
    const tab = await open('/');
    const { keyboard } = tab.page;
    await tab.page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
    // The first on the page, though the heading has the focus at the beginning.
    await tab.page.evaluate('document.querySelector("a[href], button").focus()');
    expect(await tab.focused()).toBe('a Skip to the content');
    await keyboard.press('Enter');
    expect(await tab.focused()).toMatch(/^main/);

    await tab.page.evaluate('document.querySelector(".brand").focus()');
    for (const name of ['Overview', 'Rooms', 'Trouble']) {
      await keyboard.press('Tab');
      expect(await tab.focused()).toContain(`a ${name}`);
    }
    await keyboard.press('Enter');
    // The heading has the focus, so that a screen reader reads where one is.
    await eventually('the view is there', async () => (await tab.focused()) === 'h1 Trouble');
    await tab.page.getByRole('radio', { name: 'Dead letters' }).focus();
    await keyboard.press('ArrowRight');
    await eventually('the next tab', async () => (await tab.focused()) === 'radio Failures');
    expect(new URL(tab.page.url()).pathname).toBe('/trouble/failures');
    await keyboard.press('End');
    await eventually('the last tab', async () => new URL(tab.page.url()).pathname === '/trouble/channels');

    // A question takes the focus, Escape leaves it, and the focus is where it was.
    await tab.go('Fleet');
    const button = tab.page.getByRole('button', { name: 'Rebalance…' });
    await button.focus();
    await keyboard.press('Enter');
    await tab.page.getByRole('dialog', { name: 'Rebalance' }).waitFor();
    await keyboard.press('Escape');
    await tab.page.getByRole('dialog', { name: 'Rebalance' }).waitFor({ state: 'hidden' });
    await eventually('the focus is back', async () => (await tab.focused()) === 'button Rebalance…');
  });

  it('leads to the search from everywhere by one key, and not while one types', async () => {
    const tab = await open('/fleet');
    await tab.page.getByLabel('Shard', { exact: true }).focus();
    await tab.page.keyboard.press('/');
    expect(new URL(tab.page.url()).pathname).toBe('/fleet');
    await tab.page.getByRole('heading', { level: 1 }).focus();
    await tab.page.keyboard.press('/');
    await tab.page.getByRole('heading', { level: 1, name: 'Rooms' }).waitFor();
    await eventually('the search has it', async () => (await tab.focused()).startsWith('input Room, recipient'));
    await tab.page.keyboard.type('a/b');
    expect(await tab.page.getByLabel('Room, recipient, or id of a message').inputValue()).toBe('a/b');
  });

  it('shows what has the focus', async () => {
    const tab = await open('/');
    await tab.page.evaluate('document.querySelector(".brand").focus()');
    await tab.page.keyboard.press('Tab');
    const outline = await tab.page.evaluate<string>('getComputedStyle(document.activeElement).outlineStyle');
    expect(outline).toBe('solid');
  });

  it.each(THEMES)('has no violation that axe finds, %s', { timeout: 60_000 }, async (theme) => {
    const tab = await visit('/', { theme });
    const found: string[] = [];
    await tab.page.getByLabel('API key').waitFor();
    found.push(...(await tab.accessibility()).map((line) => `sign-in: ${line}`));
    await tab.signIn(system.key);
    for (const place of [...PLACES, '/nowhere']) {
      await tab.page.goto(`${tab.origin}${place}`);
      await tab.loaded();
      found.push(...(await tab.accessibility()).map((line) => `${place}: ${line}`));
    }
    await tab.page.goto(`${tab.origin}/fleet`);
    await tab.page.getByRole('button', { name: 'Rebalance…' }).click();
    await tab.page.getByRole('dialog', { name: 'Rebalance' }).waitFor();
    found.push(...(await tab.accessibility()).map((line) => `rebalance: ${line}`));
    const [letter] = (await api.deadLetters.list({ code: 'shown_code' })).letters;
    await tab.page.goto(`${tab.origin}/trouble?letter=${letter?.id}`);
    await tab.page.getByRole('button', { name: 'Replay…' }).click();
    await tab.page.getByText('1 message is appended').waitFor();
    found.push(...(await tab.accessibility()).map((line) => `replay: ${line}`));
    await tab.page.goto(`${tab.origin}/rooms/main/shown-everywhere?message=3`);
    const chosen = tab.page.getByRole('region', { name: 'Message 3' });
    await chosen.getByText('Attempts', { exact: true }).waitFor();
    found.push(...(await tab.accessibility()).map((line) => `message: ${line}`));
    await chosen.getByRole('button', { name: 'Cancel', exact: true }).click();
    await tab.page.getByText('Afterwards:').waitFor();
    found.push(...(await tab.accessibility()).map((line) => `order: ${line}`));
    expect(found).toEqual([]);
  });

  it('keeps within a phone, without a violation that axe finds', { timeout: 60_000 }, async () => {
    const tab = await open('/', { size: PHONE });
    const wide: string[] = [];
    const found: string[] = [];
    for (const place of PLACES) {
      await tab.page.goto(`${tab.origin}${place}`);
      await tab.loaded();
      const overhang = await tab.overhang();
      if (overhang > 0) wide.push(`${place} by ${overhang} px`);
      found.push(...(await tab.accessibility()).map((line) => `${place}: ${line}`));
    }
    expect(wide).toEqual([]);
    expect(found).toEqual([]);
  });

  it('is dark or light as the system is, unless one says otherwise', async () => {
    const tab = await open('/', { theme: 'dark' });
    const ground = () => tab.page.evaluate<string>('getComputedStyle(document.body).backgroundColor');
    const dark = await ground();
    await tab.page.getByRole('button', { name: 'Light colours' }).click();
    await eventually('it is light', async () => (await ground()) !== dark);
    const light = await ground();
    await tab.page.reload();
    await tab.page.getByRole('button', { name: 'Dark colours' }).waitFor();
    expect(await ground()).toBe(light);
  });

  it('stands still for who wants it to, and for nobody else', async () => {
    const [moving, still] = [await open('/', { reducedMotion: false }), await open('/', { reducedMotion: true })];
    const longest = ({ page }: Tab) =>
      page.evaluate<number>(
        `Math.max(0, ...document.getAnimations()
          .filter(({ playState }) => playState === 'running')
          .map(({ effect }) => Number(effect.getComputedTiming().duration)))`,
      );
    for (const { page } of [moving, still]) {
      await page.getByRole('group', { name: 'Pipeline: messages by stage' }).waitFor();
    }
    // The dots run along the pipes while messages do.
    await eventually(
      'one of them moves, and the other has the same flow',
      async () => {
        await publish(api, [message('moves')]);
        return (await longest(moving)) >= 1_000 && (await still.page.locator('.pipe.used').count()) > 0;
      },
      { deadlineMs: 20_000, everyMs: 100 },
    );
    expect(await longest(still)).toBeLessThanOrEqual(1);
  });
});
