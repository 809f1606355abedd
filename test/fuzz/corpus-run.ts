/** The hand-written corpus against a rig, on whatever stores it stands: one test per entry. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MESSAGE_LIMITS } from '../../src/engine/message.ts';
import { ask, expectedOf, problemOf } from './checks.ts';
import { ROOM } from './corpus/entry.ts';
import { MESSAGES } from './corpus/messages.ts';
import { QUEUE } from './corpus/queue.ts';
import { REQUESTS } from './corpus/requests.ts';
import { SIGNATURES } from './corpus/signatures.ts';
import { STATUSES } from './corpus/statuses.ts';
import { describeEvidence } from './evidence-run.ts';
import { JSON_PUBLISH, type Rig, signed } from './rig.ts';
import { Tally } from './tally.ts';

const WATCHED = { tenant: 'default', channel: 'main', room: ROOM };
const WEBHOOKS = '/v1/webhooks/default/main';

export function describeCorpus(what: string, start: () => Promise<Rig>, stop: (rig: Rig) => Promise<void>): void {
  describe(`The corpus on ${what}`, () => {
    const tally = new Tally();
    let rig: Rig;

    beforeAll(async () => {
      rig = await start();
    });
    afterAll(async () => {
      tally.print(`Corpus on ${what}`);
      await stop(rig);
    });

    test('no name stands for two entries', () => {
      for (const entries of [MESSAGES, QUEUE, REQUESTS, SIGNATURES, STATUSES]) {
        const names = entries.map(({ name }) => name);
        expect(names.filter((name, at) => names.indexOf(name) < at)).toEqual([]);
      }
    });

    describe('a message over HTTP', () => {
      test.for(MESSAGES)('$name', async ({ raw, verdict }) => {
        tally.add('published');
        const before = await rig.records.snapshot([WATCHED]);
        const field = verdict === 'accepted' ? [] : [verdict.field ?? ''];
        const { answer } = await ask(
          rig,
          { method: 'POST', path: '/v1/messages', headers: JSON_PUBLISH, body: raw },
          field,
        );
        if (verdict === 'accepted') {
          expect(answer.status, answer.text).toBe(202);
          await expectStored(rig, raw);
        } else {
          expect(problemOf(answer)).toMatchObject(verdict);
          expect(problemOf(answer).field).toBe(verdict.field);
          expect(await rig.records.snapshot([WATCHED])).toBe(before);
        }
      });
    });

    describe('a message between others of a batch', () => {
      // What is no JSON for itself breaks all of it; of the size of its text a batch has a limit of its own.
      test.for(MESSAGES.filter(({ raw }) => isJson(raw) && raw.length <= MESSAGE_LIMITS.maxBytes))(
        '$name',
        async ({ raw, verdict }) => {
          tally.add('published in batches');
          const before = await rig.records.snapshot([WATCHED]);
          const around = JSON.stringify({ channel: 'main', room: 'around', content: {} });
          const body = Buffer.concat([
            Buffer.from(`{"messages":[${around},`),
            raw,
            Buffer.from(`,${JSON.stringify({ channel: 'nowhere', room: 'around', content: {} })}]}`),
          ]);
          const field = verdict === 'accepted' ? [] : [verdict.field ?? ''];
          const request = { method: 'POST', path: '/v1/messages:batch', headers: JSON_PUBLISH, body };
          const { answer } = await ask(rig, request, field);
          expect(answer.status, answer.text).toBe(202);
          const { results } = JSON.parse(answer.text);
          expect(results).toHaveLength(3);
          expect(results[0]).toMatchObject({ index: 0, room: 'around' });
          expect(results[2]).toMatchObject({ index: 2, error: { code: 'channel_unknown' } });
          if (verdict === 'accepted') {
            await expectStored(rig, raw);
          } else {
            expect(results[1].error).toMatchObject(verdict);
            expect(results[1].error.field).toBe(verdict.field);
            expect(await rig.records.snapshot([WATCHED])).toBe(before);
          }
        },
      );
    });

    describe('a message of the queue', () => {
      test.for(QUEUE)('$name', async ({ verdict, ...delivery }) => {
        tally.add('queued');
        const before = rig.watched.changes;
        rig.logged.length = 0;
        expect(await rig.deliver(delivery)).toBe('ack');
        await rig.quiet();
        if (verdict === 'accepted') {
          await expectStored(rig, delivery.data);
        } else {
          expect(rig.watched.changes - before).toBe(1);
          const letter = await rig.records.newestLetter();
          expect(letter?.reason).toBe(verdict.code);
          expect(letter?.detail).toContain(verdict.field ?? '');
        }
        expect(rig.logged.join('')).not.toContain('kanarienvogel');
        expect(rig.failures).toEqual([]);
      });
    });

    describe('a request', () => {
      test.for(REQUESTS)('$name', async ({ status, code, field, ...request }) => {
        tally.add('requests');
        const { answer } = await ask(rig, request);
        expect(answer.status, answer.text).toBe(status);
        if (code !== null && request.method !== 'HEAD') {
          const problem = problemOf(answer);
          expect(problem.code).toBe(code);
          if (field !== undefined) expect(problem.field).toBe(field);
        }
      });
    });

    describe('a signature', () => {
      test.for(SIGNATURES)('$name', async ({ status, path, headers, body }) => {
        tally.add('signatures');
        const { answer, changes } = await ask(rig, { method: 'POST', path, headers, body: Buffer.from(body) });
        expect(answer.status, answer.text).toBe(status);
        if (status === 200) return;
        expect(changes).toBe(0);
        const { requestId, ...refusal } = JSON.parse(answer.text);
        expect(requestId).toMatch(/^[0-9a-f-]{36}$/);
        // Every fault of a signature is told in the same words.
        if (status === 401)
          expect(refusal).toEqual(
            expect.objectContaining({ code: 'signature_invalid', detail: 'The signature was refused' }),
          );
        expect(Object.keys(refusal)).toHaveLength(7);
      });

      test('that came before is taken again, and changes nothing more', async () => {
        tally.add('signatures', 2);
        const body = '{"statuses":[{"id":"replayed","status":"delivered","at":1767225600000}]}';
        const call = { method: 'POST', path: WEBHOOKS, headers: signed(body), body: Buffer.from(body) };
        expect((await ask(rig, call)).answer.status).toBe(200);
        const inbox = await rig.records.snapshot([WATCHED]);
        expect((await ask(rig, call)).answer.status).toBe(200);
        expect(await rig.records.snapshot([WATCHED])).toBe(inbox);
      });
    });

    describe('statuses, rightly signed', () => {
      test.for(STATUSES)('$name', async ({ raw, verdict, received }) => {
        tally.add('statuses');
        const { answer } = await ask(rig, { method: 'POST', path: WEBHOOKS, headers: signed(raw), body: raw });
        if (verdict === 'accepted') expect(JSON.parse(answer.text)).toEqual({ received });
        else expect(problemOf(answer)).toMatchObject(verdict);
      });
    });

    describeEvidence(() => rig, tally);
  });
}

/** The newest message of the room is this one, byte for byte. */
export async function expectStored(rig: Rig, raw: Uint8Array): Promise<void> {
  const { body, ...key } = expectedOf(raw);
  const [newest] = await rig.records.messages(key);
  expect(newest?.key).toEqual(key);
  const stored = Buffer.from(newest?.body ?? []).toString();
  expect(stored.replace(/^\{"requestId":"[\w.:-]{1,64}",/, '{')).toBe(body);
}

function isJson(raw: Uint8Array): boolean {
  try {
    JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(raw));
    return true;
  } catch {
    return false;
  }
}
