/**
 * The text itself, or its beginning and end around an ellipsis, so that it has at most `maxChars` UTF-16 units. The
 * result is well-formed Unicode: a gRPC status message with half a surrogate pair could not be sent.
 */
export function shortenMiddle(text: string, maxChars: number): string {
  if (text.length <= maxChars) return text.toWellFormed();
  const head = Math.ceil((maxChars - 1) / 2);
  const tail = maxChars - 1 - head;
  return `${text.slice(0, head)}…${text.slice(text.length - tail)}`.toWellFormed();
}

/** `shortenMiddle` for a limit in UTF-8 bytes (at least 3). */
export function shortenToBytes(text: string, maxBytes: number): string {
  const wellFormed = text.toWellFormed();
  if (Buffer.byteLength(wellFormed) <= maxBytes) return wellFormed;
  // A UTF-16 unit takes three bytes at most.
  return shortenMiddle(wellFormed, Math.floor(maxBytes / 3));
}
