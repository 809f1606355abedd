import { expect, it } from 'vitest';
import { healthOf } from '../../../src/dashboard/views/channel-health.ts';

it.each([
  // Nothing is wrong, or too little of it to say so.
  ['open', 0, 0, 'ok'],
  ['open', 100, 0, 'ok'],
  ['open', 2, 2, 'ok'],
  ['open', 60, 3, 'ok'],
  // More than one in twenty, and more than two.
  ['open', 59, 3, 'failing'],
  ['open', 3, 3, 'failing'],
  ['slowed', 100, 0, 'throttled'],
  ['slowed', 100, 6, 'failing'],
  ['ack_outage', 100, 0, 'ack outage'],
  ['ack_outage', 100, 5, 'ack outage'],
  ['ack_outage', 100, 6, 'failing'],
  // That nothing is sent is worse than what came of the last ones.
  ['stopped', 0, 0, 'stopped'],
  ['stopped', 100, 100, 'stopped'],
] as const)('a channel that is %s, with %i settled and %i of them failed in a minute, is %s', (...row) => {
  const [state, settled, failed, health] = row;
  expect(healthOf({ state, lastMinute: { accepted: 0, settled, failed } })).toBe(health);
});
