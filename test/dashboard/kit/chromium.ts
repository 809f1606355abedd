/** The Chromium that the dashboard is tested and pictured in: the one that this machine has. */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { installPackage, type Run } from '../../../simulators/rig/redis.ts';

const PROGRAMS = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chromium-headless-shell'];
const ELSEWHERE = [
  '/usr/lib/chromium/chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
];
const TO_DO = 'install it (on Debian: apt-get install chromium), or name the program by CHROMIUM_PATH';

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Where the program is: what CHROMIUM_PATH names, else the first on the path; null where there is none.
 * @throws Error where CHROMIUM_PATH names nothing
 */
export function findChromium({ CHROMIUM_PATH: named, PATH = '' }: Environment = process.env): string | null {
  if (named !== undefined && named !== '') {
    if (existsSync(named)) return named;
    throw new Error(`CHROMIUM_PATH names no file: ${named}`);
  }
  const folders = PATH.split(delimiter).filter((folder) => folder !== '');
  const programs = PROGRAMS.flatMap((program) => folders.map((folder) => join(folder, program)));
  return [...programs, ...ELSEWHERE].find((program) => existsSync(program)) ?? null;
}

/** Installs it by apt where this account may; what is in the way, null where it is installed now. */
export function installChromium(run?: Run, isRoot?: boolean): string | null {
  return installPackage('chromium', run, isRoot);
}

/** One line that says that there is none, and what to do. */
export function chromiumIsMissing(trouble: string | null): string {
  return `No Chromium is on the path of this machine, and ${trouble ?? 'apt has installed none'}: ${TO_DO}`;
}
