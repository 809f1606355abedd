import { RoomlineError } from '../errors.ts';

/**
 * The `Authorization` header of a token.
 * @throws RoomlineError `config_invalid` where no header can carry it
 */
export function bearerOf(token: string): string {
  if (/^[!-~]+$/.test(token)) return `Bearer ${token}`;
  throw new RoomlineError('config_invalid', { field: 'accessToken', rule: 'printable ASCII without spaces' });
}
