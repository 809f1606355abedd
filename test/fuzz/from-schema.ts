/** Arbitraries from JSON schemas: values that keep a schema, at and between its bounds, and values that break it. */
import fc from 'fast-check';
import type { TSchema } from 'typebox';
import { IDS } from './corpus/ids.ts';
import { CANARY } from './rig.ts';

export type Json = unknown;

interface Node {
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Node[];
  readonly format?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxLength?: number;
  readonly minLength?: number;
  readonly pattern?: string;
  readonly properties?: Readonly<Record<string, Node>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean;
}

const validIds = IDS.filter(([, , verdict]) => verdict === 'accepted').map(([, id]) => id);
const invalidIds = IDS.filter(([, , verdict]) => verdict !== 'accepted').map(([, id]) => id);

const identifier: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(...validIds),
  fc.nat(1_000).map((number) => `${CANARY}-${number}`),
  fc.string({ unit: 'binary', minLength: 1, maxLength: 100 }).map(storable),
);

/** Of any characters, without those that no identifier holds and no longer than one. */
function storable(text: string): string {
  let short = text.replace(/\p{Cc}|\p{Cs}/gu, '');
  while (Buffer.byteLength(short) > 256) short = Array.from(short).slice(0, -1).join('');
  return short === '' ? 'x' : short;
}

/** Any JSON value whose numbers and texts every rule of content allows. */
export const content: fc.Arbitrary<Json> = fc
  .oneof(
    fc.dictionary(fc.string({ unit: 'grapheme' }), fc.jsonValue({ maxDepth: 4, stringUnit: 'binary' })),
    fc.constantFrom({}, { text: `${CANARY}-text` }, { '': { '': [] } }, { a: [-0, 0.1, 5e-324, 2 ** 53 - 1] }),
  )
  .map(allowed);

function allowed(value: Json): Json {
  if (typeof value === 'string') return value.replaceAll('\0', '').toWellFormed();
  if (typeof value === 'number') return Number.isInteger(value) && !Number.isSafeInteger(value) ? 0 : value;
  if (Array.isArray(value)) return value.map(allowed);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [allowed(name), allowed(inner)]));
}

/** Values that keep the schema. */
export function valid(schema: TSchema): fc.Arbitrary<Json> {
  return validNode(schema as Node);
}

function validNode(node: Node): fc.Arbitrary<Json> {
  if (node.anyOf !== undefined) return fc.oneof(...node.anyOf.map(validNode));
  if ('const' in node) return fc.constant(node.const);
  if (node.enum !== undefined) return fc.constantFrom(...node.enum);
  switch (node.type) {
    case 'string':
      if (node.format === 'identifier') return identifier;
      if (node.pattern !== undefined) return fc.stringMatching(new RegExp(node.pattern));
      return fc.string({ unit: 'grapheme', maxLength: 80 });
    case 'integer': {
      const { minimum: min = -1_000, maximum: max = 1_000 } = node;
      return fc.oneof(fc.constantFrom(min, max), fc.integer({ min, max: Math.min(max, min + 1_000_000) }));
    }
    case 'boolean':
      return fc.boolean();
    case 'object': {
      if (node.properties === undefined) return content;
      const members = Object.entries(node.properties).map(([name, inner]) => [name, validNode(inner)] as const);
      const requiredKeys = [...(node.required ?? [])];
      return fc.record(Object.fromEntries(members), { requiredKeys, noNullPrototype: true });
    }
    default:
      throw new Error(`no generator for ${JSON.stringify(node)}`);
  }
}

const OF_TYPE: Readonly<Record<string, readonly Json[]>> = {
  null: [null],
  boolean: [true, false],
  number: [0, -1, 1.5, 1e300, Number.MAX_SAFE_INTEGER],
  string: ['', '0', 'true', CANARY, '\ud800'],
  array: [[], [null], [[]], ['x']],
  object: [{}, { toString: 'x' }, { length: 1 }],
};

function typesOf(node: Node): readonly string[] {
  if (node.anyOf !== undefined) return node.anyOf.flatMap(typesOf);
  const value = 'const' in node ? node.const : node.enum?.[0];
  const type = value === undefined ? (node.type ?? 'object') : typeof value;
  return [type === 'integer' ? 'number' : type];
}

/** Values of a JSON type that the schema does not allow. */
function wrongType(node: Node): fc.Arbitrary<Json> {
  const right = typesOf(node);
  return fc.constantFrom(...Object.entries(OF_TYPE).flatMap(([type, values]) => (right.includes(type) ? [] : values)));
}

