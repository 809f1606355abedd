/** Workers and shards over HTTP as an operator sees and changes them. */
import { describe, expect, it } from 'vitest';
import { OutcomeUnknownError } from '../../src/engine/ports.ts';
import { World } from '../conformance/world.ts';
import { FleetBed, HAND_OVER_MS, SHARDS } from '../support/fleet-admin.ts';
import { bearer } from './fixture.ts';

const HALF = SHARDS / 2;
const QUARTER = SHARDS / 4;
const REBALANCE = '/v1/ops/shards/rebalance';

interface Answer {
  readonly status: number;
  readonly etag: string | null;
  // biome-ignore lint/suspicious/noExplicitAny: whatever was answered, for assertions
  readonly body: any;
}

async function start(bed: FleetBed) {
  const url = await bed.serve();
  async function call(method: string, path: string, body?: unknown, headers: object = {}): Promise<Answer> {
    const json = body === undefined ? {} : { 'content-type': 'application/json' };
    const response = await fetch(`${url}${path}`, {
      method,
      headers: { ...bearer('operate'), ...json, ...headers },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    return { status: response.status, etag: response.headers.get('etag'), body: await response.json() };
  }
  const rebalance = (body: unknown, headers: object = {}) => call('POST', REBALANCE, body, headers);
  return { bed, call, rebalance };
}

/** Two workers with half of the shards each. */
const pair = async () => start(await new FleetBed().withWorkers('a', 'b'));

const membershipOf = async (bed: FleetBed): Promise<number> => (await bed.look()).membership;

describe('GET /v1/ops/workers', () => {
  it('lists every process with its shards, rooms and backlog', async () => {
    const { bed, call } = await pair();
    await bed.join('c', { roles: ['api'] });
    const owned = (await bed.look()).shards;
    const world = new World(bed.stores, { shard: owned.findIndex(({ owner }) => owner === 'a-1'), channel: 'support' });
    await world.roomWith(2, 'one');
    await world.roomWith(1, 'two');
    const { status, etag, body } = await call('GET', '/v1/ops/workers');
    expect(status).toBe(200);
    expect(etag).toBe(`"${body.membership}"`);
    const common = {
      weight: 1,
      ownWeight: 1,
      operatorWeight: null,
      draining: false,
      leaseLeftMs: 10_000,
      generation: 1,
    };
    expect(body).toMatchObject({
      membership: await membershipOf(bed),
      planned: false,
      unowned: 0,
      workers: [
        { ...common, worker: 'a-1', name: 'a', shards: HALF, leaving: 0, promised: 0, rooms: 2, waiting: 3 },
        { ...common, worker: 'b-1', name: 'b', shards: HALF, leaving: 0, promised: 0, rooms: 0, waiting: 0 },
        { ...common, worker: 'c-1', name: 'c', roles: ['api'], shards: 0, rooms: 0, waiting: 0 },
      ],
      weights: [],
    });
  });

  it('counts rooms every two seconds at the most, and again at once after a count that failed', async () => {
    let counts = 0;
    const bed = new FleetBed((store) => ({
      countWork: async () => {
        counts++;
        if (counts === 2) throw new Error('the store is away');
        return store.countWork();
      },
    }));
    const { call } = await start(await bed.withWorkers('a'));
    await Promise.all([call('GET', '/v1/ops/workers'), call('GET', '/v1/ops/shards')]);
    bed.ticks = 1_999;
    await call('GET', '/v1/ops/workers');
    expect(counts).toBe(1);
    bed.ticks = 2_000;
    expect((await call('GET', '/v1/ops/workers')).body.code).toBe('not_ready');
    expect((await call('GET', '/v1/ops/workers')).status).toBe(200);
    expect(counts).toBe(3);
  });
});

describe('GET /v1/ops/shards', () => {
  it('lists shards page by page, with owner, heir, deadline, pin and work', async () => {
    const { bed, call, rebalance } = await pair();
    const { shards: before } = await bed.look();
    const shard = before.findIndex(({ owner }) => owner === 'a-1');
    await rebalance({ moves: [{ shard, worker: 'b' }], pins: [{ shard, name: 'b' }] });
    bed.now += 1_000;
    await new World(bed.stores, { shard, channel: 'support' }).roomWith(4);
    const { body } = await call('GET', '/v1/ops/shards?limit=200');
    expect(body.shards).toHaveLength(200);
    expect(body.after).toBe(199);
    const rest = (await call('GET', '/v1/ops/shards?limit=200&after=199')).body;
    expect(rest.shards.map((each: { shard: number }) => each.shard)).toEqual(
      Array.from({ length: SHARDS - 200 }, (_, index) => 200 + index),
    );
    expect(rest.after).toBeNull();
    expect([...body.shards, ...rest.shards][shard]).toEqual({
      shard,
      owner: { worker: 'a-1', name: 'a' },
      heir: { worker: 'b-1', name: 'b' },
      heirLeftMs: HAND_OVER_MS - 1_000,
      pin: 'b',
      epoch: 2,
      movedAt: before[shard]?.movedAt,
      rooms: 1,
      waiting: 4,
    });
  });

  it('lists those of one worker, and those that move', async () => {
    const { bed, call, rebalance } = await pair();
    const shard = (await bed.look()).shards.findIndex(({ owner }) => owner === 'a-1');
    await rebalance({ moves: [{ shard, worker: 'b-1' }] });
    const numbers = async (query: string): Promise<number[]> =>
      (await call('GET', `/v1/ops/shards?${query}`)).body.shards.map((each: { shard: number }) => each.shard);
    expect(await numbers('moving=true')).toEqual([shard]);
    expect(await numbers('worker=a')).toHaveLength(HALF);
    expect(await numbers('worker=b-1')).toHaveLength(HALF + 1);
    expect(await numbers('worker=b-1&moving=true')).toEqual([shard]);
    expect(await call('GET', '/v1/ops/shards?worker=ghost')).toMatchObject({
      status: 404,
      body: { code: 'worker_not_found' },
    });
  });

  it.each(['limit=0', 'limit=4097', 'after=-1', 'after=x', 'moving=maybe', 'shard=1'])('refuses ?%s', async (query) => {
    const { call } = await pair();
    expect((await call('GET', `/v1/ops/shards?${query}`)).status).toBe(400);
  });
});

describe('a drain', () => {
  it.each([
    ['the id of a worker', 'a-1'],
    ['the name of its node', 'a'],
  ])('by %s has it give its shards away, and is taken back while it lives', async (_how, named) => {
    const { bed, call } = await pair();
    expect(await call('POST', `/v1/ops/workers/${named}/drain`)).toMatchObject({
      status: 200,
      body: { worker: 'a-1', name: 'a', draining: true },
    });
    expect(bed.signals).toEqual([{ kind: 'ownership', worker: null }]);
    await bed.plan();
    expect((await call('GET', '/v1/ops/workers')).body.workers[0]).toMatchObject({ draining: true, leaving: HALF });
    await bed.handOver();
    expect(await bed.owned()).toEqual({ 'b-1': SHARDS });

    expect((await call('DELETE', `/v1/ops/workers/${named}/drain`)).body.draining).toBe(false);
    await bed.plan();
    await bed.handOver();
    expect(await bed.owned()).toEqual({ 'a-1': HALF, 'b-1': HALF });
    expect(await bed.audit()).toMatchObject([
      { action: 'fleet.undrain', subject: 'fleet', actor: 'operate', detail: { worker: 'a-1', name: 'a' } },
      { action: 'fleet.drain', detail: { worker: 'a-1', name: 'a', force: false, shards: HALF } },
    ]);
    const acted = bed.backend.logged.filter(({ event }) => event === 'operator.acted');
    expect(acted.map(({ fields }) => fields.requestId)).toEqual([expect.any(String), expect.any(String)]);
  });

  it('said twice changes nothing the second time', async () => {
    const { bed, call } = await pair();
    await call('POST', '/v1/ops/workers/a/drain');
    const before = await bed.rows();
    expect((await call('POST', '/v1/ops/workers/a/drain')).status).toBe(200);
    expect(await bed.rows()).toEqual(before);
  });

  it('of the last worker with a weight is refused without force', async () => {
    const { bed, call } = await pair();
    await call('POST', '/v1/ops/workers/a/drain');
    const before = await bed.rows();
    expect(await call('POST', '/v1/ops/workers/b/drain')).toMatchObject({ status: 409, body: { code: 'worker_last' } });
    expect(await bed.rows()).toEqual(before);
    expect((await call('POST', '/v1/ops/workers/b/drain?force=true')).status).toBe(200);
    expect((await bed.look()).members.map(({ draining }) => draining)).toEqual([true, true]);
  });

  it('is decided anew where somebody comes meanwhile', async () => {
    let bed: FleetBed;
    let joined = false;
    bed = new FleetBed((store) => ({
      change: async (...args) => {
        if (!joined) {
          joined = true;
          await bed.join('late');
        }
        return store.change(...args);
      },
    }));
    const { call } = await start(await bed.withWorkers('a', 'b'));
    expect((await call('POST', '/v1/ops/workers/a/drain')).status).toBe(200);
    expect((await bed.look()).members.map(({ draining }) => draining)).toEqual([true, false, false]);
  });

  it.each([
    ['an unknown worker', 'ghost', 404, 'worker_not_found'],
    ['a name that several have', 'twin', 409, 'worker_ambiguous'],
    ['a process that never holds shards', 'front', 409, 'worker_takes_none'],
  ])('of %s changes nothing', async (_what, named, status, code) => {
    const { bed, call } = await pair();
    await bed.join('front', { roles: ['api'] });
    await bed.join('twin');
    await bed.join('other', { name: 'twin' });
    const before = await bed.rows();
    for (const method of ['POST', 'DELETE']) {
      expect(await call(method, `/v1/ops/workers/${named}/drain`)).toMatchObject({ status, body: { code } });
    }
    expect(await bed.rows()).toEqual(before);
  });

  it('by a name goes to the life that is there, not to one whose lease has ended', async () => {
    const { bed, call } = await pair();
    bed.now += 10_000;
    await bed.join('a2', { name: 'a' });
    expect((await call('POST', '/v1/ops/workers/a/drain?force=true')).body.worker).toBe('a2-1');
  });
});

describe('POST /v1/ops/shards/rebalance', () => {
  it('changes weights, pins and places at once; workers carry it out', async () => {
    const { bed, rebalance } = await pair();
    const membership = await membershipOf(bed);
    const { shards } = await bed.look();
    const shard = shards.findIndex(({ owner }) => owner === 'b-1');
    const { status, body } = await rebalance({
      ifMembership: membership,
      weights: { a: 3 },
      pins: [{ first: 30, last: 31, name: 'b' }],
      moves: [{ shard, worker: 'a' }],
    });
    expect(status).toBe(200);
    expect(body).toMatchObject({ dryRun: false, membership, warnings: [] });
    expect(body.workers).toEqual([
      { worker: 'a-1', name: 'a', before: HALF, after: HALF + QUARTER },
      { worker: 'b-1', name: 'b', before: HALF, after: QUARTER },
    ]);
    expect((await bed.look()).shards[shard]).toMatchObject({ owner: 'b-1', heir: 'a-1', heirLeftMs: HAND_OVER_MS });
    expect(bed.signals).toEqual([{ kind: 'ownership', worker: null }]);
    await bed.plan();
    await bed.handOver();
    expect(await bed.owned()).toEqual({ 'a-1': HALF + QUARTER, 'b-1': QUARTER });
    const after = (await bed.look()).shards;
    expect([after[30]?.owner, after[31]?.owner]).toEqual(['b-1', 'b-1']);
    expect(await bed.audit()).toMatchObject([
      {
        action: 'fleet.rebalance',
        subject: 'fleet',
        actor: 'operate',
        detail: {
          membership,
          force: false,
          weights: { before: { a: null }, after: { a: 3 } },
          pins: [{ first: 30, last: 31, name: 'b' }],
          moves: [{ first: shard, last: shard, worker: 'a' }],
          shards: body.moved,
        },
      },
    ]);
  });

  it('by a dry run says what would move and changes nothing; what then moves is just that', async () => {
    const { bed, rebalance } = await pair();
    const before = await bed.rows();
    const wishes = { weights: { a: 3 }, pins: [{ shard: 0, name: 'b' }] };
    const dry = await rebalance({ ...wishes, dryRun: true });
    expect(dry.body.dryRun).toBe(true);
    expect(await bed.rows()).toEqual(before);
    expect((await rebalance(wishes)).body).toEqual({ ...dry.body, dryRun: false });
    await bed.plan();
    const promised = (await bed.look()).shards.flatMap(({ owner, heir }, shard) =>
      heir === null ? [] : [{ shard, from: owner, to: heir }],
    );
    expect(dry.body.moved).toBe(promised.length);
    const ids = dry.body.moves.map(
      ({ shard, from, to }: { shard: number; from: { worker: string }; to: { worker: string } }) => {
        return { shard, from: from.worker, to: to.worker };
      },
    );
    expect(ids).toEqual(promised);
  });

  it('without anything said has the shards distributed anew', async () => {
    const { bed, rebalance } = await pair();
    expect(await rebalance({})).toMatchObject({ status: 200, body: { moved: 0, moves: [], warnings: [] } });
    const { planned, membership } = await bed.look();
    expect(planned).toBeLessThan(membership);
    expect(await bed.audit()).toMatchObject([{ action: 'fleet.rebalance' }]);
  });

  it('takes weights and pins back', async () => {
    const { bed, rebalance } = await pair();
    await rebalance({ weights: { a: 2 }, pins: [{ first: 1, last: 3, name: 'b' }] });
    await rebalance({ weights: { a: null }, pins: [{ shard: 2, name: null }] });
    const { weights, pins } = await bed.look();
    expect([...weights]).toEqual([]);
    expect([...pins]).toEqual([
      [1, 'b'],
      [3, 'b'],
    ]);
    expect((await bed.audit())[0]?.detail).toMatchObject({ weights: { before: { a: 2 }, after: { a: null } } });
  });

  it('keeps a single shard where it was moved to, and says where the loads take shards back', async () => {
    const { bed, rebalance } = await pair();
    const ofA = (await bed.look()).shards.flatMap(({ owner }, shard) => (owner === 'a-1' ? [shard] : []));
    const few = ofA.slice(0, 3).map((shard) => ({ shard, worker: 'b' }));
    expect((await rebalance({ dryRun: true, moves: few })).body).toMatchObject({ moved: 3, warnings: [] });
    const many = ofA.slice(0, 100).map((shard) => ({ shard, worker: 'b' }));
    const { body } = await rebalance({ dryRun: true, moves: many });
    expect(body.warnings).toMatchObject([{ code: 'move_undone', path: 'moves' }]);
    expect(body.workers.map(({ after }: { after: number }) => after)).toEqual([HALF, HALF]);
  });

  it('withdraws what was promised where a shard is moved to its owner', async () => {
    const { bed, rebalance } = await pair();
    const shard = (await bed.look()).shards.findIndex(({ owner }) => owner === 'a-1');
    await rebalance({ moves: [{ shard, worker: 'b' }] });
    const { body } = await rebalance({ moves: [{ shard, worker: 'a' }] });
    expect(body.moves).toEqual([{ shard, from: { worker: 'a-1', name: 'a' }, to: null }]);
    expect((await bed.look()).shards[shard]).toMatchObject({ owner: 'a-1', heir: null });
    await rebalance({ moves: [{ shard, worker: 'a' }] });
    expect((await bed.look()).shards[shard]?.epoch).toBe(3);
  });

  it('takes words about nodes that are not there, and warns', async () => {
    const { bed, rebalance } = await pair();
    await bed.join('twin');
    await bed.join('other', { name: 'twin' });
    const { body } = await rebalance({
      weights: { nobody: 2, gone: null },
      pins: [
        { shard: 1, name: 'future' },
        { shard: 2, name: 'twin' },
      ],
    });
    expect(body.warnings.map(({ path, code }: { path: string; code: string }) => `${path} ${code}`)).toEqual([
      'weights.nobody name_unknown',
      'pins to future pin_waits',
      'pins to twin name_shared',
    ]);
    expect([...(await bed.look()).weights]).toEqual([['nobody', 2]]);
  });

  it('moves at most 4,096 shards at once', async () => {
    const bed = await new FleetBed(undefined, 5_000).withWorkers('a');
    const { rebalance } = await start(bed);
    const before = await bed.rows();
    expect((await rebalance({ moves: [{ first: 0, last: 4_096, worker: 'a' }] })).body).toMatchObject({
      code: 'field_invalid',
      field: 'moves',
    });
    expect(await bed.rows()).toEqual(before);
    expect((await rebalance({ moves: [{ first: 0, last: 4_095, worker: 'a' }] })).status).toBe(200);
  });

  it('lists the first thousand moves only, and counts all', async () => {
    const bed = await new FleetBed(undefined, 2_400).withWorkers('a');
    const { rebalance } = await start(bed);
    await bed.join('b');
    const { body } = await rebalance({ dryRun: true });
    expect([body.moved, body.moves.length]).toEqual([1_200, 1_000]);
  });

  it.each([
    ['in the body', (membership: number) => [{ ifMembership: membership }, {}] as const],
    ['in the header', (membership: number) => [{}, { 'if-match': `"${membership}"` }] as const],
  ])('expects the membership that is named %s', async (_where, conditionOf) => {
    const { bed, rebalance } = await pair();
    const membership = await membershipOf(bed);
    const before = await bed.rows();
    const [old, oldHeader] = conditionOf(membership - 1);
    for (const dryRun of [true, false]) {
      expect(await rebalance({ ...old, dryRun, weights: { a: 2 } }, oldHeader)).toMatchObject({
        status: 409,
        body: { code: 'membership_changed' },
      });
    }
    expect(await bed.rows()).toEqual(before);
    const [present, presentHeader] = conditionOf(membership);
    expect((await rebalance({ ...present, weights: { a: 2 } }, presentHeader)).status).toBe(200);
  });

  it('two rebalances at once: one is taken whole, the other gets a 409 and leaves nothing', async () => {
    const { bed, rebalance } = await pair();
    const ifMembership = await membershipOf(bed);
    const answers = await Promise.all(
      [2, 3].map((weight) => rebalance({ ifMembership, weights: { a: weight }, pins: [{ shard: weight, name: 'b' }] })),
    );
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 409]);
    const won = answers[0]?.status === 200 ? 2 : 3;
    const { weights, pins } = await bed.look();
    expect([[...weights], [...pins]]).toEqual([[['a', won]], [[won, 'b']]]);
    expect(await bed.audit()).toHaveLength(1);
  });

  it('is refused as a whole where a shard has moved between the look and the change', async () => {
    let bed: FleetBed;
    bed = new FleetBed((store) => ({
      change: async (...args) => {
        await bed.handOver();
        return store.change(...args);
      },
    }));
    const { rebalance } = await start(await bed.withWorkers('a', 'b'));
    await bed.join('c');
    await bed.plan();
    const shard = (await bed.look()).shards.findIndex(({ heir }) => heir === 'c-1');
    const { body, status } = await rebalance({ weights: { a: 2 }, moves: [{ shard, worker: 'b' }] });
    // Whether it is a's or b's, c has got it by now.
    expect([status, body.code]).toEqual([409, 'membership_changed']);
    expect([(await bed.look()).weights.size, (await bed.audit()).length]).toEqual([0, 0]);
  });

  const long = 'x'.repeat(257);
  it.each([
    ['a negative weight', { weights: { a: -0.1 } }, 400, 'weight_invalid'],
    ['a weight that is too large', { weights: { a: 1_000.5 } }, 400, 'weight_invalid'],
    ['an infinite weight', '{"weights":{"a":1e999}}', 400, 'weight_invalid'],
    ['a weight that is no number', { weights: { a: '2' } }, 400, 'field_type'],
    ['NaN', '{"weights":{"a":NaN}}', 400, 'body_malformed_json'],
    ['weights that are a list', { weights: [1] }, 400, 'field_type'],
    ['a node without a name', { weights: { '': 1 } }, 400, 'field_invalid'],
    ['a name that is too long', { weights: { [long]: 1 } }, 400, 'id_too_long'],
    ['a name that cannot be stored', { pins: [{ shard: 1, name: 'a\0' }] }, 400, 'text_nul_or_surrogate'],
    ['only weights of 0', { weights: { a: 0, b: 0 } }, 409, 'worker_last'],
    ['a shard above the last', { pins: [{ shard: SHARDS, name: 'a' }] }, 400, 'shard_out_of_range'],
    ['a negative shard', { pins: [{ shard: -1, name: 'a' }] }, 400, 'shard_out_of_range'],
    ['half a shard', { moves: [{ shard: 1.5, worker: 'a' }] }, 400, 'shard_out_of_range'],
    ['a range that ends above the last', { pins: [{ first: 1, last: 1e12, name: 'a' }] }, 400, 'shard_out_of_range'],
    ['a range that ends before it begins', { pins: [{ first: 2, last: 1, name: 'a' }] }, 400, 'shard_out_of_range'],
    ['a shard that is no number', { pins: [{ shard: '1', name: 'a' }] }, 400, 'field_type'],
    ['a range without an end', { pins: [{ first: 1, name: 'a' }] }, 400, 'field_missing'],
    ['a shard and a range', { pins: [{ shard: 1, first: 1, last: 2, name: 'a' }] }, 400, 'field_invalid'],
    [
      'a shard pinned twice',
      {
        pins: [
          { shard: 3, name: 'a' },
          { first: 2, last: 4, name: null },
        ],
      },
      400,
      'shard_repeated',
    ],
    [
      'a shard moved twice',
      {
        moves: [
          { shard: 3, worker: 'a' },
          { shard: 3, worker: 'b' },
        ],
      },
      400,
      'shard_repeated',
    ],
    ['a pin to nobody', { pins: [{ shard: 3 }] }, 400, 'field_missing'],
    ['a move to nobody', { moves: [{ shard: 3 }] }, 400, 'field_missing'],
    ['a move to an unknown worker', { moves: [{ shard: 3, worker: 'ghost' }] }, 404, 'worker_not_found'],
    [
      'a move to one without a weight',
      { weights: { b: 0 }, moves: [{ shard: 3, worker: 'b' }] },
      409,
      'worker_takes_none',
    ],
    [
      'a move of what is pinned elsewhere',
      { pins: [{ shard: 3, name: 'a' }], moves: [{ shard: 3, worker: 'b' }] },
      409,
      'shard_pinned',
    ],
    ['an unknown field', { weight: { a: 1 } }, 400, 'field_unknown'],
    ['an unknown field of a pin', { pins: [{ shard: 1, name: 'a', worker: 'b' }] }, 400, 'field_unknown'],
    ['a dry run that is no flag', { dryRun: 'yes', weights: { a: 2 } }, 400, 'field_type'],
    ['a membership that is no number', { ifMembership: 'x' }, 400, 'field_type'],
    ['half a membership', { ifMembership: 1.5 }, 400, 'field_invalid'],
    ['a list', [], 400, 'field_type'],
    ['no JSON', '{', 400, 'body_malformed_json'],
    ['nothing', '', 400, 'body_malformed_json'],
    ['a body that is too deep', { pins: [[[[[[[[]]]]]]]] }, 400, 'body_too_deep'],
    ['a body that is too large', { weights: { a: 2 }, pins: ' '.repeat(262_144) }, 413, 'body_too_large'],
  ])('with %s changes nothing', async (_what, sent, status, code) => {
    const { bed, rebalance } = await pair();
    // What is good beside it is not taken either.
    const good = { weights: { a: 5 }, pins: [{ shard: 9, name: 'b' }] };
    const body = typeof sent === 'string' || Array.isArray(sent) ? sent : { ...good, ...sent };
    const before = await bed.rows();
    const answer = await rebalance(body);
    expect([answer.status, answer.body.code]).toEqual([status, code]);
    expect(await bed.rows()).toEqual(before);
  });

  it.each([['"x"'], ['*'], ['"1", "2"']])('refuses If-Match: %s', async (match) => {
    const { rebalance } = await pair();
    expect((await rebalance({}, { 'if-match': match })).body).toMatchObject({
      code: 'field_invalid',
      field: 'if-match',
    });
  });

  it('with two different memberships is refused', async () => {
    const { rebalance } = await pair();
    expect((await rebalance({ ifMembership: 3 }, { 'if-match': '4' })).body.code).toBe('field_invalid');
  });

  it('is taken with force where no worker has a weight then', async () => {
    const { bed, rebalance } = await pair();
    expect((await rebalance({ weights: { a: 0, b: 0 }, force: true })).status).toBe(200);
    await bed.plan();
    expect(await bed.owned()).toEqual({ 'a-1': HALF, 'b-1': HALF });
  });

  it('says so where it is not known whether it took effect', async () => {
    const bed = new FleetBed(() => ({
      change: () => Promise.reject(new OutcomeUnknownError('the connection broke')),
    }));
    const { rebalance } = await start(await bed.withWorkers('a'));
    expect(await rebalance({})).toMatchObject({ status: 503, body: { code: 'not_ready', detail: /audit/ as never } });
  });
});

