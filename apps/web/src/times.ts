const DAY_MS = 24 * 3600 * 1000;
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: 'long' });
const date = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long', year: 'numeric' });
const shortDate = new Intl.DateTimeFormat(undefined, { day: '2-digit', month: '2-digit', year: '2-digit' });
const wait = new Intl.RelativeTimeFormat('en');

function daysAgo(time: Date): number {
  const midnight = (day: Date) => new Date(day.getFullYear(), day.getMonth(), day.getDate()).getTime();
  return Math.round((midnight(new Date()) - midnight(time)) / DAY_MS);
}

export const timeOfDay = (iso: string): string => clock.format(new Date(iso));
export const dayKey = (iso: string): string => new Date(iso).toDateString();

/** A heading over the messages of a day. */
export function dayName(iso: string): string {
  const ago = daysAgo(new Date(iso));
  if (ago === 0) return 'Today';
  if (ago === 1) return 'Yesterday';
  return ago > 1 && ago < 7 ? weekday.format(new Date(iso)) : date.format(new Date(iso));
}

/** When, in a list: as short as it can be understood. */
export function shortTime(iso: string): string {
  const ago = daysAgo(new Date(iso));
  if (ago === 0) return timeOfDay(iso);
  if (ago === 1) return 'Yesterday';
  return ago < 7 ? weekday.format(new Date(iso)) : shortDate.format(new Date(iso));
}

/** Nothing where it is not known, or hidden. */
export function lastSeenText(iso: string | undefined): string {
  if (iso === undefined) return '';
  const ago = daysAgo(new Date(iso));
  return ago === 0 ? `last seen at ${timeOfDay(iso)}` : `last seen ${shortTime(iso).toLowerCase()}`;
}

/** When something can be done again, in a sentence. */
export function inTime(ms: number): string {
  const seconds = Math.ceil(ms / 1000);
  return seconds < 60 ? wait.format(seconds, 'second') : wait.format(Math.ceil(seconds / 60), 'minute');
}
