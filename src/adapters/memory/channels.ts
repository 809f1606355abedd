import type { ChannelCondition, ChannelKey, ChannelStore } from '../../engine/ports.ts';
import { compositeKey, nextMicrotask } from './database.ts';

export class MemoryChannelStore implements ChannelStore {
  readonly #conditions = new Map<string, { readonly channel: ChannelKey; readonly condition: ChannelCondition }>();

  async load(): Promise<{ channel: ChannelKey; condition: ChannelCondition }[]> {
    await nextMicrotask();
    return [...this.#conditions.values()];
  }

  async save(channel: ChannelKey, condition: ChannelCondition): Promise<void> {
    await nextMicrotask();
    const row = {
      channel: Object.freeze({ tenant: channel.tenant, channel: channel.channel }),
      condition: Object.freeze({ ...condition }),
    };
    this.#conditions.set(compositeKey(channel.tenant, channel.channel), Object.freeze(row));
  }
}
