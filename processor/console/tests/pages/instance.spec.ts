import { expect, test, workflow } from '../support/fixtures';

test.beforeAll(async ({ dev }) => {
  await dev.deploy(workflow('checkout'));
});

test('a running instance is followed through its graph, until it ends', async ({ page, dev }) => {
  await dev.start('shop/checkout', 'follow-1', { customer: 'follow', amount: 2_000 });
  await page.goto('/console/instances/follow-1');
  await expect(page.locator('[data-link=live]')).toBeVisible();
  const look = (pointer: string) => page.locator(`[data-node="${pointer}"]`);
  await expect(look('/do/0/prepare/fork/branches/1/chargeCard')).toHaveAttribute('data-look', 'completed');
  await expect(look('/do/2/review')).toHaveAttribute('data-look', 'waiting');
  await expect(look('/do/2/review')).toContainText('waits for an event');
  await expect(look('/do/3/pack')).toContainText('not run');

  // By the page: the event that it waits for.
  await page.getByRole('button', { name: 'Signal…' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Type').fill('shop.review.passed');
  await dialog.getByRole('button', { name: 'Send' }).click();
  await expect(look('/do/2/review')).toHaveAttribute('data-look', 'completed');
  await expect(look('/do/3/pack')).toHaveAttribute('data-look', 'running');

  // By what happens elsewhere.
  dev.service.release('follow');
  await expect(look('/do/3/pack')).toHaveAttribute('data-look', 'completed');
  await expect(look('/do/4/deliver/try/0/courier')).toHaveAttribute('data-look', 'waiting');
  await expect(page.getByRole('region', { name: 'Timers' })).toContainText('Timeout of courier', { ignoreCase: true });
  await dev.signal('follow-1', 'shop.courier.delivered');
  await expect(look('end')).toHaveClass(/is-completed/);
  // Its condition did not hold.
  await expect(look('/do/5/gift')).toContainText('not run');
  await expect(page.getByRole('region', { name: 'Data' })).toContainText('"delivered"');
  await expect(page.getByRole('region', { name: 'History' })).toContainText('Instance completed');
  await expect(page.getByText('Completed').first()).toBeVisible();
});

test('a task shows what went in and came out, and the history what it did', async ({ page, dev, context }) => {
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  await dev.start('shop/checkout', 'task-1', { customer: 'task', amount: 7 });
  await page.goto('/console/instances/task-1');
  await page.locator('[data-node="/do/0/prepare/fork/branches/1/chargeCard"]').getByRole('button').click();
  const panel = page.getByRole('region', { name: 'chargeCard' });
  await expect(panel).toContainText('"done": "charge"');
  const history = page.getByRole('region', { name: 'History' });
  await expect(history).toContainText('entries are of the chosen task');

  await history.getByText('Task completed').first().click();
  const facts = history.getByRole('region', { name: 'Task completed, all that it says' });
  await expect(facts).toContainText('"done": "charge"');
  await history
    .getByRole('button', { name: /^Copy Task completed/ })
    .first()
    .click();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  expect(JSON.parse(copied)).toMatchObject({ output: { done: 'charge' } });
});

test('an instance is suspended and resumed, and cancelled so that what it has done is undone', async ({
  page,
  dev,
}) => {
  await dev.start('shop/checkout', 'undo-1', { customer: 'undo', amount: 7 });
  await page.goto('/console/instances/undo-1');
  const dialog = page.getByRole('dialog');
  await page.getByRole('button', { name: 'Suspend…' }).click();
  await dialog.getByLabel('Reason').fill('lunch');
  await dialog.getByRole('button', { name: 'Suspend' }).click();
  await expect(page.getByText('Suspended: lunch')).toBeVisible();
  await page.getByRole('button', { name: 'Resume…' }).click();
  await dialog.getByRole('button', { name: 'Resume' }).click();
  await expect(page.getByRole('button', { name: 'Suspend…' })).toBeVisible();

  await page.getByRole('button', { name: 'Cancel…' }).click();
  await dialog.getByLabel('Undo first what it has done').check();
  await dialog.getByRole('button', { name: 'Cancel', exact: true }).click();
  const history = page.getByRole('region', { name: 'History' });
  await expect(history).toContainText('Task compensated chargeCard');
  await expect(history).toContainText('Instance cancelled');
});

test('an instance that has ended is run again from a task on', async ({ page, dev }) => {
  dev.service.release('again');
  await dev.start('shop/checkout', 'again-1', { customer: 'again', amount: 7 });
  await dev.signal('again-1', 'shop.courier.delivered');
  await dev.untilStatus('again-1', 'completed');
  await page.goto('/console/instances/again-1');
  await page.getByRole('button', { name: 'Restart from…' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('From the task').selectOption('/do/3/pack');
  await dialog.getByRole('button', { name: 'Restart' }).click();
  await expect(page.locator('[data-node="/do/4/deliver/try/0/courier"]')).toHaveAttribute('data-look', 'waiting');
  await expect(page.getByText('1 time', { exact: true })).toBeVisible();
});
