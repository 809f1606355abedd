/** The kit itself: what a page may not do is a complaint. */
import { expect, it } from 'vitest';
import { eventually } from '../support/events.ts';
import { describeDashboard } from './kit/describe-dashboard.ts';

describeDashboard('a page that is watched', ({ visit }) => {
  it.each([
    ['logs an error', `console.error('broken')`, /^console\.error: broken/],
    ['throws', `setTimeout(() => { throw new Error('uncaught of the test'); })`, /^uncaught: uncaught of the test/],
    [
      'runs a script of its own text',
      `document.body.append(Object.assign(document.createElement('script'), { textContent: '1' }))`,
      /content security policy: script-src/,
    ],
    [
      'has a style in its text',
      `document.body.innerHTML = '<p style="color: red">'`,
      /content security policy: style-src/,
    ],
    ['asks elsewhere', `void fetch('http://127.0.0.1:9/').catch(() => 0)`, /asks elsewhere|connect-src/],
  ])('that %s is complained of', async (_what, script, complaint) => {
    const tab = await visit('/');
    await tab.page.getByLabel('API key').waitFor();
    expect(tab.complaints).toEqual([]);
    await tab.page.evaluate(script);
    await eventually('it is complained of', () => tab.complaints.some((each) => complaint.test(each)));
    tab.allow(/./);
  });

  it('is asked for its accessibility', async () => {
    const tab = await visit('/');
    await tab.page.getByLabel('API key').waitFor();
    expect(await tab.accessibility()).toEqual([]);
    await tab.page.evaluate(`document.querySelector('form').append(document.createElement('button'))`);
    expect((await tab.accessibility()).join()).toMatch(/button-name/);
  });

  it('is timed: a task that takes long is one', async () => {
    const tab = await visit('/');
    await tab.page.getByLabel('API key').waitFor();
    await tab.longTasks();
    await tab.page.evaluate(
      `setTimeout(() => { const until = performance.now() + 200; while (performance.now() < until); })`,
    );
    const { longestMs } = await eventually('it was seen', async () => {
      const tasks = await tab.longTasks();
      return tasks.count > 0 && tasks;
    });
    expect(longestMs).toBeGreaterThan(150);
    expect(await tab.heapBytes()).toBeGreaterThan(100_000);
  });
});
