/** How a request says who asks: a JWT of an application, or key and secret of the account. */
import { createPrivateKey, type KeyObject, randomUUID, sign } from 'node:crypto';
import { RoomlineError } from '../../errors.ts';

/** A token is good for so long … */
const LIFE_S = 900;
/** … and replaced after this time, well before it ends. A signature costs a millisecond, too much for each request. */
const RENEW_AFTER_S = 300;

export interface Credentials {
  /** The `Authorization` header. */
  authorization(wallClockMs: number): string;
  /** Of the account; null where only the application is known. */
  readonly apiKey: string | null;
}

/** @throws RoomlineError `config_invalid` where the token is not what the kind of credentials needs */
export function createCredentials(token: string, applicationId: string | null): Credentials {
  return applicationId === null ? ofAccount(token) : ofApplication(readKey(token), applicationId);
}

function ofAccount(token: string): Credentials {
  const [, apiKey] = /^([!-9;-~]+):[!-~]+$/.exec(token) ?? [];
  if (apiKey === undefined) throw new RoomlineError('config_invalid', { field: 'accessToken', rule: 'key:secret' });
  const header = `Basic ${Buffer.from(token).toString('base64')}`;
  return { apiKey, authorization: () => header };
}

function ofApplication(key: KeyObject, applicationId: string): Credentials {
  let issuedAtS = Number.NaN;
  let header = '';
  return {
    apiKey: null,
    authorization(wallClockMs) {
      const nowS = Math.floor(wallClockMs / 1_000);
      const age = nowS - issuedAtS;
      // A clock that was set back makes the token one of the future.
      if (!(age >= 0 && age < RENEW_AFTER_S)) {
        issuedAtS = nowS;
        const claims = { application_id: applicationId, iat: nowS, exp: nowS + LIFE_S, jti: randomUUID() };
        const signed = `${encode({ alg: 'RS256', typ: 'JWT' })}.${encode(claims)}`;
        header = `Bearer ${signed}.${sign('sha256', Buffer.from(signed), key).toString('base64url')}`;
      }
      return header;
    },
  };
}

/** Lines of a PEM often become `\n` in two characters on their way through variables. */
function readKey(pem: string): KeyObject {
  const rule = 'the private RSA key (PEM) of the application';
  let key: KeyObject;
  try {
    key = createPrivateKey(pem.replaceAll('\\n', '\n'));
  } catch {
    // The cause is left out: it may quote the key.
    throw new RoomlineError('config_invalid', { field: 'accessToken', rule });
  }
  if (key.asymmetricKeyType !== 'rsa') throw new RoomlineError('config_invalid', { field: 'accessToken', rule });
  return key;
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
