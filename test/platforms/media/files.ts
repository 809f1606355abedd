import { onTestFinished } from 'vitest';
import { type FileServer, type Serve, startFiles } from '../../support/files.ts';

/** Like `startFiles`, until the end of the test. */
export async function filesOfTest(serve: Serve): Promise<FileServer> {
  const files = await startFiles(serve);
  onTestFinished(() => files.close());
  return files;
}
