/** `roomline tail`: what it prints, where, and when it ends. */
import { expect, it } from 'vitest';
import { keyOf } from '../http/fixture.ts';
import { runRoomline } from '../support/command.ts';
import { nackOf } from '../support/engine.ts';
import { startLive } from '../support/live.ts';

async function start() {
  const live = await startLive();
  const run = (args: readonly string[], onError?: (text: string) => void, scope: 'read' | 'publish' = 'read') =>
    runRoomline({ url: live.server.url, key: keyOf(scope) }, ['tail', ...args], onError);
  const connected = (args: readonly string[]) => {
    const open = Promise.withResolvers<void>();
    const result = run(args, (text) => text === 'connected\n' && open.resolve());
    return { open: open.promise, result };
  };
  const settle = async (room: string): Promise<void> => {
    await live.process.publish(room, ['m']);
    await live.bed.platform.last.accept();
    await live.process.ack(live.bed, room, 1);
    await live.bed.time.advance(50);
  };
  return { live, run, connected, settle };
}

it('prints a line for each message, and what it says of itself elsewhere', async () => {
  const { live, connected, settle } = await start();
  const { open, result } = connected(['--count', '2']);
  await open;
  await settle('r-1');
  await live.process.publish('r-2', ['m']);
  await live.bed.platform.last.answer({ kind: 'refused', nack: nackOf({ permanent: true, code: '131026' }) });
  await live.bed.time.advance(50);
  const { status, out, error } = await result;
  expect(status).toBe(0);
  const id = live.process.references.encode(await live.bed.row('r-1'), 1);
  const lines = out.split('\n');
  expect(lines[0]).toMatch(
    new RegExp(`^[\\d:.]{12}  default/support  r-1  #1  acked  order proven  delivered  ${id}$`),
  );
  expect(lines[1]).toMatch(/^[\d:.]{12} {2}default\/support {2}r-2 {2}#1 {2}failed {2}code 131026 {2}\S{26}$/);
  expect(lines).toHaveLength(3);
  expect(error).toBe('connecting\nconnected\nOnly this process can be heard: there is no Redis, or it is away.\n');
});

it('prints what programs read, and filters', async () => {
  const { connected, settle } = await start();
  const { open, result } = connected(['--channel', 'support', '--room', 'b', '--json', '--count', '1']);
  await open;
  await settle('a');
  await settle('b');
  const events = (await result).out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { event: string; data: { room: string } });
  expect(events.map(({ event }) => event)).toEqual(['ready', 'settled']);
  expect(events[1]?.data.room).toBe('b');
});

it('prints totals', async () => {
  const { live, connected } = await start();
  const { open, result } = connected(['--events', 'totals', '--count', '1']);
  await open;
  await live.bed.time.advance(500);
  expect((await result).out).toMatch(/^[\d:.]{12} {2}in 0\/s .* waiting 0 {2}sending 0 .* acks - {2}gap -\n$/);
});

it.each([
  ['a room without its channel', ['--room', 'r'], '--room goes with --channel'],
  ['unknown events', ['--events', 'all'], 'Allowed: totals, settled, failed'],
  ['no count', ['--count', '0'], 'A whole number from 1'],
])('refuses %s', async (_name, args, said) => {
  const { run } = await start();
  const { status, error } = await run(args);
  expect(status).toBe(1);
  expect(error).toContain(said);
});

it('ends where the key may not read', async () => {
  const { run } = await start();
  const { status, error } = await run([], undefined, 'publish');
  expect(status).toBe(1);
  expect(error).toContain('forbidden_scope');
});
