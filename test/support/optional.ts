/** What tests use where it is found: in CI it is required, unless ROOMLINE_TESTS_WITHOUT names it (`pooler,redis,model,faketime,chromium`). */
export type OptionalPart = 'pooler' | 'redis' | 'model' | 'faketime' | 'chromium';

/**
 * Tells that a part is missing and what is left out without it.
 * @throws Error where it is required
 */
export function leaveOut(part: OptionalPart, missing: string, consequence: string): void {
  const without = (process.env.ROOMLINE_TESTS_WITHOUT ?? '').split(',').map((name) => name.trim());
  if (process.env.CI === 'true' && !without.includes(part)) throw new Error(`${missing}; in CI it is required`);
  process.stderr.write(`${missing}: ${consequence}\n`);
}
