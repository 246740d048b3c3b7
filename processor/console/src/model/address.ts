// Addresses of the page: parts of a path, which are escaped one by one (ids of instances hold slashes and percent signs, too), and a search.

export const BASE = '/console';

export interface Address {
  /** Without the base, each as it is meant. */
  parts: string[];
  /** Without a question mark. */
  search: string;
}

export function addressOf(pathname: string, search: string): Address {
  const own = pathname.startsWith(`${BASE}/`) ? pathname.slice(BASE.length + 1) : '';
  return {
    parts: own
      .split('/')
      .filter((it) => it !== '')
      .map(decoded),
    search: search.replace(/^\?/, ''),
  };
}

/** The path of an address, with its search. */
export function hrefOf(parts: readonly string[], search = ''): string {
  return `${BASE}/${parts.map(encodeURIComponent).join('/')}${search === '' ? '' : `?${search}`}`;
}

/** An address can be written by hand: what is no escape stays what it is. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
