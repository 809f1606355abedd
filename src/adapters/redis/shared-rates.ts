/** Limits that all processes keep together, as one script of Redis: it decides and counts in one step. */
import { readFileSync } from 'node:fs';
import type { SharedBudgets, SharedRates } from '../../engine/ports.ts';
import type { RedisConnection } from './connection.ts';

const TAKE_TOKENS = readFileSync(new URL('take_tokens.lua', import.meta.url), 'utf8');
const SPEND_BUDGET = readFileSync(new URL('spend_budget.lua', import.meta.url), 'utf8');

/**
 * Keys are `<prefix>rate:{<name>}`, one for each call, so that a cluster may spread them. They expire when all is paid
 * back. What Redis forgets is as if nothing had been used: a burst more, once.
 */
export function createSharedRates(redis: RedisConnection): SharedRates {
  const takeTokens = redis.script('roomlineTakeTokens', TAKE_TOKENS);
  return {
    async take(name, { perSecond, burst }, want) {
      const [granted, waitMs] = (await takeTokens(`rate:{${name}}`, [perSecond, burst, want])) as [number, number];
      return { granted, waitMs };
    },
  };
}

/** Likewise, under `<prefix>budget:{<name>}`. */
export function createSharedBudgets(redis: RedisConnection): SharedBudgets {
  const spendBudget = redis.script('roomlineSpendBudget', SPEND_BUDGET);
  return {
    async spend(name, { perSecond, burst }, cost) {
      const [waitMs, debt] = (await spendBudget(`budget:{${name}}`, [perSecond, burst, cost])) as [number, string];
      return { waitMs, debt: Number(debt) };
    },
  };
}
