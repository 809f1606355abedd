/** C12: whether planted texts are in logs, as they are or encoded. */
import { createReadStream } from 'node:fs';

/** A text that must not be in any log, and a name by which to speak of it. */
export interface Canary {
  readonly name: string;
  readonly text: string;
}

export interface Leak {
  readonly canary: string;
  readonly form: string;
  readonly file: string;
  /** Of the first byte, from 0. */
  readonly offset: number;
}

export interface LeakScan {
  /** Files times canaries. */
  readonly checked: number;
  readonly bytes: number;
  /** The first place of each canary in each form and file. */
  readonly leaks: readonly Leak[];
}

/** What is shorter may be in a log by chance. */
export const LEAST_LENGTH = 8;

/**
 * Reads each file once, in pieces.
 * @throws RangeError where a canary is too short to mean anything
 */
export async function scanForLeaks(files: readonly string[], canaries: readonly Canary[]): Promise<LeakScan> {
  const needles = canaries.flatMap(formsOf);
  const longest = Math.max(0, ...needles.map(({ bytes }) => bytes.length));
  const leaks: Leak[] = [];
  let bytes = 0;
  for (const file of files) {
    const left = new Set(needles);
    let carried: Buffer = Buffer.alloc(0);
    let offset = 0;
    for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
      const piece = Buffer.concat([carried, chunk]);
      for (const needle of left) {
        const at = piece.indexOf(needle.bytes);
        if (at < 0) continue;
        left.delete(needle);
        leaks.push({ canary: needle.canary, form: needle.form, file, offset: offset + at });
      }
      carried = piece.subarray(Math.max(0, piece.length - longest + 1));
      offset += piece.length - carried.length;
      bytes += chunk.length;
    }
  }
  return { checked: files.length * canaries.length, bytes, leaks };
}

interface Needle {
  readonly canary: string;
  readonly form: string;
  readonly bytes: Buffer;
}

/** Each way in which a log could hold the text. */
function formsOf({ name, text }: Canary): Needle[] {
  const raw = Buffer.from(text);
  if (raw.length < LEAST_LENGTH) throw new RangeError(`the canary ${name} is shorter than ${LEAST_LENGTH} bytes`);
  const url = encodeURIComponent(text);
  const forms: [string, string][] = [
    ['plain', text],
    ['JSON', JSON.stringify(text).slice(1, -1)],
    ['URL', url],
    ['URL', url.replaceAll('%20', '+')],
    ['URL', url.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase())],
    ['hex', raw.toString('hex')],
    ['hex', raw.toString('hex').toUpperCase()],
    ['bytes', raw.join(',')],
    ...base64Forms(raw),
  ];
  const seen = new Set<string>();
  return forms
    .filter(([, form]) => !seen.has(form) && seen.add(form))
    .map(([form, encoded]) => ({ canary: name, form, bytes: Buffer.from(encoded) }));
}

/** Inside a longer text a canary may begin at each of three places of a group; what its neighbours decide is cut off. */
function base64Forms(raw: Buffer): [string, string][] {
  return [0, 1, 2].flatMap((before): [string, string][] => {
    const encoded = Buffer.concat([Buffer.alloc(before), raw])
      .toString('base64')
      .replace(/=+$/, '');
    const from = Math.ceil((before * 8) / 6);
    const until = Math.floor(((before + raw.length) * 8) / 6);
    const certain = encoded.slice(from, until);
    return [
      ['base64', certain],
      ['base64', certain.replaceAll('+', '-').replaceAll('/', '_')],
    ];
  });
}
