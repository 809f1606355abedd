/** Trouble: what failed, what lingers and which channels are unwell, as the API says it; replayed and discarded by hand. */
import { expect, it } from 'vitest';
import { eventually } from '../support/events.ts';
import { PHONE, type Tab } from './kit/browser.ts';
import { describeDashboard } from './kit/describe-dashboard.ts';
import { deadLetters, message, publish, refused, untilRoom } from './kit/traffic.ts';

const HOUR_MS = 3_600_000;

describeDashboard('trouble', ({ api, open }) => {
  /** The ids of the letters in the table. */
  const shown = async ({ page }: Tab): Promise<number[]> => {
    const links = page.getByRole('table', { name: 'Dead letters' }).getByRole('link', { name: /^#\d+$/ });
    return (await links.allTextContents()).map((text) => Number(text.slice(1)));
  };

  it('lists the dead letters that the API lists, filtered alike, under an address of its own', async () => {
    const ids = await deadLetters(api, 'listed_code', 3);
    const tab = await open('/trouble?code=listed_code');
    await tab.page.getByRole('link', { name: `#${ids[0]}`, exact: true }).waitFor();
    expect(await shown(tab)).toEqual(ids);

    const filter = tab.page.getByRole('form', { name: 'Filter dead letters' });
    await filter.getByLabel('Room').fill('listed_code-2');
    await filter.getByLabel('Channel').selectOption('main');
    await filter.getByRole('button', { name: 'Filter' }).click();
    const { letters } = await api.deadLetters.list({ channel: 'main', room: 'listed_code-2' });
    await eventually('one is left', async () => (await shown(tab)).length === 1);
    expect(await shown(tab)).toEqual(letters.map(({ id }) => id));
    expect(new URL(tab.page.url()).searchParams.get('room')).toBe('listed_code-2');

    await tab.page.goBack();
    await eventually('all are back', async () => (await shown(tab)).length === 3);
  });

  it('shows what is in one, and what became of its message', async () => {
    const [id = 0] = await deadLetters(api, 'inspected_code', 1);
    const tab = await open(`/trouble?code=inspected_code`);
    await tab.page.getByRole('link', { name: `#${id}`, exact: true }).click();
    const detail = tab.page.getByRole('dialog', { name: `Dead letter #${id}` });
    const { message: named, outcome } = await api.deadLetters.get(id);
    await detail.getByText('inspected_code-1', { exact: true }).first().waitFor();
    const text = (await detail.textContent()) ?? '';
    expect(text).toContain('inspected_code');
    expect(text).toContain(named?.id);
    expect(text).toContain(`${outcome?.attempts.length} attempt`);
    // Recipient and content, for the key may operate.
    expect(text).toContain('"to": "inspected_code-1"');
    // The address says which one it is, so that it can be handed on.
    expect(new URL(tab.page.url()).searchParams.get('letter')).toBe(String(id));
    await tab.page.keyboard.press('Escape');
    await detail.waitFor({ state: 'hidden' });
  });

  it('replays one: says beforehand what will happen, does it, and shows the result', async () => {
    const [id = 0] = await deadLetters(api, 'one_code', 1);
    const tab = await open(`/trouble?code=one_code&letter=${id}`);
    const detail = tab.page.getByRole('dialog', { name: `Dead letter #${id}` });
    await detail.getByRole('button', { name: 'Replay…' }).click();
    const ask = tab.page.getByRole('dialog', { name: 'Replay dead letters' });
    await ask.getByText('1 message is appended to 1 room').waitFor();
    // So far that was a dry run.
    expect((await api.deadLetters.get(id)).state).toBe('open');
    await ask.getByRole('button', { name: 'Replay' }).click();
    await ask.getByText('1 message appended anew').waitFor();
    const letter = await api.deadLetters.get(id);
    expect(letter).toMatchObject({ state: 'replayed', replayedAs: { sequence: 2 } });
    // It failed again, as it was bound to.
    await untilRoom(api, 'one_code-1', ({ counts }) => counts.accepted === 2);
  });

  it('leaves everything as it is where one thinks better of it', async () => {
    const [id = 0] = await deadLetters(api, 'kept_code', 1);
    const tab = await open('/trouble?code=kept_code');
    await tab.page.getByRole('checkbox', { name: `Select #${id}` }).check();
    await tab.page.getByRole('button', { name: 'Discard 1…' }).click();
    const ask = tab.page.getByRole('dialog', { name: 'Discard dead letters' });
    await ask.getByText('1 dead letter is closed').waitFor();
    await ask.getByRole('button', { name: 'Leave it' }).click();
    await ask.waitFor({ state: 'hidden' });
    expect((await api.deadLetters.get(id)).state).toBe('open');
  });

  it('discards those that are selected, and no other', async () => {
    const [last = 0, middle = 0, first = 0] = await deadLetters(api, 'some_code', 3);
    const tab = await open('/trouble?code=some_code');
    await tab.page.getByRole('checkbox', { name: `Select #${last}` }).check();
    await tab.page.getByRole('checkbox', { name: `Select #${first}` }).check();
    await tab.page.getByRole('button', { name: 'Discard 2…' }).click();
    const ask = tab.page.getByRole('dialog', { name: 'Discard dead letters' });
    await ask.getByLabel(/^Reason/).fill('test numbers');
    await ask.getByRole('button', { name: 'Discard', exact: true }).click();
    await ask.getByText('2 dead letters discarded').waitFor();
    const states = await Promise.all([last, middle, first].map(async (id) => (await api.deadLetters.get(id)).state));
    expect(states).toEqual(['discarded', 'open', 'discarded']);
    const { entries } = await api.operations.audit({ limit: 50 });
    expect(entries.map(({ detail }) => detail)).toContainEqual(expect.objectContaining({ reason: 'test numbers' }));
  });

  it('replays those that are selected, and no other', async () => {
    const [last = 0, middle = 0, first = 0] = await deadLetters(api, 'chosen_code', 3);
    const states = () => Promise.all([last, middle, first].map(async (id) => (await api.deadLetters.get(id)).state));
    const tab = await open('/trouble?code=chosen_code');
    await tab.page.getByRole('checkbox', { name: `Select #${last}` }).check();
    await tab.page.getByRole('checkbox', { name: `Select #${first}` }).check();
    await tab.page.getByRole('button', { name: 'Replay 2…' }).click();
    const ask = tab.page.getByRole('dialog', { name: 'Replay dead letters' });
    await ask.getByText('2 messages are appended to 2 rooms').waitFor();
    expect(await states()).toEqual(['open', 'open', 'open']);
    await ask.getByRole('button', { name: 'Replay', exact: true }).click();
    await ask.getByText('2 messages appended anew').waitFor();
    expect(await states()).toEqual(['replayed', 'open', 'replayed']);
  });

  it('goes through the pages of the API, and replays all that match, whichever page is shown', async () => {
    const ids = await deadLetters(api, 'paged_code', 52);
    // Of another code, which is left alone.
    const [other = 0] = await deadLetters(api, 'unpaged_code', 1);
    const tab = await open('/trouble?code=paged_code');
    const newer = tab.page.getByRole('button', { name: 'Newer' });
    const older = tab.page.getByRole('button', { name: 'Older' });
    await newer.waitFor();
    expect(await shown(tab)).toEqual(ids.slice(0, 50));
    expect(await newer.isDisabled()).toBe(true);
    await older.click();
    await eventually('the second page', async () => (await shown(tab)).length === 2);
    expect(await shown(tab)).toEqual(ids.slice(50));
    expect(await older.isDisabled()).toBe(true);
    await newer.click();
    await eventually('the first page', async () => (await shown(tab)).length === 50);
    expect(await shown(tab)).toEqual(ids.slice(0, 50));

    await tab.page.getByRole('button', { name: /^Replay all/ }).click();
    const ask = tab.page.getByRole('dialog', { name: 'Replay dead letters' });
    await ask.getByText('52 messages are appended to 52 rooms').waitFor();
    expect((await api.deadLetters.list({ code: 'paged_code', state: 'replayed' })).letters).toEqual([]);
    await ask.getByRole('button', { name: 'Replay', exact: true }).click();
    await ask.getByText('52 messages appended anew').waitFor();
    const { letters } = await api.deadLetters.list({ code: 'paged_code', state: 'replayed', limit: 200 });
    expect(letters.map(({ id }) => id)).toEqual(ids);
    expect((await api.deadLetters.get(other)).state).toBe('open');
  });

  it('groups failures as the API does, and replays a whole group', async () => {
    const ids = await deadLetters(api, 'group_code', 3);
    const tab = await open('/trouble/failures');
    const group = await eventually('the failures are counted', async () => {
      const { failures } = await api.failures();
      return failures.find(({ code, deadLetters: dead }) => code === 'group_code' && dead === 3);
    });
    const row = tab.page.getByRole('row').filter({ hasText: 'group_code' });
    await row.waitFor();
    await eventually('its counts are shown', async () => {
      const cells = await row.getByRole('cell').allTextContents();
      return cells.includes(String(group.count)) && cells.includes(String(group.deadLetters));
    });
    await row.getByRole('button', { name: 'Replay all…' }).click();
    const ask = tab.page.getByRole('dialog', { name: 'Replay dead letters' });
    await ask.getByText('3 messages are appended to 3 rooms').waitFor();
    await ask.getByRole('button', { name: 'Replay', exact: true }).click();
    await ask.getByText('3 messages appended anew').waitFor();
    const states = await Promise.all(ids.map(async (id) => (await api.deadLetters.get(id)).state));
    expect(states).toEqual(['replayed', 'replayed', 'replayed']);
  });

  it('replays one group of two that differ only in what the platform said, and leaves the other', async () => {
    const told = (number: number, why: string) =>
      message(`alike_code-${number}`, refused('alike_code', `+155501000${number} ${why}`));
    await publish(api, [told(1, 'is blocked'), told(2, 'opted out'), told(3, 'is blocked')]);
    const groups = await eventually('both groups are counted', async () => {
      const { failures } = await api.failures();
      const found = failures.filter(({ code }) => code === 'alike_code');
      return found.reduce((sum, group) => sum + group.deadLetters, 0) === 3 && found;
    });
    expect(groups.map(({ deadLetters: dead }) => dead).toSorted()).toEqual([1, 2]);
    const { fingerprint = '' } = groups.find(({ deadLetters: dead }) => dead === 2) ?? {};
    const tab = await open('/trouble/failures');
    const row = tab.page
      .getByRole('row')
      .filter({ hasText: 'alike_code' })
      .filter({ hasText: fingerprint.slice(0, 8) });
    await row.getByRole('button', { name: 'Replay all…' }).click();
    const ask = tab.page.getByRole('dialog', { name: 'Replay dead letters' });
    await ask.getByText('2 messages are appended to 2 rooms').waitFor();
    await ask.getByRole('button', { name: 'Replay', exact: true }).click();
    await ask.getByText('2 messages appended anew').waitFor();
    const { letters } = await api.deadLetters.list({ fingerprint, state: 'replayed' });
    expect(letters.map(({ room }) => room).toSorted()).toEqual(['alike_code-1', 'alike_code-3']);
    const left = await api.deadLetters.list({ channel: 'main', room: 'alike_code-2' });
    expect(left.letters.map(({ state }) => state)).toEqual(['open']);

    // What failed again is of the same group; its letters are a link away.
    await ask.getByRole('button', { name: 'Close' }).click();
    await row.getByRole('link', { name: 'alike_code' }).click();
    await eventually('the new letters of the group', async () => (await shown(tab)).length === 2);
    expect(new URL(tab.page.url()).searchParams.get('fingerprint')).toBe(fingerprint);
  });

  it('lists the rooms that wait longest, with the line that says why, and those that are held', async () => {
    await publish(api, [
      message('later', 'Later', { notBefore: Date.now() + HOUR_MS }),
      message('held', refused('lingers_code'), { failurePolicy: 'hold' }),
    ]);
    await untilRoom(api, 'later', ({ phase }) => phase === 'waiting');
    const { explanation } = await untilRoom(api, 'held', ({ phase }) => phase === 'held');
    const tab = await open('/trouble/rooms');
    const held = tab.page.getByRole('row').filter({ hasText: 'is held' }).filter({ hasText: 'lingers_code' });
    await held.waitFor();
    expect(explanation).toContain('is held');
    await tab.page.getByRole('row').filter({ hasText: 'its publisher asked for a later time' }).first().waitFor();
    await tab.page.getByRole('radio', { name: /^Held/ }).click();
    await tab.page.getByText('its publisher asked for a later time').first().waitFor({ state: 'detached' });
    await held.getByRole('link', { name: 'held', exact: true }).click();
    await tab.page.getByRole('heading', { level: 1 }).filter({ hasText: 'held' }).waitFor();
    expect(new URL(tab.page.url()).pathname).toBe('/rooms/main/held');
  });

  it('names the channel whose acks have stopped', async () => {
    const rooms = Array.from({ length: 8 }, (_, index) => `quiet-${index}`);
    // So many that they last until it has been seen.
    const texts = Array.from({ length: 60 }, (_, index) => `text ${index}`);
    await publish(
      api,
      texts.flatMap((text) => rooms.map((room) => message(room, text, { channel: 'quiet' }))),
    );
    const tab = await open('/trouble/channels');
    await eventually(
      'its acks have stopped',
      async () =>
        (await api.channels.list()).channels.find(({ channel }) => channel === 'quiet')?.state === 'ack_outage',
      { deadlineMs: 45_000, everyMs: 100 },
    );
    const row = tab.page.getByRole('row').filter({ hasText: 'quiet' });
    await row.getByText('ack outage').waitFor();
    expect(await tab.page.getByRole('row').filter({ hasText: 'main' }).getByText('ack outage').count()).toBe(0);
    // So does the overview, as its health.
    await tab.go('Overview');
    const channels = tab.page.getByRole('table', { name: 'Channels' });
    await channels.getByRole('row').filter({ hasText: 'quiet' }).getByText('ack outage').waitFor();
  });

  it('keeps within a phone', async () => {
    await deadLetters(api, 'narrow_code', 1);
    for (const place of ['/trouble', '/trouble/failures', '/trouble/rooms', '/trouble/channels']) {
      const tab = await open(place, { size: PHONE });
      await tab.page.getByRole('heading', { level: 1, name: 'Trouble' }).waitFor();
      expect(await tab.overhang()).toBe(0);
    }
  });
});
