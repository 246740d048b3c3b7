import { expect, test, workflow } from '../support/fixtures';

test.beforeAll(async ({ dev }) => {
  await dev.deploy(workflow('checkout'));
});

test('a failed task is given another input, and its instance comes to its end', async ({ page, dev }) => {
  dev.service.release('mend');
  await dev.start('shop/checkout', 'mend-1', { customer: 'mend', amount: 0 });
  await dev.untilStatus('mend-1', 'incident');
  await page.goto('/console/incidents');
  const card = page.locator('[data-id="mend-1"]');
  await expect(card).toContainText('the amount must be above 0');

  // As it is, it fails again.
  await card.getByRole('button', { name: 'Retry' }).click();
  await expect(page.getByText('Retry of chargeCard')).toBeVisible();
  await dev.until('it has failed twice', async () => {
    const { data } = await dev.ask('/v1/instances/mend-1/graph');
    const { nodes } = data as { nodes: { name: string; state: { faulted: number; status: string } }[] };
    const { status, faulted } = nodes.find((it) => it.name === 'chargeCard')!.state;
    return status === 'halted' && faulted >= 2;
  });

  await card.getByRole('button', { name: 'Edit input…' }).click();
  const dialog = page.getByRole('dialog');
  const input = dialog.getByRole('textbox', { name: 'Input' });
  // It begins with what the task was given.
  await expect(input).toHaveValue(/"amount": 0/);
  await input.fill('{"customer": "mend", "amount": 12}');
  await dialog.getByLabel('Reason').fill('a basket without a price');
  await dialog.getByRole('button', { name: 'Save and retry' }).click();
  await expect(page.getByText('Another input for chargeCard')).toBeVisible();
  await expect(card).toBeHidden();

  await dev.signal('mend-1', 'shop.courier.delivered');
  await dev.untilStatus('mend-1', 'completed');
  await page.goto('/console/instances/mend-1');
  await expect(page.getByRole('region', { name: 'History' })).toContainText('a basket without a price');
});

test('a failed task is left out, on the page of its instance', async ({ page, dev }) => {
  await dev.start('shop/checkout', 'skip-1', { customer: 'skip', amount: 0 });
  await dev.untilStatus('skip-1', 'incident');
  await page.goto('/console/instances/skip-1');
  const failed = page.getByRole('region', { name: 'Failed tasks that wait for you' });
  await failed.getByRole('button', { name: 'Skip…' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Output').fill('{"charged": 0}');
  await dialog.getByRole('button', { name: 'Skip' }).click();
  await expect(failed).toBeHidden();
  const left = page.locator('[data-node="/do/0/prepare/fork/branches/1/chargeCard"]');
  await expect(left).toHaveAttribute('data-look', 'skipped');
  await expect(left).toContainText('left out');
  await expect(page.locator('[data-node="/do/3/pack"]')).toHaveAttribute('data-look', 'running');
});

test('when nothing needs anybody, the page says so', async ({ page, dev }) => {
  const { data } = await dev.ask('/v1/instances?status=faulted');
  expect((data as { instances: unknown[] }).instances).toEqual([]);
  await page.goto('/console/incidents?status=faulted');
  await expect(page.getByText('No instance has ended with an error')).toBeVisible();
});
