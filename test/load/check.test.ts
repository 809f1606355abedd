/** What judges a load finds what it must find. */
import { describe, expect, it } from 'vitest';
import { check, type Stored } from './check.ts';

const message = (messageId: string, sequence: number, room = 'r'): Stored => ({ room, messageId, sequence });
const ALL = [message('a', 1), message('b', 2), message('c', 3), message('x', 1, 's')];

describe('check', () => {
  it('finds nothing where all is stored once and in order, whatever was never answered', () => {
    expect(check(ALL, ALL)).toEqual({ accepted: 4, stored: 4, wrong: [] });
    expect(check([message('a', 1), message('c', 3)], ALL)).toEqual({ accepted: 2, stored: 4, wrong: [] });
  });

  it.each([
    ['a loss', ALL, [message('a', 1), message('b', 2), message('x', 1, 's')], 'r c was accepted and is not stored'],
    ['a double', ALL, [...ALL, message('b', 4)], 'r b is stored twice'],
    ['a place taken twice', ALL, [...ALL, message('d', 3)], 'two messages have the place r 3'],
    ['a gap', ALL, [...ALL, message('e', 5)], 'r has 4 messages and numbers up to 5'],
    ['another number', [message('b', 3)], ALL, 'r b was answered 3 and is stored as 2'],
    ['a wrong order', [message('b', 2), message('a', 1)], ALL, 'r a was sent after number 2 and became 1'],
    ['the same id in another room', [message('a', 1, 's')], ALL, 's a was accepted and is not stored'],
  ])('finds %s', (_what, accepted, stored, found) => {
    expect(check(accepted, stored).wrong).toContain(found);
  });

  it('judges answers that told no number by what is stored', () => {
    const buffered = (messageId: string) => ({ room: 'r', messageId, sequence: null });
    expect(check(['a', 'b', 'c'].map(buffered), ALL).wrong).toEqual([]);
    expect(check(['b', 'a'].map(buffered), ALL).wrong).toEqual(['r a was sent after number 2 and became 1']);
    expect(check(['d'].map(buffered), ALL).wrong).toEqual(['r d was accepted and is not stored']);
  });

  it('tells of ten at most', () => {
    const lost = Array.from({ length: 100 }, (_, index) => message(`m-${index}`, index + 1));
    expect(check(lost, []).wrong).toHaveLength(10);
  });
});
