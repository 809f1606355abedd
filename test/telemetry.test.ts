import { describe, expect, it } from 'vitest';
import { RoomlineError } from '../src/errors.ts';
import {
  createLog,
  createMetrics,
  errorFields,
  type LogLevel,
  recipientHasher,
  recordChannelState,
  Telemetry,
} from '../src/telemetry.ts';

const HASH_KEY = 'a key of this test';
const hash = recipientHasher(HASH_KEY);

function capture(level: LogLevel = 'debug') {
  const lines: string[] = [];
  const log = createLog({ level, node: 'node-1', destination: { write: (line) => void lines.push(line) } });
  return { log, lines, records: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

const attempt = {
  tenant: 'default',
  channel: 'support',
  room: hash('+15550100'),
  sequence: 7,
  attempt: 1,
  generation: 3,
  result: 'accepted',
  durationMs: 12,
} as const;

describe('the log', () => {
  it('writes one JSON line for each event, with its level, time and fields', () => {
    const { log, lines, records } = capture();
    log.event('attempt.finished', attempt);
    expect(lines).toHaveLength(1);
    expect(lines[0]?.endsWith('\n')).toBe(true);
    expect(records()[0]).toEqual({
      level: 'debug',
      time: expect.stringMatching(/^\d{4}-\d{2}-\d{2}T/),
      node: 'node-1',
      event: 'attempt.finished',
      ...attempt,
    });
  });

  it('keeps to the level', () => {
    const { log, records } = capture('warn');
    log.event('attempt.finished', attempt);
    log.event('process.stopping', { signal: 'SIGTERM' });
    log.event('channel.state', { channel: 'support', state: 'stopped', reason: 'token' });
    expect(records().map((record) => record.event)).toEqual(['channel.state']);
  });

  it('drops what its event does not list, whatever the caller smuggles in', () => {
    const { log, lines } = capture();
    const smuggled = { ...attempt, body: 'canary-4711', recipient: '+15550100', toJSON: () => 'canary-4711' };
    log.event('attempt.finished', smuggled);
    expect(lines.join()).not.toMatch(/canary|5550100/);
    expect(lines.join()).toContain('"sequence":7');
  });

  it('lets no text break out of its line or act on a terminal', () => {
    const { log, lines, records } = capture();
    const reason = 'a\nb\u001b[31m\u009b31m\u2028{"event":"process.failed"}\u007f';
    log.event('channel.state', { channel: 'support', state: 'open', reason });
    expect(lines).toHaveLength(1);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not be there.
    expect(lines[0]?.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/);
    expect(records()[0]).toMatchObject({ event: 'channel.state', state: 'open' });
  });

  it('bounds the length of a text', () => {
    const { log, lines } = capture();
    log.event('channel.state', { channel: 'x'.repeat(100_000), state: 'open' });
    expect(lines[0]?.length).toBeLessThan(3_000);
  });
});

describe('a recipient in a log', () => {
  it('has the same hash each time, another for another recipient or key, and does not show itself', () => {
    expect(hash('+15550100')).toMatch(/^[0-9a-f]{16}$/);
    expect(recipientHasher(HASH_KEY)('+15550100')).toBe(hash('+15550100'));
    expect(hash('+15550101')).not.toBe(hash('+15550100'));
    expect(recipientHasher('another key')('+15550100')).not.toBe(hash('+15550100'));
  });
});

describe('an error in a log', () => {
  it('shows where it happened and its codes, but never its message', () => {
    const driver = Object.assign(new Error('duplicate key (id)=(canary-4711)\n    second line canary-4711'), {
      code: '23505',
      constraint: 'messages_pkey',
      detail: 'Key (body)=(canary-4711)',
    });
    const fields = errorFields(driver);
    expect(fields).toMatchObject({ errorName: 'Error', code: '23505', constraint: 'messages_pkey' });
    expect(fields.frames).toContain('telemetry.test.ts');
    const { log, lines } = capture();
    log.event('process.failed', { reason: 'uncaught', ...fields });
    expect(lines.join()).not.toContain('canary');
  });

  it('carries code, field and rule of our own errors', () => {
    const error = new RoomlineError('id_too_long', { detail: 'canary-4711', field: 'room', rule: 'at most 256' });
    expect(errorFields(error)).toMatchObject({ code: 'id_too_long', field: 'room', rule: 'at most 256' });
    expect(JSON.stringify(errorFields(error))).not.toContain('canary');
  });

  it('survives anything that can be thrown', () => {
    expect(errorFields('canary')).toEqual({ errorName: 'string' });
    expect(errorFields(undefined)).toEqual({ errorName: 'undefined' });
  });
});

describe('the metrics', () => {
  it('are rendered as Prometheus text under one prefix', async () => {
    const metrics = createMetrics({ version: '1.2.3' });
    metrics.attempts.inc({ result: 'accepted', channel: 'support' });
    metrics.attempts.inc({ result: 'accepted', channel: 'support' });
    metrics.batchRows.observe({ statement: 'append' }, 30);
    recordChannelState(metrics, 'support', 'slowed');
    recordChannelState(metrics, 'support', 'open');
    const text = await metrics.render();
    expect(text).toContain('roomline_attempts_total{result="accepted",channel="support"} 2');
    expect(text).toContain('roomline_batch_rows_bucket{le="50",statement="append"} 1');
    expect(text).toContain('roomline_batch_rows_bucket{le="20",statement="append"} 0');
    expect(text).toContain('roomline_channel_state{channel="support",state="open"} 1');
    expect(text).toContain('roomline_channel_state{channel="support",state="slowed"} 0');
    expect(text).toMatch(/roomline_build_info\{version="1\.2\.3",node_version="\d+\.\d+\.\d+"\} 1/);
    const names = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name);
    expect(names.filter((name) => !name?.startsWith('roomline_'))).toEqual([]);
  });

  it('of two engines in one process do not mix', async () => {
    const [one, two] = [createMetrics({ version: '1' }), createMetrics({ version: '1' })];
    one.claims.inc();
    expect(await one.render()).toContain('roomline_claims_total 1');
    expect(await two.render()).toContain('roomline_claims_total 0');
  });
});

describe('in-process events', () => {
  const dependency = (name: string) => ({ dependency: name });

  it('reach every listener until it is taken off', () => {
    const telemetry = new Telemetry();
    const seen: string[] = [];
    const endFirst = telemetry.on('dependency.lost', (event) => seen.push(`1 ${event.dependency}`));
    const endSecond = telemetry.on('dependency.lost', (event) => seen.push(`2 ${event.dependency}`));
    telemetry.emit('dependency.lost', dependency('a'));
    endFirst();
    telemetry.emit('dependency.lost', dependency('b'));
    telemetry.emit('dependency.back', dependency('c'));
    expect(seen).toEqual(['1 a', '2 a', '2 b']);
    expect(telemetry.wants('dependency.lost')).toBe(true);
    endSecond();
    endSecond();
    expect(telemetry.wants('dependency.lost')).toBe(false);
  });

  it('can be awaited by condition', async () => {
    const telemetry = new Telemetry();
    const second = telemetry.once('dependency.lost', (event) => event.dependency === 'b');
    telemetry.emit('dependency.lost', dependency('a'));
    telemetry.emit('dependency.lost', dependency('b'));
    telemetry.emit('dependency.lost', dependency('b'));
    expect(await second).toEqual(dependency('b'));
    expect(telemetry.wants('dependency.lost')).toBe(false);
  });

  it('stop being awaited when the signal says so', async () => {
    const telemetry = new Telemetry();
    const giveUp = new AbortController();
    const waiting = telemetry.once('dependency.lost', () => true, giveUp.signal);
    giveUp.abort(new Error('too late'));
    await expect(waiting).rejects.toThrow('too late');
    expect(telemetry.wants('dependency.lost')).toBe(false);
    await expect(telemetry.once('dependency.lost', () => true, giveUp.signal)).rejects.toThrow('too late');
  });
});
