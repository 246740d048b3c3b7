import type { Page } from '@playwright/test';
import { expect, test, workflow } from '../support/fixtures';

test.beforeAll(async ({ dev }) => {
  await dev.deploy(workflow('plain'));
  await dev.start('demo/plain', 'keys-1', { team: 'keys' });
  await dev.untilStatus('keys-1', 'running');
});

/** Presses Tab until something with that name has the focus. */
async function tabTo(page: Page, name: string): Promise<void> {
  for (let presses = 0; presses < 80; presses += 1) {
    await page.keyboard.press('Tab');
    const focused = page.locator(':focus');
    if ((await focused.count()) === 0) continue;
    const found = await focused.evaluate(
      (it) => it.getAttribute('aria-label') ?? (it as HTMLInputElement).labels?.[0]?.textContent ?? it.textContent,
    );
    if (found?.trim() === name) {
      // Who goes by keyboard sees where he is.
      const outline = await focused.evaluate((it) => getComputedStyle(it).outlineStyle);
      expect(outline, `${name} shows that it has the focus`).not.toBe('none');
      return;
    }
  }
  throw new Error(`${name} is not reached by Tab`);
}

test('all of it by keyboard: from the list to an instance, and what it waits for is sent', async ({ page }) => {
  await page.goto('/console/instances?where=team%3Dkeys');
  await expect(page.locator('tr[data-id="keys-1"]')).toBeVisible();

  // The first stop leaves out the frame.
  await page.keyboard.press('Tab');
  await expect(page.locator(':focus')).toHaveText('Skip to the content');
  await page.keyboard.press('Enter');
  await expect(page.locator('#content')).toBeFocused();

  await tabTo(page, 'keys-1');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('keys-1');

  await tabTo(page, 'Signal…');
  await page.keyboard.press('Enter');
  const dialog = page.getByRole('dialog');
  await expect(dialog).toBeVisible();
  await expect(dialog.getByLabel('Type')).toBeFocused();
  await page.keyboard.type('demo.go');
  await page.keyboard.press('Enter');
  await expect(dialog).toBeHidden();
  await expect(page.locator('[data-node="end"]')).toHaveClass(/is-completed/);
});

test('a task of the graph is chosen, and a dialog is closed, by keyboard', async ({ page }) => {
  await page.goto('/console/instances/keys-1');
  await tabTo(page, 'rest, listen: done');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('region', { name: 'rest', exact: true })).toBeVisible();
  await tabTo(page, 'Restart from…');
  await page.keyboard.press('Space');
  await expect(page.getByRole('dialog')).toBeVisible();
  await page.keyboard.press('Escape');
  await expect(page.getByRole('dialog')).toBeHidden();
  await expect(page.locator(':focus')).toHaveText('Restart from…');
});

test('keys go to places, and are listed', async ({ page }) => {
  await page.goto('/console/fleet');
  await expect(page.getByRole('heading', { name: 'Fleet' })).toBeVisible();
  await page.keyboard.press('?');
  await expect(page.getByRole('dialog')).toContainText('Go to Dead letters');
  await page.keyboard.press('Escape');
  await page.keyboard.press('g');
  await page.keyboard.press('d');
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Definitions');
  await page.keyboard.press('/');
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Instances');
  await expect(page.getByLabel('Id', { exact: true })).toBeFocused();
  // What is written is no key.
  await page.keyboard.type('?gf');
  await expect(page.getByLabel('Id', { exact: true })).toHaveValue('?gf');
});
