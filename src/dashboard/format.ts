/** Numbers, lengths of time and moments as texts. */

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const clockMinute = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });
const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });
const moment = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'long' });

/** What stands where there is no value. */
export const NOTHING = '–';

export function count(value: number | null | undefined): string {
  return value === null || value === undefined ? NOTHING : whole.format(value);
}

/** Such as `12,340` and `1.2M`: where there is little room. */
export function short(value: number | null | undefined): string {
  if (value === null || value === undefined) return NOTHING;
  return Math.abs(value) < 100_000 ? whole.format(value) : compact.format(value);
}

/** Such as `1 message`, `2,000 messages`. */
export function counted(value: number, noun: string, plural = `${noun}s`): string {
  return `${count(value)} ${value === 1 ? noun : plural}`;
}

/** Of one second: one decimal below ten. */
export function rate(perSecond: number): string {
  if (perSecond === 0) return '0';
  return perSecond < 10 ? perSecond.toFixed(1) : short(perSecond);
}

/** Never rounds up to a hundred what is less. */
export function percent(share: number | null): string {
  if (share === null || Number.isNaN(share)) return NOTHING;
  return `${(Math.floor(share * 1_000) / 10).toFixed(share === 1 || share === 0 ? 0 : 1)} %`;
}

/** A length of time in its largest fitting units: `840 µs`, `12 ms`, `3.4 s`, `2 min 5 s`, `3 h 20 min`. */
export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return NOTHING;
  const length = Math.abs(ms);
  const sign = ms < 0 ? '−' : '';
  if (length < 1) return length === 0 ? '0 ms' : '< 1 ms';
  if (length < 10) return `${sign}${trim(length.toFixed(1))} ms`;
  if (length < 1_000) return `${sign}${Math.round(length)} ms`;
  if (length < 60_000) return `${sign}${trim((length / 1_000).toFixed(length < 10_000 ? 2 : 1))} s`;
  const [unit, small, smallName, name]: readonly [number, number, string, string] =
    length < 3_600_000
      ? [60_000, 1_000, 's', 'min']
      : length < 86_400_000
        ? [3_600_000, 60_000, 'min', 'h']
        : [86_400_000, 3_600_000, 'h', 'd'];
  const units = Math.floor(length / unit);
  const rest = Math.floor((length % unit) / small);
  return `${sign}${units} ${name}${rest === 0 ? '' : ` ${rest} ${smallName}`}`;
}

function trim(decimal: string): string {
  return decimal.replace(/\.?0+$/, '');
}

/** The time of day, with the day where it is not today's. */
export function time(at: number, now = Date.now()): string {
  const text = clock.format(at);
  return new Date(at).toDateString() === new Date(now).toDateString() ? text : `${day.format(at)}, ${text}`;
}

/** The time of day with its milliseconds. */
export function preciseTime(at: number): string {
  return `${clock.format(at)}.${String(at % 1_000).padStart(3, '0')}`;
}

export function minute(at: number): string {
  return clockMinute.format(at);
}

export function dayOf(at: number): string {
  return day.format(at);
}

/** Everything there is to say of a moment, for a tooltip. */
export function fullTime(at: number): string {
  return moment.format(at);
}

/** `awaiting_ack` as `awaiting ack`. */
export function words(code: string): string {
  return code.replaceAll('_', ' ');
}
