/** What is the same of two failures that are told in words. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { digestOf, normaliseFailureText } from '../../src/platforms/failure-text.ts';

const hex = (minLength: number) =>
  fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength, maxLength: minLength + 24 });
const digits = fc.string({ unit: fc.constantFrom(...'0123456789'), minLength: 5, maxLength: 15 });
const unquoted = (text: string): boolean => !/['`]/.test(text);
/** What differs from one message to the next, as platforms write it. */
const variables = [
  digits,
  digits.map((number) => `+${number}`),
  digits.map((number) => `+${number.slice(0, 2)} (${number.slice(2, 4)}) ${number.slice(4)}-17`),
  fc.uuid(),
  hex(16),
  hex(30).map((id) => `wamid.${id}7==`),
  hex(20).map((id) => `MM${id}0`),
  fc.emailAddress().filter(unquoted),
  fc.webUrl({ withQueryParameters: true, withFragments: true }).filter(unquoted),
  fc.string({ maxLength: 60 }).map((text) => `"${text.replaceAll('"', '')}"`),
  fc.string({ maxLength: 60 }).map((text) => `“${text.replaceAll('”', '')}”`),
] as const;
const sentences = [
  (of: string) => `Message to ${of} could not be delivered`,
  (of: string) => `Bad Request: ${of}, which was named, is blocked`,
  (of: string) => `(#100) Recipient ${of} opted out.`,
  (of: string) => `Rate limit hit for ${of}; try again later`,
] as const;

describe('the words of a failure', () => {
  it('are the same whatever they say of the one message', () => {
    const pair = fc.constantFrom(...variables).chain((one) => fc.tuple(one, one));
    fc.assert(
      fc.property(fc.constantFrom(...sentences), pair, (sentence, [one, other]) => {
        expect(digestOf(sentence(one))).toEqual(digestOf(sentence(other)));
        expect(normaliseFailureText(sentence(one))).not.toMatch(/\p{N}/u);
      }),
      { numRuns: 2_000 },
    );
  });

  it('differ where the sentences do', () => {
    const digests = sentences.map((sentence) => digestOf(sentence('+15550100')).textDigest);
    expect(new Set(digests).size).toBe(sentences.length);
    for (const digest of digests) expect(digest).toMatch(/^[0-9a-f]{12}$/);
  });

  it.each([
    [
      'Bad Request: can’t parse entities: Unsupported start tag "foo" at byte offset 17',
      'bad request can t parse entities unsupported start tag # at byte offset #',
    ],
    ["User's 'Ann O'Hara' isn't here", 'user s # isn t here'],
    ['The body "never ends', 'the body #'],
    ['to=+4915112345,reason=blocked', 'to # reason blocked'],
    ['{"to":"+4915112345"} refused', '# refused'],
    ['Too\tMany  REQUESTS:\nretry after 5', 'too many requests retry after #'],
    ['sent to a.b@example.org, 1 and 2', 'sent to # and #'],
    ['fetch https://example.org/a?b=c failed', 'fetch # failed'],
    ['Empfänger unzulässig', 'empfänger unzulässig'],
    ['x'.repeat(40), '#'],
    ['', ''],
    ['?!', ''],
  ])('%s is %s', (text, normal) => {
    expect(normaliseFailureText(text)).toBe(normal);
  });

  it('are looked at as far as a bound, in a time that grows with it', () => {
    expect(normaliseFailureText('word '.repeat(1_000))).toHaveLength(256);
    expect(digestOf(`same ${'word '.repeat(1_000)} one`)).toEqual(digestOf(`same ${'word '.repeat(1_000)} two`));
    for (const hostile of ["'", '"', "'a", '@', 'a', 'a@', '`', 'a:', '‘']) {
      expect(normaliseFailureText(hostile.repeat(1_000_000)).length).toBeLessThanOrEqual(256);
    }
  });

  it('that would grow, or begin many quotes, take no longer than others', { timeout: 5_000 }, () => {
    // Each of these takes a quarter of a second where it is read anew from every quote.
    const grows = '\uFDFA'.repeat(1_000);
    for (let time = 0; time < 100; time++) {
      for (const quote of ['‘', ` 'x`, '"', '“']) {
        expect(normaliseFailureText(quote.repeat(1_000 / quote.length) + grows).length).toBeLessThanOrEqual(256);
      }
    }
  });

  it('that are none have no digest', () => {
    expect(digestOf()).toEqual({});
    expect(digestOf(null, undefined, 7, {}, '', '?')).toEqual({});
    expect(digestOf(undefined, 'Blocked')).toEqual(digestOf('blocked!'));
  });
});
