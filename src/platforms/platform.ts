/** What a platform's adapter is given. */
import type { PlatformChannel } from '../engine/ports.ts';

/** A text that shows itself only on request. */
export interface Revealable {
  reveal(): string;
}

/** One sender as the configuration describes it. */
export interface PlatformChannelConfig {
  /** Absolute, without query or fragment: https, or http on a loopback host. */
  readonly baseUrl: string;
  readonly accessToken: Revealable;
  /** Newest first; every one of them may sign. */
  readonly webhookSecrets: readonly Revealable[];
  readonly lookup: boolean;
  readonly maxConcurrentSends: number;
  readonly sendTimeoutMs: number;
}

export interface PlatformDependencies {
  /** Unix time in ms, for dates that platforms name. */
  readonly wallClockMs: () => number;
}

export type PlatformFactory = (config: PlatformChannelConfig, dependencies: PlatformDependencies) => PlatformChannel;
