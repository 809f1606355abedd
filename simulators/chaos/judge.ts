/** The verdict: the oracle's on what happened, and our own on whether anything happened at all. */
import type { LeakScan } from '../oracle/leaks.ts';
import type { Verdict } from '../oracle/types.ts';
import { scanEngineLogs } from '../rig/leaks.ts';
import type { PublishedMessage } from '../rig/publisher-log.ts';
import type { Rig } from '../rig/rig.ts';
import { RECIPIENT_CANARY, TEXT_CANARY } from './load.ts';
import { GAP_MS, SEND_TIMEOUT_MS } from './settings.ts';

export interface Check {
  readonly name: string;
  readonly ok: boolean;
  /** The figure that it looked at, in words. */
  readonly found: string;
}

/** What the publisher says of each message, with the channel it went to. */
export type Account = PublishedMessage & { readonly accepted: boolean };

/** The oracle's verdict on one channel: the one place where it is asked. */
export async function askOracle(
  rig: Rig,
  channel: string,
  published: readonly Account[],
  killedHolders: number,
  leaks: LeakScan,
): Promise<Verdict> {
  const { database } = rig;
  const ofChannel = published.filter((entry) => entry.channel === channel);
  const [verdict] = await rig.judge([
    {
      published: ofChannel,
      leaks,
      final: await database.finalState(channel),
      inbox: await database.inbox(channel),
      fences: await database.fences(),
      options: {
        ackTimeoutMs: GAP_MS,
        // A proxy can lose an answer that the platform takes for received; then the history alone knows of it.
        answersGetLost: true,
        // No request arrives later than its sender waits for it.
        raceMs: SEND_TIMEOUT_MS,
        killedHolders,
        plannedMessages: ofChannel.length,
        required: ['C1', 'C2', 'C3', 'C4', 'C5', 'C6', 'C7', 'C8', 'C9', 'C11', 'C12'],
      },
    },
  ]);
  if (verdict === undefined) throw new Error('the oracle said nothing');
  return verdict;
}

/** Everything that engines have logged, at every level, looked through for what must not be there. */
export function scanLogs(rig: Rig): Promise<LeakScan> {
  return scanEngineLogs(rig, [
    { name: 'a recipient', text: RECIPIENT_CANARY },
    { name: 'a text', text: TEXT_CANARY },
  ]);
}
