/** The contract as a test reads it: its operations, and a validator for any schema in it. */
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';

export type Json = Readonly<Record<string, unknown>>;

export interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly security: readonly unknown[];
  readonly 'x-scope'?: string;
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly schema: Json }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { schema: Json; example: unknown }>> };
  readonly responses: Readonly<
    Record<string, { content: Readonly<Record<string, { schema: Json; example?: unknown }>> }>
  >;
}

export interface Document {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Json>> };
}

export function compilerOf(document: Document): (schema: Json) => ValidateFunction {
  const ajv = new Ajv2020({ strict: true, strictTypes: false, strictRequired: false, validateFormats: false });
  // A reference points into the document, wherever the schema stands that holds it.
  ajv.addSchema({ $id: 'urn:roomline:contract', components: document.components }, 'urn:roomline:contract');
  ajv.addVocabulary(['components', 'example']);
  return (schema) =>
    ajv.compile(JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"urn:roomline:contract#/')) as Json);
}

/** Every operation by method and path, such as `GET /v1/messages/{id}`. */
export function operationsOf({ paths }: Document): (readonly [string, Operation])[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => [`${method.toUpperCase()} ${path}`, operation] as const),
  );
}
