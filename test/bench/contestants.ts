import { type Contestant, ONE_TRANSACTION } from './contestant.ts';
import { INSTALL, RIVALS } from './rivals/contestants.ts';

/** All that Roomline can be compared with. */
export const CONTESTANTS: readonly Contestant[] = [ONE_TRANSACTION, ...RIVALS];

const SHORT: Readonly<Record<string, string>> = { 'one-transaction': ONE_TRANSACTION.name };

/**
 * @param names such as `one-transaction`, or `all`
 * @param say told of those that are not installed, which are left out
 * @throws Error where one is unknown
 */
export function contestantsOf(names: readonly string[], say: (line: string) => void): Contestant[] {
  const wanted = names.includes('all') ? CONTESTANTS : names.map(named);
  return wanted.filter((contestant) => {
    const there = contestant.installed();
    if (!there) say(`  ${contestant.name} is not installed: ${INSTALL}`);
    return there;
  });
}

function named(name: string): Contestant {
  const found = CONTESTANTS.find((each) => each.name === (SHORT[name] ?? name));
  if (found !== undefined) return found;
  throw new Error(
    `there is nothing called "${name}" to compare with, but ${CONTESTANTS.map((each) => each.name).join('; ')}`,
  );
}
