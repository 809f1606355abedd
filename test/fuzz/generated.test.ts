/**
 * Generated input: `ROOMLINE_FUZZ_CASES` of them (6,000 unless told), the same ones for the same `ROOMLINE_FUZZ_SEED`.
 * A failure prints seed and path of the smallest case that was found.
 */
import fc from 'fast-check';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { pageQuery } from '../../src/http/rooms.ts';
import { ask, expectedOf, problemOf } from './checks.ts';
import { messageContract, statusContract } from './contracts.ts';
import { expectStored } from './corpus-run.ts';
import { broken, damaged, valid } from './from-schema.ts';
import { startMemoryRig } from './memory.ts';
import { bearer, type Delivery, JSON_PUBLISH, NOW_MS, type Rig, SECRETS, signed } from './rig.ts';
import { Tally } from './tally.ts';

const CASES = Number(process.env.ROOMLINE_FUZZ_CASES ?? 6_000);
const SEED = Number(process.env.ROOMLINE_FUZZ_SEED ?? 20_260_101);
const TIMEOUT_MS = 60_000 + CASES * 20;

type Verdict = 'accepted' | 'refused' | 'either';
interface Generated {
  readonly kind: string;
  readonly raw: Buffer;
  readonly verdict: Verdict;
}

const text = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const goodMessage = valid(messageContract);
const good: fc.Arbitrary<Generated> = goodMessage.map((value) => ({
  kind: 'valid',
  raw: text(value),
  verdict: 'accepted',
}));
const bad: fc.Arbitrary<Generated> = broken(messageContract).map(({ kind, value }) => ({
  kind,
  raw: text(value),
  verdict: 'refused',
}));
const any: fc.Arbitrary<Generated> = damaged(goodMessage.map((value) => JSON.stringify(value))).map(
  ({ kind, raw }) => ({
    kind,
    raw,
    verdict: 'either',
  }),
);
const message = fc.oneof({ weight: 3, arbitrary: good }, { weight: 5, arbitrary: bad }, { weight: 4, arbitrary: any });

