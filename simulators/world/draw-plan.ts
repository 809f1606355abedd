/** Draws the plan of a seed's world. Every part has its own stream of chance. */
import { chanceFor, type WorldChance } from './chance.ts';
import { FAILPOINTS, type FailpointName } from './failpoints.ts';
import type {
  Act,
  ChannelPlan,
  FailpointPlan,
  FeedFaults,
  MessagePlan,
  Order,
  Outage,
  Plan,
  PlatformFaults,
  RoomPlan,
  SignalsPlan,
  StoreFaults,
} from './plan.ts';

const FAULTS_END_MS = 15_000;

export function drawPlan(seed: number): Plan {
  const shape = chanceFor(seed, 'shape');
  const mode = shape.pick(['safety', 'liveness', 'liveness'] as const);
  const processes = shape.between(1, 3);
  const lasting =
    mode === 'liveness' && processes > 1
      ? shape.pick(['nothing', 'nothing', 'dead_process', 'paused_process'] as const)
      : 'nothing';
  const rooms = drawRooms(seed);
  return {
    seed,
    mode,
    lasting,
    faultsEndMs: FAULTS_END_MS,
    processes,
    skewedClocks: shape.hit(0.5),
    engine: {
      lanes: shape.between(1, 2),
      maxBatchRows: shape.pick([1, 3, 100]),
      lingerMs: shape.pick([0, 2]),
      acceptanceLingerMs: chanceFor(seed, 'acceptance linger').pick([0, 20]),
      bodyCacheBytes: shape.pick([0, 10_000]),
    },
    channel: {
      ...drawChannel(chanceFor(seed, 'channel')),
      roomLimit: drawRoomLimit(chanceFor(seed, 'room limit')),
      adaptive: chanceFor(seed, 'adaptive').hit(0.3),
      orderGap: drawOrderGap(chanceFor(seed, 'order gap')),
    },
    rooms,
    acts: drawActs(chanceFor(seed, 'acts'), processes, rooms),
    failpoints: drawFailpoints(seed),
    platform: drawPlatformFaults(chanceFor(seed, 'platform faults')),
    store: drawStoreFaults(chanceFor(seed, 'store faults')),
    feed: drawFeedFaults(chanceFor(seed, 'feed faults')),
    signals: drawSignals(chanceFor(seed, 'signals')),
  };
}

function drawRooms(seed: number): RoomPlan[] {
  const chance = chanceFor(seed, 'rooms');
  const rooms: RoomPlan[] = [];
  const room = (name: string, channel: RoomPlan['channel'], messages: number): RoomPlan => {
    const own = chanceFor(seed, 'room', name);
    const times = Array.from({ length: messages }, () => own.between(0, FAULTS_END_MS - 3_000)).sort((a, b) => a - b);
    const source = own.pick(['pubsub', 'pubsub', 'http'] as const);
    return {
      name,
      channel,
      source,
      messages: drawWishes(seed, name, messagesAt(own, name, times)),
    };
  };
  for (let n = chance.between(1, 4), index = 1; index <= n; index++) {
    rooms.push(room(`room-${index}`, 'main', chance.between(2, 12)));
  }
  if (chance.hit(0.3)) rooms.push(room('room-mute', 'mute', chance.between(1, 3)));
  return rooms;
}

function messagesAt(chance: WorldChance, room: string, times: readonly number[]): MessagePlan[] {
  return times.map((at, index) => drawMessage(chance, `${room}/${index + 1}`, at));
}

/** What publishers ask for beside that: in some rooms an order of their own, in the others replacements. */
function drawWishes(seed: number, room: string, messages: readonly MessagePlan[]): MessagePlan[] {
  const chance = chanceFor(seed, 'order', room);
  if (chance.hit(0.35)) return drawOrders(chance, messages);
  return drawSuperseding(chanceFor(seed, 'supersedes', room), messages);
}

