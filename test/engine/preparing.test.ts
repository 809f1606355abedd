import { describe, expect, it } from 'vitest';
import { Bodies } from '../../src/engine/bodies.ts';
import type { Channels } from '../../src/engine/channels.ts';
import type { PlatformChannel, PrepareResult, Preparer } from '../../src/engine/ports.ts';
import { PREPARE_RETRY_MS, Preparations } from '../../src/engine/preparing.ts';
import { newRoomRow, type Room } from '../../src/room/room.ts';
import {
  Bed,
  CHANNEL,
  channelOf,
  messageOf,
  nackOf,
  type Process,
  START,
  SteppedTime,
  settled,
  statusOf,
} from '../support/engine.ts';

const HOUR_MS = 3_600_000;

/** One upload under way, or over. */
class Upload {
  readonly name: string;
  readonly signal: AbortSignal;
  readonly #resolve: (result: PrepareResult) => void;

  constructor(name: string, signal: AbortSignal, resolve: (result: PrepareResult) => void) {
    this.name = name;
    this.signal = signal;
    this.#resolve = resolve;
    signal.addEventListener('abort', () => resolve({ kind: 'failed', code: 'aborted', retryable: false }));
  }

  async finish(usableForMs = HOUR_MS): Promise<void> {
    this.#resolve({ kind: 'prepared', prepared: preparedOf(this.name), usableForMs });
    await settled();
  }

  async fail(retryable = false): Promise<void> {
    this.#resolve({ kind: 'failed', code: 'media_http_404', retryable });
    await settled();
  }
}

const preparedOf = (name: string) => new Map([[`link of ${name}`, `id of ${name}`]]);

/** Messages whose ids begin with `pic` link to something. Uploads are answered by hand. */
class ScriptedUploads implements Preparer {
  readonly uploads: Upload[] = [];
  readonly planned: string[] = [];
  maxConcurrent = 4;

  plan(body: Uint8Array) {
    this.planned.push(Buffer.from(body).toString());
    const { to, content } = JSON.parse(new TextDecoder().decode(body)) as { to: string; content: { id: string } };
    if (!content.id.startsWith('pic')) return null;
    return (signal: AbortSignal) =>
      new Promise<PrepareResult>((resolve) => {
        this.uploads.push(new Upload(`${to}/${content.id}`, signal, resolve));
      });
  }

  get log(): string[] {
    return this.uploads.map(({ name }) => name);
  }

  get last(): Upload {
    const last = this.uploads.at(-1);
    if (last === undefined) throw new Error('nothing was uploaded');
    return last;
  }
}

async function start(options: ConstructorParameters<typeof Bed>[0] = {}) {
  const bed = new Bed(options);
  const uploads = new ScriptedUploads();
  bed.platform.preparer = uploads;
  const process = await bed.boot();
  return { bed, uploads, process };
}

async function resultsOf(process: Process): Promise<Record<string, number>> {
  const { values } = await process.instruments.metrics.preparations.get();
  return Object.fromEntries(values.map(({ labels, value }) => [labels.result, value]));
}

