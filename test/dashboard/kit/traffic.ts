/** Messages for the dashboard's tests, with what is to become of each written into its text, which the fake platform reads. */
import type { MessageRequest, RoomlineClient, RoomView } from '../../../src/client/client.ts';
import { eventually } from '../../support/events.ts';

const DEADLINE = { deadlineMs: 30_000, everyMs: 50 };

/** A text that makes the fake platform treat its message so: a part of its knobs of messages. */
export function marked(text: string, knobs: object): string {
  return `${text} @@${JSON.stringify(knobs)}@@`;
}

/** A text whose message is refused for good, with the platform's words where they are given. */
export function refused(code: string, words?: string): string {
  const said = words === undefined ? {} : { message: words };
  const fault = { kind: 'refuse', probability: 1, status: 400, code, scope: 'message', permanent: true, ...said };
  return marked('Refused', { send: { faults: { refused: fault } } });
}

/** A text whose message is acked only after so long. */
export function ackedAfter(ms: number): string {
  return marked('Slow', { phone: { delayMs: ms } });
}

export function message(room: string, text = 'Hello', more: Partial<MessageRequest> = {}): MessageRequest {
  return { channel: 'main', room, content: { text }, ...more };
}

/** Publishes one after the other, so that each has its place; what names them. */
export async function publish(api: RoomlineClient, messages: readonly MessageRequest[]): Promise<string[]> {
  const ids: string[] = [];
  for await (const result of api.publishAll(messages)) {
    if ('error' in result) throw result.error;
    const { id } = result.accepted;
    // Null: it waits for an earlier one, which none of these do.
    if (id === null) throw new Error('the message was not taken at once');
    ids.push(id);
  }
  return ids;
}

/** Resolves with the room when it is as it should be. */
export function untilRoom(
  api: RoomlineClient,
  room: string,
  is: (room: RoomView) => boolean,
  channel = 'main',
): Promise<RoomView> {
  return eventually(
    `${room} is so`,
    async () => {
      const view = await api.rooms.get(channel, room);
      return is(view) && view;
    },
    DEADLINE,
  );
}

export function untilSettled(api: RoomlineClient, room: string, channel = 'main'): Promise<RoomView> {
  return untilRoom(api, room, ({ counts }) => counts.waiting === 0, channel);
}

/** Resolves when so many rooms are found by the recipient. */
export function untilRecipient(api: RoomlineClient, recipient: string, rooms: number): Promise<unknown> {
  const found = async () => (await api.rooms.ofRecipient(recipient)).rooms.length === rooms;
  return eventually(`${rooms} rooms of a recipient`, found, DEADLINE);
}

/** Dead letters of messages that the platform refused with this code: one in each of so many rooms. */
export async function deadLetters(api: RoomlineClient, code: string, rooms: number): Promise<number[]> {
  const names = Array.from({ length: rooms }, (_, index) => `${code}-${index + 1}`);
  await publish(
    api,
    names.map((room) => message(room, refused(code))),
  );
  const letters = await eventually(
    `${rooms} dead letters of ${code}`,
    async () => {
      const page = await api.deadLetters.list({ code, limit: 200 });
      return page.letters.length >= rooms && page.letters;
    },
    DEADLINE,
  );
  return letters.map(({ id }) => id);
}
