// Pictures for the README: `cargo xtask console --screenshots`.
import type { Page } from '@playwright/test';
import { Dev } from '../support/dev';
import { test as base, expect, workflow } from '../support/fixtures';

const FOLDER = process.env.CONSOLE_SCREENSHOTS;

// With a Millrace of its own: nothing else is in the pictures.
const test = base.extend<object, { dev: Dev }>({
  dev: [
    async ({ browserName: _ }, use) => {
      const dev = await Dev.start(['--partitions', '8']);
      await use(dev);
      await dev.stop();
    },
    { scope: 'worker' },
  ],
});

test.skip(FOLDER === undefined, 'pictures are taken when they are asked for');
test.use({ viewport: { width: 1200, height: 760 } });

test('pictures', async ({ page, dev }) => {
  await dev.deploy(workflow('checkout'));
  await dev.deploy(workflow('plain'));
  dev.service.release('acme');
  const orders: [string, number, string?][] = [
    ['acme', 120, 'delivered'],
    ['globex', 2_400],
    ['acme', 35, 'delivered'],
    ['hooli', 480],
    ['acme', 910],
    ['initech', 0],
    ['umbrella', 75],
    ['acme', 260, 'delivered'],
    ['globex', 1_750],
    ['acme', 64],
  ];
  for (const [index, [customer, amount, end]] of orders.entries()) {
    const id = `order-${4_711 + index}`;
    await dev.start('shop/checkout', id, { customer, amount });
    if (end) {
      await dev.signal(id, `shop.courier.${end}`);
      await dev.untilStatus(id, 'completed');
    }
  }
  await dev.untilStatus('order-4716', 'incident');
  await dev.untilStatus('order-4720', 'running');

  await page.goto('/console/instances');
  await expect(page.locator('tr[data-id]')).toHaveCount(10);
  await taken(page, 'instances');
  await page.goto('/console/instances/order-4715');
  await expect(page.locator('[data-node="/do/4/deliver/try/0/courier"]')).toHaveAttribute('data-look', 'waiting');
  await taken(page, 'instance', 1_000);
  await page.goto('/console/instances/order-4716');
  await expect(page.locator('[data-node="/do/0/prepare/fork/branches/1/chargeCard"]')).toHaveAttribute(
    'data-look',
    'halted',
  );
  await taken(page, 'incident', 900);
  await page.goto('/console/fleet');
  await expect(page.getByText('8 of 8')).toBeVisible();
  await taken(page, 'fleet');
});

async function taken(page: Page, name: string, height = 760): Promise<void> {
  await page.setViewportSize({ width: 1200, height });
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await page.screenshot({ path: `${FOLDER}/${name}-${colorScheme}.png`, animations: 'disabled' });
  }
}