describe('media behind the head', () => {
  it('is uploaded while the head waits for its ack, and sent as what was uploaded right after that', async () => {
    const { bed, uploads, process } = await start();
    await process.publish('r', ['a', 'pic-b']);
    await bed.platform.last.accept();
    expect([bed.platform.log, uploads.log]).toEqual([['r/a'], ['r/pic-b']]);
    await uploads.last.finish();
    expect(bed.platform.log).toEqual(['r/a']);
    await process.ack(bed, 'r', 1);
    expect(bed.platform.log).toEqual(['r/a', 'r/pic-b']);
    expect(bed.platform.last.request).toMatchObject({ attempt: 1, prepared: preparedOf('r/pic-b') });
    expect(await resultsOf(process)).toEqual({ prepared: 1, used: 1 });
  });

  it('is planned from what the platform will get, and used, where a request id is kept with the message', async () => {
    const { bed, uploads, process } = await start();
    const { body } = messageOf('r', 'pic-b');
    await process.publish('r', ['a']);
    await process.publish('r', ['pic-b'], {
      body: Buffer.concat([Buffer.from('{"requestId":"trace-1",'), body.subarray(1)]),
    });
    await bed.platform.last.accept();
    expect(uploads.planned).toEqual([Buffer.from(body).toString()]);
    await uploads.last.finish();
    await process.ack(bed, 'r', 1);
    expect(bed.platform.last.request).toMatchObject({ requestId: 'trace-1', prepared: preparedOf('r/pic-b') });
  });

  it('goes as its link where the upload is not done when its turn comes; the upload ends', async () => {
    const { bed, uploads, process } = await start();
    await process.publish('r', ['a', 'pic-b', 'c']);
    await bed.platform.last.accept();
    await process.ack(bed, 'r', 1);
    expect(bed.platform.log).toEqual(['r/a', 'r/pic-b']);
    expect(bed.platform.last.request).not.toHaveProperty('prepared');
    expect(uploads.last.signal.aborted).toBe(true);
    await bed.platform.last.accept();
    await process.ack(bed, 'r', 2);
    expect(bed.platform.log).toEqual(['r/a', 'r/pic-b', 'r/c']);
    expect(uploads.log).toEqual(['r/pic-b']);
    expect(await resultsOf(process)).toEqual({ late: 1 });
  });

  it('is uploaded for the next two messages, for the third when it has moved up, and never twice', async () => {
    const { bed, uploads, process } = await start();
    await process.publish('r', ['a', 'pic-b', 'pic-c', 'pic-d']);
    expect(uploads.log).toEqual(['r/pic-b', 'r/pic-c']);
    for (const upload of uploads.uploads) await upload.finish();
    await bed.platform.last.accept();
    await process.ack(bed, 'r', 1);
    expect(uploads.log).toEqual(['r/pic-b', 'r/pic-c', 'r/pic-d']);
    await bed.time.advance(20_000);
    expect(uploads.log).toEqual(['r/pic-b', 'r/pic-c', 'r/pic-d']);
  });

  it('is uploaded when the message comes while the head is under way', async () => {
    const { bed, uploads, process } = await start();
    await process.publish('r', ['a']);
    await bed.platform.last.accept();
    await process.publish('r', ['pic-b']);
    expect(uploads.log).toEqual(['r/pic-b']);
  });

  it('is uploaded while its body is not in memory, too', async () => {
    const { uploads, process } = await start({ settings: { bodyCacheBytes: 0 } });
    await process.publish('r', ['a', 'pic-b']);
    expect(uploads.log).toEqual(['r/pic-b']);
  });

  it('is looked at again where its body could not be read', async () => {
    const { bed, uploads, process } = await start({ settings: { bodyCacheBytes: 0 } });
    await process.publish('r', ['a']);
    process.failNext('rooms', 'readBodies');
    await process.publish('r', ['pic-b']);
    expect(uploads.log).toEqual([]);
    await bed.platform.last.accept();
    expect(uploads.log).toEqual(['r/pic-b']);
  });

  it('changes nothing about the order, whichever upload ends first', async () => {
    const { bed, uploads, process } = await start();
    await process.publish('r', ['a', 'pic-b', 'pic-c']);
    await uploads.uploads[1]?.finish();
    await uploads.uploads[0]?.finish();
    for (let sequence = 1; sequence <= 3; sequence++) {
      await bed.platform.last.accept();
      await process.ack(bed, 'r', sequence);
    }
    expect(bed.platform.sends.map(({ messageId, request }) => [messageId, request.prepared])).toEqual([
      ['a', undefined],
      ['pic-b', preparedOf('r/pic-b')],
      ['pic-c', preparedOf('r/pic-c')],
    ]);
    expect(await bed.outcomes('r')).toEqual(['acked', 'acked', 'acked']);
  });
});

