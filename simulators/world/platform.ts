/** The platform of a simulated world: takes requests over a bad network, and acks them in every wrong way there is. */
import type { LookupResult, PlatformChannel, SendRequest, SendResult, StatusItem } from '../../src/engine/ports.ts';
import { chanceFor, type WorldChance } from './chance.ts';
import type { Checker } from './checker.ts';
import type { Failpoints } from './failpoints.ts';
import type { ChannelPlan, Outage, PlatformFaults } from './plan.ts';
import type { SimProcess } from './process.ts';
import type { RequestRecord } from './records.ts';
import type { VirtualTime } from './time.ts';
import type { Told } from './webhooks.ts';

export interface PlatformOptions {
  readonly seed: number;
  readonly time: VirtualTime;
  readonly checker: Checker;
  readonly failpoints: Failpoints;
  readonly channel: ChannelPlan;
  readonly faults: PlatformFaults;
  readonly count: (kind: string) => void;
  readonly onLine: (line: string) => void;
  /** A status is on its way to the engine. */
  readonly tell: (channel: string, told: Told, afterMs: number) => void;
  /** Whether latency is always the same, so that two worlds can be compared. */
  readonly steady: boolean;
}

interface Taken {
  readonly platformId: string;
  readonly reference: string;
  readonly channel: string;
  readonly recipient: string;
  readonly room: string;
  readonly messageId: string;
  readonly acceptedAt: number;
}

const CALM: PlatformFaults = {
  dropRequest: 0,
  dropAnswer: 0,
  holdRequest: 0,
  serverErrorBefore: 0,
  serverErrorAfter: 0,
  messageRefusal: 0,
  roomLimit: 0,
  permanentRefusal: 0,
  channelRefusal: 0,
  accountRefusal: 0,
  connectFailure: 0,
  ackLost: 0,
  ackEarly: 0,
  ackLate: 0,
  ackDoubled: 0,
  failedStatus: 0,
  contradiction: 0,
  strayAck: 0,
  badBatch: 0,
  futureWatermark: 0,
};

export class WorldPlatform {
  readonly #options: PlatformOptions;
  #faults: PlatformFaults;
  #nextId = 1;
  readonly #byReference = new Map<string, Taken>();
  /** How often each message was sent, so that each request has a stream of chance of its own. */
  readonly #requests = new Map<string, number>();
  outage: Outage = 'none';
  acksStopped = false;

  constructor(options: PlatformOptions) {
    this.#options = options;
    this.#faults = options.faults;
  }

  calm(): void {
    this.#faults = CALM;
    this.outage = 'none';
    this.acksStopped = false;
  }

