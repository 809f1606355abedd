/** How content is checked: each rule names the field that breaks it. */
import { RoomlineError } from '../errors.ts';
import { type Fields, isFields } from './fields.ts';

/** A rule for the value of a field. */
export type Rule = (field: string, value: unknown) => void;

/** @throws RoomlineError `content_invalid` */
export function broken(field: string, rule: string): never {
  throw new RoomlineError('content_invalid', { field, rule });
}

/** A text of so many characters (Unicode code points). */
export function text(max: number, min = 1): Rule {
  return (field, value) => {
    // A UTF-16 unit is at most one code point, so that only long texts are counted.
    const fits = typeof value === 'string' && value.length >= min && (value.length <= max || [...value].length <= max);
    if (!fits) broken(field, `a text of ${min} to ${max} characters`);
  };
}

export function matching(pattern: RegExp, rule: string): Rule {
  return (field, value) => {
    if (typeof value !== 'string' || !pattern.test(value)) broken(field, rule);
  };
}

export const flag: Rule = (field, value) => {
  if (typeof value !== 'boolean') broken(field, 'true or false');
};

export function between(min: number, max: number): Rule {
  return (field, value) => {
    if (typeof value !== 'number' || value < min || value > max) broken(field, `a number from ${min} to ${max}`);
  };
}

/** An object that we do not look into. */
export const anyObject: Rule = (field, value) => {
  if (!isFields(value) || Object.keys(value).length === 0) broken(field, 'an object that is not empty');
};

/** An address that Meta fetches. */
export const httpsLink: Rule = (field, value) => {
  const link = typeof value === 'string' && value.length <= 2_048 && URL.canParse(value) ? new URL(value) : null;
  if (link?.protocol !== 'https:') broken(field, 'an https address of at most 2048 characters');
};

export function listOf(max: number, each: Rule, min = 1): Rule {
  return (field, value) => {
    if (!Array.isArray(value) || value.length < min || value.length > max) {
      broken(field, `a list of ${min} to ${max} items`);
    }
    for (const [index, item] of value.entries()) each(`${field}[${index}]`, item);
  };
}

export interface Members {
  readonly required?: Readonly<Record<string, Rule>>;
  readonly optional?: Readonly<Record<string, Rule>>;
  /** Members beside these are let through; else they are refused. */
  readonly open?: boolean;
}

export function object({ required = {}, optional = {}, open = false }: Members): Rule {
  const known = [...Object.keys(required), ...Object.keys(optional)];
  return (field, value) => {
    if (!isFields(value)) broken(field, 'an object');
    if (!open) checkMembers(field, value, known);
    for (const [name, rule] of Object.entries(required)) {
      if (value[name] === undefined) broken(`${field}.${name}`, 'required');
      rule(`${field}.${name}`, value[name]);
    }
    for (const [name, rule] of Object.entries(optional)) {
      if (value[name] !== undefined) rule(`${field}.${name}`, value[name]);
    }
  };
}

export function checkMembers(field: string, value: Fields, known: readonly string[]): void {
  const unknown = Object.keys(value).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const printable = unknown.replaceAll(/[^\w.-]/g, '?').slice(0, 64);
  broken(`${field}.${printable}`, `unknown; known are ${known.join(', ')}`);
}
