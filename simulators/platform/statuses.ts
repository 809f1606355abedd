import { drawDelayMs } from './delay.ts';
import type { Message, StatusError, StatusName } from './message.ts';
import type { PhoneListener } from './phone.ts';
import type { StatusItem } from './profile.ts';
import { Purpose } from './random.ts';
import { raise } from './stats.ts';
import type { World } from './world.ts';

const RANK = { accepted: 0, sent: 1, delivered: 2, read: 3, failed: 4 } as const;

/** Where statuses go once they are to be told. */
export interface StatusOutlet {
  /** `alone`: in a call of its own. `told`: the call was answered, or given up. */
  push(item: StatusItem, options: { alone: boolean; told?: () => void }): void;
}

/** When a message reaches a status, and everything that can go wrong before a webhook tells it. */
export class Statuses implements PhoneListener {
  readonly #world: World;
  readonly #outlet: StatusOutlet;

  constructor(world: World, outlet: StatusOutlet) {
    this.#world = world;
    this.#outlet = outlet;
  }

  /** Chooses which statuses will precede the answer to the send. */
  drawEarly(message: Message): void {
    const { early } = message.knobs.status;
    if (!message.draws.chance(Purpose.early, early.probability)) return;
    const statuses = early.statuses.filter((status) => this.#happens(message, status));
    if (statuses.length === 0) return;
    message.early = new Set(statuses);
    raise(this.#world.stats.faults, 'status_early');
  }

  accepted(message: Message): void {
    if (!message.knobs.status.sentOnArrival) this.#sent(message);
  }

  #sent(message: Message): void {
    if (!this.#happens(message, 'sent')) return;
    const delay = message.knobs.status.sent.delayMs;
    this.#after(message.early?.has('sent') ? 0 : drawDelayMs(delay, message.draws, Purpose.sentDelay), () =>
      this.#reach(message, 'sent'),
    );
  }

  shown(message: Message): void {
    const { sentOnArrival, delivered, read } = message.knobs.status;
    if (sentOnArrival) this.#sent(message);
    if (this.#happens(message, 'delivered')) {
      const delayMs = message.early?.has('delivered')
        ? 0
        : drawDelayMs(delivered.delayMs, message.draws, Purpose.deliveredDelay);
      this.#soon(delayMs, () => this.#reach(message, 'delivered'));
    }
    if (this.#happens(message, 'read')) {
      const delayMs = message.early?.has('read') ? 0 : drawDelayMs(read.delayMs, message.draws, Purpose.readDelay);
      this.#after(delayMs, () => this.#reach(message, 'read'));
    }
  }

  failed(message: Message, _error: StatusError): void {
    this.#reach(message, 'failed');
  }

  /** The send has been answered, or never will be: what waited for that may go. */
  answered(message: Message): void {
    const waiting = message.unanswered;
    message.unanswered = undefined;
    for (const tell of waiting ?? []) tell();
  }

  #happens(message: Message, status: StatusName): boolean {
    const { draws } = message;
    const knobs = message.knobs.status;
    switch (status) {
      case 'sent':
        return draws.chance(Purpose.sentHappens, knobs.sent.probability);
      case 'delivered':
        return draws.chance(Purpose.deliveredHappens, knobs.delivered.probability);
      case 'read':
        return draws.chance(Purpose.readHappens, knobs.read.probability);
      case 'failed':
        return true;
    }
  }

