/** How states look: what they mean, and small pictures of one line that stand beside words, never instead of them. */

/** What a state means; each has a colour and, where it is a badge, a shape of its own. */
export type Tone = 'calm' | 'info' | 'flow' | 'ok' | 'warn' | 'bad' | 'unsure';

const PATHS = {
  overview: 'M2.5 8h3l1.5-4 2 8 1.5-4h3',
  room: 'M2.5 4.5h11M2.5 8h7M2.5 11.5h9',
  trouble: 'M8 2.2 14.2 13H1.8zM8 6.4v3M8 11.2v.1',
  fleet: 'M2.5 2.5h4.5v4.5H2.5zM9 2.5h4.5v4.5H9zM2.5 9h4.5v4.5H2.5zM9 9h4.5v4.5H9z',
  try: 'M6 2.2h4M6.8 2.4v4L3.2 12a1.2 1.2 0 0 0 1 1.8h7.6a1.2 1.2 0 0 0 1-1.8L9.2 6.4v-4M4.9 9.8h6.2',
  search: 'M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zM10.7 10.7 14 14',
  sun: 'M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM8 1.5v1M8 13.5v1M1.5 8h1M13.5 8h1M3.4 3.4l.7.7M11.9 11.9l.7.7M3.4 12.6l.7-.7M11.9 4.1l.7-.7',
  moon: 'M13.4 9.6A5.6 5.6 0 0 1 6.4 2.6a5.7 5.7 0 1 0 7 7z',
  leave: 'M6 2.5H3.2v11H6M7 8h6.5M11 5.2 13.8 8 11 10.8',
  accepted: 'M2.5 9v3.5h11V9M8 2.5v7M5.2 6.8 8 9.6l2.8-2.8',
  parked: 'M3.5 3.5h9v9h-9zM6.6 11V5.4h1.9a1.7 1.7 0 0 1 0 3.4H6.6',
  waiting: 'M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 4.8V8l2.2 1.6',
  sending: 'M14 2 7.2 8.8M14 2 9.8 14 7.2 8.8 2 6.2z',
  awaiting: 'M3.2 8h.1M8 8h.1M12.8 8h.1',
  backing: 'M3 8a5 5 0 1 0 1.6-3.7M3 2.5v2.6h2.6',
  unknown: 'M5.8 6a2.2 2.2 0 1 1 3.2 2c-.7.4-1 .8-1 1.6M8 12v.1',
  held: 'M5.5 3v10M10.5 3v10',
  settled: 'M1.8 8.6 4.6 11.4 10.2 5M7.6 11.2l.4.4L14 5',
  check: 'M3 8.6 6.4 12 13 4.6',
  half: 'M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM5.4 8.3l1.8 1.8 3.4-4',
  cross: 'M4 4l8 8M12 4l-8 8',
  dot: 'M8 8.01V8',
  ring: 'M8 12.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9z',
  warn: 'M8 3v6M8 12.2v.1',
  diamond: 'M8 2.4 13.6 8 8 13.6 2.4 8z',
  play: 'M5 3v10l8-5z',
  pause: 'M5.5 3v10M10.5 3v10',
  skip: 'M3.5 3v10L10 8zM12.5 3v10',
  retry: 'M13 8a5 5 0 1 1-1.6-3.7M13 2.5v2.6h-2.6',
  arrow: 'M3 8h10M9.4 4.4 13 8l-3.6 3.6',
  back: 'M13 8H3M6.6 4.4 3 8l3.6 3.6',
  down: 'M4.5 6.5 8 10l3.5-3.5',
  plus: 'M8 3v10M3 8h10',
  minus: 'M3 8h10',
  filter: 'M2.5 3.5h11M4.5 8h7M6.5 12.5h3',
  download: 'M8 2.5v8M4.8 7.4 8 10.6l3.2-3.2M2.5 13.5h11',
  unplugged: 'M2 2l12 12M5.4 5.4 3.6 7.2a3.2 3.2 0 0 0 4.6 4.6l1.8-1.8M8 4.2l.4-.4a3.2 3.2 0 0 1 4.6 4.6l-.6.6',
  empty: 'M2.5 9.5 4.4 3.5h7.2l1.9 6v3h-11zM2.5 9.5h3.2c.3 1.2 1.2 1.8 2.3 1.8s2-.6 2.3-1.8h3.2',
} as const;

export type IconName = keyof typeof PATHS;

/** The path of an icon on a field of 16 by 16, for pictures that draw it themselves. */
export function iconPath(name: IconName): string {
  return PATHS[name];
}
