/** Shows the checker every statement that the database executes, in the checker's own words. */
import type { NewMessage, RoomWrite, Stores } from '../../src/engine/ports.ts';
import type { Attempt } from '../../src/room/room.ts';
import type { Checker } from './checker.ts';
import { methodsOf } from './database.ts';
import type { AttemptRecord, ChangeRecord, PlacedRecord } from './records.ts';

/** @param onLine is told each change of a row in one line */
export function watchStores(stores: Stores, checker: Checker, onLine: (line: string) => void): Stores {
  const { leases } = checker;
  const { rooms, ownership } = stores;
  const conditions = stores.channels;
  return {
    ...stores,
    rooms: {
      ...bound(rooms),
      append: async (batch) => {
        const results = await rooms.append(batch);
        const placed = new Map<string, { readonly messages: PlacedRecord[]; tail: number }>();
        results.forEach((result, index) => {
          const { key, messageId } = batch[index] as NewMessage;
          if (result.kind !== 'appended' && (result.kind !== 'parked' || result.duplicate)) return;
          const { row, sequence } = result;
          const room = placed.get(roomName(key)) ?? { messages: [], tail: row.tail };
          room.messages.push({ id: messageId, sequence, late: result.kind === 'appended' && result.late === true });
          placed.set(roomName(key), room);
          onLine(`${roomName(key)} ${result.kind} ${messageId} as ${sequence}`);
        });
        for (const [room, { messages, tail }] of placed) checker.placed(room, messages, tail);
        return results;
      },
      skipGaps: async (gaps) => {
        // Before, so that nothing comes between the statement and what the checker is told of it.
        const stored = await rooms.readRooms(gaps);
        const results = await rooms.skipGaps(gaps);
        results.forEach((result, index) => {
          const key = stored[index]?.row.key;
          if (key === undefined || result?.skipped == null) return;
          const { first, last } = result.skipped;
          checker.skipped(roomName(key), first, last, result.tail);
          onLine(`${roomName(key)} skipped ${first} to ${last}, tail ${result.tail}`);
        });
        return results;
      },
      compareAndSet: async (lane, writes, proof) => {
        const results = await rooms.compareAndSet(lane, writes, proof);
        results.forEach(({ kind }, index) => {
          const write = writes[index] as RoomWrite;
          if (kind === 'committed') checker.changed(changeOf(write));
          else checker.count(`write_${kind}`);
          onLine(lineOf(kind, write));
        });
        return results;
      },
    },
    ownership: {
      ...bound(ownership),
      register: async (registration) => {
        const registered = await ownership.register(registration);
        leases.registered(registration.worker, registered.generation);
        return registered;
      },
      fence: async (worker) => {
        const fenced = await ownership.fence(worker);
        if (fenced) leases.fenced(worker);
        if (fenced) onLine(`fenced ${worker}`);
        return fenced;
      },
      ownShards: async (worker) => {
        const owned = await ownership.ownShards(worker);
        leases.took(
          worker,
          owned.map(({ shard }) => shard),
        );
        return owned;
      },
      handOver: async (worker, shards) => {
        const given = await ownership.handOver(worker, shards);
        leases.gave(worker, given);
        if (given.length > 0) onLine(`${worker} handed over ${given.join(', ')}`);
        return given;
      },
      raiseGeneration: async (worker) => {
        const generation = await ownership.raiseGeneration(worker);
        leases.raised(worker, generation);
        onLine(`${worker} is at generation ${generation}`);
        return generation;
      },
      release: async (worker) => {
        await ownership.release(worker);
        leases.fenced(worker);
        onLine(`${worker} released its shards`);
      },
    },
    channels: {
      ...bound(conditions),
      save: async (channel, condition, now) => {
        await conditions.save(channel, condition, now);
        checker.count(`channel_${condition.state}`);
        onLine(`channel ${channel.channel} ${condition.state}`);
      },
    },
  };
}

export function roomName(key: { readonly channel: string; readonly room: string }): string {
  return `${key.channel}/${key.room}`;
}

function bound<T extends object>(store: T): T {
  const from = store as unknown as Record<string, (...args: unknown[]) => unknown>;
  return Object.fromEntries(methodsOf(store).map((name) => [name, from[name]?.bind(store)])) as T;
}

function changeOf({ expectedVersion, next, facts, claims }: RoomWrite): ChangeRecord {
  const { key, shard, version, phase, reason, settled, paused, attempt, level, mark, nack, attempts } = next;
  return {
    expectedVersion,
    row: {
      room: roomName(key),
      shard,
      version,
      phase,
      reason,
      settled,
      paused,
      attempt,
      level,
      mark,
      nacked: nack !== null,
      attempts: attempts.map(attemptOf),
    },
    settled: facts.flatMap((fact) =>
      fact.kind === 'settled'
        ? [
            {
              sequence: fact.sequence,
              outcome: fact.outcome,
              reason: fact.reason,
              attempts: fact.attempts.map(attemptOf),
            },
          ]
        : [],
    ),
    cancelled: facts.flatMap((fact) =>
      fact.kind === 'cancel_marked' ? [{ sequence: fact.sequence, by: fact.by }] : [],
    ),
    claims,
  };
}

function attemptOf({ number, worker, generation, begunAt, result }: Attempt): AttemptRecord {
  return { number, worker, generation, begunAt, result };
}

function lineOf(kind: string, { next, facts, claims }: RoomWrite): string {
  const reason = next.reason === null ? '' : `(${next.reason})`;
  const settled = facts.map((fact) => (fact.kind === 'settled' ? `${fact.sequence}=${fact.outcome}` : fact.kind));
  const by = claims ? ` by ${next.attempts.at(-1)?.worker ?? ''}` : '';
  return `${roomName(next.key)} ${kind} v${next.version} ${next.phase}${reason} settled ${next.settled}/${next.tail} attempt ${next.attempt}${by} ${settled.join(' ')}`;
}
