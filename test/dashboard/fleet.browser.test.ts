/** Fleet: workers and shards as the API says them; weights and drains tried dry, then done and watched. */
import { isDeepStrictEqual } from 'node:util';
import { expect, it } from 'vitest';
import { counted } from '../../src/dashboard/format.ts';
import { eventually } from '../support/events.ts';
import { PHONE, type Tab } from './kit/browser.ts';
import { describeDashboard } from './kit/describe-dashboard.ts';
import { FRONT, WORKER } from './kit/setup.ts';
import { ackedAfter, message, publish } from './kit/traffic.ts';

const DEADLINE = { deadlineMs: 30_000, everyMs: 100 };
/** How often shards move for a page to see it. */
const MOST_TURNS = 5;

describeDashboard('fleet', ({ api, open }) => {
  const sharesOf = async (): Promise<Record<string, number>> => {
    const { workers } = await api.operations.workers();
    return Object.fromEntries(workers.map(({ name, shards }) => [name, shards]));
  };
  const untilShares = (what: string, are: (shares: Record<string, number>) => boolean) =>
    eventually(what, async () => !(await api.operations.progress()).running && are(await sharesOf()), DEADLINE);
  const isHalved = ({ [FRONT]: front = 0, [WORKER]: worker = 0 }: Record<string, number>) =>
    Math.abs(front - worker) <= 0.06 * (front + worker);
  /** Shards of each worker as the view has them. */
  const shown = async ({ page }: Tab): Promise<Record<string, number>> => {
    const rows = await page.getByRole('table', { name: 'Workers' }).getByRole('row').filter({ hasText: /-1/ }).all();
    const read = rows.map(async (row) => [
      (await row.getByRole('rowheader').locator('strong').textContent()) ?? '',
      Number((await row.getByTitle('Shards').textContent())?.replaceAll(/\D/g, '')),
    ]);
    return Object.fromEntries(await Promise.all(read));
  };

  it('shows each worker with what the API says of it, and every shard on the map', async () => {
    await untilShares('both have their half', isHalved);
    const tab = await open('/fleet');
    await tab.page.getByRole('table', { name: 'Workers' }).waitFor();
    await eventually('the shards are those of the API', async () => {
      return isDeepStrictEqual(await shown(tab), await sharesOf());
    });
    const shares = await sharesOf();
    const map = tab.page.getByRole('img', { name: /^4,096 shards/ });
    expect(await map.getAttribute('aria-label')).toContain(`${FRONT}: ${shares[FRONT]?.toLocaleString('en')}`);

    const { shards } = await api.operations.shards({ after: 99, limit: 1 });
    await tab.page.getByLabel('Shard', { exact: true }).fill('100');
    const line = tab.page.getByText(`Shard 100 is ${shards[0]?.owner?.name}'s`);
    await line.waitFor();
    expect(new URL(tab.page.url()).searchParams.get('shard')).toBe('100');
    await tab.page.reload();
    await line.waitFor();
  });

  it('shows weight, load and lease of each worker as the API has them', async () => {
    const rooms = Array.from({ length: 12 }, (_, index) => `fleet-${index}`);
    const text = ackedAfter(20_000);
    await publish(
      api,
      rooms.flatMap((room) => [message(room, text, { ackTimeoutMs: 600_000 }), message(room), message(room)]),
    );
    const tab = await open('/fleet');
    const rows = tab.page.getByRole('table', { name: 'Workers' }).getByRole('row').filter({ hasText: /-1/ });
    await eventually(
      'the rows say what the API says',
      async () => {
        const cells = await Promise.all((await rows.all()).map((row) => row.getByRole('cell').allTextContents()));
        const { workers } = await api.operations.workers();
        const said = workers
          .toSorted((a, b) => a.name.localeCompare(b.name))
          .map((each) => [counted(each.rooms, 'room') + counted(each.waiting, 'message'), String(each.weight)]);
        const leases = cells.map(([, , , lease = '']) => /^\d/.test(lease) && lease !== '0 ms');
        const isLoaded = workers.every(({ rooms: some, waiting }) => some > 0 && waiting > some);
        return (
          isLoaded &&
          leases.every(Boolean) &&
          isDeepStrictEqual(
            cells.map((row) => row.slice(1, 3)),
            said,
          )
        );
      },
      DEADLINE,
    );
  });

  it('is painted: the map has a colour for each owner', async () => {
    await untilShares('both have their half', isHalved);
    const tab = await open('/fleet');
    await tab.page.getByRole('img', { name: /^4,096 shards/ }).waitFor();
    await eventually('the map has two colours', async () => {
      const found = await tab.page.evaluate<string[]>(`(() => {
        const canvas = document.querySelector('canvas.shard-map');
        // Read from a copy that is there to be read: the browser warns of reading the page's own one again and again.
        const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true });
        copy.drawImage(canvas, 0, 0);
        const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
        const counts = new Map();
        for (let i = 0; i < data.length; i += 4) {
          if (data[i + 3] !== 255) continue;
          const colour = data.slice(i, i + 3).join();
          counts.set(colour, (counts.get(colour) ?? 0) + 1);
        }
        return [...counts].filter(([, count]) => count > data.length / 4 / 10).map(([colour]) => colour);
      })()`);
      return found.length === 2;
    });
  });

  it('shows what a weight would move, then moves it while one looks, and back', async () => {
    await untilShares('both have their half', isHalved);
    const tab = await open('/fleet');
    const before = await sharesOf();
    const ask = tab.page.getByRole('dialog', { name: 'Rebalance' });
    await weigh(tab, '3');
    const line = await ask.getByText(/shards move \(/).textContent();
    const { moved } = await api.operations.rebalance({ dryRun: true, weights: { [WORKER]: 3 } });
    expect(line).toContain(`${moved.toLocaleString('en')} shards move (${FRONT} → ${WORKER}: `);
    expect(await sharesOf()).toEqual(before);

    // What is there only while shards move is kept by the page itself, for it may be gone before one looks.
    await tab.page.evaluate(`{
      globalThis.moving = [];
      const look = () => {
        const notice = document.querySelector('.moving:has(progress[aria-label="Shards handed over"])');
        if (notice !== null) globalThis.moving.push(notice.textContent);
      };
      new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true });
    }`);
    const sawThemMove = async (): Promise<boolean> => {
      const seen = await tab.page.evaluate<string[]>('globalThis.moving');
      return seen.some(
        (text) => /[1-9][\d,]* to go, [\d,]+ moved since/.test(text) && text.includes(`${FRONT} → ${WORKER}`),
      );
    };
    // On a busy machine all may have moved between two looks of the page: then they move again.
    for (let turn = 1; ; turn++) {
      await ask.getByRole('button', { name: 'Rebalance' }).click();
      await ask.waitFor({ state: 'hidden' });
      await untilShares('the worker has three quarters', ({ [WORKER]: share = 0 }) => share > 2_900);
      await eventually('the view follows', async () => ((await shown(tab))[WORKER] ?? 0) > 2_900, DEADLINE);
      const sawIt = await sawThemMove();

      await weigh(tab, '');
      await ask.getByRole('button', { name: 'Rebalance' }).click();
      await untilShares('both have their half', isHalved);
      expect((await api.operations.workers()).weights).toEqual([]);
      if (sawIt) return;
      expect(turn, 'it was never seen that shards move').toBeLessThan(MOST_TURNS);
      await weigh(tab, '3');
    }
  });

  /** Opens the dialog, gives the worker this weight, and tries it dry. */
  async function weigh(tab: Tab, weight: string): Promise<void> {
    await tab.page.getByRole('button', { name: 'Rebalance…' }).click();
    const ask = tab.page.getByRole('dialog', { name: 'Rebalance' });
    await ask.getByLabel(`Weight of ${WORKER}`).fill(weight);
    await ask.getByRole('button', { name: 'Try it dry' }).click();
    await ask.getByText(/shards move \(/).waitFor();
  }

  it('says so where nothing moves', async () => {
    await untilShares('both have their half', isHalved);
    const tab = await open('/fleet');
    await tab.page.getByRole('button', { name: 'Rebalance…' }).click();
    const ask = tab.page.getByRole('dialog', { name: 'Rebalance' });
    await ask.getByRole('button', { name: 'Try it dry' }).click();
    await ask.getByText('Nothing is done yet.').waitFor();
    await ask.getByRole('button', { name: 'Rebalance' }).click();
    await ask.getByRole('status').filter({ hasText: 'Nothing moves.' }).waitFor();
    await ask.getByRole('button', { name: 'Close' }).click();
    await ask.waitFor({ state: 'hidden' });
  });

  it('drains a worker after it has said what that means, and takes it back', async () => {
    await untilShares('both have their half', isHalved);
    const tab = await open('/fleet');
    const row = tab.page.getByRole('table', { name: 'Workers' }).getByRole('row').filter({ hasText: WORKER });
    await row.getByRole('button', { name: new RegExp(`^Drain ${WORKER}`) }).click();
    const ask = tab.page.getByRole('dialog', { name: `Drain ${WORKER}` });
    await ask.getByText(/shards move \(/).waitFor();
    expect((await api.operations.workers()).workers.some(({ draining }) => draining)).toBe(false);
    await ask.getByRole('button', { name: 'Drain', exact: true }).click();
    await ask.getByText('gives its shards away now').waitFor();
    await row.getByText('draining').waitFor();
    await untilShares('it has none', ({ [WORKER]: share }) => share === 0);
    await eventually('the view says so', async () => (await shown(tab))[WORKER] === 0, DEADLINE);

    await tab.page.keyboard.press('Escape');
    await row.getByRole('button', { name: new RegExp(`^Undo the drain of ${WORKER}`) }).click();
    const back = tab.page.getByRole('dialog', { name: `Take the drain of ${WORKER} back` });
    await back.getByRole('button', { name: 'Take it back' }).click();
    await back.getByText('is not drained any more').waitFor();
    await untilShares('both have their half', isHalved);
  });

  it('refuses to leave the shards to nobody', async () => {
    const tab = await open('/fleet');
    await tab.page.getByRole('button', { name: 'Rebalance…' }).click();
    const ask = tab.page.getByRole('dialog', { name: 'Rebalance' });
    await ask.getByLabel(`Weight of ${WORKER}`).fill('0');
    await ask.getByLabel(`Weight of ${FRONT}`).fill('0');
    tab.allow(/status of 409/);
    await ask.getByRole('button', { name: 'Try it dry' }).click();
    await ask.getByRole('alert').waitFor();
    expect(await ask.getByRole('button', { name: 'Rebalance' }).isDisabled()).toBe(true);
    await tab.page.keyboard.press('Escape');
    await ask.waitFor({ state: 'hidden' });
    expect((await api.operations.workers()).weights).toEqual([]);
  });

  it('keeps within a phone', async () => {
    const tab = await open('/fleet', { size: PHONE });
    await tab.page.getByRole('img', { name: /^4,096 shards/ }).waitFor();
    const row = tab.page.getByRole('table', { name: 'Workers' }).getByRole('row').filter({ hasText: WORKER });
    for (const what of [/\d rooms?, \d+ messages?/, /weight 1/, /lease \d/]) {
      expect(await row.getByText(what).isVisible()).toBe(true);
    }
    expect(await tab.overhang()).toBe(0);
  });
});
