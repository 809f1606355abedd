/** `npm run plan`: how large a deployment a load needs, and what latency to expect of it. */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ERRORS, RoomlineError } from '../../src/errors.ts';
import { calibrate, MUCH_PERCENT, readMeasured } from './calibrate.ts';
import { readCosts } from './costs.ts';
import { parseOptions } from './options.ts';
import { comparisonText, planText } from './report.ts';
import { plan } from './sizing.ts';
import { validate } from './validate.ts';

const COSTS = fileURLToPath(new URL('costs.json', import.meta.url));
const MEASURED = fileURLToPath(new URL('measured', import.meta.url));

process.exitCode = main();

function main(): number {
  try {
    const order = parseOptions(process.argv);
    if (order.calibrateFrom !== null) return remember(order.calibrateFrom, order.costs ?? COSTS);
    const costs = readCosts(order.costs ?? COSTS);
    if (order.validates) {
      const comparisons = validate(MEASURED, costs.units);
      say(order.asJson ? [asJson(comparisons)] : comparisonText(comparisons));
      return 0;
    }
    const made = plan(order.inputs, costs.units);
    say(order.asJson ? [asJson({ inputs: order.inputs, plan: made, costs })] : planText(order.inputs, made, costs));
    return 0;
  } catch (error) {
    if (!(error instanceof RoomlineError)) throw error;
    process.stderr.write(`${complaint(error).join('\n')}\n`);
    return 1;
  }
}

function remember(from: string, file: string): number {
  const costs = calibrate(readMeasured(from));
  writeFileSync(file, `${asJson(costs)}\n`);
  say([`unit costs written to ${file}`, asJson(costs.units)]);
  if (costs.othersPercent > MUCH_PERCENT) {
    say([
      `others used ${costs.othersPercent.toFixed(0)} % of the machine meanwhile: repeat it where it has nothing else to do`,
    ]);
  }
  return 0;
}

function complaint({ code, detail, faults = [] }: RoomlineError): string[] {
  if (faults.length === 0) return [`${code}: ${detail}. ${ERRORS[code].action}`];
  return faults.map((fault) => `${fault.code}: ${fault.path} must be ${fault.rule}.`);
}

function asJson(value: unknown): string {
  return JSON.stringify(value, null, 2);
}

function say(lines: readonly string[]): void {
  process.stdout.write(`${lines.join('\n')}\n`);
}