/** They come in another order than they are numbered in, some numbers never, and some messages have none. */
function drawOrders(chance: WorldChance, messages: readonly MessagePlan[]): MessagePlan[] {
  let number = chance.pick([0, 0, 0, 5]);
  const orders = messages.map(() => {
    if (chance.hit(0.15)) return undefined;
    number += chance.hit(0.15) ? chance.between(2, 4) : 1;
    return number;
  });
  for (let index = 1; index < orders.length; index++) {
    if (!chance.hit(0.4)) continue;
    const other = index - chance.between(1, Math.min(3, index));
    [orders[index], orders[other]] = [orders[other], orders[index]];
  }
  return messages.map((message, index) => {
    const order = orders[index];
    return order === undefined ? message : { ...message, order };
  });
}

function drawOrderGap(chance: WorldChance): NonNullable<ChannelPlan['orderGap']> {
  return {
    timeoutMs: chance.pick([200, 1_500, 4_000]),
    policy: chance.pick(['skip', 'skip', 'skip', 'hold'] as const),
  };
}

/** Some messages replace one of the few before them. */
function drawSuperseding(chance: WorldChance, messages: readonly MessagePlan[]): MessagePlan[] {
  return messages.map((message, index) => {
    if (index === 0 || !chance.hit(0.15)) return message;
    const older = messages[index - chance.between(1, Math.min(3, index))] as MessagePlan;
    return { ...message, supersedes: older.id };
  });
}

function drawMessage(chance: WorldChance, id: string, at: number): MessagePlan {
  const notBefore = chance.hit(0.08) ? chance.between(at, FAULTS_END_MS) : null;
  const expiresAt = chance.hit(0.1) ? (notBefore ?? at) + chance.between(500, 8_000) : null;
  return { id, at, notBefore, expiresAt };
}

function drawChannel(chance: WorldChance): ChannelPlan {
  const echoesReference = chance.hit(0.6);
  return {
    unlockedBy: chance.pick(['accepted', 'sent', 'delivered', 'delivered', 'delivered', 'read'] as const),
    ackTimeoutMs: chance.pick([300, 2_000]),
    muteAckTimeoutMs: chance.pick([500, 3_000]),
    minGapMs: chance.pick([0, 0, 50]),
    maxAttempts: chance.pick([2, 5, 50]),
    unknownPolicy: chance.pick(['resend', 'resend', 'resend', 'assume', 'hold'] as const),
    failurePolicy: chance.pick(['move_on', 'move_on', 'hold'] as const),
    maxConcurrentSends: chance.pick([1, 2, 64]),
    echoesReference,
    delivery: echoesReference
      ? chance.pick(['single', 'single', 'cumulative'] as const)
      : chance.pick(['single', 'single', 'watermark'] as const),
    lookup: chance.hit(0.4),
    idempotent: chance.hit(0.3),
  };
}

function drawRoomLimit(chance: WorldChance): { everyMs: number; burst: number } {
  return { everyMs: chance.pick([0, 0, 0, 40, 400]), burst: chance.pick([1, 3]) };
}

function drawActs(chance: WorldChance, processes: number, rooms: readonly RoomPlan[]): Act[] {
  const acts: Act[] = [];
  const at = (): number => chance.between(100, FAULTS_END_MS - 1_000);
  const slot = (): number => chance.between(0, processes - 1);
  const pauseMs = (): number => chance.pick([300, 1_500, 2_500, 4_000]);
  const some = (most: number, draw: () => Act): void => {
    for (let n = chance.between(0, most); n > 0; n--) acts.push(draw());
  };
  const outages: readonly Exclude<Outage, 'none'>[] = ['down', 'black_hole', 'unauthorized', 'throttled'];
  const orders: readonly Order[] = ['pause', 'resume', 'skip', 'cancel', 'cancel', 'retry'];
  some(2, () => ({ at: at(), kind: 'crash', slot: slot(), downMs: chance.pick([10, 500, 3_000]) }));
  some(2, () => ({ at: at(), kind: 'pause', slot: slot(), forMs: pauseMs() }));
  some(1, () => ({ at: at(), kind: 'stop', slot: slot(), downMs: chance.pick([10, 500, 3_000]) }));
  some(1, () => ({ at: at(), kind: 'replace', slot: slot(), forMs: chance.pick([1_500, 3_000, 5_000]) }));
  some(1, () => ({ at: at(), kind: 'wall_step', slot: slot(), byMs: chance.pick([-3_600_000, -1_000, 3_600_000]) }));
  some(1, () => ({ at: at(), kind: 'store_outage', forMs: chance.pick([200, 1_000, 4_000]) }));
  some(1, () => ({
    at: at(),
    kind: 'cut',
    slot: slot(),
    forMs: chance.pick([500, 2_500, 5_000]),
    way: chance.pick(['to', 'from'] as const),
  }));
  some(2, () => ({ at: at(), kind: 'platform', outage: chance.pick(outages), forMs: chance.between(200, 5_000) }));
  some(1, () => ({ at: at(), kind: 'ack_outage', forMs: chance.between(2_000, 6_000) }));
  some(6, () => {
    const room = chance.pick(rooms);
    const sequence = chance.between(1, room.messages.length);
    return { at: at(), kind: 'operate', slot: slot(), order: chance.pick(orders), room: room.name, sequence };
  });
  return acts.sort((a, b) => a.at - b.at);
}

