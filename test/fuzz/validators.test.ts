/**
 * No validator takes longer than its input deserves: four times the size takes at most ten times as long, which a
 * pattern that backtracks over its input, or a copy for each character, would not keep (sixteen times and more). The
 * process's own CPU time is measured, so that it does not matter what else the machine does.
 */
import type { IncomingMessage } from 'node:http';
import { describe, expect, test } from 'vitest';
import { checkId, MESSAGE_LIMITS, parseMessage } from '../../src/engine/message.ts';
import { createReferences } from '../../src/engine/reference.ts';
import { RoomlineError } from '../../src/errors.ts';
import { verifyKey } from '../../src/http/keys.ts';
import { requestIdOf } from '../../src/http/problems.ts';
import { readStatuses } from '../../src/platforms/generic/statuses.ts';
import { parseRetryAfter } from '../../src/platforms/retry-after.ts';
import { createVerifier } from '../../src/platforms/standard-webhooks.ts';
import { message, spliced } from './corpus/entry.ts';
import { KEYS, NOW_MS } from './rig.ts';

const SIZE = 20_000;
const FACTOR = 4;
const MAX_RATIO = 10;
/** Half of the bound of 50 ms: below this nobody waits for a validator, and the clock of CPU time is coarse. */
const FREE_MS = 25;
const TRIES = 3;
const ROUNDS = 3;

const limits = { ...MESSAGE_LIMITS, maxBytes: Number.MAX_SAFE_INTEGER };
const publish = (raw: string): unknown => parseMessage(Buffer.from(raw), limits, () => ({ checkContent: null }));
const call = (raw: string): unknown => readStatuses(Buffer.from(raw));
const stored = [{ name: 'k', hash: KEYS.read.hash, scopes: ['read' as const] }];
const verify = createVerifier(['a secret of the webhook']);
const references = createReferences('a secret of this test');

type Case = readonly [name: string, run: (size: number) => unknown];

const messageCases: readonly Case[] = [
  ['a long room', (size) => publish(message({ room: 'x'.repeat(size) }))],
  ['a long room of wide characters', (size) => publish(message({ room: '😀'.repeat(size) }))],
  ['a long time of digits', (size) => publish(message({ notBefore: '1'.repeat(size) }))],
  ['a long fraction of a second', (size) => publish(message({ notBefore: `2026-01-01T00:00:00.${'0'.repeat(size)}` }))],
  ['a long offset', (size) => publish(message({ notBefore: `2026-01-01T00:00:00${'+00:00'.repeat(size)}` }))],
  ['a long unknown name', (size) => publish(message({ ['n'.repeat(size)]: 1 }))],
  ['a long unknown name that ends badly', (size) => publish(message({ [`${'n.-'.repeat(size)}!`]: 1 }))],
  ['many unknown names', (size) => publish(`{${Array.from({ length: size }, (_, at) => `"${at}":1`).join(',')}}`)],
  [
    'many members',
    (size) =>
      publish(spliced({ content: '@' }, `{${Array.from({ length: size }, (_, at) => `"k${at}":1`).join(',')}}`)),
  ],
  ['a long list', (size) => publish(spliced({ content: '@' }, `{"a":[${'0,'.repeat(size)}0]}`))],
  ['many levels', (size) => publish(spliced({ content: '@' }, `${'['.repeat(size)}${']'.repeat(size)}`))],
  [
    'many objects within one another',
    (size) => publish(spliced({ content: '@' }, `${'{"a":'.repeat(size)}1${'}'.repeat(size)}`)),
  ],
  ['a long text', (size) => publish(message({ content: { text: 'x'.repeat(size) } }))],
  ['many escapes', (size) => publish(message().replace('-text', '\\u0041'.repeat(size)))],
  [
    'many pairs of surrogates, the last one half',
    (size) => publish(message().replace('-text', `${'\\ud83d\\ude00'.repeat(size)}\\ud83d`)),
  ],
  ['a long number', (size) => publish(spliced({ content: '@' }, `{"a":${'9'.repeat(size)}}`))],
  ['a long fraction', (size) => publish(spliced({ content: '@' }, `{"a":0.${'1'.repeat(size)}}`))],
  ['a long exponent', (size) => publish(spliced({ content: '@' }, `{"a":1e-${'1'.repeat(size)}}`))],
  ['white space without end', (size) => publish(' \n'.repeat(size))],
  ['no UTF-8', (size) => parseMessage(Buffer.alloc(size, 0xff), limits, () => ({ checkContent: null }))],
  ['an identifier of line breaks', (size) => checkId('room', '\n'.repeat(size))],
];

