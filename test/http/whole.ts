/** A server with every route there is, on memory stores: rooms, dead letters, channels and a fleet. */
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
  const store = bed.operators.pipeline;
  const pipeline = createPipelineAnswers({ engine, rooms, store, references, clock, shards: SHARDS });
  Object.assign(backend.dependencies, { channelAdmin: registry, pipeline, ...(fleet === undefined ? {} : { fleet }) });
  const started = await startServer(change, backend);
  const document = (await (await started.call('/v1/openapi.json')).json()) as Document;
  return { ...started, steered, workers, document, operations: operationsOf(document) };
}
