// Where the page is, and how it goes elsewhere.
import { signal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { type Address, addressOf, hrefOf } from '../model/address';

const here = () => addressOf(location.pathname, location.search);

export const address = signal<Address>(here());

addEventListener('popstate', () => {
  address.value = here();
});

export function go(parts: readonly string[], search = '', how: 'push' | 'replace' = 'push'): void {
  const href = hrefOf(parts, search);
  if (how === 'push') history.pushState(null, '', href);
  else history.replaceState(null, '', href);
  const isElsewhere = parts.join('/') !== address.value.parts.join('/');
  address.value = here();
  if (how === 'push' && isElsewhere) {
    scrollTo(0, 0);
    // Whoever goes by keyboard, or hears the page, begins at its head.
    requestAnimationFrame(() => document.getElementById('content')?.focus({ preventScroll: true }));
  }
}

export function Link({
  to,
  search,
  children,
  class: className,
  current,
  label,
}: {
  to: readonly string[];
  search?: string;
  children: ComponentChildren;
  class?: string;
  current?: boolean;
  label?: string;
}) {
  return (
    <a
      href={hrefOf(to, search)}
      class={className}
      aria-current={current ? 'page' : undefined}
      aria-label={label}
      onClick={(event) => {
        // A new tab is the browser's matter.
        if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || event.button !== 0) return;
        event.preventDefault();
        go(to, search);
      }}
    >
      {children}
    </a>
  );
}
