/** How many messages of each channel are somewhere. */
import type { ChannelDepth } from './buffer-ports.ts';
import type { ChannelKey } from './ports.ts';

/** One depth for each channel. */
export function sumByChannel(depths: Iterable<ChannelDepth>): ChannelDepth[] {
  const counts = new ChannelCounts();
  for (const { messages, ...key } of depths) counts.add(key, messages);
  return counts.all();
}

export function messagesIn(depths: readonly ChannelDepth[]): number {
  return depths.reduce((sum, { messages }) => sum + messages, 0);
}

interface Count extends ChannelKey {
  messages: number;
}

/** Counts messages as they come and go. */
export class ChannelCounts {
  readonly #byTenant = new Map<string, Map<string, Count>>();
  #last: Count | null = null;

  add(key: ChannelKey, by: number): void {
    this.#of(key).messages += by;
  }

  /** Those that have any. */
  all(): ChannelDepth[] {
    const counts = [...this.#byTenant.values()].flatMap((ofTenant) => [...ofTenant.values()]);
    return counts.filter(({ messages }) => messages > 0).map((count) => ({ ...count }));
  }

  #of({ tenant, channel }: ChannelKey): Count {
    const last = this.#last;
    if (last !== null && last.channel === channel && last.tenant === tenant) return last;
    const ofTenant = this.#byTenant.get(tenant) ?? new Map<string, Count>();
    this.#byTenant.set(tenant, ofTenant);
    const count = ofTenant.get(channel) ?? { tenant, channel, messages: 0 };
    ofTenant.set(channel, count);
    this.#last = count;
    return count;
  }
}
