/** Secrets as settings name them: a text, a variable or a file. */
import { readFileSync, realpathSync, statSync } from 'node:fs';
import { isAbsolute, relative, resolve, sep } from 'node:path';

/** What is wrong with a reference. Never holds what may be a secret in the wrong place. */
export interface BrokenReference {
  readonly code: 'secret_literal' | 'secret_form' | 'secret_not_allowed' | 'secret_unresolved';
  readonly rule: string;
  readonly action: string;
}

export type SecretText = { readonly text: string } | BrokenReference;

/** Where secrets may come from. */
export interface SecretSource {
  literal(text: string): SecretText;
  variable(name: string): SecretText;
  file(path: string): SecretText;
}

/** Reads a value of a setting that is a secret. */
export function readSecret(value: unknown, from: SecretSource): SecretText {
  if (typeof value === 'string') return from.literal(value);
  const entries = typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.entries(value) : [];
  const [entry] = entries;
  if (entry === undefined || entries.length > 1 || typeof entry[1] !== 'string') {
    const rule = 'must be a text, { "env": "NAME" } or { "file": "/path" }';
    return { code: 'secret_form', rule, action: 'write it in one of these forms' };
  }
  const [kind, where] = entry as [string, string];
  if (kind === 'env') return from.variable(where);
  if (kind === 'file') return from.file(where);
  return { code: 'secret_form', rule: `must not have the member "${kind}"`, action: 'use "env" or "file"' };
}

/** For configuration files: whoever writes them may have any secret of this process. */
export function anySecret(
  env: Readonly<Record<string, string | undefined>>,
  readFile: (path: string) => string,
): SecretSource {
  return {
    literal: (text) => ({ text }),
    variable: (name) => variableOf(env, name),
    file: (path) => {
      try {
        return { text: withoutLineBreak(readFile(path)) };
      } catch {
        return unresolved(`refers to the file ${path}, which cannot be read`, 'check path and permissions');
      }
    },
  };
}

export interface AllowedSecrets {
  /** Names of variables; one that ends with `*` allows all that begin so. */
  readonly variables: readonly string[];
  /** Files are read below it only; undefined: none. */
  readonly directory: string | undefined;
}

/** Those of Roomline itself: none of them is a channel's. */
const OWN_VARIABLES = 'ROOMLINE_';
const MAX_FILE_BYTES = 65_536;

/** For settings that come by the API: references only, and only to what is set aside for channels. */
export function allowedSecrets(
  { variables, directory }: AllowedSecrets,
  env: Readonly<Record<string, string | undefined>>,
): SecretSource {
  return {
    literal: () => ({
      code: 'secret_literal',
      rule: 'must be { "env": "NAME" } or { "file": "/path" }, not the secret itself',
      action: 'put it into a variable or a file and name that; replace the one that was sent',
    }),
    variable: (name) => {
      const allowed = variables.some((one) => (one.endsWith('*') ? name.startsWith(one.slice(0, -1)) : name === one));
      if (!allowed || name.startsWith(OWN_VARIABLES)) {
        return notAllowed('must be a variable that channelSettings.secretVariables allows', 'use one that it allows');
      }
      return variableOf(env, name);
    },
    file: (path) => {
      const rule = 'must be the absolute path of a file below channelSettings.secretDirectory';
      if (directory === undefined || !isAbsolute(path) || !isBelow(path, directory)) {
        return notAllowed(rule, directory === undefined ? 'set that directory first' : 'put the file there');
      }
      try {
        // Links within are how secrets are mounted; one that leads out is none of its files.
        const real = realpathSync(path);
        if (!isBelow(real, realpathSync(directory))) return notAllowed(rule, 'put the file itself there');
        const found = statSync(real);
        if (!found.isFile() || found.size > MAX_FILE_BYTES) {
          return unresolved(`must be a file of at most ${MAX_FILE_BYTES} bytes`, 'put the secret alone into it');
        }
        return { text: withoutLineBreak(readFileSync(real, 'utf8')) };
      } catch {
        return unresolved('refers to a file that this process cannot read', 'check path and permissions');
      }
    },
  };
}

function variableOf(env: Readonly<Record<string, string | undefined>>, name: string): SecretText {
  const text = Object.hasOwn(env, name) ? env[name] : undefined;
  if (text !== undefined && text !== '') return { text };
  return unresolved(`refers to the variable ${name}, which is not set`, 'set the variable');
}

function unresolved(rule: string, action: string): BrokenReference {
  return { code: 'secret_unresolved', rule, action };
}

function notAllowed(rule: string, action: string): BrokenReference {
  return { code: 'secret_not_allowed', rule, action };
}

function isBelow(path: string, directory: string): boolean {
  const way = relative(resolve(directory), resolve(path));
  return way !== '' && way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

function withoutLineBreak(text: string): string {
  return text.replace(/\r?\n$/, '');
}
