/** Statements with one predicate, one lock or one distinction less: what the tests of the store must notice. */

export interface Mutant {
  /** Such as `compare_and_set 4: l.version = n.expected_version`; the number counts within the statement. */
  readonly name: string;
  readonly text: string;
}

interface Cut {
  readonly from: number;
  readonly to: number;
  readonly with: string;
}

const WORD = /[A-Za-z_]+|[()]|'(?:[^']|'')*'/g;
/** What ends a WHERE, beside the parenthesis that it stands in. */
const CLAUSE_ENDS = new Set([
  'GROUP',
  'ORDER',
  'LIMIT',
  'OFFSET',
  'RETURNING',
  'FOR',
  'UNION',
  'ON',
  'WHERE',
  'SELECT',
  'JOIN',
  'LEFT',
]);
const LOCKS = /\bFOR (?:NO KEY UPDATE|UPDATE|SHARE)(?: OF [a-z]+)?(?: SKIP LOCKED)?|(?<= )SKIP LOCKED/g;

/** Every mutant of a statement: WHERE and locks in the order of its text, then what a CASE tells apart, then joins. */
export function mutantsOf(name: string, sql: string): Mutant[] {
  // Comments may hold any word; they keep their length, so that positions stay.
  const code = sql.replace(/--.*$/gm, (comment) => ' '.repeat(comment.length));
  const cuts = [...predicates(code), ...locks(code)].sort((a, b) => a.from - b.from || b.to - a.to);
  return [...cuts, ...cases(code), ...joins(code)].map((cut, index) => ({
    name: `${name} ${index + 1}: ${code.slice(cut.from, cut.to).replace(/\s+/g, ' ')}${cut.with === 'false' ? ' (never)' : ''}`,
    text: `${sql.slice(0, cut.from)}${cut.with}${sql.slice(cut.to)}`,
  }));
}

function predicates(code: string): Cut[] {
  const words = [...code.matchAll(WORD)];
  return words.flatMap((word, index) => (word[0] === 'WHERE' ? conditionsAfter(code, words, index) : []));
}

function joins(code: string): Cut[] {
  const words = [...code.matchAll(WORD)];
  return words
    .flatMap((word, index) =>
      word[0] === 'ON' && words[index + 1]?.[0] !== 'CONFLICT' ? conditionsAfter(code, words, index) : [],
    )
    .filter(({ from, to }) => code.slice(from, to) !== 'true');
}

/** The parts of one WHERE, or of one ON, that AND joins. */
function conditionsAfter(code: string, words: readonly RegExpExecArray[], where: number): Cut[] {
  const ends: number[] = [];
  const [first] = words[where] as RegExpExecArray;
  const begins = [(words[where] as RegExpExecArray).index + (first as string).length];
  let depth = 0;
  let end = code.length;
  for (const word of words.slice(where + 1)) {
    if (word[0] === '(') depth++;
    else if (word[0] === ')') depth--;
    if (depth < 0 || (depth === 0 && CLAUSE_ENDS.has(word[0]))) {
      end = word.index;
      break;
    }
    if (depth !== 0 || word[0] !== 'AND') continue;
    ends.push(word.index);
    begins.push(word.index + 'AND'.length);
  }
  return [...ends, end].map((to, i) => {
    const from = begins[i] as number;
    const text = code.slice(from, to);
    return {
      from: from + (text.length - text.trimStart().length),
      to: to - (text.length - text.trimEnd().length),
      with: 'true',
    };
  });
}

/** Every condition of a CASE, once always and once never. */
function cases(code: string): Cut[] {
  return [...code.matchAll(/(?<=\bWHEN )[^;]*?(?= THEN\b)/g)].flatMap((match) => {
    const condition = { from: match.index, to: match.index + match[0].length };
    return [
      { ...condition, with: 'true' },
      { ...condition, with: 'false' },
    ];
  });
}

function locks(code: string): Cut[] {
  return [...code.matchAll(LOCKS)].flatMap((match) => {
    const whole = { from: match.index, to: match.index + match[0].length, with: '' };
    const skip = match[0].indexOf(' SKIP LOCKED');
    return skip > 0 ? [whole, { ...whole, from: match.index + skip }] : [whole];
  });
}
