import { expect } from 'vitest';
import { type Service, ServiceStoppedError } from '../../src/engine/service.ts';

export interface StressOptions {
  /** How many services of the kind are made and put through it. */
  readonly rounds?: number;
  /** Called after each round's stop: throw or fail where something of the service is left behind. */
  readonly assertReleased?: () => Promise<void> | void;
}

/**
 * Puts services of one kind through every order of starting and stopping that the contract in `engine/service.ts`
 * allows, concurrent calls included. `make` returns a new service each time.
 */
export async function stressService(
  make: () => Promise<Service> | Service,
  options: StressOptions = {},
): Promise<void> {
  const { rounds = 12, assertReleased } = options;
  for (let round = 0; round < rounds; round++) {
    const service = await make();
    await ORDERS[round % ORDERS.length]?.(service, round);
    await expect(service.start(), 'a start after the stop').rejects.toBeInstanceOf(ServiceStoppedError);
    await service.stop();
    await assertReleased?.();
  }
}

const ORDERS: readonly ((service: Service, round: number) => Promise<void>)[] = [
  // One after the other.
  async (service) => {
    await service.start();
    await service.stop();
  },
  // Several starts and stops at once.
  async (service) => {
    await Promise.all([service.start(), service.start(), service.start()]);
    await Promise.all([service.stop(), service.stop(), service.stop()]);
  },
  // A stop that arrives while the start is under way, some turns of the event loop into it.
  async (service, round) => {
    const starting = Promise.allSettled([service.start(), service.start()]);
    for (let turn = 0; turn < round; turn++) await new Promise((resolve) => setImmediate(resolve));
    await Promise.all([service.stop(), service.stop()]);
    const [first, second] = await starting;
    expect(first.status).toBe(second.status);
  },
  // A stop without any start.
  async (service) => {
    await service.stop();
  },
];
