/** The words in which platforms say why: brought to what is the same of all failures alike, and digested. */
import { createHash } from 'node:crypto';

/** Characters that are looked at, and characters of the normal form that count. */
const MAX_INPUT = 2_000;
const MAX_NORMAL = 256;
/** A word of so many characters is an id, and so is one of so many hexadecimal ones. */
const LONG_WORD = 40;
const LONG_HEX = /^[0-9a-f]{16,}$/;

const URLS = /(?:[a-z][a-z0-9+.-]{0,31}:\/\/|www\.)\S+/g;
const EMAILS = /[^\s@<>"'`(),;:]{1,64}@[^\s@<>"'`(),;:]{1,255}/g;
/**
 * What is quoted and not closed goes on to the end. A single quote within or behind a word is an apostrophe, and what it
 * quotes is bounded: each one may be the first of a quote, and would have all that follows read again.
 */
const QUOTED =
  /"[^"]*(?:"|$)|“[^”]*(?:”|$)|«[^»]*(?:»|$)|`[^`]*(?:`|$)|‘[^’]{0,200}’|(?<![\p{L}\p{N}])'(?:[^']|'(?=[\p{L}\p{N}])){0,200}'(?![\p{L}\p{N}])/gu;
const BETWEEN_WORDS = /[\s,;:=|&?(){}<>[\]]+/u;
/** A digit makes any word a variable one. */
const VARIABLE = ' 0 ';

/**
 * What a text says but for what it says of this one message: words in lower case, with `#` for links, addresses, quotes,
 * ids and whatever else has a digit, however many of these follow each other.
 */
export function normaliseFailureText(text: string): string {
  const lower = text.slice(0, MAX_INPUT).normalize('NFKC').toLowerCase().slice(0, MAX_INPUT);
  const plain = lower.replace(QUOTED, VARIABLE).replace(URLS, VARIABLE).replace(EMAILS, VARIABLE);
  const words: string[] = [];
  for (const word of plain.split(BETWEEN_WORDS)) {
    const variable = /\p{N}/u.test(word) || word.length >= LONG_WORD || LONG_HEX.test(word);
    for (const part of variable ? ['#'] : (word.match(/[\p{L}\p{M}]+/gu) ?? [])) {
      if (part !== '#' || words.at(-1) !== '#') words.push(part);
    }
  }
  return words.join(' ').slice(0, MAX_NORMAL);
}

/** What a nack or an unknown outcome says of the platform's words. */
export interface Said {
  readonly textDigest?: string;
}

/** @param texts those fields of an error that are meant to be read by people; what is no text counts as absent */
export function digestOf(...texts: readonly unknown[]): Said {
  const normal = texts.flatMap((text) => (typeof text === 'string' ? [normaliseFailureText(text)] : []));
  if (normal.every((text) => text === '')) return {};
  return { textDigest: createHash('sha256').update(normal.join('\n')).digest('hex').slice(0, 12) };
}
