import { Command, InvalidArgumentError } from 'commander';
import { startControlServer } from './control-server.ts';
import { createPubSubServer } from './server.ts';

const number = (text: string): number => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw new InvalidArgumentError('It must be a whole number.');
  return value;
};

const options = new Command('pubsub')
  .description('An embedded Pub/Sub server. Prints one JSON line with its addresses when it listens.')
  .option('--port <port>', 'port of the gRPC API; 0 is any free one', number, 0)
  .option('--control-port <port>', 'port of the HTTP control; 0 is any free one', number, 0)
  .option('--data <file>', 'keep topics, subscriptions and unacked messages in this file')
  .option('--fsync', 'ask the disk before a publish is answered', false)
  .option('--seed <seed>', 'seed of the injected faults', number, 1)
  .parse()
  .opts<{ port: number; controlPort: number; data?: string; fsync: boolean; seed: number }>();

const server = createPubSubServer({
  port: options.port,
  fsync: options.fsync,
  seed: options.seed,
  ...(options.data === undefined ? {} : { file: options.data }),
});
await server.start();
const control = await startControlServer(server.control, options.controlPort);

async function stop(): Promise<void> {
  await control.stop();
  await server.stop();
}
process.once('SIGTERM', stop);
process.once('SIGINT', stop);

console.log(JSON.stringify({ event: 'listening', address: server.address, control: control.address }));
