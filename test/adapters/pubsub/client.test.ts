import type { PubSub } from '@google-cloud/pubsub';
import { describe, expect, it } from 'vitest';
import { inspect, type PubSubOptions } from '../../../src/adapters/pubsub/client.ts';
import { troubleOf } from '../../../src/adapters/pubsub/status.ts';

const OPTIONS: PubSubOptions = {
  projectId: 'project',
  subscription: 'outbound',
  topic: null,
  endpoint: null,
  maxOutstandingMessages: 1,
  maxOutstandingBytes: 1,
};

/** A client whose subscription answers so when it is looked at. */
const clientThat = (getMetadata: () => Promise<unknown>) =>
  ({ subscription: () => ({ getMetadata }) }) as unknown as PubSub;

describe('the look at the subscription', () => {
  it('may be forbidden to credentials that may consume', async () => {
    const client = clientThat(() => Promise.reject(Object.assign(new Error('denied'), { code: 7 })));
    await expect(inspect(client, OPTIONS)).resolves.toBeUndefined();
  });

  it('creates nothing where no topic is given', async () => {
    const error = Object.assign(new Error('none'), { code: 5 });
    await expect(
      inspect(
        clientThat(() => Promise.reject(error)),
        OPTIONS,
      ),
    ).rejects.toBe(error);
  });
});

describe('what is told to an operator', () => {
  it.each([
    [{ code: 5 }, 'NOT_FOUND: the subscription does not exist'],
    [{ code: 16 }, 'UNAUTHENTICATED: the credentials were refused'],
    [{ code: 13 }, 'INTERNAL: Pub/Sub answered with an error'],
    [{}, 'CLIENT: the Pub/Sub client failed before it reached the service'],
  ])('of %j is a line with a code, without what the error quotes', (fields, line) => {
    expect(troubleOf(Object.assign(new Error('secret'), fields))).toBe(line);
  });
});