describe('Generated input', { timeout: TIMEOUT_MS }, () => {
  const tally = new Tally();
  let rig: Rig;

  beforeEach(async () => {
    rig = await startMemoryRig();
  });
  afterEach(() => rig.stop());
  afterAll(() => tally.print(`Generated input, seed ${SEED}`));

  async function check<T>(share: number, cases: fc.Arbitrary<T>, property: (one: T) => Promise<void>): Promise<void> {
    const numRuns = Math.ceil(CASES * share);
    await fc.assert(fc.asyncProperty(cases, property), { seed: SEED, numRuns, endOnFailure: false });
  }

  /** The message ids that a case may have met before with another content. */
  const mayConflict = (raw: Buffer): boolean => raw.includes('messageId');

  test('at the publish route', async () => {
    await check(0.4, message, async ({ kind, raw, verdict }) => {
      tally.add(`publish ${verdict}`);
      const request = { method: 'POST', path: '/v1/messages', headers: JSON_PUBLISH, body: raw };
      const { answer } = await ask(rig, request, [fieldOf(raw)]);
      if (answer.status === 409) {
        expect(mayConflict(raw), kind).toBe(true);
        return;
      }
      if (verdict !== 'either') expect(answer.status === 202, `${kind}: ${answer.text}`).toBe(verdict === 'accepted');
      if (answer.status === 202 && !JSON.parse(answer.text).duplicate) await expectStored(rig, raw);
    });
  });

  test('around a message at the publish route', async () => {
    const token = fc.stringMatching(/^[!-~]{1,40}$/);
    const header = fc.oneof(
      fc.tuple(
        fc.constant('content-type'),
        fc.oneof(token, fc.constantFrom('application/json', 'text/plain', 'application/json;x')),
      ),
      fc.tuple(fc.constant('content-encoding'), fc.oneof(token, fc.constantFrom('gzip', 'identity', 'br'))),
      fc.tuple(
        fc.constant('authorization'),
        fc.oneof(
          token,
          token.map((one) => `Bearer ${one}`),
          token.map((one) => `Bearer rl_${one}`),
        ),
      ),
      fc.tuple(fc.constant('x-request-id'), fc.stringMatching(/^[\t -~\u0080-\u00ff]{0,80}$/)),
      fc.tuple(
        fc.stringMatching(/^x-[a-z0-9!#$%&'*+.^_`|~-]{1,30}$/),
        fc.stringMatching(/^[\t -~\u0080-\u00ff]{0,80}$/),
      ),
      fc.tuple(fc.constantFrom('accept', 'range', 'if-match', 'te', 'cookie', 'forwarded', 'via', 'host'), token),
    );
    const method = fc.constantFrom('POST', 'POST', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'GET', 'SEARCH');
    await check(0.1, fc.tuple(good, fc.array(header, { maxLength: 6 }), method), async ([{ raw }, headers, verb]) => {
      tally.add('headers and methods');
      const all = { ...JSON_PUBLISH, ...Object.fromEntries(headers) };
      await ask(rig, { method: verb, path: '/v1/messages', headers: all, body: verb === 'GET' ? null : raw });
    });
  });

  test('from the queue, where the bad ones stand between the good ones', async () => {
    const keyed = fc.tuple(
      message,
      fc.constantFrom('right', 'right', 'right', 'none', 'wrong'),
      fc.dictionary(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), { maxKeys: 3 }),
    );
    const PER_RUN = 8;
    await check(0.25 / PER_RUN, fc.array(keyed, { minLength: PER_RUN, maxLength: PER_RUN }), async (run) => {
      const before = rig.watched.changes;
      rig.logged.length = 0;
      const accepting = run.map(async ([{ kind, raw, verdict }, key, attributes]) => {
        tally.add(`queue ${key === 'right' ? verdict : 'refused'}`);
        const room = roomOf(raw);
        const orderingKey = key === 'right' ? (room ?? 'x') : key === 'none' ? '' : `${room ?? 'x'}-other`;
        const delivery: Delivery = { data: raw, attributes, orderingKey };
        expect(await rig.deliver(delivery), kind).toBe('ack');
        return { kind, raw, accepted: verdict === 'accepted' && key === 'right' };
      });
      const results = await Promise.all(accepting);
      await rig.quiet();
      expect(rig.watched.changes - before).toBeGreaterThanOrEqual(1);
      expect(rig.logged.join('')).not.toContain('kanarienvogel');
      expect(rig.failures).toEqual([]);
      for (const { kind, raw, accepted } of results)
        if (accepted && !mayConflict(raw)) await expectAmongStored(rig, raw, kind);
    });
  });

  test('at the webhook', async () => {
    const call = (items: fc.Arbitrary<unknown>) =>
      fc.array(items, { maxLength: 12 }).map((statuses) => JSON.stringify({ statuses }));
    const item = fc.oneof(
      valid(statusContract),
      fc.jsonValue({ maxDepth: 2, stringUnit: 'binary' }),
      fc.record(
        {
          id: fc.jsonValue(),
          reference: fc.jsonValue(),
          status: fc.oneof(fc.constant('failed'), fc.jsonValue()),
          at: fc.jsonValue(),
          error: fc.jsonValue(),
          watermark: fc.jsonValue(),
          to: fc.jsonValue(),
        },
        { requiredKeys: [], noNullPrototype: true },
      ),
    );
    const body = fc.oneof(
      { weight: 3, arbitrary: call(item).map((one) => Buffer.from(one)) },
      { weight: 2, arbitrary: damaged(call(item)).map(({ raw }) => raw) },
    );
    const forgery = fc.record({
      header: fc.constantFrom(
        'webhook-id',
        'webhook-timestamp',
        'webhook-signature',
        'body',
        'secret',
        'none',
        'none',
        'none',
      ),
      at: fc.nat(),
      by: fc.stringMatching(/^[!-~]$/),
    });
    await check(0.15, fc.tuple(body, forgery), async ([raw, { header, at, by }]) => {
      const headers: Record<string, string> = {
        ...signed(raw, { secret: header === 'secret' ? SECRETS.acme : SECRETS.old }),
      };
      let sent = raw;
      let forged = header === 'secret';
      const right = headers[header];
      if (right !== undefined) {
        const index = at % right.length;
        headers[header] = `${right.slice(0, index)}${by}${right.slice(index + 1)}`;
        forged = headers[header] !== right;
      } else if (header === 'body') {
        sent = Buffer.concat([raw, Buffer.from(by)]);
        forged = true;
      }
      tally.add(forged ? 'webhooks forged' : 'webhooks signed');
      const { answer, changes } = await ask(rig, {
        method: 'POST',
        path: '/v1/webhooks/default/main',
        headers,
        body: sent,
      });
      if (forged) {
        expect(problemOf(answer).code).toBe('signature_invalid');
        expect(changes).toBe(0);
      } else {
        const count = statusesIn(sent);
        if (count === null) expect(answer.status).toBe(400);
        else expect(JSON.parse(answer.text)).toEqual({ received: count });
      }
    });
  });

  test('in paths and queries', async () => {
    const segment = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 60 }).map((one) => encodeURIComponent(one.toWellFormed())),
      fc.stringMatching(/^[%0-9a-fA-F.~;:@!$&'()*+,=_-]{0,20}$/),
      fc.constantFrom('main', '..', '%2e%2e', '%00', '%C0%AF', 'x'.repeat(800), '__proto__'),
    );
    const number = fc.oneof(
      fc.integer().map(String),
      fc.double().map(String),
      fc.bigInt().map(String),
      fc.constantFrom(
        '0',
        '1',
        '200',
        '201',
        '0x10',
        '1e1',
        '-0',
        '%20',
        'Infinity',
        '-Infinity',
        'null',
        'true',
        '9007199254740991',
        '9007199254740992',
      ),
    );
    const pair = fc.oneof(
      fc.tuple(fc.constantFrom(...Object.keys(pageQuery.properties)), fc.oneof(number, segment)),
      fc.tuple(fc.constantFrom('limit', 'before'), number),
      fc.tuple(segment, segment),
    );
    const path = fc.oneof(
      fc.tuple(segment, segment).map(([channel, room]) => `/v1/rooms/${channel}/${room}`),
      segment.map((room) => `/v1/rooms/main/${room}/messages`),
      fc.constant('/v1/rooms/main/known/messages'),
      segment.map((id) => `/v1/messages/${id}`),
      fc.array(segment, { maxLength: 5 }).map((parts) => `/${parts.join('/')}`),
    );
    const body = text({ channel: 'main', room: 'known', content: {} });
    const published = { method: 'POST', path: '/v1/messages', headers: JSON_PUBLISH, body };
    for (let message = 0; message < 3; message++) await ask(rig, published);
    const request = fc.tuple(
      path,
      fc.array(pair, { maxLength: 4 }),
      fc.constantFrom('GET', 'GET', 'GET', 'HEAD', 'POST'),
    );
    await check(0.1, request, async ([where, pairs, method]) => {
      tally.add('paths and queries');
      const query = pairs.map(([name, value]) => `${name}=${value}`).join('&');
      const asked = { method, path: query === '' ? where : `${where}?${query}`, headers: bearer('read'), body: null };
      const { answer } = await ask(rig, asked);
      const limit = /[?&]limit=([^&]*)/.exec(asked.path)?.[1] ?? '50';
      if (method === 'GET' && answer.status === 200 && where.endsWith('known/messages')) {
        expect(JSON.parse(answer.text).messages.length).toBeLessThanOrEqual(Number(decodeURIComponent(limit)));
        expect(Number.isFinite(Number(decodeURIComponent(limit)))).toBe(true);
      }
    });
  });

  test('of times around the limit of a signature', async () => {
    await check(0.02, fc.integer({ min: -900, max: 900 }), async (seconds) => {
      tally.add('times of signatures');
      const body = Buffer.from('{"statuses":[]}');
      const headers = signed(body, { atS: NOW_MS / 1_000 + seconds });
      const { answer } = await ask(rig, { method: 'POST', path: '/v1/webhooks/default/main', headers, body });
      expect(answer.status).toBe(Math.abs(seconds) <= 300 ? 200 : 401);
    });
  });
});

/** The one unknown name that a refusal may repeat: the first that the message has. */
function fieldOf(raw: Buffer): string {
  const value = parsed(raw);
  if (typeof value !== 'object' || value === null) return '';
  return Object.keys(value).find((name) => !(name in messageContract.properties)) ?? '';
}

function roomOf(raw: Buffer): string | null {
  const value = parsed(raw) as { room?: unknown } | null;
  return typeof value?.room === 'string' ? value.room : null;
}

function parsed(raw: Buffer): unknown {
  try {
    return JSON.parse(raw.toString());
  } catch {
    return null;
  }
}

/** How many statuses a body carries, read as strictly as any JSON parser would; null where it carries no list. */
function statusesIn(raw: Buffer): number | null {
  try {
    const value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(raw)) as { statuses?: unknown } | null;
    return Array.isArray(value?.statuses) ? value.statuses.length : null;
  } catch {
    return null;
  }
}

async function expectAmongStored(rig: Rig, raw: Buffer, kind: string): Promise<void> {
  const { body, ...key } = expectedOf(raw);
  const stored = await rig.records.messages(key, Number.MAX_SAFE_INTEGER);
  expect(
    stored.map((one) => Buffer.from(one.body).toString()),
    kind,
  ).toContain(body);
}
