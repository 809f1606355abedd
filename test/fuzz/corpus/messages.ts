/** Every hand-written message, for Pub/Sub and the publish route alike. */
import { ENCODINGS } from './encodings.ts';
import type { Entry } from './entry.ts';
import { ID_MESSAGES } from './ids.ts';
import { STRUCTURES } from './structures.ts';

export const MESSAGES: readonly Entry[] = [...ENCODINGS, ...STRUCTURES, ...ID_MESSAGES];
