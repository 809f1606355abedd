/** Which platform adapters there are. */
import type { PlatformChannel } from '../engine/ports.ts';
import { createGenericChannel } from './generic.ts';
import type { PlatformChannelConfig, PlatformDependencies, PlatformFactory } from './platform.ts';

const FACTORIES = { generic: createGenericChannel } as const satisfies Record<string, PlatformFactory>;

export type PlatformName = keyof typeof FACTORIES;

export function createPlatformChannel(
  platform: PlatformName,
  config: PlatformChannelConfig,
  dependencies: PlatformDependencies,
): PlatformChannel {
  return FACTORIES[platform](config, dependencies);
}
