import { expect, it } from 'vitest';
import { summariseProfile } from './profile.ts';

function node(id: number, functionName: string, url: string, lineNumber = 0) {
  return { id, callFrame: { functionName, url, lineNumber } };
}

it('sums up by function and package, without waiting', () => {
  const summary = summariseProfile({
    nodes: [
      node(1, '(idle)', ''),
      node(2, 'send', 'file:///somewhere/src/platforms/generic.ts', 30),
      node(3, 'send', 'file:///somewhere/src/platforms/generic.ts', 30),
      node(4, 'write', 'file:///somewhere/node_modules/@scope/client/lib/a.js', 4),
      node(5, '', 'node:net', 9),
      node(6, 'writev', ''),
      node(7, '(garbage collector)', ''),
    ],
    samples: [1, 2, 3, 4, 5, 6, 7],
    timeDeltas: [9_000, 1_000, 2_000, 2_000, 1_000, 3_000, 1_000],
  });
  expect(summary.busyMs).toBe(10);
  expect(summary.functions.map(({ name, ms }) => [name, ms])).toEqual([
    ['send src/platforms/generic.ts:31', 3],
    ['writev', 3],
    ['write @scope/client/lib/a.js:5', 2],
    ['(anonymous) node:net:10', 1],
    ['(garbage collector)', 1],
  ]);
  expect(summary.packages.map(({ name, share }) => [name, share])).toEqual([
    ['src/platforms', 0.3],
    ['node (native)', 0.3],
    ['@scope/client', 0.2],
    ['node', 0.1],
    ['(garbage collector)', 0.1],
  ]);
});
