import { expect, test, workflow } from '../support/fixtures';

test.describe('a definition that is wrong', () => {
  test.use({ isRefused: true });

  test('is refused with what is wrong and where, and deployed when that is mended', async ({ page }) => {
    await page.goto('/console/definitions');
    await page.getByRole('button', { name: 'Deploy…' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('File').setInputFiles({
      name: 'wrong.yaml',
      mimeType: 'application/yaml',
      buffer: Buffer.from(workflow('wrong')),
    });
    await dialog.getByRole('button', { name: 'Deploy' }).click();
    await expect(dialog.getByRole('alert')).toContainText('definition_refused');
    const finding = dialog.getByRole('list', { name: 'Findings' }).getByRole('listitem').first();
    await expect(finding).toContainText('nowhere');
    await expect(finding).toContainText('5:7');

    // Its place is shown in the text.
    const text = dialog.getByLabel('Definition', { exact: true });
    await finding.getByRole('button').click();
    const chosen = await text.evaluate((it: HTMLTextAreaElement) => it.value.slice(it.selectionStart, it.selectionEnd));
    expect(chosen).toBe('then: nowhere');

    await text.fill(workflow('wrong').replace('then: nowhere', 'then: end'));
    await dialog.getByRole('button', { name: 'Only check' }).click();
    await expect(dialog.getByText('demo/wrong/1.0.0 can be deployed.')).toBeVisible();
    await dialog.getByRole('button', { name: 'Deploy' }).click();
    await expect(page.getByText('demo/wrong/1.0.0 is deployed')).toBeVisible();
    await expect(page).toHaveURL(/\/console\/definitions\/demo\/wrong\/1\.0\.0$/);
  });
});

test('a definition shows its versions, its graph and its source', async ({ page, dev }) => {
  await dev.deploy(workflow('later'));
  await dev.deploy(workflow('later').replace("version: '1.0.0'", "version: '1.1.0'").replace('- done:', '- second:'));
  await page.goto('/console/definitions/demo/later');
  await expect(page.getByRole('list', { name: 'Tasks' })).toContainText('second');
  await expect(page.getByRole('region', { name: 'Source' }).first()).toContainText("version: '1.1.0'");
  await page.getByLabel('Version').selectOption('1.0.0');
  await expect(page).toHaveURL(/later\/1\.0\.0$/);
  await expect(page.getByRole('list', { name: 'Tasks' })).toContainText('done');
  await page.getByRole('link', { name: 'Its instances' }).click();
  await expect(page).toHaveURL(/instances\?workflow=demo%2Flater$/);
});

test('a schedule is paused, resumed, and starts an instance at once', async ({ page, dev }) => {
  await dev.deploy(workflow('hourly'));
  await page.goto('/console/definitions');
  const row = page.locator('tr[data-workflow="demo/hourly"]');
  await row.getByRole('button', { name: 'Pause' }).click();
  await expect(row).toContainText('Paused');
  await row.getByRole('button', { name: 'Resume' }).click();
  await expect(row).toContainText('Active');
  await row.getByRole('button', { name: 'Start demo/hourly now' }).click();
  await expect(row.getByRole('link')).toHaveCount(2);
});
