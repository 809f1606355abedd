import type { Clock, Scheduler } from './clock.ts';
import type { GroundTruthLog } from './ground-truth.ts';
import type { Profile } from './profile.ts';
import type { Resolver } from './resolve.ts';
import type { Stats } from './stats.ts';

/** What every part of one platform shares. */
export interface World {
  readonly seed: string;
  readonly profile: Profile;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly truth: GroundTruthLog;
  readonly stats: Stats;
  /** Replaced as a whole when settings change. */
  resolver: Resolver;
  /** Milliseconds since the start, to the microsecond. */
  now(): number;
  /** To be called whenever something that was under way has ended. */
  checkIdle(): void;
}