/** Points that are passed a few times in a world fire in more of their passes. */
const RARE: ReadonlySet<FailpointName> = new Set([
  'worker.registered',
  'worker.fenced',
  'plan.applied',
  'shards.handed_over',
  'generation.raised',
  'shards.released',
  'inbox.kept',
  'history.written',
  'lookup.answered',
]);

function drawFailpoints(seed: number): FailpointPlan[] {
  return FAILPOINTS.flatMap((name): FailpointPlan[] => {
    const chance = chanceFor(seed, 'arm', name);
    if (!chance.hit(0.25)) return [];
    const effect = chance.pick(['crash', 'pause', 'delay'] as const);
    const forMs = effect === 'crash' ? chance.pick([10, 500, 3_000]) : chance.pick([200, 1_200, 2_600, 4_000]);
    const probability = RARE.has(name) ? 0.4 : chance.pick([0.02, 0.1, 0.25]);
    return [{ name, effect, forMs, probability, most: chance.between(1, 3) }];
  });
}

/** In half of the worlds a fault is absent, so that it cannot hide what others do. */
function someOf(chance: WorldChance): (most: number) => number {
  return (most) => (chance.hit(0.5) ? rounded(chance.uniform() * most) : 0);
}

function rounded(probability: number): number {
  return Math.round(probability * 1_000) / 1_000;
}

function drawPlatformFaults(chance: WorldChance): PlatformFaults {
  const some = someOf(chance);
  return {
    dropRequest: some(0.1),
    dropAnswer: some(0.15),
    holdRequest: some(0.1),
    serverErrorBefore: some(0.1),
    serverErrorAfter: some(0.15),
    messageRefusal: some(0.2),
    roomLimit: some(0.2),
    permanentRefusal: some(0.05),
    channelRefusal: some(0.05),
    accountRefusal: some(0.03),
    connectFailure: some(0.1),
    ackLost: some(0.5),
    ackEarly: some(0.5),
    ackLate: some(0.4),
    ackDoubled: some(0.5),
    failedStatus: some(0.1),
    contradiction: some(0.3),
    strayAck: some(0.3),
    badBatch: some(0.5),
    futureWatermark: some(0.3),
  };
}

function drawStoreFaults(chance: WorldChance): StoreFaults {
  const some = someOf(chance);
  return {
    failBefore: some(0.03),
    loseBefore: some(0.03),
    runThenFail: some(0.04),
    executeLate: some(0.03),
    stall: some(0.02),
    busy: some(0.2),
  };
}

/** Every other world has none. */
function drawSignals(chance: WorldChance): SignalsPlan | null {
  if (chance.hit(0.5)) return null;
  const some = someOf(chance);
  const outages = Array.from({ length: chance.between(0, 2) }, () => {
    return { at: chance.between(100, FAULTS_END_MS - 1_000), forMs: chance.pick([100, 1_000, 4_000]) };
  });
  return { lose: some(0.3), double: some(0.3), late: some(0.3), outages };
}

function drawFeedFaults(chance: WorldChance): FeedFaults {
  const some = someOf(chance);
  return { redeliver: some(0.3), duplicate: some(0.2), overlap: some(0.8), move: some(0.2), conflict: some(0.1) };
}
