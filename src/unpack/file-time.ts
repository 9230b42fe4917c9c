/** Far beyond what any file system holds, and what the system calls take without wrapping around. */
const MAX_SECONDS = 2 ** 40;

/**
 * What node:fs takes for a time in seconds since 1970. It cuts fractions of the next smaller nanosecond off, so a number
 * that stands for 0.123 may become 0.122999: the next larger one is given where that is nearer to what was meant. What
 * numbers cannot hold is lost: at today's times a quarter of a microsecond. It reads negative numbers as "now", and does
 * not get fractions of them right.
 */
export function fileTime(seconds: number): number | Date {
  if (seconds < 0) return new Date(Math.floor(Math.max(seconds, -MAX_SECONDS)) * 1000);
  if (Number.isInteger(seconds) || seconds > MAX_SECONDS) return Math.min(seconds, MAX_SECONDS);
  const next = nextAbove(seconds);
  const meant = Math.round(seconds * 1e6);
  return microsecondsOf(seconds) < meant && microsecondsOf(next) === meant ? next : seconds;
}

/** The microseconds that the kernel is told. */
function microsecondsOf(seconds: number): number {
  const whole = Math.floor(seconds);
  return whole * 1e6 + Math.floor((seconds - whole) * 1e6);
}

/** The next larger number that a double can be, for numbers from 0 to 2^40. */
function nextAbove(number: number): number {
  return number + 2 ** (Math.floor(Math.log2(number)) - 52);
}
