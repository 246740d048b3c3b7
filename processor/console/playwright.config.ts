import { defineConfig } from '@playwright/test';

// Debian's, or whichever is named. None is fetched.
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';

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
