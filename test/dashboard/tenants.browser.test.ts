/** Several tenants: a key that is bound to none sees all of them, one that is bound sees its own, and no error. */
import { expect, it } from 'vitest';
import { RoomlineClient } from '../../src/client/client.ts';
import { eventually } from '../support/events.ts';
import { describeDashboard } from './kit/describe-dashboard.ts';
import { message, publish, refused } from './kit/traffic.ts';

const ACME = { tenant: 'acme', channel: 'shop' } as const;
const DEADLINE = { deadlineMs: 30_000, everyMs: 50 };

describeDashboard('tenants', ({ api, system, open }) => {
  /** A held room and a dead letter of either tenant. */
  async function trouble(name: string): Promise<void> {
    const held = { failurePolicy: 'hold' } as const;
    await publish(api, [
      message(`${name}-held`, refused(`${name}_stays`), held),
      message(`${name}-dead`, refused(`${name}_code`)),
      message(`${name}-acme-held`, refused(`${name}_stays`), { ...ACME, ...held }),
      message(`${name}-acme-dead`, refused(`${name}_code`), ACME),
    ]);
    await eventually(
      'all have failed',
      async () => {
        const [{ letters }, { rooms }] = await Promise.all([
          api.deadLetters.list({ code: `${name}_code` }),
          api.rooms.lingering({ phase: 'held', limit: 200 }),
        ]);
        return letters.length === 2 && rooms.filter(({ room }) => room.startsWith(name)).length === 2;
      },
      DEADLINE,
    );
  }

  it('are all in the lists of rooms, dead letters and failures', async () => {
    await trouble('both');
    for (const path of ['/rooms?phase=held', '/trouble/rooms']) {
      const { page } = await open(path);
      const row = page.getByRole('row').filter({ hasText: 'both-acme-held' });
      await row.getByText('acme/shop', { exact: true }).waitFor();
      await page.getByRole('row').filter({ hasText: 'both-held' }).getByText('main', { exact: true }).waitFor();
    }
    const { page } = await open('/trouble?code=both_code');
    await page.getByRole('row').filter({ hasText: 'both-acme-dead' }).getByText('acme/shop').waitFor();
    const filter = page.getByRole('form', { name: 'Filter dead letters' });
    await filter.getByLabel('Channel').selectOption({ label: 'acme/shop' });
    await filter.getByRole('button', { name: 'Filter' }).click();
    await page.getByRole('row').filter({ hasText: 'both-dead' }).waitFor({ state: 'detached' });
    await page.getByRole('row').filter({ hasText: 'both-acme-dead' }).waitFor();
    expect(Object.fromEntries(new URL(page.url()).searchParams)).toMatchObject(ACME);
    await filter.getByLabel('Channel').selectOption({ label: 'main' });
    await filter.getByRole('button', { name: 'Filter' }).click();
    await page.getByRole('row').filter({ hasText: 'both-dead' }).waitFor();
    expect(new URL(page.url()).searchParams.get('tenant')).toBeNull();

    const { page: failures } = await open('/trouble/failures');
    const group = failures.getByRole('row').filter({ hasText: 'both_code' }).filter({ hasText: 'acme/shop' });
    await group.getByRole('button', { name: 'Replay all…' }).click();
    const ask = failures.getByRole('dialog', { name: 'Replay dead letters' });
    await ask.getByText('All open dead letters of this group: refused, code both_code, channel acme/shop').waitFor();
    await ask.getByText('1 message is appended to 1 room').waitFor();
  });

  it('offers no replay by a filter that names no open letters', async () => {
    await trouble('state');
    const [letter] = (await api.deadLetters.list({ code: 'state_code' })).letters;
    await api.deadLetters.discard(letter?.id ?? 0);
    const { page } = await open('/trouble?code=state_code&state=discarded');
    await page.getByRole('link', { name: `#${letter?.id}`, exact: true }).waitFor();
    const replay = page.getByRole('button', { name: 'Replay all open that match…' });
    expect(await replay.isDisabled()).toBe(true);
    await page.getByRole('form', { name: 'Filter dead letters' }).getByLabel('State').selectOption('any');
    await page.getByRole('form', { name: 'Filter dead letters' }).getByRole('button', { name: 'Filter' }).click();
    await eventually('it may be asked for', () => replay.isEnabled(), DEADLINE);
  });

  it('shows a key that is bound to one its own, and says what is not for it', async () => {
    await trouble('own');
    const key = system.acmeKey;
    const { failures } = await new RoomlineClient({ url: system.url, key }).failures();
    expect(new Set(failures.map(({ tenant }) => tenant))).toEqual(new Set(['acme']));
    for (const [path, row] of [
      ['/rooms?phase=held', 'own-acme-held'],
      ['/trouble/rooms', 'own-acme-held'],
      ['/trouble?code=own_code', 'own-acme-dead'],
      ['/trouble/failures', 'own_code'],
    ] as const) {
      const { page } = await open(path, { key });
      await page.getByRole('row').filter({ hasText: row }).waitFor();
      const rows = await page.getByRole('row').allTextContents();
      expect(rows.slice(1).every((text) => text.includes('acme/shop'))).toBe(true);
    }
    for (const [path, title] of [
      ['/fleet', 'Your key may not see the fleet'],
      ['/try', 'Your key may not try'],
    ] as const) {
      const { page } = await open(path, { key });
      await page.getByText(title).waitFor();
    }
  });
});