describe('GET /v1/ops/rebalance', () => {
  it('tells how far a rebalance is, from the first promise to the last hand-over', async () => {
    const { bed, call, rebalance } = await pair();
    const progress = async () => (await call('GET', '/v1/ops/rebalance')).body;
    expect(await progress()).toMatchObject({ planned: true, running: false, promised: 0, passages: [], last: null });

    bed.now += 5_000;
    await rebalance({ weights: { a: 3 } });
    expect(await progress()).toMatchObject({
      planned: false,
      running: true,
      promised: 0,
      changedAt: bed.now,
      moved: 0,
    });
    bed.now += 1_000;
    await bed.plan();
    bed.now += 500;
    const begun = await progress();
    expect(begun).toMatchObject({
      planned: true,
      running: true,
      unowned: 0,
      promised: QUARTER,
      moved: 0,
      changedAt: bed.now - 1_500,
      passages: [
        {
          from: { worker: 'b-1', name: 'b' },
          to: { worker: 'a-1', name: 'a' },
          shards: QUARTER,
          nextDeadlineMs: HAND_OVER_MS - 500,
        },
      ],
      last: { action: 'fleet.rebalance', actor: 'operate', at: bed.now - 1_500, detail: { shards: QUARTER } },
    });
    const { ownership } = bed.stores;
    const promised = (await ownership.ownShards('b-1')).filter(({ heir }) => heir !== null);
    await ownership.handOver('b-1', promised.slice(0, 3));
    expect(await progress()).toMatchObject({ running: true, promised: QUARTER - 3, moved: 3 });
    await bed.handOver();
    expect(await progress()).toMatchObject({ running: false, promised: 0, moved: QUARTER, passages: [] });
  });
});

it.each([
  ['GET', '/v1/ops/workers'],
  ['GET', '/v1/ops/shards'],
  ['POST', '/v1/ops/workers/a/drain'],
  ['DELETE', '/v1/ops/workers/a/drain'],
  ['POST', REBALANCE],
  ['GET', '/v1/ops/rebalance'],
])('%s %s is for operators alone', async (method, path) => {
  const { bed, call } = await pair();
  const before = await bed.rows();
  const json = { 'content-type': 'application/json' };
  const body = path === REBALANCE ? {} : undefined;
  expect((await call(method, path, body, { ...json, authorization: 'Bearer nobody' })).body.code).toBe('unauthorized');
  for (const scope of ['publish', 'read'] as const) {
    expect((await call(method, path, body, bearer(scope))).body.code).toBe('forbidden_scope');
  }
  expect(await bed.rows()).toEqual(before);
});
