/**
 * What teams do without a queue: everything at once, or with a fixed pause between the messages of a room. Nothing is
 * stored and no ack is waited for.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type Outbound, runRival } from './shell.ts';

await runRival(async ({ platform, form }) => {
  const pauseMs = Number(form);
  const lastOfRoom = new Map<string, Promise<void>>();

  async function sendAfter(previous: Promise<void> | undefined, message: Outbound): Promise<void> {
    if (previous !== undefined) {
      await previous;
      await delay(pauseMs);
    }
    await platform.send(message);
  }

  return {
    async store(messages) {
      for (const message of messages) {
        if (pauseMs === 0) void platform.send(message);
        else lastOfRoom.set(message.room, sendAfter(lastOfRoom.get(message.room), message));
      }
    },
    close: async () => undefined,
  };
});
