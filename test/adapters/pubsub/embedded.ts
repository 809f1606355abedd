/** An embedded server with an ordered subscription, and a database. */
import { onTestFinished } from 'vitest';
import { createPubSubServer, type PubSubServer, type PubSubServerOptions } from '../../../simulators/pubsub/server.ts';
import { setup } from '../../simulators/pubsub/client.ts';
import { messages, World, type WorldOptions } from './fixture.ts';

/** Runs until the test ends, or before. */
export async function startServer(options: PubSubServerOptions = {}): Promise<PubSubServer> {
  const server = createPubSubServer(options);
  await server.start();
  onTestFinished(() => server.stop());
  return server;
}

export async function begin(serverOptions: PubSubServerOptions = {}, worldOptions: WorldOptions = {}) {
  const server = await startServer(serverOptions);
  const fixture = await setup(server.address);
  const subscription = await fixture.subscribe();
  const world = new World(worldOptions);
  return { server, ...fixture, world, at: { subscription, endpoint: server.address } };
}

export const rooms = (count: number): string[] => Array.from({ length: count }, (_, index) => `room-${index}`);

/** Messages `from` to `to` of each of so many rooms, as [ordering key, payload]. */
export const load = (count: number, from: number, to: number) =>
  rooms(count).flatMap((room) => messages(room, from, to));

/** How often this event was logged. */
export const timesLogged = (world: World, event: string): number =>
  world.logged.filter((line) => line.includes(`"${event}"`)).length;
