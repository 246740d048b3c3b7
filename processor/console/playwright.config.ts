import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { defineConfig } from '@playwright/test';

// Debian's, or whichever is named, as ops/setup.sh looks for it. None is fetched.
const executablePath = find(process.env.CHROMIUM ?? 'chromium');

/** A program by its path, or by its name in the PATH. */
function find(name: string): string {
  if (name.includes('/')) return name;
  const places = (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, name));
  const found = places.find((it) => {
    try {
      accessSync(it, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
  if (found === undefined) throw new Error(`${name} is not in the PATH: run ops/setup.sh, or name one in CHROMIUM`);
  return found;
}

export default defineConfig({
  testDir: 'tests/pages',
  outputDir: process.env.CONSOLE_RESULTS ?? 'test-results',
  // They share a `millrace dev`, and its machine.
  workers: 1,
  fullyParallel: false,
  forbidOnly: true,
  retries: 0,
  timeout: 60_000,
  expect: { timeout: 20_000 },
  reporter: [['list']],
  use: {
    browserName: 'chromium',
    viewport: { width: 1360, height: 860 },
    // As everywhere else, and without a machine's own.
    locale: 'en-GB',
    timezoneId: 'UTC',
    trace: 'retain-on-failure',
    screenshot: 'only-on-failure',
    // The sandbox needs rights that root in a container does not have; nothing but our own pages is opened.
    launchOptions: { executablePath, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] },
  },
});
