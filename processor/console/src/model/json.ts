// JSON that people write and read.

/** What a text says, or what is wrong with it and where. */
export function parse(text: string): { value: unknown } | { error: string } {
  if (text.trim() === '') return { error: 'Write JSON here, such as {}.' };
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { error: `This is not JSON: ${message}` };
  }
}

export function pretty(value: unknown): string {
  return JSON.stringify(value, null, 2) ?? 'undefined';
}

/** On one line, and no longer than fits there. */
export function brief(value: unknown, length = 80): string {
  const text = JSON.stringify(value) ?? '';
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}
