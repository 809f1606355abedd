import { status } from '@grpc/grpc-js';

/** A refusal that reaches the client as this gRPC status. */
export class PubSubError extends Error {
  readonly code: status;
  /** gRPC's name for the text of a status. */
  readonly details: string;

  constructor(code: status, details: string) {
    super(details);
    this.name = 'PubSubError';
    this.code = code;
    this.details = details;
  }
}

export const invalid = (details: string): PubSubError => new PubSubError(status.INVALID_ARGUMENT, details);
export const notFound = (details: string): PubSubError => new PubSubError(status.NOT_FOUND, details);
export const alreadyExists = (details: string): PubSubError => new PubSubError(status.ALREADY_EXISTS, details);
export const unavailable = (details: string): PubSubError => new PubSubError(status.UNAVAILABLE, details);
export const unimplemented = (details: string): PubSubError => new PubSubError(status.UNIMPLEMENTED, details);