describe('media of the head', () => {
  it('that goes at once is not uploaded', async () => {
    const { bed, uploads, process } = await start();
    await process.publish('r', ['pic-a']);
    expect(bed.platform.log).toEqual(['r/pic-a']);
    expect(uploads.log).toEqual([]);
  });

  it('that has its time is', async () => {
    const { bed, uploads, process } = await start();
    await process.publish('r', ['pic-a'], { notBefore: START + 60_000 });
    await uploads.last.finish();
    await bed.time.advance(60_000);
    expect(bed.platform.last.request).toMatchObject({ prepared: preparedOf('r/pic-a') });
  });

  it('that waits for a permit is', async () => {
    const { bed, uploads, process } = await start({ channels: [channelOf({ maxConcurrentSends: 1 })] });
    await process.publish('r', ['a']);
    await process.publish('s', ['pic-a']);
    expect([bed.platform.log, uploads.log]).toEqual([['r/a'], ['s/pic-a']]);
    await uploads.last.finish();
    await bed.platform.last.accept();
    expect(bed.platform.last.request).toMatchObject({ prepared: preparedOf('s/pic-a') });
  });

  it('that backs off is, and its next attempt has it', async () => {
    const { bed, uploads, process } = await start();
    await process.publish('r', ['pic-a']);
    await bed.platform.last.refuse();
    await uploads.last.finish();
    await bed.time.advance(500);
    expect(bed.platform.last.request).toMatchObject({ attempt: 2, prepared: preparedOf('r/pic-a') });
    await bed.platform.last.refuse();
    await bed.time.advance(1_000);
    expect(bed.platform.last.request).toMatchObject({ attempt: 3, prepared: preparedOf('r/pic-a') });
    expect(uploads.log).toEqual(['r/pic-a']);
  });
});

describe('an upload that fails', () => {
  it('costs nothing: the message goes as its link, in its turn', async () => {
    const { bed, uploads, process } = await start();
    const { body } = messageOf('r', 'pic-b');
    await process.publish('r', ['a']);
    await process.publish('r', ['pic-b'], {
      body: Buffer.concat([Buffer.from('{"requestId":"trace-1",'), body.subarray(1)]),
    });
    await uploads.last.fail();
    await bed.time.advance(HOUR_MS / 1_000);
    await bed.platform.last.accept();
    await process.ack(bed, 'r', 1);
    expect(bed.platform.last).toMatchObject({ messageId: 'pic-b' });
    expect(bed.platform.last.request).not.toHaveProperty('prepared');
    expect(uploads.uploads).toHaveLength(1);
    expect(await resultsOf(process)).toEqual({ failed: 1 });
    expect(process.logged).toContainEqual({
      event: 'preparation.failed',
      fields: expect.objectContaining({
        channel: 'support',
        sequence: 2,
        reason: 'media_http_404',
        requestId: 'trace-1',
      }),
    });
  });

  it('is made once more where it may pass, after a pause', async () => {
    const { bed, uploads, process } = await start();
    await process.publish('r', ['a', 'pic-b']);
    await uploads.last.fail(true);
    await bed.time.advance(PREPARE_RETRY_MS - 1);
    expect(uploads.uploads).toHaveLength(1);
    await bed.time.advance(1);
    expect(uploads.uploads).toHaveLength(2);
    await uploads.last.fail(true);
    await bed.time.advance(10 * PREPARE_RETRY_MS);
    expect(uploads.uploads).toHaveLength(2);
    expect(await resultsOf(process)).toEqual({ failed: 1 });
  });
});

