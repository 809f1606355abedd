import { describe, expect, it } from 'vitest';
import { bearer, startServer } from './fixture.ts';

describe('GET /healthz', () => {
  it('says that the process is alive, whatever its dependencies do', async () => {
    const { backend, call } = await startServer();
    backend.ready = [{ name: 'postgres', ok: false, detail: 'connection refused' }];
    const response = await call('/healthz');
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ status: 'alive' });
  });
});

describe('GET /readyz', () => {
  it('names every dependency', async () => {
    const { backend, call } = await startServer();
    backend.ready = [
      { name: 'postgres', ok: true, detail: 'serves' },
      { name: 'lease', ok: true, detail: 'held' },
    ];
    const response = await call('/readyz');
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ ready: true, dependencies: backend.ready });
  });

  it('answers 503 where one does not serve', async () => {
    const { backend, call } = await startServer();
    backend.ready = [
      { name: 'postgres', ok: false, detail: 'connection refused' },
      { name: 'pubsub', ok: true, detail: 'serves' },
    ];
    const response = await call('/readyz');
    expect(response.status).toBe(503);
    expect(await response.json()).toEqual({ ready: false, dependencies: backend.ready });
  });
});

describe('GET /metrics', () => {
  it('gives the exposition text to operators', async () => {
    const { call } = await startServer();
    const response = await call('/metrics', { headers: bearer('operate') });
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(await response.text()).toContain('# TYPE roomline_build_info gauge');
  });

  it('wants a key, and its scope', async () => {
    const { call } = await startServer();
    expect((await call('/metrics')).status).toBe(401);
    expect((await call('/metrics', { headers: bearer('read') })).status).toBe(403);
  });
});
