import { RoomlineError } from '../../errors.ts';

const API_KEY = /^SK[0-9a-fA-F]{32}:[!-~]+$/;

/**
 * The `Authorization` header of an account's auth token, or of an API key given as `SK…:secret`.
 * @throws RoomlineError `config_invalid` where it is neither
 */
export function basicOf(accountSid: string, token: string): string {
  const isKey = API_KEY.test(token);
  if (!isKey && !/^[!-9;-~]+$/.test(token)) {
    throw new RoomlineError('config_invalid', { field: 'accessToken', rule: 'an auth token, or SK…:secret' });
  }
  return `Basic ${Buffer.from(isKey ? token : `${accountSid}:${token}`).toString('base64')}`;
}
