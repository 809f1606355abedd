import type { CheckName } from '../../../simulators/oracle/checks.ts';
import { addTo, type Latency, noLatency } from '../../../simulators/oracle/latency.ts';
import type { LeakScan } from '../../../simulators/oracle/leaks.ts';
import { judge } from '../../../simulators/oracle/oracle.ts';
import type { FenceRow, FinalRow, InboxRow, OracleOptions, Published } from '../../../simulators/oracle/types.ts';
import type { GroundTruthRecord } from '../../../simulators/platform/ground-truth.ts';
import { attempts, HandMadeLog, published, rows } from './log.ts';

/** A run of which every kind of record is there, as plain data that a test may corrupt. */
export interface WholeRun {
  published: Published[];
  records: GroundTruthRecord[];
  final: FinalRow[];
  inbox: InboxRow[];
  fences: FenceRow[];
  leaks: LeakScan;
  options: OracleOptions;
}

/** Rooms in which nothing happens but deliveries: enough of them for quantiles. */
const QUIET_ROOMS = Array.from({ length: 60 }, (_, index) => `quiet${index}`);
const UNSENT = { level: 'none', attempts: [], claimVersion: null } satisfies Partial<FinalRow>;
const W2 = { worker: 'w2' };

export function wholeRun(): WholeRun {
  const log = new HandMadeLog().start();
  const quiet = QUIET_ROOMS.flatMap((room) => [1, 2, 3].map((index) => `${room}/${index}`));
  const keys = ['copied/1', 'copied/2', 'taken/1', 'taken/2', 'taken/3', 'late/1', 'late/2', 'stale/1', 'stale/2'];
  const ends = ['ends/1', 'ends/2', 'ends/3', 'ends/4', 'idless/1', 'last/1'];
  log.deliver(...quiet);
  // Sent again after an unknown outcome.
  log.sendUnknown('copied/1').deliver('copied/1', 'copied/2');
  // The platform answered a worker that was killed: another one sends again.
  log.send('taken/1').deliver('taken/1', 'taken/2', 'taken/3');
  setSender(log, W2, 'taken/1', 2);
  for (const key of ['taken/2', 'taken/3']) setSender(log, W2, key, 1);
  // Acked while a second attempt was under way, which arrives after the next message.
  log.sendUnknown('late/1').tell(['late/1'], 'd').deliver('late/2').wait(500).send('late/1', { attempt: 2 });
  // A worker that stood still sends what its successor has sent long since.
  log
    .send('stale/1', { ...W2, attempt: 2 })
    .tell(['stale/1'], 'd')
    .deliver('stale/2')
    .wait(500);
  log.send('stale/1', { attempt: 1 });
  setSender(log, W2, 'stale/2', 1);
  // Refused for good; timed out, and told of by the next message's cumulative ack; expired.
  log.refuse('ends/1', { permanent: true }).send('ends/2').wait(1_000).send('ends/3').tell(['ends/3'], 'D');
  // Its answer was lost, and its status names nothing but the platform's id.
  log.sendUnknown('idless/1', { id: 'gw-1' }).tell(['idless/1'], 's');
  log.tell([], '', 401, 'wrong_key').deliver('last/1');

  const acked = { level: 'delivered', attempts: attempts('accepted') } satisfies Partial<FinalRow>;
  const final = [
    ...rows(...quiet.map((key) => [key, 'acked', acked] as [string, 'acked', typeof acked])),
    ...rows(
      ['copied/1', 'acked', { ...acked, attempts: attempts('unknown', 'accepted') }],
      ['copied/2', 'acked', acked],
      ['taken/1', 'acked', { ...acked, attempts: attempts('interrupted', ['accepted', W2]) }],
      ['taken/2', 'acked', { ...acked, attempts: attempts(['accepted', W2]) }],
      ['taken/3', 'acked', { ...acked, attempts: attempts(['accepted', W2]) }],
      ['late/1', 'acked', { ...acked, attempts: attempts('unknown', 'accepted') }],
      ['late/2', 'acked', acked],
      ['stale/1', 'acked', { ...acked, attempts: attempts('interrupted', ['accepted', W2]) }],
      ['stale/2', 'acked', { ...acked, attempts: attempts(['accepted', W2]) }],
      [
        'ends/1',
        'failed',
        { level: 'none', attempts: attempts('refused'), reason: 'refused', failure: 'http_400', deadLetters: 1 },
      ],
      ['ends/2', 'assumed', { ...acked, reason: 'ack_timeout' }],
      ['ends/3', 'acked', acked],
      ['ends/4', 'expired', { ...UNSENT, reason: 'expired' }],
      ['idless/1', 'assumed', { level: 'accepted', attempts: attempts('unknown'), reason: 'assume_policy' }],
      ['last/1', 'acked', acked],
    ),
  ].map((row) => versioned(row));
  return {
    published: published(...quiet, ...keys, ...ends),
    records: log.records,
    final,
    inbox: [{ platformId: 'gw-1', level: 'sent' }],
    fences: [
      { worker: 'w1', fenced: true },
      { worker: 'w2', fenced: false },
    ],
    leaks: { checked: 3, bytes: 1_000, leaks: [] },
    options: {
      ackTimeoutMs: 1_000,
      plannedMessages: 190,
      killedHolders: 1,
      expectedFaults: { reset: 1 },
      isolation: { untouched: (room) => room.startsWith('quiet'), baseline: latencyOf(20) },
      tail: { from: 1_700_000_000_000, until: 1_700_000_000_000 + 40_000 },
    },
  };
}

export const verdictOn = ({ options, ...logs }: WholeRun, without: CheckName[] = []) =>
  judge(logs, { ...options, without });

/** 120 gaps and waits of so many ms. */
export function latencyOf(ms: number): Latency {
  const latency = noLatency();
  for (let index = 0; index < 120; index++) addTo(latency.ackToNext, ms);
  return latency;
}

/** Claimed by one write of its room and settled by another one. */
function versioned(row: FinalRow): FinalRow {
  const at = 3 * row.sequence;
  return { claimVersion: at, settleVersion: at + 2, ...row };
}

/** Whoever sent the receipt of an attempt. */
function setSender({ records }: HandMadeLog, sender: { worker: string }, key: string, attempt: number): void {
  for (const record of records) {
    if (record.t === 'receipt' && record.key === key && record.attempt === attempt) Object.assign(record, sender);
  }
}
