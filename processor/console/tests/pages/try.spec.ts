import { test, workflow } from '../support/fixtures';

test('try', async ({ page, dev }) => {
  await dev.deploy(workflow('checkout'));
  await dev.deploy(workflow('plain'));
  await dev.deploy(workflow('hourly'));
  for (const [n, customer, amount] of [
    [1, 'acme', 120],
    [2, 'globex', 2400],
    [3, 'initech', 0],
    [4, 'acme', 35],
  ] as const) {
    await dev.start('shop/checkout', `order-${n}`, { customer, amount });
  }
  await dev.untilStatus('order-3', 'incident');
  dev.service.release('acme');
  await page.goto('/');
  await page.waitForTimeout(2500);
  await page.screenshot({ path: '/tmp/console-try/instances.png' });
  await page.goto('/console/instances/order-1');
  await page.waitForTimeout(1500);
  await page.screenshot({ path: '/tmp/console-try/instance.png', fullPage: true });
  await page.goto('/console/incidents');
  await page.waitForTimeout(1500);
  await page.screenshot({ path: '/tmp/console-try/incidents.png' });
  await page.goto('/console/fleet');
  await page.waitForTimeout(1500);
  await page.screenshot({ path: '/tmp/console-try/fleet.png' });
  await page.goto('/console/definitions');
  await page.waitForTimeout(1000);
  await page.screenshot({ path: '/tmp/console-try/definitions.png' });
});