const otherCases: readonly Case[] = [
  ['statuses that are long texts of digits', (size) => call(`{"statuses":["${'123456789012345x'.repeat(size)}"]}`)],
  ['long numbers among statuses', (size) => call(`{"statuses":[${'12345678901234567,'.repeat(size)}0],"x":1}`)],
  [
    '5,000 statuses of long ids',
    (size) => call(JSON.stringify({ statuses: Array(5_000).fill({ id: 'x'.repeat(size / 500), status: 'read' }) })),
  ],
  [
    'statuses with long codes',
    (size) =>
      call(JSON.stringify({ statuses: [{ id: 'x', status: 'failed', error: { code: `${'a.-:'.repeat(size)}!` } }] })),
  ],
  [
    'statuses with long references',
    (size) => call(JSON.stringify({ statuses: [{ reference: `${'A'.repeat(size)}=`, status: 'read' }] })),
  ],
  ['deep statuses', (size) => call(`{"statuses":${'['.repeat(size)}${']'.repeat(size)}}`)],
  ['a long key', (size) => verifyKey(`Bearer ${'x'.repeat(size)}`, stored, NOW_MS)],
  ['a key of spaces', (size) => verifyKey(`Bearer${' '.repeat(size)}x`, stored, NOW_MS)],
  [
    'many signatures',
    (size) =>
      verify(
        { 'webhook-id': 'x', 'webhook-timestamp': '1', 'webhook-signature': 'v1,A '.repeat(size) },
        Buffer.from('x'),
        NOW_MS,
      ),
  ],
  [
    'a signature of spaces',
    (size) =>
      verify(
        { 'webhook-id': 'x', 'webhook-timestamp': '1', 'webhook-signature': ' '.repeat(size) },
        Buffer.from('x'),
        NOW_MS,
      ),
  ],
  [
    'a long time of a signature',
    (size) =>
      verify(
        { 'webhook-id': 'x', 'webhook-timestamp': '1'.repeat(size), 'webhook-signature': 'v1,A' },
        Buffer.from('x'),
        NOW_MS,
      ),
  ],
  [
    'a long id of a call',
    (size) =>
      verify(
        { 'webhook-id': 'x'.repeat(size), 'webhook-timestamp': '1', 'webhook-signature': 'v1,A' },
        Buffer.from('x'),
        NOW_MS,
      ),
  ],
  ['a long wait', (size) => parseRetryAfter('1'.repeat(size), NOW_MS)],
  ['a long date to wait for', (size) => parseRetryAfter(`Sun, ${' '.repeat(size)}GMT`, NOW_MS)],
  ['a wait of spaces', (size) => parseRetryAfter(`${' '.repeat(size)}x${' '.repeat(size)}`, NOW_MS)],
  [
    'a long request id',
    (size) => requestIdOf({ headers: { 'x-request-id': `${'a.:-'.repeat(size)}!` } } as unknown as IncomingMessage),
  ],
  ['a long reference', (size) => references.decode('A'.repeat(size))],
];

/** CPU time of the shortest of some runs, in ms. What the input is made of is no part of the time: its making is linear itself. */
function shortest(run: (size: number) => unknown, size: number): number {
  let best = Number.POSITIVE_INFINITY;
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const startedAt = process.cpuUsage();
    try {
      run(size);
    } catch (error) {
      if (!(error instanceof RoomlineError)) throw error;
    }
    const { user, system } = process.cpuUsage(startedAt);
    best = Math.min(best, (user + system) / 1_000);
  }
  return best;
}

/** Whether the longer input took more than its share, in every round. */
function isSlow(run: (size: number) => unknown): boolean {
  for (let round = 0; round < ROUNDS; round++) {
    const allowed = Math.max(shortest(run, SIZE) * MAX_RATIO, FREE_MS);
    if (shortest(run, FACTOR * SIZE) <= allowed) return false;
  }
  return true;
}

describe('Four times the input takes no more than ten times as long', () => {
  test.for([...messageCases, ...otherCases])('%s', ([, run]) => {
    expect(isSlow(run)).toBe(false);
  });

  test('and this would find what does not', () => {
    // With its cube, so that no noise of the machine makes it look better than it is.
    expect(isSlow((size) => /x+x+y/.test('x'.repeat(Math.ceil((150 * size) / SIZE))))).toBe(true);
  });
});
