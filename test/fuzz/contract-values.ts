/** Arbitraries from the schemas of the contract: values that keep one, and values that somebody broke somewhere. */
import fc from 'fast-check';
import { IDS } from './corpus/ids.ts';

export type Json = Readonly<Record<string, unknown>>;

interface Node {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Node[];
  readonly oneOf?: readonly Node[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly items?: Node;
  readonly properties?: Readonly<Record<string, Node>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Node;
}

const GOOD_IDS = IDS.filter(([, , verdict]) => verdict === 'accepted').map(([, id]) => id);
const BAD_TEXTS = IDS.filter(([, , verdict]) => verdict !== 'accepted').map(([, id]) => id);

/** What no schema expects where it comes. */
export const hostile: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown[]>(
    null,
    true,
    0,
    -1,
    1.5,
    1e308,
    2 ** 53,
    -(2 ** 53),
    '',
    '0',
    '-0',
    'NaN',
    'null',
    'true',
    'Infinity',
    '__proto__',
    'constructor',
    '../../etc/passwd',
    "' OR 1=1 --",
    '%00',
    '{jndi:x}',
    '\ud800',
    'x'.repeat(5_000),
    [],
    {},
    [[]],
    [null],
    { __proto__x: 1 },
    { length: -1 },
    { toString: 1 },
    Array(300).fill(0),
    '9007199254740993',
  ),
  fc.constantFrom(...BAD_TEXTS),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.jsonValue({ maxDepth: 3 }),
  fc.nat(60).map((more) => JSON.parse(`${'['.repeat(20 + more)}${']'.repeat(20 + more)}`) as unknown),
);

export class Values {
  readonly #schemas: Readonly<Record<string, Json>>;

  /** @param schemas of the document's components */
  constructor(schemas: Readonly<Record<string, Json>>) {
    this.#schemas = schemas;
  }

  valid(schema: Json): fc.Arbitrary<unknown> {
    const node = this.#resolved(schema as Node);
    const choices = node.anyOf ?? node.oneOf;
    if (choices !== undefined && node.properties === undefined) {
      return fc.oneof(...choices.map((each) => this.valid(each as Json)));
    }
    if ('const' in node) return fc.constant(node.const);
    if (node.enum !== undefined) return fc.constantFrom(...node.enum);
    const types = [node.type ?? 'object'].flat();
    return fc.oneof(...types.map((type) => this.#ofType(type, node)));
  }

  #ofType(type: string, node: Node): fc.Arbitrary<unknown> {
    switch (type) {
      case 'null':
        return fc.constant(null);
      case 'boolean':
        return fc.boolean();
      case 'number':
        return fc.double({ min: node.minimum ?? -1e6, max: node.maximum ?? 1e6, noNaN: true });
      case 'integer': {
        const { minimum: min = -1_000, maximum: max = min + 1_000_000 } = node;
        return fc.oneof(fc.constantFrom(min, max), fc.integer({ min, max: Math.min(max, min + 1_000_000) }));
      }
      case 'string': {
        const { minLength = 0, maxLength = 60, pattern } = node;
        if (pattern !== undefined && maxLength === 60) return fc.stringMatching(new RegExp(pattern, 'u'));
        const ids = fc.constantFrom('default', 'support', 'r-1', 'order-17', ...GOOD_IDS);
        return fc.oneof(ids, fc.string({ minLength, maxLength: Math.min(60, maxLength) }));
      }
      case 'array': {
        const { minItems = 0, maxItems = 5, items = {} } = node;
        const size = { minLength: minItems, maxLength: Math.min(maxItems, minItems + 5) };
        return fc.array(this.valid(items as Json), size);
      }
      default: {
        if (node.properties === undefined)
          return fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 4 });
        const members = Object.entries(node.properties).map(
          ([name, inner]) => [name, this.valid(inner as Json)] as const,
        );
        const choice = (node.anyOf ?? node.oneOf ?? [{}])[0] as Node;
        const requiredKeys = [...new Set([...(node.required ?? []), ...(choice.required ?? [])])];
        return fc.record(Object.fromEntries(members), { requiredKeys, noNullPrototype: true });
      }
    }
  }

  /** The same, with one to three places replaced, added or left out. */
  mutated(schema: Json): fc.Arbitrary<unknown> {
    const change = fc.record({ at: fc.nat(), by: hostile, kind: fc.constantFrom('replace', 'add', 'remove') });
    return fc
      .tuple(this.valid(schema), fc.array(change, { minLength: 1, maxLength: 3 }))
      .map(([value, changes]) => changes.reduce((before, { at, by, kind }) => mutate(before, at, by, kind), value));
  }

  #resolved(node: Node): Node {
    if (node.$ref === undefined) return node;
    return this.#resolved((this.#schemas[node.$ref.split('/').at(-1) ?? ''] ?? {}) as Node);
  }
}

/** Counts places through the value in its order; the one at `at` is changed. */
function mutate(value: unknown, at: number, by: unknown, kind: string): unknown {
  const copy = { root: structuredClone(value) } as Record<string, unknown>;
  const places: [Record<string, unknown>, string][] = [];
  const walk = (inside: Record<string, unknown>): void => {
    for (const [name, inner] of Object.entries(inside)) {
      places.push([inside, name]);
      if (typeof inner === 'object' && inner !== null) walk(inner as Record<string, unknown>);
    }
  };
  walk(copy);
  const [inside, name] = places[at % places.length] as [Record<string, unknown>, string];
  if (kind === 'remove' && inside !== copy) delete inside[name];
  else if (kind === 'add' && !Array.isArray(inside) && inside !== copy) inside[`extra${at % 7}`] = by;
  else inside[name] = by;
  return copy.root;
}
