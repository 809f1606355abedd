/** Rules for single parameters of bot methods: null, or what is wrong and where inside the value. */
import { type Fields, isFields } from '../fields.ts';

export interface Fault {
  readonly rule: string;
  /** Path inside the value, such as `[2].media`. */
  readonly at?: string;
}

/** `parameters` are those that the value stands among. */
export type Check = (value: unknown, parameters: Fields) => Fault | null;

const MAX_TEXT = 4_096;
const MAX_CAPTION = 1_024;
/** Markup does not count for Telegram's limits and is only taken away there: with it, only what is absurd is refused. */
const MARKUP_FACTOR = 4;
const MAX_FILE_ID = 512;
const MAX_URL = 2_048;
const MAX_VCARD_BYTES = 2_048;
const MAX_ALBUM = 10;

export const text: Check = (value, parameters) => {
  if (typeof value !== 'string') return { rule: 'a text' };
  if (value.trim() === '') return { rule: '1 to 4096 characters that are not all white space' };
  return longerThan(MAX_TEXT, value, parameters);
};

export const caption: Check = (value, parameters) =>
  typeof value === 'string' ? longerThan(MAX_CAPTION, value, parameters) : { rule: 'a text' };

/** Telegram counts characters, of which an emoji is one where JavaScript counts two units. */
function longerThan(most: number, value: string, { parse_mode: mode }: Fields): Fault | null {
  const bound = mode === undefined ? most : most * MARKUP_FACTOR;
  if (value.length <= bound || [...value].length <= bound) return null;
  return { rule: mode === undefined ? `at most ${most} characters` : `at most ${bound} characters with markup` };
}

export const formatting: Check = (value) =>
  value === 'MarkdownV2' || value === 'HTML' || value === 'Markdown' ? null : { rule: 'MarkdownV2, HTML or Markdown' };

export const flag: Check = (value) => (typeof value === 'boolean' ? null : { rule: 'true or false' });

export const object: Check = (value) => (isFields(value) ? null : { rule: 'an object' });

export function listOf(check: Check): Check {
  return (value, parameters) => {
    if (!Array.isArray(value)) return { rule: 'a list' };
    for (const [index, item] of value.entries()) {
      const fault = check(item, parameters);
      if (fault !== null) return { rule: fault.rule, at: `[${index}]${fault.at ?? ''}` };
    }
    return null;
  };
}

export function shortText(most: number): Check {
  const rule = `a text of 1 to ${most} characters`;
  return (value) => (typeof value === 'string' && value !== '' && [...value].length <= most ? null : { rule });
}

export const phoneNumber: Check = (value) =>
  typeof value === 'string' && /^\+?[0-9 ()-]{3,32}$/.test(value) ? null : { rule: 'a telephone number' };

export const vcard: Check = (value) =>
  typeof value === 'string' && Buffer.byteLength(value) <= MAX_VCARD_BYTES
    ? null
    : { rule: `a text of at most ${MAX_VCARD_BYTES} bytes` };

export function numberWithin(least: number, most: number, kind: 'any' | 'whole' = 'any'): Check {
  const rule = `a ${kind === 'whole' ? 'whole ' : ''}number from ${least} to ${most}`;
  return (value) => {
    const fits = typeof value === 'number' && value >= least && value <= most;
    return fits && (kind === 'any' || Number.isInteger(value)) ? null : { rule };
  };
}

export function oneOf(checks: readonly Check[]): Check {
  return (value, parameters) => {
    const faults = checks.map((check) => check(value, parameters));
    if (faults.includes(null)) return null;
    return { rule: faults.map((fault) => fault?.rule).join(', or ') };
  };
}

/** A file that Telegram has or can fetch. Uploads are not among them: nothing here carries their bytes. */
export const file: Check = (value) => {
  const rule = 'a file id, or an https address of at most 2048 characters';
  if (typeof value !== 'string') return { rule };
  if (/^[A-Za-z0-9_-]+$/.test(value)) return value.length <= MAX_FILE_ID ? null : { rule };
  const fetched = value.length <= MAX_URL && /^https:\/\/[^\s]+$/i.test(value) && URL.canParse(value);
  return fetched ? null : { rule };
};

/** Kinds that an album may mix; documents and audio files keep to themselves. */
const MIXED = ['photo', 'video', 'live_photo'];
const ALONE = ['document', 'audio'];

export const album: Check = (value) => {
  if (!Array.isArray(value) || value.length < 2 || value.length > MAX_ALBUM) {
    return { rule: `a list of 2 to ${MAX_ALBUM} items` };
  }
  const first: unknown = isFields(value[0]) ? value[0].type : undefined;
  const allowed = ALONE.find((kind) => kind === first);
  const kinds = allowed === undefined ? MIXED : [allowed];
  for (const [index, item] of value.entries()) {
    const fault = albumItem(item, kinds);
    if (fault !== null) return { rule: fault.rule, at: `[${index}]${fault.at ?? ''}` };
  }
  return null;
};

function albumItem(item: unknown, kinds: readonly string[]): Fault | null {
  if (!isFields(item)) return { rule: 'an object' };
  if (!kinds.some((kind) => kind === item.type)) {
    return { at: '.type', rule: `${kinds.join(', ')} here; an album of document or audio holds nothing else` };
  }
  const media = file(item.media, item);
  if (media !== null) return { ...media, at: '.media' };
  const words = item.caption === undefined ? null : caption(item.caption, item);
  return words === null ? null : { ...words, at: '.caption' };
}
