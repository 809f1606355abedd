import type { ChannelCondition, ChannelKey, ChannelStore, StoredCondition } from '../../engine/ports.ts';
import { compositeKey, nextMicrotask } from './database.ts';

export class MemoryChannelStore implements ChannelStore {
  readonly #conditions = new Map<string, StoredCondition>();

  async load(): Promise<StoredCondition[]> {
    await nextMicrotask();
    return [...this.#conditions.values()];
  }

  async save(channel: ChannelKey, condition: ChannelCondition, at: number): Promise<void> {
    await nextMicrotask();
    const name = compositeKey(channel.tenant, channel.channel);
    if ((this.#conditions.get(name)?.at ?? at) > at) return;
    const row = {
      channel: Object.freeze({ tenant: channel.tenant, channel: channel.channel }),
      condition: Object.freeze({ ...condition }),
      at,
    };
    this.#conditions.set(name, Object.freeze(row));
  }
}
