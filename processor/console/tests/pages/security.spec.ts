import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from '@playwright/test';
import { Dev } from '../support/dev';
import { test as base, expect, workflow } from '../support/fixtures';

// A Millrace that asks for tokens.
const test = base.extend<object, { dev: Dev }>({
  dev: [
    async ({ browserName: _ }, use) => {
      const folder = mkdtempSync(join(tmpdir(), 'millrace-console-'));
      const line = (name: string, role: string) =>
        `${name} ${role} ${createHash('sha256').update(`t-${name}`).digest('hex')}\n`;
      writeFileSync(join(folder, 'tokens'), line('ann', 'admin') + line('bob', 'write') + line('eve', 'read'));
      const dev = await Dev.start(['--http-tokens', join(folder, 'tokens')], 't-ann');
      await use(dev);
      await dev.stop();
      rmSync(folder, { recursive: true });
    },
    { scope: 'worker' },
  ],
});

// Whoever has not said who he is, is refused.
test.use({ isRefused: true });

async function signIn(page: Page, token: string): Promise<void> {
  await page.getByLabel('Token').fill(token);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

test('a token is asked for, and a wrong one is explained', async ({ page, dev }) => {
  await dev.deploy(workflow('checkout'));
  await dev.start('shop/checkout', 'secret-1', { customer: 'secret', amount: 0 });
  await dev.untilStatus('secret-1', 'incident');

  await page.goto('/console/incidents');
  await expect(page.getByRole('heading', { name: 'Show who you are' })).toBeVisible();
  await signIn(page, 't-mallory');
  await expect(page.getByRole('alert')).toContainText('the token is none that is known here');
  await signIn(page, 't-ann');
  await expect(page.getByText('ann admin')).toBeVisible();
  // Where one wanted to go, and followed live: the stream shows the token, too.
  await expect(page.locator('[data-id="secret-1"]')).toContainText('the amount must be above 0');
  await expect(page.locator('[data-link=live]')).toBeVisible();
  await expect(page.getByRole('button', { name: 'Edit input…' })).toBeVisible();

  // It stays in this tab, and goes with the last click.
  await page.reload();
  await expect(page.getByText('ann admin')).toBeVisible();
  const kept = await page.evaluate(() =>
    [{ ...localStorage }, document.cookie, location.href].map((it) => JSON.stringify(it)).join(),
  );
  expect(kept).not.toContain('t-ann');
  await page.getByRole('button', { name: 'Sign out' }).click();
  await expect(page.getByRole('heading', { name: 'Show who you are' })).toBeVisible();
  expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
});

test('who may only read sees everything, and no button that changes something', async ({ page, dev }) => {
  await dev.deploy(workflow('hourly'));
  await dev.run('start', 'demo/nothing', '--id', 'lost-1');
  await page.goto('/console/instances');
  await signIn(page, 't-eve');
  await expect(page.getByText('eve read')).toBeVisible();
  const buttons = async () => (await page.locator('main').getByRole('button').allTextContents()).sort();

  await expect(page.getByRole('link', { name: 'secret-1' })).toBeVisible();
  expect(await buttons()).toEqual([]);
  await expect(page.getByRole('checkbox')).toHaveCount(0);
  await page.getByRole('link', { name: 'Incidents' }).click();
  await expect(page.locator('[data-id="secret-1"]')).toContainText('the amount must be above 0');
  expect(await buttons()).toEqual([]);
  await page.getByRole('link', { name: 'Dead letters' }).click();
  await expect(page.locator('[data-letter]')).toHaveCount(1);
  expect((await buttons()).filter((it) => it !== 'Copy')).toEqual([]);
  await page.getByRole('link', { name: 'Definitions' }).click();
  await expect(page.locator('tr[data-workflow="demo/hourly"]')).toContainText('Active');
  // Whether a definition is well may be asked by everybody.
  expect(await buttons()).toEqual(['Check a definition…']);

  await page.goto('/console/instances/secret-1');
  await expect(page.getByRole('region', { name: 'Failed tasks that wait for you' })).toBeVisible();
  await expect(page.locator('[data-node="/do/3/pack"]')).toBeVisible();
  for (const name of [
    'Retry',
    'Retry all…',
    'Edit input…',
    'Skip…',
    'Cancel…',
    'Suspend…',
    'Resume…',
    'Signal…',
    'Restart from…',
  ]) {
    await expect(page.getByRole('button', { name, exact: true })).toHaveCount(0);
  }
});

test('who may write steps in, and neither deploys nor redrives', async ({ page }) => {
  await page.goto('/console/dead-letters');
  await signIn(page, 't-bob');
  await expect(page.locator('[data-letter]')).toHaveCount(1);
  await expect(page.getByRole('button', { name: /Redrive/ })).toHaveCount(0);
  await page.getByRole('link', { name: 'Instances', exact: true }).click();
  await expect(page.getByRole('button', { name: 'Start an instance' })).toBeVisible();
  await page.getByRole('link', { name: 'Definitions' }).click();
  await expect(page.getByRole('button', { name: 'Deploy…' })).toHaveCount(0);
});
