// What can go wrong with a request, in words for people: the API's own, where it has said some.
import type { ApiError, Finding } from './types';

export class Failure extends Error {
  constructor(
    message: string,
    /** Of HTTP; 0 if there was no answer. */
    readonly status: number,
    /** The API's, such as `not_found`. */
    readonly code: string,
    readonly findings: Finding[] = [],
  ) {
    super(message);
  }

  /** Nobody knows who asks, or not any more. */
  get isUnknownCaller(): boolean {
    return this.status === 401;
  }

  get isMissing(): boolean {
    return this.status === 404;
  }
}

/** What an answer that is none says. */
export async function failureOf(response: Response): Promise<Failure> {
  const text = await response.text().catch(() => '');
  const error = errorIn(text);
  if (error) return new Failure(error.message, response.status, error.code, error.findings ?? []);
  const said = text.trim().slice(0, 300);
  return new Failure(
    said === '' ? `The processor answered ${response.status} and said nothing more.` : said,
    response.status,
    'unknown',
  );
}

/** Of a request that has come to no answer. */
export function unreachable(): Failure {
  return new Failure(
    'The processor does not answer. Is it still running? The page tries again by itself, or when you ask it to.',
    0,
    'unreachable',
  );
}

/** Whatever was thrown. */
export function asFailure(thrown: unknown): Failure {
  return thrown instanceof Failure ? thrown : new Failure(String(thrown), 0, 'page');
}

function errorIn(text: string): ApiError | undefined {
  try {
    const error = (JSON.parse(text) as { error?: ApiError }).error;
    return typeof error?.message === 'string' ? error : undefined;
  } catch {
    return undefined;
  }
}
