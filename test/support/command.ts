import { runCommand } from '../../src/cli/program.ts';

export interface Ran {
  readonly status: number;
  readonly out: string;
  readonly error: string;
}

/**
 * Runs `roomline` with these arguments in this process, against an API.
 * @param onError told of what goes to standard error, as it comes
 */
export async function runRoomline(
  { url, key }: { readonly url: string; readonly key: string },
  args: readonly string[],
  onError: (text: string) => void = () => undefined,
): Promise<Ran> {
  let [out, error] = ['', ''];
  const status = await runCommand(args, {
    version: '9.9.9',
    env: { ROOMLINE_URL: url, ROOMLINE_KEY: key },
    print: (text) => {
      out += text;
    },
    printError: (text) => {
      error += text;
      onError(text);
    },
    fetch,
    serve: () => Promise.reject(new Error('nothing is to be served')),
    migrate: () => Promise.reject(new Error('nothing is to be migrated')),
    openDatabase: () => Promise.reject(new Error('no database was expected')),
  });
  return { status, out, error };
}
