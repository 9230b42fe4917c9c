/** Far beyond what any file system holds, and what the system calls take without wrapping around. */
const MAX_SECONDS = 2 ** 40;
const NANOSECONDS = 1_000_000_000n;

/**
 * What node:fs takes for a time in seconds since 1970. It reads negative numbers as "now", and does not get fractions of
 * them right.
 */
export function fileTime(seconds: number): number | Date {
  if (seconds >= 0) return Math.min(seconds, MAX_SECONDS);
  return new Date(Math.floor(Math.max(seconds, -MAX_SECONDS)) * 1000);
}

/**
 * A time in nanoseconds since 1970 as seconds. At today's times a number holds a quarter of a microsecond, and node:fs cuts
 * off what is less than a nanosecond, so that 0.123 becomes 0.122999: of the numbers around, the one that makes a file's
 * time the same microsecond.
 */
export function secondsOf(nanoseconds: bigint): number {
  const nearest = Number(nanoseconds / NANOSECONDS) + Number(nanoseconds % NANOSECONDS) / 1e9;
  if (nearest <= 0 || nearest > MAX_SECONDS) return nearest;
  const step = 2 ** (Math.floor(Math.log2(nearest)) - 52);
  const wanted = nanoseconds / 1000n;
  return [nearest, nearest + step, nearest - step].find((one) => microsecondsOf(one) === wanted) ?? nearest;
}

/** What the kernel is told, in microseconds. */
function microsecondsOf(seconds: number): bigint {
  const whole = Math.floor(seconds);
  return (BigInt(whole) * NANOSECONDS + BigInt(Math.floor((seconds - whole) * 1e9))) / 1000n;
}