describe('what was uploaded', () => {
  async function prepared(usableForMs?: number, options?: ConstructorParameters<typeof Bed>[0]) {
    const all = await start(options);
    await all.process.publish('r', ['a', 'pic-b']);
    await all.uploads.last.finish(usableForMs);
    return all;
  }

  const next = async (bed: Bed, process: Process) => {
    await bed.platform.last.accept();
    await process.ack(bed, 'r', 1);
  };

  it('that the platform refuses is dropped: the link goes in the same attempt, and nothing goes twice', async () => {
    const { bed, process } = await prepared();
    await next(bed, process);
    await bed.platform.last.answer({ kind: 'refused', nack: nackOf({ code: '100' }), preparedRefused: true });
    const [, first, second] = bed.platform.sends;
    expect(bed.platform.log).toEqual(['r/a', 'r/pic-b', 'r/pic-b']);
    expect(first?.request).toMatchObject({ attempt: 1, prepared: preparedOf('r/pic-b') });
    expect(second?.request).toMatchObject({ attempt: 1, reference: first?.request.reference });
    expect(second?.request).not.toHaveProperty('prepared');
    await second?.accept('p-2');
    await process.ack(bed, 'r', 2);
    expect(await bed.entry('r', 2)).toMatchObject({ outcome: 'acked', platformId: 'p-2' });
    expect((await bed.entry('r', 2)).attempts).toMatchObject([{ number: 1, result: 'accepted' }]);
    expect(await resultsOf(process)).toEqual({ prepared: 1, used: 1, refused: 1 });
  });

  it('is tried once: what refuses the link as well is an answer like any other', async () => {
    const { bed, process } = await prepared();
    await next(bed, process);
    await bed.platform.last.answer({ kind: 'refused', nack: nackOf({ code: '100' }), preparedRefused: true });
    await bed.platform.last.refuse({ permanent: true, code: '100' });
    expect(await bed.entry('r', 2)).toMatchObject({ outcome: 'failed', code: '100' });
    expect(bed.platform.sends).toHaveLength(3);
  });

  it('that is refused late leaves the link to the next attempt', async () => {
    const { bed, process } = await prepared();
    await next(bed, process);
    const send = bed.platform.last;
    await bed.time.advance(4_800);
    await send.answer({ kind: 'refused', nack: nackOf({ code: '100' }), preparedRefused: true });
    expect(bed.platform.sends).toHaveLength(2);
    await bed.time.advance(500);
    expect(bed.platform.last.request).toMatchObject({ attempt: 2 });
    expect(bed.platform.last.request).not.toHaveProperty('prepared');
  });

  it('that is refused when an ack has settled the message meanwhile is not followed by a copy', async () => {
    const { bed, process } = await prepared();
    await next(bed, process);
    const send = bed.platform.last;
    await process.ack(bed, 'r', 2);
    await send.answer({ kind: 'refused', nack: nackOf({ code: '100' }), preparedRefused: true });
    expect(bed.platform.sends).toHaveLength(2);
    expect(await bed.outcomes('r')).toEqual(['acked', 'acked']);
  });

  it('of a message that was accepted and then reported as failed is not sent again', async () => {
    const { bed, process } = await prepared();
    await next(bed, process);
    await bed.platform.last.accept('p-2');
    const reference = bed.platform.last.request.reference;
    const nack = nackOf({ code: '131053' });
    await process.engine.acks.receive(CHANNEL, [statusOf({ reference, platformId: 'p-2', level: null, nack })]);
    await bed.time.advance(500);
    expect(bed.platform.last.request).toMatchObject({ attempt: 2 });
    expect(bed.platform.last.request).not.toHaveProperty('prepared');
  });

  it('is not used any more when the platform may have forgotten it', async () => {
    const { bed, process } = await prepared(1_000);
    await bed.platform.last.accept();
    await bed.time.advance(1_000);
    await process.ack(bed, 'r', 1);
    expect(bed.platform.last).toMatchObject({ messageId: 'pic-b' });
    expect(bed.platform.last.request).not.toHaveProperty('prepared');
  });

  it('is gone with its process: the next one uploads again', async () => {
    const { bed, uploads, process } = await prepared(HOUR_MS, {
      channels: [channelOf({ policy: { ackTimeoutMs: HOUR_MS } })],
    });
    await bed.platform.last.accept();
    process.loseStores();
    const successor = bed.process();
    const started = successor.engine.service.start();
    await bed.time.until(() => uploads.log.length === 2);
    await started;
    await uploads.last.finish();
    await successor.ack(bed, 'r', 1);
    expect(bed.platform.log).toEqual(['r/a', 'r/pic-b']);
    expect(bed.platform.last.request).toMatchObject({ prepared: preparedOf('r/pic-b') });
  });
});

