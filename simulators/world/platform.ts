/** The platform of a simulated world: takes requests over a bad network, and acks them in every wrong way there is. */
import type { LookupResult, PlatformChannel, SendRequest, SendResult, StatusItem } from '../../src/engine/ports.ts';
import type { WorldChance } from './chance.ts';
import type { Checker } from './checker.ts';
import type { ProcessClock, VirtualTime } from './time.ts';

export interface PlatformFaults {
  /** Probability that a request never arrives, that its answer never does, and that it arrives after its timeout. */
  dropRequest: number;
  dropAnswer: number;
  holdRequest: number;
  serverErrorBefore: number;
  serverErrorAfter: number;
  messageRefusal: number;
  roomLimit: number;
  permanentRefusal: number;
  connectFailure: number;
  ackLost: number;
  ackEarly: number;
  ackLate: number;
  ackDoubled: number;
  failedStatus: number;
  contradiction: number;
}

export const NO_FAULTS: PlatformFaults = {
  dropRequest: 0,
  dropAnswer: 0,
  holdRequest: 0,
  serverErrorBefore: 0,
  serverErrorAfter: 0,
  messageRefusal: 0,
  roomLimit: 0,
  permanentRefusal: 0,
  connectFailure: 0,
  ackLost: 0,
  ackEarly: 0,
  ackLate: 0,
  ackDoubled: 0,
  failedStatus: 0,
  contradiction: 0,
};

export type Outage = 'none' | 'down' | 'black_hole' | 'unauthorized' | 'throttled';

export interface PlatformOptions {
  readonly time: VirtualTime;
  readonly chance: WorldChance;
  readonly checker: Checker;
  readonly echoesReference: boolean;
  readonly fault: (kind: string) => void;
  /** How delivery is told: per message, per message for all before it too, or by recipient and time. */
  readonly delivery: 'single' | 'cumulative' | 'watermark';
  readonly lookup: boolean;
  /** Delivers a webhook call; false where it was not answered with 200. */
  readonly webhook: (items: readonly StatusItem[]) => Promise<boolean>;
}

interface Taken {
  readonly platformId: string;
  readonly reference: string;
  readonly room: string;
  readonly acceptedAt: number;
}

export class WorldPlatform {
  readonly #options: PlatformOptions;
  #faults: PlatformFaults = NO_FAULTS;
  #nextId = 1;
  readonly #byReference = new Map<string, Taken>();
  outage: Outage = 'none';
  /** Messages that the platform itself refused for good or failed later. */
  readonly refusedForGood = new Set<string>();

  constructor(options: PlatformOptions) {
    this.#options = options;
  }

  set faults(faults: PlatformFaults) {
    this.#faults = faults;
  }

  /** The platform as one process reaches it. */
  channelFor(clock: ProcessClock): PlatformChannel {
    return {
      send: (request) => this.#send(request, clock),
      lookup: this.#options.lookup ? (reference) => this.#lookUp(reference, clock) : null,
      verify: () => ({ kind: 'verified' }),
      readStatuses: () => [],
      close: () => Promise.resolve(),
    };
  }

