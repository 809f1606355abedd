/** Signals as texts on the wire. Whatever else comes on our channels reads as null. */
import type { Signal } from '../../engine/ports.ts';

export type RoomSignal = Extract<Signal, { kind: 'room' }>;
export type CommonSignal = Exclude<Signal, RoomSignal>;

/** What one shard's channel carries: `id.version.tail.ackedAt` of each room in base 36, the last empty for null. */
export function encodeRooms(signals: Iterable<RoomSignal>): string {
  const items: string[] = [];
  for (const { id, version, tail, ackedAt } of signals) {
    items.push(`${base36(id)}.${base36(version)}.${base36(tail)}.${ackedAt === null ? '' : base36(ackedAt)}`);
  }
  return items.join(',');
}

export function decodeRooms(shard: number, text: string): RoomSignal[] | null {
  if (text.length > LONGEST) return null;
  const signals: RoomSignal[] = [];
  for (const item of text.split(',')) {
    const found = ROOM.exec(item);
    if (found === null) return null;
    const [id, version, tail] = [found[1], found[2], found[3]].map((digits) => Number.parseInt(digits ?? '', 36));
    const ackedAt = found[4] === '' ? null : Number.parseInt(found[4] ?? '', 36);
    if (![id, version, tail, ackedAt ?? 0].every(Number.isSafeInteger)) return null;
    signals.push({ kind: 'room', shard, id: id as number, version: version as number, tail: tail as number, ackedAt });
  }
  return signals;
}

/** What the channel of all processes carries: the sender, and its signals. */
export function encodeCommon(sender: string, signals: Iterable<CommonSignal>): string {
  return JSON.stringify([sender, ...Array.from(signals, fieldsOf)]);
}

export function decodeCommon(text: string): { readonly sender: string; readonly signals: CommonSignal[] } | null {
  if (text.length > LONGEST) return null;
  const parsed = parse(text);
  if (!Array.isArray(parsed)) return null;
  const [sender, ...items] = parsed as unknown[];
  if (typeof sender !== 'string') return null;
  const signals: CommonSignal[] = [];
  for (const item of items) {
    const signal = Array.isArray(item) ? signalOf(item) : null;
    if (signal === null) return null;
    signals.push(signal);
  }
  return { sender, signals };
}

/** Of two signals of one key the later one says all that matters. */
export function keyOf(signal: CommonSignal): string {
  return fieldsOf(signal).slice(0, 3).join('\0');
}

const ROOM = /^([0-9a-z]{1,11})\.([0-9a-z]{1,11})\.([0-9a-z]{1,11})\.([0-9a-z]{0,11})$/;
/** Characters in one message: more than a full queue makes. */
const LONGEST = 4 * 1_048_576;

function base36(number: number): string {
  return Math.max(0, Math.floor(number)).toString(36);
}

function fieldsOf(signal: CommonSignal): readonly (string | number)[] {
  if (signal.kind === 'ownership') return signal.worker === null ? [signal.kind] : [signal.kind, signal.worker];
  if (signal.kind !== 'acks') return [signal.kind];
  return [signal.kind, signal.channel.tenant, signal.channel.channel, ...(signal.delaysMs ?? [])];
}

function signalOf(fields: readonly unknown[]): CommonSignal | null {
  const [kind, tenant, channel, ...delaysMs] = fields;
  if (kind === 'ownership') return { kind, worker: typeof tenant === 'string' ? tenant : null };
  if (kind === 'channels' || kind === 'missed') return { kind };
  if (kind !== 'acks' || typeof tenant !== 'string' || typeof channel !== 'string') return null;
  if (!delaysMs.every(isDelay)) return null;
  return { kind, channel: { tenant, channel }, ...(delaysMs.length === 0 ? {} : { delaysMs }) };
}

function isDelay(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