  /** A reference that belongs to a message of another channel, if there is one. */
  foreignReference(channel: string): string | null {
    for (const taken of this.#byReference.values()) if (taken.channel !== channel) return taken.reference;
    return null;
  }

  /** The platform as one process reaches it through one channel. */
  channelFor(process: SimProcess, channel: string): PlatformChannel {
    return {
      send: (request) => this.#send(request, process, channel),
      lookup: this.#options.channel.lookup ? (reference) => this.#lookUp(reference, process) : null,
      senderId: null,
      checkContent: null,
      handshake: null,
      verify: () => ({ kind: 'verified' }),
      readStatuses: () => [],
      close: () => Promise.resolve(),
    };
  }

  async #send(request: SendRequest, process: SimProcess, channel: string): Promise<SendResult> {
    if (process.dead) return new Promise(() => undefined);
    const { checker, failpoints, time, onLine } = this.#options;
    const { to, content } = JSON.parse(new TextDecoder().decode(request.body)) as { to: string; content: Content };
    const record: RequestRecord = {
      room: `${channel}/${content.room}`,
      messageId: content.id,
      reference: request.reference,
      body: request.body,
      attempt: request.attempt,
      worker: request.worker,
      generation: request.generation,
    };
    checker.leaving(record);
    const delayMs = failpoints.pass('send.leaving', process);
    if (delayMs > 0) await time.sleep(delayMs);
    return new Promise((resolve) => {
      process.enter(() => {
        const outcome = this.#take(request, record, channel, to);
        onLine(`${record.room} ${content.id} attempt ${request.attempt} left: ${outcome.result.kind}`);
        time.after(Math.min(outcome.afterMs, request.timeoutMs), () => {
          const heldMs = outcome.afterMs + failpoints.pass('send.answered', process);
          // The client gives up at its own timeout, however far the answer has come.
          const result = heldMs >= request.timeoutMs ? TIMED_OUT : outcome.result;
          const restMs = Math.min(heldMs, request.timeoutMs) - Math.min(outcome.afterMs, request.timeoutMs);
          time.after(restMs, () => process.enter(() => this.#answer(record, result, resolve)));
        });
      });
    });
  }

  #answer(record: RequestRecord, result: SendResult, resolve: (result: SendResult) => void): void {
    this.#options.checker.answered(record, result.kind);
    resolve(result);
  }

  /** What becomes of a request whose bytes have left, and when its sender hears of it. */
  #take(
    request: SendRequest,
    record: RequestRecord,
    channel: string,
    to: string,
  ): { result: SendResult; afterMs: number } {
    const { seed, time, steady, checker } = this.#options;
    const number = (this.#requests.get(record.messageId) ?? 0) + 1;
    this.#requests.set(record.messageId, number);
    const chance = chanceFor(seed, 'request', record.messageId, number);
    const latencyMs = steady ? 20 : 1 + chance.around(40);
    const refusal = this.#refusal(chance, record);
    if (refusal !== null) return { result: refusal, afterMs: latencyMs };
    const unknown = (code: string, afterMs: number): { result: SendResult; afterMs: number } => ({
      result: { kind: 'unknown', code, bytesLeft: true },
      afterMs,
    });
    const faults = this.#faults;
    if (this.outage === 'black_hole' || chance.hit(faults.dropRequest)) {
      this.#count('request_dropped');
      return unknown('timeout', request.timeoutMs);
    }
    if (chance.hit(faults.serverErrorBefore)) {
      this.#count('server_error_before');
      return unknown('http_503', latencyMs);
    }
    const held = chance.hit(faults.holdRequest);
    const arrivalMs = held ? request.timeoutMs + chance.around(2_000) : latencyMs / 2;
    const early = chance.hit(faults.ackEarly);
    const known = this.#options.channel.idempotent ? this.#byReference.get(request.reference) : undefined;
    const taken = known ?? {
      platformId: `gw-${this.#nextId++}`,
      reference: request.reference,
      channel,
      recipient: to,
      room: record.room,
      messageId: record.messageId,
      acceptedAt: time.now + arrivalMs,
    };
    time.after(arrivalMs, () => {
      checker.arrived(record);
      this.#byReference.set(taken.reference, taken);
      if (known === undefined) this.#acks(taken, chance, early ? 0 : latencyMs / 2);
    });
    if (held) {
      this.#count('request_held');
      return unknown('timeout', request.timeoutMs);
    }
    if (chance.hit(faults.dropAnswer)) {
      this.#count('answer_dropped');
      return unknown('timeout', request.timeoutMs);
    }
    if (chance.hit(faults.serverErrorAfter)) {
      this.#count('server_error_after');
      return unknown('http_502', latencyMs);
    }
    if (early) this.#count('ack_early');
    if (known !== undefined) this.#count('copy_recognised');
    const { platformId, acceptedAt } = taken;
    return {
      result: { kind: 'accepted', platformId, platformAt: acceptedAt, duplicate: known !== undefined },
      afterMs: early ? latencyMs + chance.around(400) : latencyMs,
    };
  }

  /** A definite no, before the request is looked at. */
  #refusal(chance: WorldChance, { room, messageId }: RequestRecord): SendResult | null {
    const faults = this.#faults;
    const refused = (
      kind: string,
      code: string,
      scope: 'message' | 'room' | 'channel' | 'account',
      permanent: boolean,
      retryAfterMs: number | null = null,
    ): SendResult => {
      this.#count(kind);
      return { kind: 'refused', nack: { permanent, scope, retryAfterMs, code } };
    };
    if (this.outage === 'down' || chance.hit(faults.connectFailure)) {
      const code = chance.pick(['connect_refused', 'connect_dns', 'connect_tls']);
      return refused('connect_failure', code, 'channel', false);
    }
    if (this.outage === 'unauthorized' || chance.hit(faults.accountRefusal)) {
      return refused('account_refusal', 'unauthorized', 'account', true);
    }
    if (this.outage === 'throttled' || chance.hit(faults.channelRefusal)) {
      return refused('channel_refusal', 'throttled', 'channel', false, chance.between(50, 2_000));
    }
    if (chance.hit(faults.roomLimit)) {
      return refused('room_limit', 'pair_limit', 'room', false, chance.between(10, 500));
    }
    if (chance.hit(faults.messageRefusal)) return refused('message_refusal', 'try_again', 'message', false);
    if (!chance.hit(faults.permanentRefusal)) return null;
    this.#options.checker.refusedForGood(room, messageId, false);
    return refused('permanent_refusal', 'no_such_recipient', 'message', true);
  }

