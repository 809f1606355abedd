/** X that follows the channel's own acks: where they arrive, how late, and what must not mislead it. */
import { describe, expect, it } from 'vitest';
import { explain } from '../../src/room/explain.ts';
import type { Room } from '../../src/room/room.ts';
import { Bed, type BedOptions, CHANNEL, channelOf, type Process, settled, statusOf } from '../support/engine.ts';
import { SignalBus } from '../support/signals.ts';

const X = 10_000;
const ADAPTIVE = { floorMs: 100, quantile: 0.9, factor: 1, halfLifeMs: 3_600_000, minAcks: 10 };
const SETTINGS = { adaptiveAckTimeout: ADAPTIVE, policy: { ackTimeoutMs: X } };
const WEBHOOKS = { roles: ['intake', 'api', 'webhook'] };

/** One engine, or two of which the second takes the webhooks; every room has one message. */
class Scene {
  readonly bed: Bed;
  readonly worker: Process;
  readonly webhooks: Process;
  #rooms = 0;

  private constructor(bed: Bed, worker: Process, webhooks: Process) {
    this.bed = bed;
    this.worker = worker;
    this.webhooks = webhooks;
  }

  static async begin(options: BedOptions & { readonly apart?: boolean } = {}): Promise<Scene> {
    const bed = new Bed({ channels: [channelOf(SETTINGS)], ...options });
    bed.platform.answers = () => ({ kind: 'accepted', platformId: null, platformAt: bed.time.now, duplicate: false });
    const worker = await bed.boot();
    const webhooks = options.apart === true ? await bed.boot(WEBHOOKS) : worker;
    if (options.apart === true) await bed.time.advance(2_500);
    return new Scene(bed, worker, webhooks);
  }

  /** X at present where messages are sent. */
  get timeoutMs(): number {
    return this.worker.engine.channels.get(CHANNEL)?.view.ackTimeoutMs ?? 0;
  }

  /** Sends a message to a new room; its ack comes `delayMs` later, and the time is then. */
  async deliver(delayMs: number, wishes: { readonly ackTimeoutMs?: number } = {}): Promise<string> {
    const room = await this.send(wishes);
    await this.bed.time.advance(delayMs);
    await this.webhooks.ack(this.bed, room, 1);
    return room;
  }

  async send(wishes: { readonly ackTimeoutMs?: number } = {}): Promise<string> {
    const room = `room-${++this.#rooms}`;
    await this.worker.publish(room, ['a'], wishes);
    return room;
  }

  /** Acks of 300 ms, one each second, until the channel knows them. */
  async learn(count = 30): Promise<void> {
    for (let n = 0; n < count; n++) {
      await this.deliver(300);
      await this.bed.time.advance(700);
    }
  }

  async waitOf(room: string): Promise<number> {
    const { until, attempts } = await this.bed.row(room);
    return (until ?? 0) - (attempts.at(-1)?.endedAt ?? 0);
  }

  async afterTimeout(within: 'x' | 'beyond'): Promise<number> {
    const { values } = await this.webhooks.instruments.metrics.acksAfterTimeout.get();
    return values.find(({ labels }) => labels.within === within)?.value ?? 0;
  }
}

describe('an adaptive ack timeout', () => {
  it('is X until enough acks are known, and then the time that they keep to', async () => {
    const scene = await Scene.begin();
    expect(scene.timeoutMs).toBe(X);
    await scene.learn();
    expect(scene.timeoutMs).toBeGreaterThan(300);
    expect(scene.timeoutMs).toBeLessThan(340);
    const room = await scene.send();
    expect(await scene.waitOf(room)).toBe(scene.timeoutMs);
    await scene.bed.time.advance(scene.timeoutMs);
    expect(await scene.bed.outcomes(room)).toEqual(['assumed']);
  });

  it('leaves alone what a message asks for itself', async () => {
    const scene = await Scene.begin();
    await scene.learn();
    expect(await scene.waitOf(await scene.send({ ackTimeoutMs: 7_000 }))).toBe(7_000);
    expect(await scene.waitOf(await scene.send({ ackTimeoutMs: X }))).toBe(X);
    expect(await scene.waitOf(await scene.send({ ackTimeoutMs: 50 }))).toBe(50);
  });

  it('is not taken down by what it cuts off: late acks count with their real delay', async () => {
    const scene = await Scene.begin();
    await scene.learn();
    for (let n = 0; n < 60; n++) await scene.deliver(n % 2 === 0 ? 300 : 3_000);
    expect(scene.timeoutMs).toBeGreaterThanOrEqual(3_000);
    expect(scene.timeoutMs).toBeLessThan(3_300);
  });

  it('rises within a few acks when they grow slow, and is X while none comes at all', async () => {
    const scene = await Scene.begin();
    await scene.learn(60);
    for (let n = 0; n < 9; n++) await scene.send();
    await scene.bed.time.advance(1_000);
    expect(scene.timeoutMs).toBeLessThan(340);
    await scene.send();
    await scene.bed.time.advance(1_000);
    expect(scene.timeoutMs).toBe(X);
    for (let n = 1; n <= 10; n++) await scene.webhooks.ack(scene.bed, `room-${60 + n}`, 1);
    expect(scene.timeoutMs).toBeGreaterThan(1_000);
    expect(scene.timeoutMs).toBeLessThan(2_400);
  });

  it('goes by the ack that unlocks the room: a lower one, a second one and a failure tell nothing', async () => {
    const scene = await Scene.begin();
    await scene.learn();
    const before = scene.timeoutMs;
    for (let n = 0; n < 20; n++) {
      const room = await scene.send();
      await scene.bed.time.advance(2_000);
      await scene.webhooks.ack(scene.bed, room, 1, { level: 'sent' });
    }
    await scene.bed.time.advance(1_000);
    for (let n = 1; n <= 30; n++) await scene.webhooks.ack(scene.bed, `room-${n}`, 1, { level: 'read' });
    await scene.bed.time.advance(1_000);
    expect(scene.timeoutMs).toBe(before);
    expect(await scene.afterTimeout('x')).toBe(0);
  });

  it('is shown: as the channel’s state, in the metrics, and in the line that explains a room', async () => {
    const scene = await Scene.begin();
    await scene.learn();
    expect(await scene.worker.instruments.metrics.render()).toContain(
      `roomline_ack_timeout_seconds{channel="default/support"} ${scene.timeoutMs / 1_000}\n`,
    );
    const room = await scene.send();
    const view = (await scene.worker.engine.rooms.view(await scene.bed.row(room))) as Room;
    const channel = scene.worker.engine.channels.get(CHANNEL)?.view;
    if (channel === undefined) throw new Error('there is no channel');
    expect(explain(view, channel, true, scene.bed.time.now)).toBe(
      "message 1 was accepted and waits up to 0.3 s for its ack; its channel's acks take less than 0.3 s at present (at most 10 s)",
    );
    expect(explain(view, { ...channel, state: 'ack_outage' }, true, scene.bed.time.now)).toContain(
      'for its ack; the acks of its channel have stopped',
    );
  });

  it('counts the acks that came after it, by whether X would have waited for them', async () => {
    const scene = await Scene.begin();
    await scene.learn();
    const soon = await scene.deliver(1_000);
    await scene.deliver(X + 1_000);
    await scene.webhooks.ack(scene.bed, soon, 1, { level: 'read' });
    expect(await scene.afterTimeout('x')).toBe(1);
    expect(await scene.afterTimeout('beyond')).toBe(1);
  });

  it('begins anew under another X, and keeps what it knows under the same', async () => {
    const scene = await Scene.begin();
    await scene.learn();
    scene.worker.engine.configureChannel(channelOf({ ...SETTINGS, maxConcurrentSends: 3 }));
    expect(scene.timeoutMs).toBeLessThan(340);
    scene.worker.engine.configureChannel(channelOf({ ...SETTINGS, policy: { ackTimeoutMs: 20_000 } }));
    expect(scene.timeoutMs).toBe(20_000);
    scene.worker.engine.configureChannel(channelOf());
    expect(scene.timeoutMs).toBe(5_000);
  });
});

