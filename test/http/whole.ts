/** A server with every route there is, on memory stores: rooms, dead letters, channels and a fleet. */
import { MemoryBufferStreams } from '../../src/adapters/memory/buffer.ts';
import { Live } from '../../src/engine/live.ts';
import { LiveHub } from '../../src/http/live-hub.ts';
import { createPipelineAnswers } from '../../src/http/pipeline-answers.ts';
import type { HttpServerOptions } from '../../src/http/server.ts';
import { Fleet } from '../support/channel-admin.ts';
import { SHARDS } from '../support/engine.ts';
import { FleetBed } from '../support/fleet-admin.ts';
import { SteeringBed } from '../support/steering.ts';
import { type Document, operationsOf } from './contract.ts';
import { startServer } from './fixture.ts';

export async function startWhole(change: Partial<HttpServerOptions> = {}) {
  const steered = await SteeringBed.start();
  const { bed, process, backend } = steered;
  const { engine, references, clock } = process;
  const { registry } = await new Fleet().start();
  const workers = await new FleetBed().withWorkers('a', 'b');
  const { fleet } = workers.backend.dependencies;
  const rooms = bed.stores.rooms;
  const { pipeline: store, recipients } = bed.operators;
  const pipeline = createPipelineAnswers({ engine, rooms, store, recipients, references, clock, shards: SHARDS });
  const { telemetry, metrics } = process.instruments;
  const onFailure = (error: unknown): void => void process.failures.push(error);
  const told = { bus: null, reporter: { glance: async () => null }, teller: 'p', telemetry, onFailure };
  const live = new Live({ ...told, channels: engine.channels, references, clock });
  const hub = new LiveHub({ live, clock, metrics, shards: SHARDS, maxReaders: 100, maxReadersPerKey: 100 });
  const streams = new MemoryBufferStreams(() => clock.now());
  const buffer = { buffer: { partitions: 4 }, streams, audit: bed.operators.audit };
  Object.assign(backend.dependencies, { live: hub, buffer });
  Object.assign(backend.dependencies, { channelAdmin: registry, pipeline, ...(fleet === undefined ? {} : { fleet }) });
  const started = await startServer(change, backend);
  const document = (await (await started.call('/v1/openapi.json')).json()) as Document;
  return { ...started, steered, workers, document, operations: operationsOf(document) };
}
