import { expect, expectAccessible, test, workflow } from '../support/fixtures';

test.beforeAll(async ({ dev }) => {
  await dev.deploy(workflow('checkout'));
  await dev.deploy(workflow('hourly'));
  await dev.start('shop/checkout', 'seen-1', { customer: 'seen', amount: 0 });
  await dev.untilStatus('seen-1', 'incident');
  await dev.run('start', 'demo/nowhere', '--id', 'seen-2');
});

const VIEWS: [string, string][] = [
  ['instances', 'tr[data-id]'],
  ['instances/seen-1', '[data-node="/do/3/pack"]'],
  ['incidents', '[data-id="seen-1"] h3'],
  ['definitions', 'tr[data-workflow]'],
  ['definitions/shop/checkout', '.source-line'],
  ['fleet', '.figures'],
  ['dead-letters', '[data-letter]'],
  ['nowhere', '.empty'],
];

for (const [view, shown] of VIEWS) {
  test(`${view} can be used by everybody, in light and in dark`, async ({ page }) => {
    await page.goto(`/console/${view}`);
    await expect(page.locator(shown).first()).toBeVisible();
    await expectAccessible(page);
  });
}

test('dialogs can be used by everybody, and narrow screens show everything', async ({ page }) => {
  await page.goto('/console/instances/seen-1');
  await page.locator('[data-node="/do/0/prepare/fork/branches/1/chargeCard"]').getByRole('button').click();
  await page.getByRole('button', { name: 'Edit input…' }).click();
  await expect(page.getByRole('textbox', { name: 'Input' })).toHaveValue(/amount/);
  await expectAccessible(page);
  await page.keyboard.press('Escape');

  await page.setViewportSize({ width: 390, height: 800 });
  for (const [view, shown] of VIEWS) {
    await page.goto(`/console/${view}`);
    await expect(page.locator(shown).first()).toBeVisible();
    const overflow = await page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
    expect(overflow, `${view} is not wider than the screen`).toBeLessThanOrEqual(0);
  }
});

test('colours are as was chosen, also the next time', async ({ page }) => {
  await page.emulateMedia({ colorScheme: 'light' });
  await page.goto('/console/fleet');
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await ground();
  await page.getByLabel('Colours').selectOption('dark');
  expect(await ground()).not.toBe(light);
  await page.reload();
  await expect(page.getByLabel('Colours')).toHaveValue('dark');
  expect(await ground()).not.toBe(light);
});
