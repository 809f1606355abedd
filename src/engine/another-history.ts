/** How a database of another history is spoken of. */
import type { AnotherHistory, DatabaseIdentity } from './fleet-ports.ts';

export function nameOfHistory({ systemIdentifier, timeline }: DatabaseIdentity): string {
  return `cluster ${systemIdentifier}, timeline ${timeline}`;
}

/** For readiness: what is wrong, and what to do about it. */
export function explainHistory({ stored, seen }: AnotherHistory): string {
  const what =
    stored.systemIdentifier === seen.systemIdentifier
      ? `another timeline (${seen.timeline}, was ${stored.timeline})`
      : `another cluster (${seen.systemIdentifier}, was ${stored.systemIdentifier})`;
  return `${what}: rooms are held until an operator decides: roomline database status`;
}
