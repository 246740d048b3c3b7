// What every test of a page has: a running Millrace, and a page that is watched for errors, and for requests to others.
import { readFileSync } from 'node:fs';
import AxeBuilder from '@axe-core/playwright';
import { test as base, expect, type Page } from '@playwright/test';
import { Dev } from './dev';

export { expect };

interface Options {
  /** Whether the test has the API refuse something: the browser notes that as an error, too. */
  isRefused: boolean;
}

export const test = base.extend<Options & { watched: undefined }, { dev: Dev }>({
  isRefused: [false, { option: true }],
  dev: [
    async ({ browserName: _ }, use) => {
      const dev = await Dev.start();
      await use(dev);
      await dev.stop();
    },
    { scope: 'worker' },
  ],
  // Tests with a Millrace of their own say themselves where it is.
  baseURL: async ({ dev }, use) => use(dev.url),
  watched: [
    async ({ page, isRefused }, use) => {
      const told: string[] = [];
      page.on('pageerror', (error) => told.push(`the page threw: ${error.message}`));
      page.on('console', (message) => {
        const isRefusal = /^Failed to load resource: the server responded with a status of 4\d\d/.test(message.text());
        if (['error', 'warning'].includes(message.type()) && !(isRefused && isRefusal))
          told.push(`the console says: ${message.text()}`);
      });
      page.on('request', (request) => {
        const { protocol, origin } = new URL(request.url());
        if (
          protocol.startsWith('http') &&
          origin !== new URL(page.url() === 'about:blank' ? request.url() : page.url()).origin
        ) {
          told.push(`somebody else is asked: ${request.url()}`);
        }
      });
      await serveDist(page);
      await use(undefined);
      expect(told).toEqual([]);
    },
    { auto: true },
  ],
});

/** A definition of the tests. */
export function workflow(name: string): string {
  return readFileSync(new URL(`../workflows/${name}.yaml`, import.meta.url), 'utf8');
}

/** No serious violation of the rules for pages that everybody can use, in light and in dark. */
export async function expectAccessible(page: Page): Promise<void> {
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    const { violations } = await new AxeBuilder({ page }).analyze();
    const serious = violations.filter((it) => it.impact === 'serious' || it.impact === 'critical');
    const told = serious.map((it) => `${colorScheme}: ${it.id}: ${it.nodes.map((node) => node.html).join(' ')}`);
    expect(told).toEqual([]);
  }
  await page.emulateMedia({ colorScheme: null });
}

/** For who works on the page: with CONSOLE_DIST=1 the files of `dist` are taken instead of those in the binary, which is not built anew then. */
async function serveDist(page: Page): Promise<void> {
  if (process.env.CONSOLE_DIST !== '1') return;
  await page.route('**/console/**', async (route) => {
    const name = new URL(route.request().url()).pathname.replace('/console/', '');
    const file = ['console.js', 'console.css', 'icon.svg'].includes(name) ? name : 'index.html';
    await route.fulfill({ path: new URL(`../../dist/${file}`, import.meta.url).pathname });
  });
}
