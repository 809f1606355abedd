/**
 * One channel's platform and its users' phones. Every message's luck is drawn from its own stream, so that all policies
 * meet the same one; what the hour and the incidents make of it depends on when it is sent.
 */
import type { PlatformChannel, SendResult } from '../../src/engine/ports.ts';
import { logNormal } from '../hour/draws.ts';
import { chanceFor, type WorldChance } from '../world/chance.ts';
import type { VirtualTime } from '../world/time.ts';
import { type Character, type IncidentKind, slowness, type Window, windowOf } from './characters.ts';
import type { Load } from './load.ts';

export interface SenderOptions {
  readonly seed: number;
  readonly time: VirtualTime;
  readonly openAt: number;
  readonly dayMs: number;
  readonly character: Character;
  readonly load: Load;
  /** Hands an ack to the engine. */
  readonly ack: (reference: string) => void;
}

const ANSWER = { medianMs: 150, p99Ms: 1_500 };
const SLOWER = 10;
const LONGEST_TAIL_MS = 900_000;
/** What was held is told within this time of the incident's end. */
const RELEASE_MS = 5_000;

interface Phone {
  readonly away: Window | null;
  /** The highest message that has reached it. */
  highest: number;
}

export class Sender {
  /** By message, in ms since the opening; NaN where it did not happen. */
  readonly leftAt: Float64Array;
  readonly answeredAt: Float64Array;
  /** When its ack came, or would have come had anybody waited; infinite where it never does. */
  readonly ackAt: Float64Array;
  /** A later message of the room was there before it. */
  readonly swapped: Uint8Array;
  readonly #options: SenderOptions;
  readonly #incidents: readonly { readonly kind: IncidentKind; readonly window: Window }[];
  readonly #phones = new Map<number, Phone>();
  /** When each room's conversation began. */
  readonly #begunAt: Float64Array;

  constructor(options: SenderOptions) {
    this.#options = options;
    const { load, character, dayMs } = options;
    this.leftAt = new Float64Array(load.count).fill(Number.NaN);
    this.answeredAt = new Float64Array(load.count).fill(Number.NaN);
    this.ackAt = new Float64Array(load.count).fill(Number.POSITIVE_INFINITY);
    this.swapped = new Uint8Array(load.count);
    this.#begunAt = new Float64Array(load.rooms);
    for (let message = load.count - 1; message >= 0; message--) {
      this.#begunAt[load.room[message] as number] = load.at[message] as number;
    }
    this.#incidents = character.incidents.map((incident) => ({
      kind: incident.kind,
      window: windowOf(incident, dayMs),
    }));
  }

  readonly channel: PlatformChannel = {
    send: ({ body, reference }) => this.#send(numberIn(body), reference),
    lookup: null,
    senderId: null,
    checkContent: null,
    handshake: null,
    verify: () => ({ kind: 'verified' }),
    readStatuses: () => [],
    close: () => Promise.resolve(),
  };

  #send(message: number, reference: string): Promise<SendResult> {
    const { seed, time, character } = this.#options;
    const chance = chanceFor(seed, 'message', character.name, message);
    this.leftAt[message] = this.#now();
    const latencyMs = logNormal(chance, ANSWER.medianMs, ANSWER.p99Ms);
    time.after(latencyMs / 2, () => this.#taken(message, reference, chance));
    return new Promise((resolve) => {
      time.after(latencyMs, () => {
        this.answeredAt[message] = this.#now();
        resolve({ kind: 'accepted', platformId: null, platformAt: null, duplicate: false });
      });
    });
  }

  /** Everything that chance has a part in is drawn first, and in this order. */
  #taken(message: number, reference: string, chance: WorldChance): void {
    const { time, character, dayMs, load } = this.#options;
    const { ack, tail, never, transit } = character;
    const now = this.#now();
    const body = logNormal(chance, ack.medianMs, ack.p99Ms);
    const tailMs = chance.hit(tail.share) ? Math.min(LONGEST_TAIL_MS, tail.fromMs / (1 - chance.uniform())) : 0;
    const told = !chance.hit(never);
    const releaseMs = chance.uniform() * RELEASE_MS;
    const slow = slowness(now / dayMs);
    const onTheWay = (body * transit * slow + tailMs) * (this.#isIn('slow_delivery', now) === null ? 1 : SLOWER);
    const backMs = body * (1 - transit) * slow;
    time.after(onTheWay, () => {
      const phone = this.#phoneOf(load.room[message] as number);
      const ordinal = load.ordinal[message] as number;
      if (ordinal < phone.highest) this.swapped[message] = 1;
      phone.highest = Math.max(phone.highest, ordinal);
      const arrived = this.#now();
      const away = phone.away !== null && arrived >= phone.away.from && arrived < phone.away.to;
      const shown = away ? (phone.away?.to ?? arrived) : arrived;
      if (told) this.#tell(message, reference, shown, backMs, releaseMs);
    });
  }

  #tell(message: number, reference: string, shown: number, backMs: number, releaseMs: number): void {
    const { time, ack } = this.#options;
    if (this.#isIn('lost', shown) !== null) return;
    const held = this.#isIn('held', shown);
    const slow = this.#isIn('slow_statuses', shown) === null ? 1 : SLOWER;
    const ackAt = held === null ? shown + backMs * slow : held.to + releaseMs;
    this.ackAt[message] = ackAt;
    time.after(ackAt - this.#now(), () => ack(reference));
  }

  #isIn(kind: IncidentKind, at: number): Window | null {
    const found = this.#incidents.find((one) => one.kind === kind && at >= one.window.from && at < one.window.to);
    return found?.window ?? null;
  }

  #phoneOf(room: number): Phone {
    const known = this.#phones.get(room);
    if (known !== undefined) return known;
    const { seed, character } = this.#options;
    const chance = chanceFor(seed, 'phone', character.name, room);
    const from = (this.#begunAt[room] as number) + chance.around(60_000);
    const away = chance.hit(character.away.share) ? { from, to: from + chance.around(character.away.meanMs) } : null;
    const phone = { away, highest: 0 };
    this.#phones.set(room, phone);
    return phone;
  }

  #now(): number {
    return this.#options.time.now - this.#options.openAt;
  }
}

function numberIn(body: Uint8Array): number {
  return (JSON.parse(new TextDecoder().decode(body)) as { content: { message: number } }).content.message;
}
