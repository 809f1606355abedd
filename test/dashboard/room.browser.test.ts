/** A room: found, explained, drawn over time, and steered. */
import { expect, it } from 'vitest';
import { eventually } from '../support/events.ts';
import { describeDashboard } from './kit/describe-dashboard.ts';
import { ackedAfter, message, publish, refused, untilRecipient, untilRoom, untilSettled } from './kit/traffic.ts';

const SLOW = { ackTimeoutMs: 600_000 };

describeDashboard('a room', ({ api, open }) => {
  it('is found by its name, and by the id of one of its messages', async () => {
    const [id = ''] = await publish(api, [message('found')]);
    await untilSettled(api, 'found');
    for (const text of ['found', id]) {
      const tab = await open('/rooms');
      // What it may be is asked for, and is not there.
      tab.allow(/status of 404/);
      await tab.page.keyboard.press('/');
      await tab.page.keyboard.type(text);
      await tab.page.keyboard.press('Enter');
      // Where there is only one it is gone to, or listed.
      const heading = tab.page.getByRole('heading', { level: 1, name: 'found' });
      const link = tab.page.getByRole('link', { name: 'found', exact: true });
      await heading.or(link).first().waitFor();
      if ((await heading.count()) === 0) await link.first().click();
      await heading.waitFor();
      expect(new URL(tab.page.url()).pathname).toBe('/rooms/main/found');
    }
  });

  it('is found by whom its messages go to, which its address does not say', async () => {
    const to = '+49 1512 3456';
    const compact = to.replaceAll(' ', '');
    await publish(
      api,
      ['sent-to', 'sent-to-as-well'].map((room) => message(room, 'Hello', { to: compact })),
    );
    await publish(api, [message('sent-once', 'Hello', { to: '4915129999' })]);
    await untilRecipient(api, compact, 2);
    await untilRecipient(api, '4915129999', 1);
    const tab = await open('/rooms');
    tab.allow(/status of 404/);
    const find = async (text: string): Promise<void> => {
      await tab.page.getByLabel('Room, recipient, or id of a message').fill(text);
      await tab.page.getByRole('button', { name: 'Find' }).click();
    };
    await find(to);
    await tab.page.getByRole('heading', { name: '2 rooms found' }).waitFor();
    await tab.page.getByRole('link', { name: 'sent-to-as-well', exact: true }).waitFor();
    expect(tab.page.url()).toBe(`${tab.origin}/rooms`);
    await find('+49 1512 9999');
    await tab.page.getByRole('heading', { level: 1, name: 'sent-once' }).waitFor();
    expect(tab.page.url()).toBe(`${tab.origin}/rooms/main/sent-once`);
    await tab.page.goBack();
    await find('+49 1512 0000');
    await tab.page.getByText('Nothing found').waitFor();
  });

  it('says that there is none', async () => {
    const tab = await open('/rooms/main/nobody-ever');
    tab.allow(/status of 404/);
    await tab.page.getByText('No such room').waitFor();
  });

  it('shows the state and the line that says why, as the API has them', async () => {
    await publish(api, [message('explained', ackedAfter(600_000), SLOW), message('explained')]);
    await untilRoom(api, 'explained', ({ phase }) => phase === 'awaiting_ack');
    const tab = await open('/rooms/main/explained');
    await eventually('the line is that of the API', async () => {
      // What changes by the second is left out.
      const plain = (text: string) => text.toLowerCase().replaceAll(/[\d.,]+ ?(ms|s|min|h)\b/g, '…');
      const { explanation } = await api.rooms.get('main', 'explained');
      const page = (await tab.page.locator('.room-line').textContent()) ?? '';
      return plain(page).includes(plain(explanation).slice(0, 50));
    });
    const lanes = tab.page.getByRole('listbox', { name: 'Messages of the room over time' });
    expect(await lanes.getByRole('option').count()).toBe(2);
  });

  it('draws each message, and tells what happened to the one that is chosen', async () => {
    await publish(api, [message('drawn', 'one'), message('drawn', refused('drawn_code')), message('drawn', 'three')]);
    await untilSettled(api, 'drawn');
    const tab = await open('/rooms/main/drawn?message=2');
    await tab.page.getByRole('region', { name: 'Message 2' }).getByText('drawn_code').first().waitFor();
    await tab.page
      .getByRole('option', { name: /^#?.*2/ })
      .first()
      .focus();
    await tab.page.keyboard.press('ArrowDown');
    await tab.page.getByRole('region', { name: 'Message 3' }).waitFor();
    expect(new URL(tab.page.url()).searchParams.get('message')).toBe('3');
  });

  it('shows a message that is linked to, however many have come since, and leads back to the newest', async () => {
    const room = 'long';
    const ids = await publish(
      api,
      Array.from({ length: 70 }, (_, index) => message(room, `number ${index + 1}`)),
    );
    await untilRoom(api, room, ({ counts }) => counts.accepted === 70);
    const tab = await open(`/rooms/main/${room}?message=3`);
    const card = tab.page.getByRole('region', { name: 'Message 3', exact: true });
    await card.getByText(ids[2] ?? '').waitFor();
    const lane = (sequence: number) => tab.page.getByRole('option', { name: new RegExp(`^Message ${sequence}:`) });
    await lane(3).waitFor();
    expect(await lane(70).count()).toBe(0);
    await tab.page.getByRole('button', { name: 'Newest' }).click();
    await lane(70).waitFor();
    expect(await lane(3).count()).toBe(0);
    expect(new URL(tab.page.url()).search).toBe('');
    await tab.page.getByRole('button', { name: 'Earlier' }).click();
    await lane(1).waitFor();
    await lane(10).waitFor();
    expect(await lane(11).count()).toBe(0);
    expect(await tab.page.getByRole('button', { name: 'Earlier' }).count()).toBe(0);
    expect(new URL(tab.page.url()).searchParams.get('before')).toBe('11');
  });

  it('has a missing number given up, after it has been said what that means', async () => {
    const room = 'lacking';
    await api.publish({ ...message(room), order: 3 });
    const tab = await open(`/rooms/main/${room}`);
    await tab.page.getByText('Number 1 is missing.').waitFor();
    await tab.page.getByRole('button', { name: 'Skip gap…' }).click();
    const ask = tab.page.getByRole('dialog', { name: `Skip the gap of room ${room}?` });
    await ask.getByText('Number 1 is given up').waitFor();
    expect((await api.rooms.get('main', room)).gap?.waitsFor).toBe(1);
    await ask.getByRole('button', { name: 'Skip gap' }).click();
    await ask.getByText('Numbers 1 to 2 are given up').waitFor();
    await untilRoom(api, room, ({ counts }) => counts.settled === 1);
    await tab.page.getByText('Number 1 is missing.').waitFor({ state: 'hidden' });
  });

  it('is paused and resumed, after it has been said what that means', async () => {
    await publish(api, [message('paused', ackedAfter(600_000), SLOW), message('paused')]);
    await untilRoom(api, 'paused', ({ phase }) => phase === 'awaiting_ack');
    const tab = await open('/rooms/main/paused');
    await tab.page.getByRole('button', { name: 'Pause', exact: true }).click();
    const ask = tab.page.getByRole('dialog', { name: 'Pause room paused?' });
    await ask.getByText('No further attempt begins').first().waitFor();
    expect((await api.rooms.get('main', 'paused')).paused).toBe(false);
    await ask.getByRole('button', { name: 'Pause', exact: true }).click();
    await ask.getByText('Done.').waitFor();
    expect((await api.rooms.get('main', 'paused')).paused).toBe(true);
    await ask.getByRole('button', { name: 'Close' }).click();
    await tab.page.getByRole('button', { name: 'Resume', exact: true }).click();
    const back = tab.page.getByRole('dialog', { name: 'Resume room paused?' });
    await back.getByRole('button', { name: 'Resume', exact: true }).click();
    await back.getByText('Done.').waitFor();
    expect((await api.rooms.get('main', 'paused')).paused).toBe(false);
  });

  it.each([
    ['skip', 'Skip', 'skipped', 'settles as skipped, and the room goes on with the next one'],
    ['cancel', 'Cancel', 'cancelled', 'settles as cancelled without being sent'],
  ] as const)('has its held head dealt with, after it has been said how: %s', async (order, button, outcome, what) => {
    const room = `to-${order}`;
    const [id = ''] = await publish(api, [message(room, refused('held_code'), { failurePolicy: 'hold' })]);
    await untilRoom(api, room, ({ phase }) => phase === 'held');
    const tab = await open(`/rooms/main/${room}?message=1`);
    await tab.page.getByRole('button', { name: button, exact: true }).click();
    const ask = tab.page.getByRole('dialog', { name: `${button} message 1 of room ${room}?` });
    await ask.getByText(what).waitFor();
    const { explanation } = await api.messages[order](id, { dryRun: true });
    await ask.getByText(`It takes effect at once. Afterwards: ${explanation}.`).waitFor();
    expect((await api.messages.get(id)).outcome).toBe(null);
    expect((await api.rooms.get('main', room)).phase).toBe('held');
    await ask.getByRole('button', { name: `${button} message` }).click();
    await ask.getByText('Done.').waitFor();
    await eventually('it is so', async () => (await api.messages.get(id)).outcome === outcome);
    await untilSettled(api, room);
  });

  it('has its held head sent again, after it has been said what that means', async () => {
    const [id = ''] = await publish(api, [message('to-retry', refused('held_code'), { failurePolicy: 'hold' })]);
    await untilRoom(api, 'to-retry', ({ phase }) => phase === 'held');
    const before = (await api.messages.get(id)).attempts.length;
    const tab = await open('/rooms/main/to-retry?message=1');
    await tab.page.getByRole('button', { name: 'Retry', exact: true }).click();
    const ask = tab.page.getByRole('dialog', { name: 'Retry message 1 of room to-retry?' });
    await ask.getByText('The message is sent at once, in its place before all that follow.').waitFor();
    await ask.getByText('Afterwards:').waitFor();
    expect((await api.messages.get(id)).attempts.length).toBe(before);
    await ask.getByRole('button', { name: 'Retry message' }).click();
    await ask.getByText('Done.').waitFor();
    await eventually('it was tried again', async () => (await api.messages.get(id)).attempts.length > before);
  });

  it('has a waiting message cancelled where it stands', async () => {
    const [, id = ''] = await publish(api, [
      message('to-mark', ackedAfter(600_000), SLOW),
      message('to-mark', 'Not any more'),
    ]);
    await untilRoom(api, 'to-mark', ({ phase }) => phase === 'awaiting_ack');
    const tab = await open('/rooms/main/to-mark?message=2');
    await tab.page.getByRole('button', { name: 'Cancel', exact: true }).click();
    const ask = tab.page.getByRole('dialog', { name: 'Cancel message 2 of room to-mark?' });
    await ask.getByText('It takes effect when the messages before it have settled. Afterwards:').waitFor();
    expect((await api.messages.get(id)).cancelled).toBe(false);
    await ask.getByRole('button', { name: 'Cancel message' }).click();
    await ask.getByText('Done.').waitFor();
    await eventually('it is marked', async () => (await api.messages.get(id)).cancelled);
  });
});
