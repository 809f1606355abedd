/** Runs a range of seeds, in this thread or spread over several; failures are told in the order of their seeds. */
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { addReport, addTotals, newTotals, type Totals } from './totals.ts';
import { runWorld } from './world.ts';

export interface Failure {
  readonly seed: number;
  readonly violation: string;
}

interface Chunk {
  readonly from: number;
  readonly to: number;
}

interface ChunkResult {
  readonly totals: Totals;
  readonly failures: readonly Failure[];
}

/** Seeds that a thread takes at once. */
const CHUNK = 50;

/** @param onFailure is called as soon as all seeds before the failed one are known */
export async function runRange(
  from: number,
  to: number,
  jobs: number,
  onFailure: (failure: Failure) => void,
): Promise<Totals> {
  const totals = newTotals();
  if (jobs <= 1) {
    await runSeeds({ from, to }, totals, onFailure);
    return totals;
  }
  const chunks: Chunk[] = [];
  for (let start = from; start <= to; start += CHUNK) chunks.push({ from: start, to: Math.min(to, start + CHUNK - 1) });
  const finished = new Map<number, ChunkResult>();
  let taken = 0;
  let told = 0;
  const finish = (index: number, result: ChunkResult): void => {
    finished.set(index, result);
    for (let next = finished.get(told); next !== undefined; next = finished.get(told)) {
      finished.delete(told++);
      addTotals(totals, next.totals);
      for (const failure of next.failures) onFailure(failure);
    }
  };
  await Promise.all(
    Array.from({ length: Math.min(jobs, chunks.length) }, async () => {
      const worker = new Worker(new URL(import.meta.url));
      try {
        for (let index = taken++; index < chunks.length; index = taken++) {
          finish(index, await ask(worker, chunks[index] as Chunk));
        }
      } finally {
        await worker.terminate();
      }
    }),
  );
  return totals;
}

function ask(worker: Worker, chunk: Chunk): Promise<ChunkResult> {
  return new Promise((resolve, reject) => {
    const onMessage = (result: ChunkResult): void => end(() => resolve(result));
    const onError = (error: unknown): void => end(() => reject(error));
    const onExit = (code: number): void => end(() => reject(new Error(`a thread of the range ended with ${code}`)));
    const end = (run: () => void): void => {
      worker.off('message', onMessage).off('error', onError).off('exit', onExit);
      run();
    };
    worker.on('message', onMessage).on('error', onError).on('exit', onExit);
    worker.postMessage(chunk);
  });
}

async function runSeeds({ from, to }: Chunk, totals: Totals, onFailure: (failure: Failure) => void): Promise<void> {
  for (let seed = from; seed <= to; seed++) {
    const report = await runWorld(seed);
    addReport(totals, report);
    const [violation] = report.violations;
    if (violation !== undefined) onFailure({ seed, violation });
  }
}

if (!isMainThread && parentPort !== null) {
  const port = parentPort;
  port.on('message', async (chunk: Chunk) => {
    const totals = newTotals();
    const failures: Failure[] = [];
    await runSeeds(chunk, totals, (failure) => failures.push(failure));
    port.postMessage({ totals, failures } satisfies ChunkResult);
  });
}
