/** What a load generator is told to do, in a process of its own so that the database's client and it do not mix. */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Accepted } from './check.ts';
import type { Sample } from './samples.ts';

interface Target {
  /** One or several processes, taken in turns by the connections. */
  readonly urls: readonly string[];
  readonly key: string;
  /** With which the names of its rooms begin. */
  readonly roomPrefix: string;
  /** Makes message ids others than those of an earlier load of the same rooms. */
  readonly round: number;
}

/** Connections that send their next request as soon as the last is answered. */
export interface ConnectionsJob extends Target {
  readonly kind: 'connections';
  /** Groups of connections, each from its own moment on. */
  readonly groups: readonly { readonly connections: number; readonly fromMs: number; readonly forMs: number }[];
  /** Another address that takes the same requests and stores nothing. */
  readonly isEmptyRoute: boolean;
}

/** People: each thinks, writes, waits for the answer, thinks. */
export interface HumansJob extends Target {
  readonly kind: 'humans';
  readonly users: number;
  readonly messages: readonly [least: number, most: number];
  /** Before each message; or one message every so often, counted from when the user came. */
  readonly thinkMs: readonly [least: number, most: number] | { readonly paceMs: number };
  /** They come one after the other over this time. */
  readonly arriveMs: number;
  /** Whoever has finished begins again, until this time has passed; 0: everybody once. */
  readonly forMs: number;
}

/** Batches, so many requests at a time. */
export interface BulkJob extends Target {
  readonly kind: 'bulk';
  readonly messages: number;
  readonly batch: number;
  readonly rooms: number;
  readonly inFlight: number;
}

export type Job = ConnectionsJob | HumansJob | BulkJob;

export interface Outcome {
  readonly samples: readonly Sample[];
  /** In the order of the answers of each room. */
  readonly accepted: readonly Accepted[];
  /** From the first request to the last answer. */
  readonly tookMs: number;
  /** CPU time of the generator meanwhile. */
  readonly cpuMs: number;
  /** What was answered instead of 2xx, by status and code. */
  readonly refusals: Readonly<Record<string, number>>;
}

/** Numbers and names packed: an outcome may tell of hundreds of thousands of messages. */
export interface PackedOutcome extends Omit<Outcome, 'samples' | 'accepted'> {
  readonly samples: Float64Array;
  /** One line each: room, message id, sequence. */
  readonly accepted: string;
}

export function pack({ samples, accepted, ...rest }: Outcome): PackedOutcome {
  return {
    ...rest,
    samples: Float64Array.from(samples.flatMap(({ atMs, tookMs, status }) => [atMs, tookMs, status])),
    accepted: accepted.map(({ room, messageId, sequence }) => `${room}\t${messageId}\t${sequence}`).join('\n'),
  };
}

export function unpack({ samples, accepted, ...rest }: PackedOutcome): Outcome {
  const unpacked: Sample[] = [];
  for (let at = 0; at < samples.length; at += 3) {
    const [atMs = 0, tookMs = 0, status = 0] = samples.subarray(at, at + 3);
    unpacked.push({ atMs, tookMs, status });
  }
  const lines = accepted === '' ? [] : accepted.split('\n');
  return {
    ...rest,
    samples: unpacked,
    accepted: lines.map((line) => {
      const [room = '', messageId = '', sequence = ''] = line.split('\t');
      return { room, messageId, sequence: sequence === 'null' ? null : Number(sequence) };
    }),
  };
}

const GENERATOR = fileURLToPath(new URL('generator.ts', import.meta.url));

/**
 * Runs it in a process of its own.
 * @throws Error where the generator fails, or the signal's reason
 */
export async function run(job: Job, signal: AbortSignal, onBegun: () => void = () => undefined): Promise<Outcome> {
  signal.throwIfAborted();
  const child: ChildProcess = fork(GENERATOR, {
    serialization: 'advanced',
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const done = Promise.withResolvers<Outcome>();
  const abort = (): void => done.reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  child.on('message', (message: 'begun' | PackedOutcome) => {
    if (message === 'begun') onBegun();
    else done.resolve(unpack(message));
  });
  child.once('error', done.reject);
  child.once('exit', (code) => done.reject(new Error(`the load generator ended with ${code}`)));
  child.send(job);
  try {
    return await done.promise;
  } finally {
    signal.removeEventListener('abort', abort);
    child.kill('SIGKILL');
  }
}
