/** Engines that tell of themselves, on one memory database with its pipeline store. */
import { isDeepStrictEqual } from 'node:util';
import { endOfTurn } from '../../simulators/world/time.ts';
import { Reporter } from '../../src/engine/pipeline.ts';
import type { LingeringRoom, PipelinePart, PipelineStore } from '../../src/engine/pipeline-ports.ts';
import type { ChannelSettings } from '../../src/engine/policy.ts';
import { PHASES, type Phase, type RoomRow } from '../../src/room/room.ts';
import { Bed, channelOf, type Process, settled } from './engine.ts';

const ALL: readonly Phase[] = PHASES.filter((phase) => phase !== 'idle');

export class Stage {
  readonly bed: Bed;
  readonly store: PipelineStore;
  /** Rooms by their names, for whoever compares. */
  readonly rooms = new Set<string>();

  constructor(channels: readonly ChannelSettings[] = [channelOf()]) {
    this.bed = new Bed({ channels });
    this.store = this.bed.operators.pipeline;
  }

  async boot(store = this.store) {
    const process = await this.bed.boot();
    const reporter = this.reporter(process, store);
    await reporter.service.start();
    await this.round();
    return { process, reporter };
  }

  reporter(process: Process, store = this.store): Reporter {
    const { engine, clock, instruments } = process;
    const onFailure = (error: unknown): void => void process.failures.push(error);
    return new Reporter({ ...engine, store, clock, endOfTurn, instruments, onFailure });
  }

  async publish(process: Process, room: string, ids: readonly string[]): Promise<void> {
    this.rooms.add(room);
    await process.publish(room, ids);
  }

  /** Lets every process tell what it holds now. */
  async round(): Promise<void> {
    await this.bed.time.advance(1_000 - (this.bed.time.now % 1_000));
    await settled();
  }

  /** A round in whose very millisecond no room moves: what is told and what is stored are then of the same moment. */
  async quietRound(): Promise<void> {
    for (;;) {
      const { time } = this.bed;
      await time.advance(999 - (time.now % 1_000));
      await settled();
      const before = await this.rows();
      await this.round();
      if (isDeepStrictEqual(await this.rows(), before)) return;
    }
  }

  async part(worker: string | null): Promise<PipelinePart | null> {
    return (await this.store.members()).find((member) => member.worker === worker)?.part ?? null;
  }

  async rows(): Promise<RoomRow[]> {
    return Promise.all([...this.rooms].map((room) => this.bed.row(room)));
  }

  listed(): Promise<LingeringRoom[]> {
    const { now } = this.bed.time;
    return this.store.lingering({
      tenants: ['default'],
      channel: null,
      phases: ALL,
      before: now,
      after: null,
      limit: 1_000,
    });
  }
}
