import { expect, test, workflow } from '../support/fixtures';

test.beforeAll(async ({ dev }) => {
  await dev.deploy(workflow('plain'));
  for (const [id, team] of [
    ['list-1', 'red'],
    ['list-2', 'red'],
    ['list-3', 'blue'],
    ['list/4 50%', 'blue'],
  ] as const) {
    await dev.start('demo/plain', id, { team });
    await dev.untilStatus(id, 'running');
  }
});

test('what is looked for is found, and the address says what is shown', async ({ page }) => {
  await page.goto('/');
  await expect(page).toHaveURL(/\/console\/instances$/);
  const ids = page.getByRole('row').getByRole('rowheader');
  await expect(ids).toContainText(['list/4 50%', 'list-3', 'list-2', 'list-1']);

  await page.getByLabel('Attribute').fill('team=red');
  await page.getByLabel('Attribute').press('Enter');
  await expect(page).toHaveURL(/where=team%3Dred/);
  await expect(ids).toHaveText(['list-2', 'list-1']);
  await page.reload();
  await expect(ids).toHaveText(['list-2', 'list-1']);

  await page.getByRole('button', { name: 'Remove team=red' }).click();
  await page.getByLabel('Workflow').selectOption('demo/plain');
  await page.getByLabel('Status').selectOption('completed');
  await expect(page.getByText('No instance is like that')).toBeVisible();
  await page.getByRole('link', { name: 'show all' }).click();
  await expect(ids).toContainText(['list-1']);
  await page.goBack();
  await expect(page.getByLabel('Status')).toHaveValue('completed');

  await page.getByLabel('Started before').fill('2020-01-01T00:00');
  await expect(page).toHaveURL(/until=2020-01-01T00%3A00/);
  await page.getByLabel('Attribute').fill('nonsense');
  await page.getByLabel('Attribute').press('Enter');
  await expect(page.getByRole('alert')).toContainText('NAME=VALUE');
});

test('an instance is opened by its id, whatever is in that', async ({ page }) => {
  await page.goto('/console/instances');
  await page.getByLabel('Id', { exact: true }).fill('list/4 50%');
  await page.getByLabel('Id', { exact: true }).press('Enter');
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('list/4 50%');
  await expect(page.getByRole('link', { name: 'demo/plain/1.0.0' })).toBeVisible();
  await page.reload();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('list/4 50%');
});

test('an instance that starts elsewhere appears by itself, and so does its end', async ({ page, dev }) => {
  await page.goto('/console/instances');
  await expect(page.locator('[data-link=live]')).toBeVisible();
  await dev.start('demo/plain', 'late-1', { team: 'green' });
  const row = page.locator('tr[data-id="late-1"]');
  await expect(row).toContainText('Running');
  await dev.signal('late-1', 'demo.go');
  await expect(row).toContainText('Completed');
});

test('an instance is started by the form, which says what is wrong with its input', async ({ page }) => {
  await page.goto('/console/instances?workflow=demo/plain');
  await page.getByRole('button', { name: 'Start an instance' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Id').fill('form-1');
  await dialog.getByLabel('Input').fill('{"team": ');
  await expect(dialog.getByText('This is not JSON')).toBeVisible();
  await expect(dialog.getByRole('button', { name: 'Start' })).toHaveAttribute('aria-disabled', 'true');
  await dialog.getByLabel('Input').fill('{"team": "form"}');
  await dialog.getByRole('button', { name: 'Start' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('form-1');
  await expect(page.getByText('form-1 has started')).toBeVisible();
});

test.describe('what is refused', () => {
  test.use({ isRefused: true });

  test('a start of an id that exists says so, in the words of the API', async ({ page }) => {
    await page.goto('/console/instances?workflow=demo/plain');
    await page.getByRole('button', { name: 'Start an instance' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Id').fill('list-1');
    await dialog.getByRole('button', { name: 'Start' }).click();
    await expect(dialog.getByRole('alert')).toContainText('already_exists');
    await page.keyboard.press('Escape');
    await expect(dialog).toBeHidden();
  });

  test('an instance that is not there says so', async ({ page }) => {
    await page.goto('/console/instances/nobody');
    await expect(page.getByText('There is no such instance')).toBeVisible();
  });
});

test('those that are chosen are suspended, and resumed; all that match are cancelled', async ({ page, dev }) => {
  for (const id of ['many-1', 'many-2', 'many-3']) {
    await dev.start('demo/plain', id, { team: 'many' });
    await dev.untilStatus(id, 'running');
  }
  await page.goto('/console/instances?where=team%3Dmany');
  await page.getByLabel('Choose many-1').check();
  await page.getByLabel('Choose many-2').check();
  await page.getByRole('button', { name: 'Suspend…' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Reason').fill('out of paper');
  await dialog.getByRole('button', { name: 'Suspend' }).click();
  await expect(dialog.getByRole('listitem')).toHaveCount(2);
  await dialog.getByRole('button', { name: 'Close', exact: true }).last().click();
  await expect(page.locator('tr[data-id="many-1"]')).toContainText('Suspended');
  await expect(page.locator('tr[data-id="many-2"]')).toContainText('Suspended');
  await expect(page.locator('tr[data-id="many-3"]')).toContainText('Running');
  await dev.untilStatus('many-2', 'suspended');

  await page.goto('/console/instances?workflow=demo%2Fplain&where=team%3Dmany');
  await page.getByRole('button', { name: 'All that match…' }).click();
  await dialog.getByLabel('What to do with them').selectOption('cancel');
  await dialog.getByRole('button', { name: 'Count them' }).click();
  await dialog.getByRole('button', { name: 'Cancel 3 instances' }).click();
  await expect(dialog.getByText('3 accepted, 0 refused.')).toBeVisible();
  await dialog.getByRole('button', { name: 'Close', exact: true }).last().click();
  await expect(page.getByRole('row').filter({ hasText: 'Cancelled' })).toHaveCount(3);
});