describe('acks that imply others', () => {
  it('count where they are the one that was waited for', async () => {
    const scene = await Scene.begin();
    await scene.learn();
    for (let n = 0; n < 30; n++) {
      const room = await scene.send();
      await scene.bed.time.advance(2_000);
      await scene.webhooks.ack(scene.bed, room, 1, { cumulative: true });
    }
    expect(scene.timeoutMs).toBeGreaterThanOrEqual(2_000);
  });

  it('count as watermarks, too', async () => {
    const scene = await Scene.begin();
    await scene.learn();
    for (let n = 0; n < 30; n++) {
      const to = await scene.send();
      const watermark = scene.bed.time.now;
      await scene.bed.time.advance(2_000);
      await scene.webhooks.engine.acks.receive(CHANNEL, [
        { kind: 'watermark', to, level: 'delivered', watermark: watermark - 1 },
        { kind: 'watermark', to, level: 'delivered', watermark },
      ]);
    }
    expect(await scene.afterTimeout('x')).toBeGreaterThan(0);
    expect(await scene.bed.outcomes('room-60')).toEqual(['acked']);
    expect(scene.timeoutMs).toBeGreaterThanOrEqual(2_000);
  });
});

describe('an ack outage', () => {
  const OUTAGE = { ...SETTINGS, ackOutage: { afterMs: 30_000, minTimeouts: 10, gapMs: 200 } };

  it('teaches nothing: not its timeouts, and not the acks that it held back', async () => {
    const scene = await Scene.begin({ channels: [channelOf(OUTAGE)] });
    await scene.learn(60);
    const before = scene.timeoutMs;
    const rooms: string[] = [];
    for (let n = 0; n < 20; n++) {
      rooms.push(await scene.send());
      await scene.bed.time.advance(4_000);
    }
    expect(scene.worker.engine.channels.get(CHANNEL)?.condition.state).toBe('ack_outage');
    expect(scene.timeoutMs).toBe(200);
    for (let n = 0; n < 20; n++) rooms.push(await scene.send());
    await scene.bed.time.advance(5_000);
    const references = await Promise.all(
      rooms.map(async (room) => scene.worker.references.encode(await scene.bed.row(room), 1)),
    );
    await scene.webhooks.engine.acks.receive(
      CHANNEL,
      references.map((reference) => statusOf({ reference })),
    );
    await settled();
    expect(scene.worker.engine.channels.get(CHANNEL)?.condition.state).toBe('open');
    expect(scene.timeoutMs).toBe(before);
  });
});

describe('acks that arrive at another process', () => {
  it('adapt X where messages are sent, late ones as well', async () => {
    const scene = await Scene.begin({ signals: new SignalBus(), apart: true });
    await scene.learn(40);
    expect(scene.timeoutMs).toBeLessThan(340);
    for (let n = 0; n < 40; n++) await scene.deliver(n % 2 === 0 ? 300 : 3_000);
    expect(scene.timeoutMs).toBeGreaterThanOrEqual(3_000);
    expect(scene.timeoutMs).toBeLessThan(3_300);
  });

  it('leave X as it is where no signals tell of them', async () => {
    const scene = await Scene.begin({ apart: true });
    await scene.learn(40);
    expect(scene.timeoutMs).toBe(X);
    expect(await scene.bed.outcomes('room-40')).toEqual(['acked']);
  });
});
