import type { MessageState } from './state.ts';
import type { Rule, Violation } from './types.ts';

/** Counts every violation and keeps a few examples of each rule. */
export class Findings {
  readonly broken: Partial<Record<Rule, number>> = {};
  readonly examples: Violation[] = [];
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  add(rule: Rule, detail: string, message?: MessageState): void {
    const count = (this.broken[rule] ?? 0) + 1;
    this.broken[rule] = count;
    if (count > this.#most) return;
    const where = message ? { room: message.room.no, message: message.index } : {};
    this.examples.push({ rule, ...where, detail });
  }

  count(rule: Rule): number {
    return this.broken[rule] ?? 0;
  }
}
