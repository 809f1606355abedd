/** The generators on a server in this process: what they tell is what the server answered. */
import { describe, expect, it } from 'vitest';
import { RoomlineError } from '../../src/errors.ts';
import { Backend, keyOf, startServer } from '../http/fixture.ts';
import { bulk, humans } from './callers.ts';
import { check, type Stored } from './check.ts';
import { connections } from './connections-load.ts';
import { type Job, type Outcome, pack, unpack } from './jobs.ts';
import { LOAD_CHANNEL } from './messages.ts';
import { latencies, table } from './samples.ts';

const KEY = keyOf('publish');

async function start() {
  const backend = new Backend();
  backend.dependencies.findChannel = (_tenant, channel) => (channel === LOAD_CHANNEL ? { checkContent: null } : null);
  const { server } = await startServer({}, backend);
  const stored = (): Stored[] =>
    [...backend.rooms.values()]
      .flat()
      .map(({ room, messageId, sequence }) => ({ room, messageId: messageId ?? '', sequence }));
  const target = { urls: [server.url], key: KEY, roomPrefix: 'r-', round: 1 };
  return { backend, stored, target };
}

const GROUPS = [
  { connections: 3, fromMs: 0, forMs: 400 },
  { connections: 2, fromMs: 150, forMs: 200 },
];
type Wishes = { readonly [K in Job['kind']]: Omit<Extract<Job, { kind: K }>, 'urls' | 'key' | 'roomPrefix' | 'round'> };
const WISHES: Wishes = {
  connections: { kind: 'connections', groups: GROUPS, isEmptyRoute: false },
  humans: { kind: 'humans', users: 5, messages: [2, 3], thinkMs: [1, 3], arriveMs: 10, forMs: 0 },
  bulk: { kind: 'bulk', messages: 50, batch: 8, rooms: 6, inFlight: 3 },
};

type Started = Awaited<ReturnType<typeof start>>;

const LOADS: Readonly<Record<Job['kind'], (target: Started['target']) => Promise<Outcome>>> = {
  connections: (target) => connections({ ...target, ...WISHES.connections }, () => undefined),
  humans: (target) => humans({ ...target, ...WISHES.humans }, () => undefined),
  bulk: (target) => bulk({ ...target, ...WISHES.bulk }, () => undefined),
};
const KINDS = Object.keys(LOADS) as Job['kind'][];

describe.each(KINDS)('%s', (kind) => {
  it('tells of each message that was accepted, in the order of its room', async () => {
    const { stored, target } = await start();
    const { samples, accepted, refusals } = unpack(pack(await LOADS[kind](target)));
    const finding = check(accepted, stored());
    expect(finding.wrong).toEqual([]);
    expect(accepted.length).toBeGreaterThanOrEqual(5);
    // An answer that came when the load was over may not have been waited for.
    expect(finding.stored - accepted.length).toBeLessThanOrEqual(5);
    expect(refusals).toEqual({});
    expect(samples.every(({ status, tookMs }) => status === 202 && tookMs > 0)).toBe(true);
  });

  it('counts what is refused by its code, and accepts nothing of it', async () => {
    const { backend, target } = await start();
    const refuse = () => Promise.reject(new RoomlineError('overloaded'));
    backend.onPublish = refuse;
    backend.onPublishAll = refuse;
    const { samples, accepted, refusals } = await LOADS[kind](target);
    expect(accepted).toEqual([]);
    expect(Object.keys(refusals)).toEqual(['503 overloaded']);
    const { answered, errors } = latencies(samples, 0, Number.POSITIVE_INFINITY);
    expect({ answered, errors }).toEqual({ answered: 0, errors: samples.length });
  });
});

it('bulk sends the messages that it was asked for, each once', async () => {
  const { target, stored } = await start();
  const { accepted } = await LOADS.bulk(target);
  expect(accepted).toHaveLength(50);
  expect(stored()).toHaveLength(50);
  expect(new Set(stored().map(({ room }) => room)).size).toBe(6);
});

describe('latencies', () => {
  it('are those between two moments, of what was accepted', () => {
    const samples = [10, 20, 30, 40, 1_000].map((tookMs, index) => ({ atMs: index * 100, tookMs, status: 202 }));
    const refused = { atMs: 50, tookMs: 9_999, status: 503 };
    expect(latencies([...samples, refused], 0, 400)).toMatchObject({
      answered: 4,
      errors: 1,
      perSecond: 10,
      p50: 25,
      max: 40,
    });
  });
});

describe('table', () => {
  it('sets names to the left and numbers to the right, with as many digits as they deserve', () => {
    expect(
      table(
        ['name', 'n'],
        [
          ['a', 1_234],
          ['long', 1.234],
          ['c', Number.NaN],
        ],
      ),
    ).toEqual(['  name      n', '  a     1,234', '  long   1.23', '  c         –']);
  });
});
