/** The messages of a load: short, as most are. */
export const LOAD_CHANNEL = 'load';

const TEXT = 'Thank you, we have received your order and will write again as soon as it is on its way to you.';

export function messageOf(channel: string, room: string, messageId: string): object {
  return { channel, room, messageId, content: { text: TEXT } };
}
