/** Postgres refuses to run as root. As root, this finds the account that it runs under instead. */
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

export interface Account {
  readonly uid: number;
  readonly gid: number;
}

const OWN_ACCOUNT = 'roomline';

/**
 * Null where this process is an ordinary user's and needs no other account. As root: the owner of the folder if that
 * is an ordinary user, else an account made for such servers, else a new one.
 */
export function serverAccount(directory: string): Account | null {
  if (process.getuid?.() !== 0) return null;
  const { uid, gid } = statSync(existingAncestor(directory));
  if (uid !== 0 && lookUp(String(uid)) !== null) return { uid, gid };
  const found = lookUp(OWN_ACCOUNT) ?? lookUp('postgres') ?? (createAccount() ? lookUp(OWN_ACCOUNT) : null);
  const account = found ?? lookUp('nobody');
  if (account === null) {
    throw new Error(`Postgres does not run as root, and no account for it could be made: add a user "${OWN_ACCOUNT}"`);
  }
  return account;
}

/** True where the account may enter the folder and every folder above it. */
export function canEnter(account: Account, directory: string): boolean {
  for (let path = existingAncestor(directory); ; path = dirname(path)) {
    const { uid, gid, mode } = statSync(path);
    const bit = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) return false;
    if (path === dirname(path)) return true;
  }
}

function existingAncestor(directory: string): string {
  let path = resolve(directory);
  while (!existsSync(path)) path = dirname(path);
  return path;
}

function lookUp(nameOrId: string): Account | null {
  const [uid, gid] = ['-u', '-g'].map((flag) => {
    const { status, stdout } = spawnSync('id', [flag, '--', nameOrId], { encoding: 'utf8' });
    return status === 0 ? Number.parseInt(stdout, 10) : Number.NaN;
  });
  if (uid === undefined || gid === undefined || Number.isNaN(uid) || Number.isNaN(gid) || uid === 0) return null;
  return { uid, gid };
}

function createAccount(): boolean {
  const commands = [
    ['useradd', '--system', '--no-create-home', '--shell', '/usr/sbin/nologin', OWN_ACCOUNT],
    ['adduser', '-S', '-D', '-H', OWN_ACCOUNT],
  ];
  return commands.some(([command = '', ...args]) => spawnSync(command, args).status === 0);
}
