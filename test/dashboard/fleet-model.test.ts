import { describe, expect, it } from 'vitest';
import type { Shard, Worker } from '../../src/dashboard/views/fleet-data.ts';
import {
  coloursOf,
  columnsFor,
  movesLine,
  OWNER_COLOURS,
  ownersOf,
  rangeIn,
  rangesOf,
} from '../../src/dashboard/views/fleet-model.ts';

const worker = (name: string, more: Partial<Worker> = {}): Worker => ({
  worker: `id-${name}`,
  name,
  roles: ['worker'],
  weight: 1,
  ownWeight: 1,
  operatorWeight: null,
  draining: false,
  leaseLeftMs: 1_000,
  generation: 1,
  registeredAt: 0,
  ...{ shards: 1, leaving: 0, promised: 0, rooms: 0, waiting: 0 },
  ...more,
});
const owned = (shard: number, owner: string | null, more: Partial<Shard> = {}): Shard => ({
  shard,
  owner: owner === null ? null : { worker: `id-${owner}`, name: owner },
  heir: null,
  heirLeftMs: null,
  pin: null,
  epoch: 1,
  movedAt: 0,
  rooms: 1,
  waiting: 2,
  ...more,
});

describe('colours of workers', () => {
  it('go by names as people order them, and leave out who never holds a shard', () => {
    const front = worker('front-1', { roles: ['api'], shards: 0 });
    const colours = coloursOf([worker('worker-10'), front, worker('worker-2'), worker('worker-1')]);
    expect([...colours]).toEqual([
      ['id-worker-1', 0],
      ['id-worker-2', 1],
      ['id-worker-10', 2],
    ]);
  });

  it('begin again where there are more workers than colours', () => {
    const many = Array.from({ length: OWNER_COLOURS + 1 }, (_, index) => worker(`w-${index}`));
    expect(coloursOf(many).get(`id-w-${OWNER_COLOURS}`)).toBe(0);
  });
});

describe('shards by owner', () => {
  it('are counted with what moves and what is pinned, nobody first, then the fullest', () => {
    const heir = { worker: 'id-b', name: 'b' };
    const rows = ownersOf([
      owned(0, 'a'),
      owned(1, 'b'),
      owned(2, 'b', { pin: 'b' }),
      owned(3, null),
      owned(4, 'b', { heir }),
    ]);
    expect(
      rows.map(({ name, shards, leaving, pinned, rooms, waiting }) => [name, shards, leaving, pinned, rooms, waiting]),
    ).toEqual([
      ['nobody', 1, 0, 0, 1, 2],
      ['b', 3, 1, 1, 3, 6],
      ['a', 1, 0, 0, 1, 2],
    ]);
  });

  it('stand on a map that is as wide as it is high', () => {
    expect([4_096, 64, 100, 1, 65_536].map(columnsFor)).toEqual([64, 8, 16, 1, 256]);
  });
});

describe('ranges of shards', () => {
  it('are written as people do', () => {
    expect(rangesOf([0, 1, 2, 7, 9, 10])).toBe('0–2, 7, 9–10');
    expect(rangesOf([])).toBe('');
  });

  it.each([
    ['7', { first: 7, last: 7 }],
    [' 100-199 ', { first: 100, last: 199 }],
    ['100 – 199', { first: 100, last: 199 }],
    ['9-3', null],
    ['', null],
    ['a', null],
    ['-3', null],
  ])('are read from %j', (text, range) => {
    expect(rangeIn(text)).toEqual(range);
  });
});

describe('the line of a rebalance', () => {
  const move = (from: string | null, to: string | null) => ({
    shard: 0,
    from: from === null ? null : { worker: `id-${from}`, name: from },
    to: to === null ? null : { worker: `id-${to}`, name: to },
  });

  it('says from whom to whom, most first', () => {
    const moves = [move('a', 'b'), move('c', 'b'), move('c', 'b')];
    expect(movesLine({ moved: 3, moves })).toBe('3 shards move (c → b: 2; a → b: 1).');
    expect(movesLine({ moved: 1, moves: [move(null, 'b')] })).toBe('1 shard moves (nobody → b: 1).');
  });

  it('says where it knows a part only, and where nothing moves', () => {
    expect(movesLine({ moved: 2_048, moves: [move('a', 'b')] })).toBe('2,048 shards move (a → b: 1, of the first 1).');
    expect(movesLine({ moved: 0, moves: [] })).toMatch(/^Nothing moves/);
  });
});