describe('an upload that is not needed any more ends', () => {
  it.each(['operator', 'newer message'] as const)('when the message is cancelled by %s', async (by) => {
    const { bed, uploads, process } = await start();
    await process.publish('r', ['a', 'pic-b']);
    if (by === 'newer message') await process.publish('r', ['c'], { supersedes: 'pic-b' });
    else await process.engine.rooms.post(await bed.row('r'), { type: 'cancel', sequence: 2 });
    await settled();
    expect(uploads.last.signal.aborted).toBe(true);
    expect(await resultsOf(process)).toEqual({ dropped: 1 });
  });

  it('when the message expires', async () => {
    const { bed, uploads, process } = await start();
    await process.publish('r', ['pic-a'], { notBefore: START + 60_000, expiresAt: START + 30_000 });
    expect(uploads.log).toEqual(['r/pic-a']);
    await bed.time.advance(30_000);
    expect(uploads.last.signal.aborted).toBe(true);
    expect(await bed.outcomes('r')).toEqual(['expired']);
  });

  it('when the lease is lost', async () => {
    const { bed, uploads, process } = await start({
      channels: [channelOf({ policy: { ackTimeoutMs: HOUR_MS } })],
    });
    await process.publish('r', ['a', 'pic-b']);
    await bed.platform.last.accept();
    process.faults = ({ method }) => (method === 'renew' ? 'fail_before' : 'run');
    await bed.time.advance(12_500);
    process.regainStores();
    await bed.time.until(() => process.logged.some(({ event }) => event === 'ownership.lost'));
    expect(uploads.uploads[0]?.signal.aborted).toBe(true);
    await bed.time.until(() => uploads.log.length > 1);
    expect(uploads.log).toEqual(['r/pic-b', 'r/pic-b']);
  });

  it('when the process stops', async () => {
    const { bed, uploads, process } = await start();
    await process.publish('r', ['a', 'pic-b']);
    await uploads.last.fail(true);
    await bed.platform.last.accept();
    await process.engine.service.stop();
    expect(uploads.uploads).toHaveLength(1);
    await bed.time.advance(10 * PREPARE_RETRY_MS);
    expect(uploads.uploads).toHaveLength(1);
  });
});

describe('nothing is uploaded', () => {
  it('while the room waits for an operator', async () => {
    const { bed, uploads, process } = await start();
    await process.publish('r', ['a'], { failurePolicy: 'hold' });
    await bed.platform.last.refuse({ permanent: true });
    await process.publish('r', ['pic-b']);
    expect(uploads.log).toEqual([]);
    await process.engine.rooms.post(await bed.row('r'), { type: 'retry', sequence: 1 });
    await settled();
    expect(uploads.log).toEqual(['r/pic-b']);
  });

  it('while the channel is stopped', async () => {
    const { bed, uploads, process } = await start();
    await process.publish('r', ['a']);
    await bed.platform.last.refuse({ permanent: true, scope: 'channel', code: '190' });
    await process.publish('s', ['a', 'pic-b']);
    expect(uploads.log).toEqual([]);
    bed.platform.answers = () => ({ kind: 'accepted', platformId: null, platformAt: null, duplicate: false });
    await bed.time.until(() => uploads.log.length > 0, 120_000);
    expect(uploads.log).toEqual(['s/pic-b']);
  });

  it('beyond what the channel allows at once; the others follow', async () => {
    const bed = new Bed();
    const uploads = new ScriptedUploads();
    uploads.maxConcurrent = 2;
    bed.platform.preparer = uploads;
    const process = await bed.boot();
    for (const room of ['r', 's', 't', 'u']) await process.publish(room, ['a', 'pic-b']);
    expect(uploads.log).toEqual(['r/pic-b', 's/pic-b']);
    await uploads.uploads[0]?.finish();
    expect(uploads.log).toEqual(['r/pic-b', 's/pic-b', 't/pic-b']);
    await uploads.uploads[1]?.fail();
    expect(uploads.log).toEqual(['r/pic-b', 's/pic-b', 't/pic-b', 'u/pic-b']);
  });
});

