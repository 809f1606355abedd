import { CHECK_NAMES, CHECKS, type CheckName, type CheckResult, checkOf, type Rule } from './checks.ts';
import type { MessageState } from './state.ts';
import type { Violation } from './types.ts';

/** Counts what was looked at and every violation, and keeps a few examples of each rule. */
export class Findings {
  readonly broken: Partial<Record<Rule, number>> = {};
  readonly examples: Violation[] = [];
  readonly #looked = new Map<CheckName, number>();
  readonly #most: number;
  readonly #without: ReadonlySet<CheckName>;

  constructor(most: number, without: readonly CheckName[] = []) {
    this.#most = most;
    this.#without = new Set(without);
  }

  looked(check: CheckName, things = 1): void {
    this.#looked.set(check, (this.#looked.get(check) ?? 0) + things);
  }

  add(rule: Rule, detail: string, message?: MessageState, times = 1): void {
    if (this.#without.has(checkOf(rule))) return;
    const count = this.broken[rule] ?? 0;
    this.broken[rule] = count + times;
    if (count >= this.#most) return;
    const where = message ? { room: message.room.no, message: message.index } : {};
    this.examples.push({ rule, ...where, detail });
  }

  count(rule: Rule): number {
    return this.broken[rule] ?? 0;
  }

  results(): CheckResult[] {
    return CHECK_NAMES.map((check) => {
      const { promise, says, rules } = CHECKS[check];
      const checked = this.#without.has(check) ? 0 : (this.#looked.get(check) ?? 0);
      const broken = rules.reduce((sum, rule) => sum + this.count(rule), 0);
      const result = broken > 0 ? 'broken' : checked > 0 ? 'ok' : 'not_checked';
      const violations = this.examples.filter(({ rule }) => checkOf(rule as Rule) === check);
      return { check, promise, says, result, ok: result === 'ok', checked, broken, violations };
    });
  }
}
