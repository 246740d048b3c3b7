import { expect, test } from '../support/fixtures';

test('the page comes with what keeps it to itself, and is sent again only when it is another one', async ({
  request,
}) => {
  const page = await request.get('/console/instances/some%2Fid');
  const headers = page.headers();
  expect(page.status()).toBe(200);
  expect(headers['content-type']).toBe('text/html; charset=utf-8');
  expect(headers['content-security-policy']).toContain("default-src 'self'");
  expect(headers['content-security-policy']).toContain("frame-ancestors 'none'");
  expect(headers['x-content-type-options']).toBe('nosniff');
  expect(headers['referrer-policy']).toBe('no-referrer');
  const types = {
    'console.js': 'text/javascript; charset=utf-8',
    'console.css': 'text/css; charset=utf-8',
    'icon.svg': 'image/svg+xml',
  };
  for (const [name, type] of Object.entries(types)) {
    const first = await request.get(`/console/${name}`);
    expect([first.status(), first.headers()['content-type']]).toEqual([200, type]);
    const again = await request.get(`/console/${name}`, { headers: { 'if-none-match': first.headers().etag! } });
    expect([again.status(), (await again.body()).length]).toEqual([304, 0]);
  }
});
