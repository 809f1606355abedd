/** The schemas of bodies in the contract against what the server takes: neither knows of a shape that the other does not. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compilerOf } from '../http/contract.ts';
import { bearer, keyEntries } from '../http/fixture.ts';
import { startWhole } from '../http/whole.ts';
import { CHANNEL } from '../support/engine.ts';
import { type Json, Values } from './contract-values.ts';

const RUNS = Number(process.env.ROOMLINE_FUZZ_CASES ?? 900);
const SEED = Number(process.env.ROOMLINE_FUZZ_SEED ?? 20_260_101);
/** What a schema can say; other codes are of rules that need more than one field, bytes, or what is stored. */
const OF_SHAPE = ['field_type', 'field_unknown', 'field_missing'];
/** Settings of channels and webhooks have schemas of their own, elsewhere. */
const LOOSE = /ops\/channels|webhooks/;
const SCOPES = ['publish', 'read', 'operate'] as const;

test('what a schema refuses is refused, and what it allows is not refused for its shape', {
  timeout: 90_000,
}, async () => {
  const keys = keyEntries((entry) => ({ ...entry, scopes: SCOPES }));
  const { steered, operations, document, call } = await startWhole({ keys });
  await steered.process.publish('r-1', ['m-1']);
  const id = await steered.id('r-1', 1);
  const compile = compilerOf(document);
  const values = new Values(document.components.schemas);
  const cases = operations.flatMap(([key, { requestBody }]) => {
    const schema = requestBody?.content['application/json']?.schema;
    if (schema === undefined || LOOSE.test(key)) return [];
    const [, template = ''] = key.split(' ');
    const letter = key.includes('dead-letters');
    const names: Json = { channel: CHANNEL.channel, room: 'r-1', partition: '0', id: letter ? '1' : id };
    const path = template.replaceAll(/\{(\w+)\}/g, (_all, name: string) => String(names[name]));
    const body = fc.oneof(values.valid(schema), values.mutated(schema));
    return [{ key, path, schema: compile(schema), body }];
  });
  expect(cases.length).toBeGreaterThan(8);
  const seen = { allowed: 0, refused: 0 };
  const drawn = fc.oneof(...cases.map(({ body, ...one }) => body.map((value) => ({ ...one, value }))));
  await fc.assert(
    fc.asyncProperty(drawn, async ({ key, path, schema, value }) => {
      const text = JSON.stringify(value);
      const allowed = schema(JSON.parse(text));
      const response = await call(path, {
        method: 'POST',
        headers: { ...bearer('operate'), 'content-type': 'application/json' },
        body: text,
      });
      const answer = (await response.json()) as {
        code?: string;
        refused?: number;
        results?: { error?: { code: string } }[];
      };
      const codes = answer.results?.flatMap(({ error }) => error?.code ?? []) ?? [answer.code ?? ''];
      const what = `${key} ${text.slice(0, 600)} -> ${response.status} ${codes.join(' ')}`;
      seen[allowed ? 'allowed' : 'refused']++;
      if (allowed)
        expect(
          codes.filter((code) => OF_SHAPE.includes(code)),
          what,
        ).toEqual([]);
      else expect(response.status >= 400 || (answer.refused ?? 0) > 0, what).toBe(true);
    }),
    { seed: SEED, numRuns: RUNS, endOnFailure: true },
  );
  expect(seen.allowed).toBeGreaterThan(RUNS / 10);
  expect(seen.refused).toBeGreaterThan(RUNS / 10);
});
