import { expect, test } from '../support/fixtures';

test('all partitions, who owns them, and how far behind they are', async ({ page, dev }) => {
  await page.goto('/console/fleet');
  const rows = page.getByRole('region', { name: 'Partitions' }).first().getByRole('row');
  await expect(rows).toHaveCount(5);
  await expect(page.getByText('4 of 4')).toBeVisible();
  await expect(rows.nth(1)).toContainText(dev.url);
  await expect(rows.nth(1)).toContainText('Active');
  // Records and time: nothing waits.
  await expect(rows.nth(1)).toContainText('0 ms');
});