/** Values of the right type that break the schema; null where there are none. */
function beyond(node: Node): fc.Arbitrary<Json> | null {
  if (node.format === 'identifier') return fc.constantFrom(...invalidIds);
  if (node.enum !== undefined) return fc.constantFrom('', '__proto__', ` ${String(node.enum[0])}`, 'x'.repeat(100_000));
  if (node.type === 'integer') {
    const { minimum = 0, maximum = 0 } = node;
    return fc.constantFrom(minimum - 1, minimum + 0.5, maximum + 1, -Number.MAX_SAFE_INTEGER);
  }
  return null;
}

export interface Mutant {
  readonly kind: string;
  readonly value: Json;
}

const nested = (levels: number): Json => {
  let value: Json = [];
  for (let level = 0; level < levels; level++) value = [value];
  return value;
};

/** Objects that break the schema in one place, each with what was done to it. */
export function broken(schema: TSchema): fc.Arbitrary<Mutant> {
  const node = schema as Node;
  const properties = Object.entries(node.properties ?? {});
  const replaced = (kind: string, name: string, by: fc.Arbitrary<Json>): fc.Arbitrary<Mutant> =>
    fc.tuple(validNode(node), by).map(([value, inner]) => ({ kind, value: { ...(value as object), [name]: inner } }));
  const missing = (node.required ?? []).map((name) =>
    validNode(node).map((value) => {
      const { [name]: _left, ...rest } = value as Record<string, Json>;
      return { kind: `without ${name}`, value: rest };
    }),
  );
  const names = fc.oneof(
    fc.constantFrom('constructor', 'prototype', 'order', 'sequence', '0', CANARY, 'ROOM', 'room ', ''),
    fc
      .string({ unit: 'binary', maxLength: 70 })
      .filter((name) => !(name in (node.properties ?? {})) && name !== '__proto__'),
  );
  const extra = fc
    .tuple(validNode(node), names, fc.jsonValue({ maxDepth: 1 }))
    .map(([value, name, inner]) => ({ kind: 'extra', value: { ...(value as object), [name]: inner } }));
  return fc.oneof(
    ...missing,
    extra,
    ...properties.map(([name, inner]) => replaced(`${name} of a wrong type`, name, wrongType(inner))),
    ...properties.map(([name]) =>
      replaced(
        `${name} deep`,
        name,
        fc.nat(300).map((more) => nested(40 + more)),
      ),
    ),
    ...properties.flatMap(([name, inner]) => {
      const values = beyond(inner);
      return values === null ? [] : [replaced(`${name} beyond its bounds`, name, values)];
    }),
  );
}

/** The same text or bytes, damaged: whatever comes of it, the answer is a documented one. */
export function damaged(texts: fc.Arbitrary<string>): fc.Arbitrary<{ readonly kind: string; readonly raw: Buffer }> {
  const cut = fc.tuple(texts, fc.nat()).map(([text, at]) => ({ kind: 'cut', raw: cutAt(Buffer.from(text), at) }));
  const flipped = fc.tuple(texts, fc.nat(), fc.integer({ min: 1, max: 255 })).map(([text, at, mask]) => {
    const raw = Buffer.from(text);
    const index = at % raw.length;
    raw[index] = (raw[index] as number) ^ mask;
    return { kind: 'flipped', raw };
  });
  const inserted = fc.tuple(texts, fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 4 })).map(([text, at, more]) => {
    const raw = Buffer.from(text);
    const index = at % (raw.length + 1);
    return { kind: 'inserted', raw: Buffer.concat([raw.subarray(0, index), more, raw.subarray(index)]) };
  });
  const doubled = fc
    .tuple(
      texts,
      fc.constantFrom('room', 'content', 'channel', 'statuses', '__proto__', 'to'),
      fc.jsonValue({ maxDepth: 1 }),
    )
    .map(([text, name, value]) => ({
      kind: 'doubled',
      raw: Buffer.from(text.replace(/\}$/, () => `,${JSON.stringify(name)}:${JSON.stringify(value)}}`)),
    }));
  const recoded = fc
    .tuple(texts, fc.constantFrom('utf16le' as const, 'latin1' as const, 'base64' as const))
    .map(([text, encoding]) => ({
      kind: encoding,
      raw: encoding === 'base64' ? Buffer.from(Buffer.from(text).toString('base64')) : Buffer.from(text, encoding),
    }));
  const noise = fc.uint8Array({ maxLength: 200 }).map((bytes) => ({ kind: 'noise', raw: Buffer.from(bytes) }));
  return fc.oneof(cut, flipped, inserted, doubled, recoded, noise);
}

function cutAt(raw: Buffer, at: number): Buffer {
  return raw.subarray(0, at % (raw.length + 1));
}
