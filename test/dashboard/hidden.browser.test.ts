/** A page that nobody looks at costs the engine nothing. */
import { expect, it } from 'vitest';
import { eventually } from '../support/events.ts';
import { describeDashboard } from './kit/describe-dashboard.ts';

const DEADLINE = { deadlineMs: 15_000, everyMs: 50 };
const look = (hidden: boolean): string => `
  Object.defineProperty(document, 'hidden', { configurable: true, get: () => ${hidden} });
  document.dispatchEvent(new Event('visibilitychange'));
`;

describeDashboard('a page that is hidden', ({ system, visit }) => {
  it('closes its feed and asks for nothing, and goes on where it is looked at again', async () => {
    const tab = await visit('/');
    // Its timers are ours to let run out.
    await tab.page.clock.install();
    await tab.signIn(system.key);
    const state = (text: string) => tab.page.getByRole('status').filter({ hasText: text }).waitFor();
    const feeds = () => tab.requests.filter((url) => url.includes('/v1/live'));
    const closed: string[] = [];
    const open = new Set<object>();
    tab.page.on('request', (request) => open.add(request));
    tab.page.on('requestfinished', (request) => open.delete(request));
    tab.page.on('requestfailed', (request) => {
      open.delete(request);
      closed.push(request.url());
    });
    await state('Live');
    expect(feeds().length).toBeGreaterThan(0);
    const first = tab.requests.length;
    await tab.page.clock.runFor(10_000);
    await eventually('a page that is looked at asks', () => tab.requests.length > first, DEADLINE);

    await tab.page.evaluate(look(true));
    await state('Paused');
    await eventually('the feed is closed', () => closed.some((url) => url.includes('/v1/live')), DEADLINE);
    // What was asked before may have failed, and is then asked once more.
    await tab.page.clock.runFor(5_000);
    await eventually('what was asked before is answered', () => open.size === 0, DEADLINE);
    const before = tab.requests.length;
    await tab.page.clock.runFor(60_000);
    expect(tab.requests.slice(before)).toEqual([]);

    const asked = feeds().length;
    await tab.page.evaluate(look(false));
    await state('Live');
    expect(feeds().length).toBeGreaterThan(asked);
  });
});
