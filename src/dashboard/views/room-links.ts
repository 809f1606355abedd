/** Addresses of rooms within the page. */
export const DEFAULT_TENANT = 'default';

export interface ChannelPlace {
  readonly tenant: string;
  readonly channel: string;
}

export interface RoomPlace extends ChannelPlace {
  readonly room: string;
}

/** @param sequence of a message that is selected there */
export function roomHref({ tenant, channel, room }: RoomPlace, sequence?: number): string {
  const query = new URLSearchParams();
  if (tenant !== DEFAULT_TENANT) query.set('tenant', tenant);
  if (sequence !== undefined) query.set('message', String(sequence));
  const text = query.toString();
  return `/rooms/${encodeURIComponent(channel)}/${encodeURIComponent(room)}${text === '' ? '' : `?${text}`}`;
}

export function channelLabel({ tenant, channel }: ChannelPlace): string {
  return tenant === DEFAULT_TENANT ? channel : `${tenant}/${channel}`;
}
