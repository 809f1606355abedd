import { OutcomeUnknownError } from '../engine/ports.ts';
import { RoomlineError } from '../errors.ts';

/**
 * What a store that is away cannot answer or take now is `not_ready`: the caller comes again.
 * @param unknown what to do where it may have taken effect
 */
export async function fromStore<T>(work: Promise<T>, unknown = 'repeat it'): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof RoomlineError || isFaultOfOurs(error)) throw error;
    const isUnknown = error instanceof OutcomeUnknownError;
    const detail = isUnknown ? `Whether it took effect is not known: ${unknown}` : 'the store is away';
    throw new RoomlineError('not_ready', { detail, cause: error });
  }
}

/** A mistake in the code must not pass for a store that is away. */
function isFaultOfOurs(error: unknown): boolean {
  return error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError;
}
