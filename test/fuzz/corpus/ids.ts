/** Identifiers: rooms, message ids and recipients obey one rule. */
import { CANARY } from '../rig.ts';
import { type Entry, entry, message, refused, spliced, type Verdict } from './entry.ts';

type Named = readonly [name: string, id: string, verdict: 'accepted' | 'text_nul_or_surrogate' | IdCode];
type IdCode = 'field_invalid' | 'id_too_long' | 'id_invalid';

const c = CANARY;

export const IDS: readonly Named[] = [
  ['of no byte', '', 'field_invalid'],
  ['of one byte', 'x', 'accepted'],
  ['of a space', ' ', 'accepted'],
  ['of 255 bytes', 'x'.repeat(255), 'accepted'],
  ['of 256 bytes', 'x'.repeat(256), 'accepted'],
  ['of 257 bytes', 'x'.repeat(257), 'id_too_long'],
  ['of 256 bytes in 64 characters', '😀'.repeat(64), 'accepted'],
  ['of 257 bytes in 65 characters', `${'😀'.repeat(64)}x`, 'id_too_long'],
  ['of 256 bytes in 128 characters', 'ü'.repeat(128), 'accepted'],
  ['of 258 bytes in 129 characters', 'ü'.repeat(129), 'id_too_long'],
  ['of 256 units that take 768 bytes', '\uffff'.repeat(256), 'id_too_long'],
  ['of 13,000 bytes', 'x'.repeat(13_000), 'id_too_long'],
  ['of 13,000 line breaks', '\n'.repeat(13_000), 'id_too_long'],
  ['with a line break', `${c}\nx`, 'id_invalid'],
  ['with a carriage return', `${c}\rx`, 'id_invalid'],
  ['with a header injection', `${c}\r\nx-injected: 1`, 'id_invalid'],
  ['with a tabulator', `${c}\tx`, 'id_invalid'],
  ['with an escape sequence', `${c}\u001b[31m`, 'id_invalid'],
  ['with DEL', `${c}\u007f`, 'id_invalid'],
  ['with a C1 control', `${c}\u0085`, 'id_invalid'],
  ['with NUL', `${c}\u0000`, 'text_nul_or_surrogate'],
  ['of NUL alone', '\u0000', 'text_nul_or_surrogate'],
  ['with a high surrogate alone', `${c}\ud800`, 'text_nul_or_surrogate'],
  ['with a low surrogate alone', `\udc00${c}`, 'text_nul_or_surrogate'],
  ['with surrogates in the wrong order', `${c}\udc00\ud800`, 'text_nul_or_surrogate'],
  ['with a right-to-left mark', `${c}\u200fx`, 'accepted'],
  ['with a right-to-left override', `${c}\u202egpj.exe`, 'accepted'],
  ['with a zero-width joiner', `${c}\u200d`, 'accepted'],
  ['with a byte order mark', `\ufeff${c}`, 'accepted'],
  ['with a line separator', `${c}\u2028\u2029`, 'accepted'],
  ['with a no-break space', `${c}\u00a0`, 'accepted'],
  ['with a non-character', `${c}\uffff`, 'accepted'],
  ['with a character beyond the basic plane', `${c}\u{10ffff}`, 'accepted'],
  ['of an emoji of 11 code points', '👩🏽‍❤️‍💋‍👨🏿', 'accepted'],
  ['with a composed letter', `${c}\u00e9`, 'accepted'],
  ['with the same letter decomposed', `${c}e\u0301`, 'accepted'],
  ['of a path upwards', '../../../etc/passwd', 'accepted'],
  ['of two dots', '..', 'accepted'],
  ['of one slash', '/', 'accepted'],
  ['of a Windows path', '..\\..\\windows', 'accepted'],
  ['of percent escapes', '%00%2e%2e%2f%ff', 'accepted'],
  ['of a query', '?tenant=acme&limit=1#x', 'accepted'],
  ['of SQL', "'; DROP TABLE rooms; --", 'accepted'],
  ['of SQL with a comment', "x' OR 1=1 /*", 'accepted'],
  ['of a template', `${'$'}{jndi:ldap://127.0.0.1/x}`, 'accepted'],
  ['of markup', '<script>alert(1)</script>', 'accepted'],
  ['of a format', '%s%n%d', 'accepted'],
  ['of a shell command', '$(reboot)`reboot`', 'accepted'],
  ['of quotation marks and a backslash', '"\\\'', 'accepted'],
  ['of braces as an array literal', '{a,b,NULL}', 'accepted'],
  ['called __proto__', '__proto__', 'accepted'],
  ['called constructor', 'constructor', 'accepted'],
  ['called toString', 'toString', 'accepted'],
  ['that looks like a number', '0', 'accepted'],
  ['that looks like null', 'null', 'accepted'],
  ['that looks like a generated id', 'http:00000000-0000-0000-0000-000000000000', 'accepted'],
];

const FIELDS = ['room', 'messageId', 'to', 'supersedes'] as const;
const WRONG_TYPES: readonly (readonly [string, string])[] = [
  ['null', 'null'],
  ['a number', '7'],
  ['a boolean', 'true'],
  ['a list', '["r"]'],
  ['an object', '{"id":"r"}'],
  ['an object that reads as a text', '{"toString":"r","length":1}'],
];

export const ID_MESSAGES: readonly Entry[] = FIELDS.flatMap((field) => [
  ...IDS.map(([name, id, verdict]) =>
    entry(`${field} ${name}`, message({ [field]: id }), verdict === 'accepted' ? verdict : refused(verdict, field)),
  ),
  ...WRONG_TYPES.map(([name, json]) =>
    entry(`${field} as ${name}`, spliced({ [field]: '@' }, json), refused('field_type', field)),
  ),
]);

/** What a room of this name is answered with in a path: the ones that are valid have no messages on this channel. */
export function pathVerdict(verdict: Named[2]): Exclude<Verdict, 'accepted'> {
  return verdict === 'accepted' ? { code: 'room_not_found' } : { code: verdict, field: 'room' };
}
