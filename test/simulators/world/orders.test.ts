/** Every rule of a publisher's order can be broken: told to the book by hand. */
import { beforeEach, describe, expect, it } from 'vitest';
import { Checker } from '../../../simulators/world/checker.ts';
import { OrderBook } from '../../../simulators/world/orders.ts';
import type { PlacedRecord } from '../../../simulators/world/records.ts';

let told: string[];
let book: OrderBook;
let appended: number;

beforeEach(() => {
  told = [];
  appended = 0;
  book = new OrderBook((promise, what) => told.push(`${promise}: ${what}`));
  for (const order of [1, 2, 3, 5, 8]) book.published(`o-${order}`, order);
  for (const id of ['plain-1', 'plain-2']) book.published(id, undefined);
});

/** `o-3` is parked, `o-1=1` has number 1, `o-1=1!` is late besides. */
function place(tail: number, ...messages: readonly string[]): string[] {
  const placed = messages.map((text): PlacedRecord => {
    const [id = '', place = ''] = text.split('=');
    return { id, sequence: place === '' ? null : Number.parseInt(place, 10), late: place.endsWith('!') };
  });
  const numbered = book.placed(placed, appended, tail, 1_000);
  appended = tail;
  return numbered.map(({ id, sequence }) => `${id}=${sequence}`);
}

function skip(first: number, last: number, tail: number, now: number, openFor: number | null): string[] {
  const numbered = book.skipped(first, last, appended, tail, now, openFor);
  appended = tail;
  return numbered.map(({ id, sequence }) => `${id}=${sequence}`);
}

describe('a story in which nothing is wrong', () => {
  it('tells which message has which number, parked ones included', () => {
    expect(place(1, 'o-3', 'plain-1=1')).toEqual(['plain-1=1']);
    expect([book.has('o-3'), book.has('plain-1'), book.since, book.waitsFor]).toEqual([true, false, 1_000, 1]);
    expect(place(4, 'o-2=3', 'o-1=2')).toEqual(['o-1=2', 'o-2=3', 'o-3=4']);
    expect(book.since).toBeNull();
    place(4, 'o-8');
    expect(skip(4, 7, 5, 31_000, 30_000)).toEqual(['o-8=5']);
    expect(place(7, 'o-5=6!', 'plain-2=7')).toEqual(['o-5=6', 'plain-2=7']);
    expect(told).toEqual([]);
  });
});

describe('it is broken', () => {
  it.each<[string, string, () => unknown]>([
    ['by a number out of its turn', 'R2: order 2 has number 1, while 1 is awaited', () => place(1, 'o-2=1')],
    ['by what is parked although it is its turn', 'R2: o-1 is parked as order 1', () => place(0, 'o-1')],
    ['by what is parked without an order', 'R2: plain-1 is parked as order null', () => place(0, 'plain-1')],
    ['by a sequence that belongs to nobody', 'R1: number 1 is nobody', () => place(1)],
    ['by a released message that is not next', 'R2: order 3 has number 1', () => [place(0, 'o-3'), place(1)]],
    [
      'by a run that stays behind',
      'R6: order 2 is parked, and it is its turn',
      () => [place(0, 'o-2'), place(1, 'o-1=1')],
    ],
    ['by messages without an order that change places', 'R2: plain-2 has number 1', () => place(1, 'plain-2=1')],
    ['by what counts as late and is not', 'R2: o-2 counts as late', () => place(1, 'o-2=1!')],
    ['by a skip before its time', 'R2: 1 is skipped 999 ms', () => [place(0, 'o-2'), skip(1, 1, 1, 1_999, 1_000)]],
    ['by a skip of too much', 'R2: 1 to 2 are skipped', () => [place(0, 'o-2'), skip(1, 2, 1, 5_000, null)]],
  ])('%s', (_, rule, story) => {
    story();
    expect(told.join('; ')).toContain(rule);
  });

  it('where a publisher is told of a parked message that is not stored', () => {
    const checker = new Checker({
      now: () => 1_000,
      maxAttempts: 3,
      roomLimit: null,
      cumulative: false,
      clocksAheadMs: () => 0,
      onSettled: () => undefined,
    });
    const body = new Uint8Array();
    checker.published('main/r', { messageId: 'a', body, expiresAt: null, supersedes: null, order: 2 });
    checker.acknowledged('main/r', 'a', null);
    expect(checker.violations).toEqual(['R1: main/r: a was acknowledged before it was stored']);
  });
});
