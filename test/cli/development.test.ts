/** Development mode from the command line. */
import { expect, it } from 'vitest';
import { Backend, keyEntries, keyOf, startServer } from '../http/fixture.ts';
import { runRoomline } from '../support/command.ts';

const KEY = keyOf('operate');

it('shows its status, and empties the database that is named', async () => {
  const backend = new Backend();
  let resets = 0;
  backend.dependencies.development = {
    database: async () => 'sandbox',
    reset: async () => void resets++,
    platform: null,
  };
  const keys = keyEntries((entry) => ({ ...entry, scopes: ['read', 'operate'] }));
  const { server } = await startServer({ keys }, backend);
  const run = (...args: string[]) => runRoomline({ url: server.url, key: KEY }, ['development', ...args]);
  expect(JSON.parse((await run('status')).out)).toEqual({ enabled: true, database: 'sandbox', platform: false });
  const refused = await run('reset', 'production');
  expect(refused).toMatchObject({ status: 1, out: '', error: expect.stringContaining('reset_unconfirmed') });
  expect(resets).toBe(0);
  expect(JSON.parse((await run('reset', 'sandbox')).out)).toEqual({ database: 'sandbox' });
  expect(resets).toBe(1);
});
