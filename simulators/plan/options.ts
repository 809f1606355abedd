/** What a plan is made for. Everything that is wrong is said at once, each with its code. */
import { Command } from 'commander';
import { type Fault, RoomlineError } from '../../src/errors.ts';

export interface Inputs {
  readonly rooms: number;
  /** Messages of one room. */
  readonly perMinute: number;
  /** Of a room together. */
  readonly burst: number;
  readonly ackP50Ms: number;
  readonly ackP99Ms: number;
  /** Share of the messages whose ack never comes. */
  readonly loss: number;
  readonly ackTimeoutMs: number;
  readonly sendP50Ms: number;
  readonly sendP99Ms: number;
  /** Statuses in a webhook call. */
  readonly batch: number;
  readonly door: 'pubsub' | 'http';
  readonly bodyBytes: number;
  readonly retentionDays: number;
  /** Of a day, at this rate. */
  readonly hours: number;
  readonly channels: number;
  /** Messages per second that a channel's platform takes; 0: as many as there are. */
  readonly channelLimit: number;
  /** One message to a room in so much time; 0: no limit. */
  readonly roomEveryMs: number;
  readonly syncMs: number;
  readonly roundTripMs: number;
  /** Of what a deployment can take, at most. */
  readonly utilisation: number;
  /** Null: as many as are needed. */
  readonly workers: number | null;
  readonly postgresCores: number | null;
  readonly seed: number;
}

export interface Order {
  readonly inputs: Inputs;
  readonly asJson: boolean;
  readonly validates: boolean;
  /** Figures of the workload `costs`; null where a plan is wanted. */
  readonly calibrateFrom: string | null;
  /** Unit costs instead of those of this version. */
  readonly costs: string | null;
}

interface Rule {
  readonly flag: string;
  readonly about: string;
  readonly least: number;
  readonly most: number;
  readonly isWhole?: boolean;
  /** Null: none. */
  readonly usual: number | null;
}

type Numbers = Omit<Inputs, 'door'>;

const MINUTES_MS = 3_600_000;

const RULES: Readonly<Record<keyof Numbers, Rule>> = {
  rooms: whole('rooms', 'rooms that are busy at once', 1, 10_000_000, 25_000),
  perMinute: real('per-minute', 'messages to each in a minute', 0.001, 6_000, 2),
  burst: whole('burst', 'messages of a room that come together', 1, 100, 2),
  ackP50Ms: real('ack-p50', 'ms from the answer to the ack, half of them', 0, MINUTES_MS, 400),
  ackP99Ms: real('ack-p99', '… 99 of 100', 0, MINUTES_MS, 2_500),
  loss: real('loss', 'share of the acks that never come, such as 0.12', 0, 1, 0.12),
  ackTimeoutMs: real('ack-timeout', 'X in ms', 1, MINUTES_MS * 24, 5_000),
  sendP50Ms: real('send-p50', "ms that the platform's answer takes, half of them", 0, 60_000, 80),
  sendP99Ms: real('send-p99', '… 99 of 100', 0, 60_000, 400),
  batch: whole('batch', 'statuses in a webhook call', 1, 1_000, 1),
  bodyBytes: whole('body', 'bytes of a message', 1, 262_144, 300),
  retentionDays: whole('retention-days', 'how long history is kept', 1, 3_650, 30),
  hours: real('hours', 'hours of a day at this rate', 0.1, 24, 12),
  channels: whole('channels', 'channels that share the load', 1, 100_000, 1),
  channelLimit: real('channel-limit', 'messages/s that a channel may send; 0: no limit', 0, 100_000, 0),
  roomEveryMs: real(
    'room-every',
    'ms between messages to a room that its platform asks for; 0: none',
    0,
    MINUTES_MS,
    0,
  ),
  syncMs: real('sync', 'ms of one write of the WAL to disk', 0.01, 1_000, 1),
  roundTripMs: real('round-trip', 'ms to Postgres and back', 0, 1_000, 0.5),
  utilisation: real('utilisation', 'share of what a deployment can take that is planned with', 0.05, 0.9, 0.6),
  workers: whole('workers', 'processes, instead of as many as are needed', 1, 10_000, null),
  postgresCores: whole('postgres-cores', "Postgres' cores, instead of as many as are needed", 1, 1_024, null),
  seed: whole('seed', 'seed of what is left to chance', 0, 2 ** 31, 1),
};

function real(flag: string, about: string, least: number, most: number, usual: number): Rule {
  return { flag, about, least, most, usual };
}

function whole(flag: string, about: string, least: number, most: number, usual: number | null): Rule {
  return { flag, about, least, most, usual, isWhole: true };
}

/** Of everything that is not said. */
export const DEFAULTS: Inputs = inputsOf({});

/** Prints help and ends the process where that is asked for. @throws RoomlineError `field_invalid`, with all faults */
export function parseOptions(argv: readonly string[]): Order {
  const command = new Command('npm run plan --')
    .description('Says how large a deployment a load needs and what latency to expect, from measured costs.')
    .option('--door <door>', 'how messages come: pubsub, http', 'pubsub')
    .option('--json', 'the plan as JSON', false)
    .option('--validate', 'print how far the model is from measured workloads instead', false)
    .option('--calibrate <file>', 'take the unit costs from figures of `npm run bench -- --workload costs` instead')
    .option('--costs <file>', 'unit costs instead of those of this version');
  for (const { flag, about, usual } of Object.values(RULES)) {
    command.option(`--${flag} <n>`, usual === null ? about : `${about} (${usual})`);
  }
  const given = command.parse([...argv]).opts<Record<string, string | boolean | undefined>>();
  const { json, validate, calibrate, costs } = given;
  return {
    inputs: inputsOf(given),
    asJson: json === true,
    validates: validate === true,
    calibrateFrom: typeof calibrate === 'string' ? calibrate : null,
    costs: typeof costs === 'string' ? costs : null,
  };
}

/** @param given texts by the names of the flags, as commander writes them @throws RoomlineError `field_invalid` */
export function inputsOf(given: Readonly<Record<string, unknown>>): Inputs {
  const faults: Fault[] = [];
  const numbers = Object.fromEntries(
    Object.entries(RULES).map(([name, rule]) => {
      const text = given[rule.flag.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())];
      if (text === undefined) return [name, rule.usual];
      const value = typeof text === 'string' && text.trim() !== '' ? Number(text) : Number.NaN;
      const isFit = value >= rule.least && value <= rule.most && (rule.isWhole !== true || Number.isInteger(value));
      if (!isFit) faults.push(fault(rule.flag, rangeOf(rule)));
      return [name, value];
    }),
  ) as unknown as Numbers;
  const { door = 'pubsub' } = given;
  if (door !== 'pubsub' && door !== 'http') faults.push(fault('door', 'pubsub or http'));
  if (numbers.ackP99Ms < numbers.ackP50Ms) faults.push(fault('ack-p99', 'at least --ack-p50'));
  if (numbers.sendP99Ms < numbers.sendP50Ms) faults.push(fault('send-p99', 'at least --send-p50'));
  if (faults.length > 0) throw new RoomlineError('field_invalid', { faults });
  return { ...numbers, door: door as Inputs['door'] };
}

function rangeOf({ least, most, isWhole }: Rule): string {
  return `a ${isWhole === true ? 'whole ' : ''}number from ${least} to ${most.toLocaleString('en-US')}`;
}

function fault(flag: string, rule: string): Fault {
  return { path: `--${flag}`, code: 'field_invalid', rule, action: 'Change it so that it satisfies the rule.' };
}
