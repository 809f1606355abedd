import { hash } from 'node:crypto';

/** Digest of a content as parsed, so that a publisher can compute the same from what it published: SHA-256 of its JSON, 24 hex digits. */
export const contentHash = (content: unknown): string => hash('sha256', JSON.stringify(content), 'hex').slice(0, 24);
