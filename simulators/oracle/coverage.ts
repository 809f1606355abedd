import type { Findings } from './findings.ts';
import type { OracleOptions } from './types.ts';

/** The share of the planned load that must have been accepted. */
const LEAST_SHARE = 0.95;

export interface Observed {
  readonly accepted: number;
  readonly faults: Readonly<Record<string, number>>;
  /** Workers whose rooms others have taken over. */
  readonly succeeded: number;
}

/** C11: a pass on which nothing happened is none. */
export function checkCoverage(findings: Findings, options: OracleOptions, observed: Observed): void {
  const { expectedFaults = {}, firedFaults = {}, expectedMessages = 1, plannedMessages, killedHolders } = options;
  const { accepted, faults, succeeded } = observed;
  const unless = (fine: boolean, problem: string): void => {
    findings.looked('C11');
    if (!fine) findings.add('empty_pass', problem);
  };
  unless(accepted >= expectedMessages, `${accepted} messages accepted, at least ${expectedMessages} expected`);
  if (plannedMessages !== undefined) {
    unless(accepted >= LEAST_SHARE * plannedMessages, `${accepted} of ${plannedMessages} planned messages accepted`);
  }
  for (const [name, least] of Object.entries(expectedFaults)) {
    const times = (faults[name] ?? 0) + (firedFaults[name] ?? 0);
    unless(times >= least, `fault ${name} struck ${times} times, not ${least}`);
  }
  if (killedHolders !== undefined) {
    unless(succeeded >= killedHolders, `${succeeded} holders were succeeded, ${killedHolders} were killed`);
  }
  // Last, as it asks what all others have looked at.
  for (const { check, result } of findings.results()) {
    if (options.required?.includes(check) && check !== 'C11') {
      unless(result !== 'not_checked', `${check} had nothing to look at`);
    }
  }
}
