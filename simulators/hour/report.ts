/** An hour's figures as people read them. */
import { DRAIN_AIM, type Figures, type Spread } from './figures.ts';
import type { Isolation } from './isolation.ts';

export function reportOf(figures: Figures): string {
  const { judged, drain, number, statuses } = figures;
  const { outcomes } = judged;
  const lines = [
    `${figures.minutes} virtual minutes of a WhatsApp number, scale ${figures.scale}, seed ${figures.seed}: ` +
      `${judged.messages} messages, ${figures.rooms} rooms (${figures.burstingRooms} burst), ` +
      `${figures.processes} processes, ${figures.kills} killed, ${figures.events} events`,
    '',
    `lost                    ${judged.lost} (unsettled ${judged.unsettled}; ${judged.waitingForOfflinePhones} wait for phones that are offline)`,
    `out of order            ${judged.swappedAfterAcked} after acked, ${judged.swappedAfterAssumed} after assumed (${figures.swappedInOutage} of them in the ack outage)`,
    `order proven            ${percent(figures.provenShare)} (outside the ack outage ${percent(figures.provenShareOutsideOutage)}): ${outcomes.acked} acked, ${outcomes.assumed} assumed`,
    `copies                  ${judged.copies} of ${judged.unknownOutcomes} unknown outcomes, ${judged.copiesWithoutReason} without one`,
    `dead letters            ${figures.deadLetters}`,
    `violations              ${judged.violations}`,
    `refusals                ${number.numberLimit} × 130429, ${number.pairLimit} × 131056 (at most ${seconds(number.pairTooEarlyMs)} s too early), ${number.revoked} × 190, of ${number.requests} requests`,
    `statuses                ${statuses.statuses} (${statuses.doubled} doubled) in ${statuses.calls} calls, largest ${statuses.largestCall}; ${statuses.held} held in the ack outage, taken in ${seconds(statuses.flushedInMs)} s`,
    '',
    `drained                 ${seconds(drain.drainedMs)} s`,
    `  bound of the limits   ${seconds(drain.boundMs)} s: × ${drain.ratio.toFixed(4)} (aim ≤ ${DRAIN_AIM}); 99 % of the messages × ${drain.ratioAt99.toFixed(4)}, 99.9 % × ${drain.ratioAt999.toFixed(4)}`,
    `  with waits for acks   ${seconds(drain.orderedBoundMs)} s: × ${drain.orderedRatio.toFixed(4)}`,
  ];
  if (drain.sinceTokenRatio !== null) {
    lines.push(
      `  since the token works × ${drain.sinceTokenRatio.toFixed(4)}; the first message went ${seconds(drain.firstAfterTokenMs ?? 0)} s after that`,
    );
  }
  lines.push('', 'time in queue           published to first request   head of its room to first request');
  for (const { name, inQueue, asHead } of figures.phases) {
    lines.push(`  ${name.padEnd(22)}${spread(inQueue).padEnd(29)}${spread(asHead)}`);
  }
  lines.push('', ...figures.states.map((state) => `  ${state}`));
  if (figures.findings.length > 0) lines.push('', ...figures.findings.map((finding) => `  ${finding}`));
  return lines.join('\n');
}

export function isolationReport({ minutes, bursting, beside, sameLoad, removed, pairRefusals }: Isolation): string {
  const over = (one: Spread): string => `${spread(one)} (p99 × ${(beside.p99Ms / one.p99Ms).toFixed(3)})`;
  return [
    `other rooms, ${minutes} calm minutes; time in queue`,
    `  beside ${bursting} rooms that burst   ${spread(beside)}; ${pairRefusals} × 131056`,
    `  the same load, no bursts  ${over(sameLoad)}`,
    `  without that load         ${over(removed)}`,
  ].join('\n');
}

function spread({ p50Ms, p99Ms }: Spread): string {
  return `p50 ${seconds(p50Ms)} s, p99 ${seconds(p99Ms)} s`;
}

function seconds(ms: number): string {
  return (ms / 1_000).toFixed(ms < 100_000 ? 2 : 1);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
