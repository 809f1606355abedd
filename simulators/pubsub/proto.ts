import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

const PUBSUB_PROTO = 'google/pubsub/v1/pubsub.proto';

/** The nearest `build/protos` above a module's main file (package.json is not exported, so it cannot be resolved). */
function protosAbove(mainFile: string, marker: string): string {
  for (let folder = dirname(mainFile); ; folder = dirname(folder)) {
    const protos = join(folder, 'build', 'protos');
    if (existsSync(join(protos, marker))) return protos;
    if (folder === dirname(folder)) throw new Error(`${marker} was not found above ${mainFile}`);
  }
}

/** The service definitions of google.pubsub.v1, read from the files that the official client ships. */
export function loadServices(): { publisher: ServiceDefinition; subscriber: ServiceDefinition } {
  const pubsubMain = createRequire(import.meta.url).resolve('@google-cloud/pubsub');
  const gaxMain = createRequire(pubsubMain).resolve('google-gax');
  const definitions = loadSync(PUBSUB_PROTO, {
    includeDirs: [protosAbove(pubsubMain, PUBSUB_PROTO), protosAbove(gaxMain, 'google/api/annotations.proto')],
    longs: Number,
    defaults: true,
    enums: String,
  });
  return {
    publisher: definitions['google.pubsub.v1.Publisher'] as ServiceDefinition,
    subscriber: definitions['google.pubsub.v1.Subscriber'] as ServiceDefinition,
  };
}