  async #send(request: SendRequest, clock: ProcessClock): Promise<SendResult> {
    const { chance, checker, fault } = this.#options;
    const { content } = JSON.parse(new TextDecoder().decode(request.body)) as { content: { room: string; id: string } };
    checker.leaving(content.room, content.id);
    const latencyMs = 1 + chance.around(40);
    const faults = this.#faults;
    const answered = (result: SendResult, afterMs = latencyMs): Promise<SendResult> =>
      new Promise((resolve) => clock.after(afterMs, () => resolve(result)));
    const refused = (
      code: string,
      scope: 'message' | 'room' | 'channel' | 'account',
      permanent: boolean,
      retryAfterMs: number | null = null,
    ) => answered({ kind: 'refused', nack: { permanent, scope, retryAfterMs, code } });
    const unknown = (code: string, afterMs: number) => {
      checker.unknownOutcomes++;
      return answered({ kind: 'unknown', code, bytesLeft: true }, afterMs);
    };
    if (this.outage === 'down' || chance.hit(faults.connectFailure)) {
      fault('connect_failure');
      return refused(chance.pick(['connect_refused', 'connect_dns', 'connect_tls']), 'channel', false);
    }
    if (this.outage === 'unauthorized') return refused('unauthorized', 'account', true);
    if (this.outage === 'throttled') return refused('throttled', 'channel', false, chance.between(50, 2_000));
    if (this.outage === 'black_hole' || chance.hit(faults.dropRequest)) {
      fault('request_dropped');
      return unknown('timeout', request.timeoutMs);
    }
    if (chance.hit(faults.serverErrorBefore)) {
      fault('server_error_before');
      return unknown('http_503', latencyMs);
    }
    if (chance.hit(faults.roomLimit)) {
      fault('room_limit');
      return refused('pair_limit', 'room', false, chance.between(10, 500));
    }
    if (chance.hit(faults.messageRefusal)) {
      fault('message_refusal');
      return refused('try_again', 'message', false);
    }
    if (chance.hit(faults.permanentRefusal)) {
      fault('permanent_refusal');
      this.refusedForGood.add(content.id);
      return refused('no_such_recipient', 'message', true);
    }
    const held = chance.hit(faults.holdRequest);
    const arrivalMs = held ? request.timeoutMs + chance.around(2_000) : latencyMs / 2;
    const early = chance.hit(faults.ackEarly);
    const taken: Taken = {
      platformId: `gw-${this.#nextId++}`,
      reference: request.reference,
      room: content.room,
      acceptedAt: this.#options.time.now + arrivalMs,
    };
    this.#options.time.after(arrivalMs, () => {
      checker.arrived(content.room, content.id);
      this.#byReference.set(taken.reference, taken);
      this.#acks(taken, content.id, early ? 0 : latencyMs / 2);
    });
    if (held) {
      fault('request_held');
      return unknown('timeout', request.timeoutMs);
    }
    if (chance.hit(faults.dropAnswer)) {
      fault('answer_dropped');
      return unknown('timeout', request.timeoutMs);
    }
    if (chance.hit(faults.serverErrorAfter)) {
      fault('server_error_after');
      return unknown('http_502', latencyMs);
    }
    if (early) fault('ack_early');
    const afterMs = early ? latencyMs + chance.around(400) : latencyMs;
    return answered(
      { kind: 'accepted', platformId: taken.platformId, platformAt: taken.acceptedAt, duplicate: false },
      afterMs,
    );
  }

  async #lookUp(reference: string, clock: ProcessClock): Promise<LookupResult> {
    await new Promise<void>((resolve) => clock.after(this.#options.chance.around(60), resolve));
    const taken = this.#byReference.get(reference);
    if (taken === undefined) return { kind: 'no_evidence' };
    this.#options.fault('looked_up');
    return { kind: 'found', level: 'accepted', platformId: taken.platformId, platformAt: taken.acceptedAt };
  }

  #acks(taken: Taken, messageId: string, afterMs: number): void {
    const { chance, fault, time } = this.#options;
    const faults = this.#faults;
    const { delivery } = this.#options;
    const status = (level: 'sent' | 'delivered' | 'read' | null, delayMs: number): void => {
      const item: StatusItem = {
        kind: 'status',
        reference: this.#options.echoesReference ? taken.reference : null,
        platformId: taken.platformId,
        level,
        nack: level === null ? { permanent: true, scope: 'message', retryAfterMs: null, code: 'undeliverable' } : null,
        at: null,
        cumulative: delivery === 'cumulative' && level !== null,
      };
      const watermark: StatusItem | null =
        delivery === 'watermark' && (level === 'delivered' || level === 'read')
          ? { kind: 'watermark', to: taken.room, level, watermark: taken.acceptedAt }
          : null;
      time.after(delayMs, () => void this.#deliver([watermark ?? item]));
    };
    if (chance.hit(faults.failedStatus)) {
      fault('failed_status');
      this.refusedForGood.add(messageId);
      status(null, afterMs + chance.around(300));
      return;
    }
    if (chance.hit(0.5)) status('sent', afterMs + chance.around(20));
    if (chance.hit(faults.ackLost)) {
      fault('ack_lost');
      return;
    }
    const late = chance.hit(faults.ackLate);
    if (late) fault('ack_late');
    const delayMs = afterMs + (late ? 3_000 + chance.around(5_000) : chance.around(150));
    status('delivered', delayMs);
    if (chance.hit(faults.ackDoubled)) {
      fault('ack_doubled');
      status('delivered', delayMs + chance.around(500));
    }
    if (chance.hit(0.3)) status('read', delayMs + chance.around(300) - 50);
    if (chance.hit(faults.contradiction)) {
      fault('contradiction');
      this.refusedForGood.add(messageId);
      status(null, delayMs + chance.around(200) + 1);
    }
  }

  /** A webhook call is repeated until it is answered with 200. */
  async #deliver(items: readonly StatusItem[]): Promise<void> {
    for (let waitMs = 100; !(await this.#options.webhook(items)); waitMs = Math.min(2_000, waitMs * 2)) {
      await this.#options.time.sleep(waitMs);
    }
  }
}
