/** How a channel is, from what the live feed says of it. */
import type { LiveTotals } from '../../http/live-schemas.ts';

type Channel = LiveTotals['channels'][number];

/** More than this share of what settled in the last minute failed: the channel is said to fail. */
const FAILING_SHARE = 0.05;
const FAILING_LEAST = 3;

export type Health = 'ok' | 'throttled' | 'ack outage' | 'failing' | 'stopped';

export function healthOf({ state, lastMinute: { settled, failed } }: Pick<Channel, 'state' | 'lastMinute'>): Health {
  if (state === 'stopped') return 'stopped';
  if (failed >= FAILING_LEAST && failed > settled * FAILING_SHARE) return 'failing';
  if (state === 'ack_outage') return 'ack outage';
  return state === 'slowed' ? 'throttled' : 'ok';
}