describe('the cache', () => {
  const key = { ...CHANNEL, room: 'r' };

  function alone(bounds: { maxReady: number; maxOpen: number }) {
    const time = new SteppedTime();
    const bed = new Bed();
    const uploads = new ScriptedUploads();
    const { instruments, clock } = bed.process();
    const noStore = { readBodies: async () => [] } as unknown as ConstructorParameters<typeof Bodies>[0];
    const bodies = new Bodies(noStore, 1_000_000);
    const preparations = new Preparations(
      {
        clock,
        platform: () => ({ prepare: uploads }) as unknown as PlatformChannel,
        channels: { get: () => null } as unknown as Channels,
        bodies,
        instruments,
        onStoreFailure: () => undefined,
      },
      bounds,
    );
    const room = (id: number, ids: readonly string[]): Room => {
      const policy = channelOf().policy;
      ids.forEach((messageId, index) => {
        bodies.keep({ shard: 0, id }, index + 1, messageOf('r', messageId).body);
      });
      return {
        ...newRoomRow({ shard: 0, id }, key, time.now),
        tail: ids.length,
        envelopes: ids.map((messageId, index) => ({
          sequence: index + 1,
          messageId,
          acceptedAt: START,
          notBefore: null,
          expiresAt: null,
          cancelledBy: null,
          policy,
        })),
      };
    };
    return { uploads, preparations, room };
  }

  it('keeps as much as it may, and drops what was used least lately', async () => {
    const { uploads, preparations, room } = alone({ maxReady: 2, maxOpen: 10 });
    const rooms = [1, 2, 3].map((id) => room(id, [`pic-${id}`]));
    const body = (id: number) => messageOf('r', `pic-${id}`).body;
    for (const each of rooms.slice(0, 2)) preparations.consider(each, true);
    await settled();
    for (const upload of uploads.uploads) await upload.finish();
    expect(preparations.take(rooms[0] as Room, 1, body(1))).toEqual(preparedOf('r/pic-1'));
    preparations.consider(rooms[2] as Room, true);
    await settled();
    await uploads.last.finish();
    expect(preparations.size).toBe(2);
    expect(preparations.take(rooms[1] as Room, 1, body(2))).toBeNull();
    expect(preparations.take(rooms[0] as Room, 1, body(1))).toEqual(preparedOf('r/pic-1'));
    expect(preparations.take(rooms[2] as Room, 1, body(3))).toEqual(preparedOf('r/pic-3'));
    // What had to make room is not uploaded over and over.
    for (const each of rooms) preparations.consider(each, true);
    await settled();
    expect(uploads.uploads).toHaveLength(3);
  });

  it('begins no more than it may, and the rest when there is room', async () => {
    const { uploads, preparations, room } = alone({ maxReady: 10, maxOpen: 2 });
    const one = room(1, ['pic-a', 'pic-b', 'pic-c']);
    preparations.consider(one, true);
    await settled();
    expect([uploads.uploads.length, preparations.size]).toEqual([2, 2]);
    await uploads.uploads[0]?.fail();
    preparations.consider(one, true);
    await settled();
    expect(uploads.log).toEqual(['r/pic-a', 'r/pic-b', 'r/pic-c']);
  });

  it('gives nothing for another body under the same number, and never again', async () => {
    const { uploads, preparations, room } = alone({ maxReady: 10, maxOpen: 10 });
    const one = room(1, ['pic-a']);
    preparations.consider(one, true);
    await settled();
    await uploads.last.finish();
    expect(preparations.take(one, 1, messageOf('r', 'pic-other').body)).toBeNull();
    expect(preparations.take(one, 1, messageOf('r', 'pic-a').body)).toBeNull();
  });

  it('holds nothing of rooms that have left memory, nor of messages that have settled', async () => {
    const { uploads, preparations, room } = alone({ maxReady: 10, maxOpen: 10 });
    const one = room(1, ['pic-a', 'pic-b']);
    preparations.consider(one, true);
    preparations.consider(room(2, ['pic-c']), true);
    await settled();
    for (const upload of uploads.uploads) await upload.finish();
    expect(preparations.size).toBe(3);
    preparations.consider({ ...one, settled: 1, envelopes: one.envelopes.slice(1) }, true);
    expect(preparations.size).toBe(2);
    preparations.forget(2);
    expect(preparations.size).toBe(1);
    await preparations.close();
    expect(preparations.size).toBe(0);
  });
});
