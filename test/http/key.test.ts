/** `GET /v1/key`: what the key that asks may do, and nothing of what it is. */
import { expect, it } from 'vitest';
import { bearer, keyEntries, startServer } from './fixture.ts';

it('tells a key its name, its scopes and its tenants', async () => {
  const bound = { name: 'desk', scopes: ['read', 'operate'] as const, tenants: ['acme'] };
  const { call } = await startServer({ keys: keyEntries((entry) => ({ ...entry, ...bound })) });
  const answer = await call('/v1/key', { headers: bearer('read') });
  expect([answer.status, await answer.json()]).toEqual([200, bound]);
});

it('tells a key that is bound to no tenant so, and asks for the scope read', async () => {
  const { call } = await startServer();
  expect(await (await call('/v1/key', { headers: bearer('read') })).json()).toMatchObject({ tenants: null });
  expect((await call('/v1/key', { headers: bearer('publish') })).status).toBe(403);
  expect((await call('/v1/key')).status).toBe(401);
});