  #lost(message: Message, status: StatusName): boolean {
    const { draws } = message;
    const knobs = message.knobs.status;
    if (draws.chance(Purpose.loseAll, knobs.loseAllProbability)) return true;
    switch (status) {
      case 'sent':
        return draws.chance(Purpose.sentLost, knobs.sent.lossProbability);
      case 'delivered':
        return draws.chance(Purpose.deliveredLost, knobs.delivered.lossProbability);
      case 'read':
        return draws.chance(Purpose.readLost, knobs.read.lossProbability);
      case 'failed':
        return draws.chance(Purpose.failedLost, knobs.failure.lossProbability);
    }
  }

  #reach(message: Message, status: StatusName): void {
    if (RANK[status] > RANK[message.status]) message.status = status;
    const lost = this.#lost(message, status);
    this.#world.truth.append({
      t: 'status',
      m: message.no,
      at: this.#world.now(),
      status,
      ...(lost ? { lost } : undefined),
    });
    if (lost) raise(this.#world.stats.faults, `status_lost_${status}`);
    const { outOfOrder } = message.knobs.status;
    const last = this.#isLast(message, status);
    if (!message.draws.chance(Purpose.outOfOrder, outOfOrder.probability)) {
      if (!lost) this.#tell(message, status);
    } else if (!last) {
      if (!lost) message.heldBack = [...(message.heldBack ?? []), status];
    } else {
      if (!lost) this.#tell(message, status);
      const heldBack = message.heldBack?.reverse() ?? [];
      message.heldBack = undefined;
      for (const [index, earlier] of heldBack.entries()) {
        raise(this.#world.stats.faults, 'status_out_of_order');
        this.#after(outOfOrder.gapMs * (index + 1), () => this.#tell(message, earlier));
      }
    }
    if (last) this.#afterwards(message, status);
  }

  #isLast(message: Message, status: StatusName): boolean {
    if (status === 'failed' || status === 'read') return true;
    return status === 'delivered' && !this.#happens(message, 'read');
  }

  /** What a confused platform adds when a message has reached its last status. */
  #afterwards(message: Message, status: StatusName): void {
    const { regress, contradiction } = message.knobs.status;
    if (message.draws.chance(Purpose.regress, regress.probability)) {
      raise(this.#world.stats.faults, 'status_regress');
      this.#after(regress.gapMs, () => this.#tell(message, 'sent'));
    }
    if (message.draws.chance(Purpose.contradiction, contradiction.probability)) {
      raise(this.#world.stats.faults, 'status_contradiction');
      this.#after(contradiction.gapMs, () => this.#tell(message, status === 'failed' ? 'delivered' : 'failed'));
    }
  }

  #tell(message: Message, status: StatusName): void {
    const { late, duplicate } = message.knobs.status;
    const { draws } = message;
    const lane = RANK[status];
    if (message.unanswered !== undefined && !message.early?.has(status)) {
      message.unanswered.push(() => this.#tell(message, status));
      return;
    }
    const early = message.early?.has(status) ?? false;
    if (!early && draws.chance(Purpose.late, late.probability, lane)) {
      raise(this.#world.stats.faults, 'status_late');
      this.#after(drawDelayMs(late.delayMs, draws, Purpose.lateDelay), () => this.#push(message, status, false));
    } else this.#push(message, status, early);
    if (!draws.chance(Purpose.duplicate, duplicate.probability, lane)) return;
    const gapMs = drawDelayMs(duplicate.gapMs, draws, Purpose.duplicateGap);
    for (let copy = 1; copy <= duplicate.copies; copy++) {
      raise(this.#world.stats.faults, 'status_duplicate');
      if (duplicate.concurrent) this.#push(message, status, true);
      else this.#after(gapMs * copy, () => this.#push(message, status, false));
    }
  }

  #push(message: Message, status: StatusName, alone: boolean): void {
    const { form } = message.knobs.status;
    const covers = form !== 'each' && (status === 'delivered' || status === 'read');
    const { covered } = message.recipient;
    const complete = covered !== undefined && covered.no >= message.no;
    // A watermark that would also claim an earlier message still under way is not told: the earlier one's arrival will cover both.
    if (covers && form === 'watermark' && !complete) return;
    raise(this.#world.stats.statuses, status);
    this.#outlet.push(
      {
        message: covers && form === 'watermark' && covered ? covered : message,
        status,
        at: this.#timestamp(message),
        error: status === 'failed' ? (message.error ?? CONTRADICTION) : undefined,
        cumulative: covers && form === 'cumulative' && complete,
        watermark: covers && form === 'watermark' ? covered?.acceptedAt : undefined,
      },
      {
        alone,
        ...(message.early?.has(status) ? { told: () => this.#toldEarly(message, status) } : undefined),
      },
    );
  }

  #toldEarly(message: Message, status: StatusName): void {
    if (message.early?.delete(status) && message.early.size === 0) message.onEarlyTold?.();
  }

  #timestamp(message: Message): number | undefined {
    const { timestamps, clockSkewMs } = message.knobs.status;
    const now = Math.round(this.#world.clock.wallMs() + clockSkewMs);
    switch (timestamps) {
      case 'right':
        return now;
      case 'none':
        return undefined;
      case 'seconds':
        return Math.floor(now / 1_000);
      case 'equal':
        return message.acceptedAt;
    }
  }

  #after(delayMs: number, run: () => void): void {
    this.#world.scheduler.after(delayMs, run);
  }

  /** Saves a timer where there is no delay. */
  #soon(delayMs: number, run: () => void): void {
    if (delayMs === 0) run();
    else this.#after(delayMs, run);
  }
}

const CONTRADICTION: StatusError = { code: 'contradiction', scope: 'message', permanent: true };
