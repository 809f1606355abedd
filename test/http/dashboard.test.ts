import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jsonOf, PUBLISH, startServer } from './fixture.ts';

const PAGE = '<!doctype html><title>Roomline</title>';
const NAVIGATION = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' };

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'roomline-dashboard-'));
  mkdirSync(join(folder, 'assets'));
  writeFileSync(join(folder, 'index.html'), PAGE);
  writeFileSync(join(folder, 'icon.svg'), '<svg xmlns="http://www.w3.org/2000/svg"/>');
  writeFileSync(join(folder, 'assets', 'index-a1b2.js'), 'export {};');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the dashboard', () => {
  it('is at the root, without a key, and asked for anew each time', async () => {
    const { call } = await startServer({ dashboardDirectory: folder });
    const answer = await call('/', { headers: NAVIGATION });
    expect(answer.status).toBe(200);
    expect(await answer.text()).toBe(PAGE);
    expect(answer.headers.get('content-type')).toMatch(/^text\/html/);
    expect(answer.headers.get('cache-control')).toBe('no-cache');
  });

  it.each(['/', '/icon.svg', '/rooms/support/alice', '/assets/index-a1b2.js'])(
    'tells a browser at %s to take nothing from elsewhere',
    async (path) => {
      const { call } = await startServer({ dashboardDirectory: folder });
      const { headers } = await call(path, { headers: NAVIGATION });
      const policy = Object.fromEntries(
        (headers.get('content-security-policy') ?? '').split('; ').map((part) => {
          const [name = '', ...values] = part.split(' ');
          return [name, values.join(' ')];
        }),
      );
      expect(policy).toMatchObject({
        'default-src': "'none'",
        'script-src': "'self'",
        'style-src': "'self'",
        'connect-src': "'self'",
        'frame-ancestors': "'none'",
        'base-uri': "'none'",
        'form-action': "'none'",
      });
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('referrer-policy')).toBe('no-referrer');
    },
  );

  it('has files whose names tell their content: they are kept for ever', async () => {
    const { call } = await startServer({ dashboardDirectory: folder });
    const asset = await call('/assets/index-a1b2.js');
    expect(asset.headers.get('content-type')).toMatch(/javascript/);
    expect(asset.headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
    expect((await call('/icon.svg')).headers.get('cache-control')).toBe('no-cache');
  });

  it.each(['/rooms/support/alice', '/trouble', '/fleet?x=1', '/nowhere'])(
    'answers a browser that goes to %s, which only the page knows',
    async (path) => {
      const { call } = await startServer({ dashboardDirectory: folder });
      const answer = await call(path, { headers: NAVIGATION });
      expect([answer.status, await answer.text()]).toEqual([200, PAGE]);
    },
  );

  it.each<[string, string, RequestInit]>([
    ['a program', '/rooms/support/alice', { headers: { accept: 'application/json' } }],
    ['what asks for anything', '/rooms/support/alice', { headers: { accept: '*/*' } }],
    ['a browser at the API', '/v1/nothing', { headers: NAVIGATION }],
    ['a browser that wants a file of another build', '/assets/index-old.js', { headers: NAVIGATION }],
    ['a way out of the folder', '/assets/..%2f..%2fpackage.json', { headers: { accept: '*/*' } }],
    ['another method', '/rooms', { method: 'POST', headers: NAVIGATION }],
  ])('is not what %s gets: a problem document is', async (_who, path, init) => {
    const { call } = await startServer({ dashboardDirectory: folder });
    const answer = await call(path, init);
    expect([answer.status, (await jsonOf(answer)).code]).toEqual([404, 'not_found']);
  });

  it('is the latest build', async () => {
    const { call } = await startServer({ dashboardDirectory: folder });
    writeFileSync(join(folder, 'index.html'), `${PAGE}<!-- later -->`);
    writeFileSync(join(folder, 'assets', 'index-c3d4.js'), 'export const later = true;');
    try {
      expect(await (await call('/', { headers: NAVIGATION })).text()).toContain('later');
      expect((await call('/assets/index-c3d4.js')).status).toBe(200);
    } finally {
      writeFileSync(join(folder, 'index.html'), PAGE);
    }
  });

  it('says what to do where it has not been built, and the API works all the same', async () => {
    const { call } = await startServer({ dashboardDirectory: join(folder, 'none') });
    for (const path of ['/', '/fleet']) {
      const answer = await call(path, { headers: NAVIGATION });
      const problem = await jsonOf(answer);
      expect([answer.status, problem.code]).toEqual([404, 'dashboard_not_built']);
      expect(problem.action).toContain('npm run build');
    }
    const message = JSON.stringify({ channel: 'support', room: 'r', content: {} });
    expect((await call('/v1/messages', { method: 'POST', headers: PUBLISH, body: message })).status).toBe(202);
  });

  it('is not served where the API is not', async () => {
    const { call } = await startServer({ dashboardDirectory: folder, roles: ['webhook'] });
    for (const path of ['/', '/fleet']) {
      expect((await jsonOf(await call(path, { headers: NAVIGATION }))).code).toBe('not_found');
    }
  });
});