  #lookUp(reference: string, process: SimProcess): Promise<LookupResult> {
    const { time, steady, seed, failpoints } = this.#options;
    const latencyMs = steady ? 20 : chanceFor(seed, 'lookup', reference, time.now).around(60);
    return new Promise((resolve) => {
      time.after(latencyMs, () => {
        const taken = this.#byReference.get(reference);
        if (taken !== undefined) this.#count('looked_up');
        if (taken !== undefined && this.#options.channel.unlockedBy === 'accepted') {
          this.#options.checker.told(taken.room, taken.messageId);
        }
        const found: LookupResult =
          taken === undefined
            ? { kind: 'no_evidence' }
            : { kind: 'found', level: 'accepted', platformId: taken.platformId, platformAt: taken.acceptedAt };
        const delayMs = failpoints.pass('lookup.answered', process);
        time.after(delayMs, () => process.enter(() => resolve(found)));
      });
    });
  }

  #acks(taken: Taken, chance: WorldChance, afterMs: number): void {
    const { checker, channel, tell, steady } = this.#options;
    const faults = this.#faults;
    if (taken.channel === 'mute') {
      this.#count('mute');
      return;
    }
    if (this.acksStopped) {
      this.#count('ack_outage_lost');
      return;
    }
    const status = (level: Level | null, delayMs: number): void => {
      const told = { item: this.#item(taken, level, chance), room: taken.room, messageId: taken.messageId, level };
      if (level !== null) checker.told(taken.room, taken.messageId);
      tell(taken.channel, told, delayMs);
    };
    if (chance.hit(faults.failedStatus)) {
      this.#count('failed_status');
      checker.refusedForGood(taken.room, taken.messageId, true);
      status(null, afterMs + chance.around(300));
      return;
    }
    if (steady) {
      status(channel.unlockedBy === 'accepted' ? 'sent' : channel.unlockedBy, afterMs + 80);
      return;
    }
    if (chance.hit(0.5)) status('sent', afterMs + chance.around(20));
    if (chance.hit(faults.strayAck)) this.#stray(taken, chance, afterMs);
    if (chance.hit(faults.ackLost)) {
      this.#count('ack_lost');
      return;
    }
    const late = chance.hit(faults.ackLate);
    if (late) this.#count('ack_late');
    const delayMs = afterMs + (late ? 2_000 + chance.around(4_000) : chance.around(150));
    status('delivered', delayMs);
    if (chance.hit(faults.ackDoubled)) {
      this.#count('ack_doubled');
      status('delivered', delayMs + chance.around(500));
    }
    if (chance.hit(0.3)) status('read', delayMs + chance.around(300) - 50);
    if (chance.hit(faults.contradiction)) {
      this.#count('contradiction');
      checker.refusedForGood(taken.room, taken.messageId, true);
      status(null, delayMs + chance.around(200) + 1);
    }
  }

  #item(taken: Taken, level: Level | null, chance: WorldChance): StatusItem {
    const { delivery, echoesReference } = this.#options.channel;
    if (delivery === 'watermark' && (level === 'delivered' || level === 'read')) {
      const future = chance.hit(this.#faults.futureWatermark);
      if (future) this.#count('future_watermark');
      return { kind: 'watermark', to: taken.recipient, level, watermark: taken.acceptedAt + (future ? 60_000 : 0) };
    }
    return {
      kind: 'status',
      reference: echoesReference ? taken.reference : null,
      platformId: taken.platformId,
      level,
      nack: level === null ? { permanent: true, scope: 'message', retryAfterMs: null, code: 'undeliverable' } : null,
      at: null,
      cumulative: delivery === 'cumulative' && level !== null,
    };
  }

  /** An ack that belongs to nobody here: it must move nothing. */
  #stray(taken: Taken, chance: WorldChance, afterMs: number): void {
    const of = (reference: string | null, platformId: string | null): StatusItem => {
      return { kind: 'status', reference, platformId, level: 'read', nack: null, at: null, cumulative: false };
    };
    const kind = chance.pick(['unknown_id', 'no_reference', 'foreign'] as const);
    const foreign = this.foreignReference(taken.channel);
    if (kind === 'foreign' && foreign === null) return;
    this.#count(`stray_${kind}`);
    const item =
      kind === 'unknown_id'
        ? of(null, `nobody-${taken.platformId}`)
        : of(kind === 'foreign' ? foreign : 'AAAAAAAAAAAAAAAAAAAAAAAAAA', null);
    this.#options.tell(taken.channel, { item, room: null, messageId: null, level: null }, afterMs + chance.around(50));
  }

  #count(kind: string): void {
    this.#options.count(kind);
  }
}

const TIMED_OUT: SendResult = { kind: 'unknown', code: 'timeout', bytesLeft: true };

type Level = 'sent' | 'delivered' | 'read';

interface Content {
  readonly room: string;
  readonly id: string;
}
