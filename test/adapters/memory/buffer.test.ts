import { MemoryBufferStreams } from '../../../src/adapters/memory/buffer.ts';
import { describeBufferStreams } from '../../conformance/buffer-streams.ts';

describeBufferStreams(async () => new MemoryBufferStreams(() => 1_000));
