import type { Lease } from './lane.ts';

const SLOT_MS = 50;

/**
 * Finds the leases whose ack deadline has ended. Extending a deadline costs nothing: the lease is put further out
 * when its old slot comes up.
 */
export class DeadlineWheel {
  readonly #slots = new Map<number, Set<Lease>>();

  /** Watches a lease from now on, or notices that its deadline has changed. */
  watch(lease: Lease): void {
    const slot = Math.ceil(lease.deadlineMs / SLOT_MS);
    if (lease.slot !== null && lease.slot <= slot) return;
    this.forget(lease);
    lease.slot = slot;
    const leases = this.#slots.get(slot);
    if (leases) leases.add(lease);
    else this.#slots.set(slot, new Set([lease]));
  }

  forget(lease: Lease): void {
    if (lease.slot !== null) this.#slots.get(lease.slot)?.delete(lease);
    lease.slot = null;
  }

  /** Removes and returns the leases that ended at or before `nowMs`. */
  due(nowMs: number): Lease[] {
    const present = Math.floor(nowMs / SLOT_MS);
    const ended: Lease[] = [];
    for (const [slot, leases] of this.#slots) {
      if (slot > present) continue;
      this.#slots.delete(slot);
      for (const lease of leases) {
        lease.slot = null;
        if (lease.deadlineMs > nowMs) this.watch(lease);
        else ended.push(lease);
      }
    }
    return ended;
  }
}
