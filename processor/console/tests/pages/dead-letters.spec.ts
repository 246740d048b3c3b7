import { expect, test, workflow } from '../support/fixtures';

test('a record that came too early is redriven, and its instance starts', async ({ page, dev }) => {
  const early = workflow('later').replace('name: later', 'name: early');
  await dev.run('start', 'demo/early', '--id', 'early-1');
  await page.goto('/console/dead-letters');
  const letter = page.locator('[data-letter]').filter({ hasText: 'early-1' });
  await expect(letter).toContainText('unknown workflow', { ignoreCase: true });
  await letter.getByText('Value', { exact: true }).click();
  await expect(letter.getByRole('region', { name: 'Value' })).toContainText('demo/early');

  await dev.deploy(early);
  await letter.getByRole('button', { name: /^Redrive/ }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Redrive' }).click();
  await expect(letter.getByRole('status')).toContainText('Produced again: millrace.events');
  await dev.untilStatus('early-1', 'completed');
});
