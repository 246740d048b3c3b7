import { expect, test } from 'vitest';
import { addressOf, hrefOf } from '../../src/model/address';

test('ids come back as they went into an address', () => {
  for (const id of ['order-4711', 'a/b', '100%', 'a%2Fb', 'with space', 'ümlaut?#&=', '..x']) {
    const href = hrefOf(['instances', id], 'cursor=1');
    const url = new URL(href, 'http://localhost');
    expect(addressOf(url.pathname, url.search)).toEqual({ parts: ['instances', id], search: 'cursor=1' });
  }
});

test('an address that was written by hand is read as far as it goes', () => {
  expect(addressOf('/console/instances/50%', '')).toEqual({ parts: ['instances', '50%'], search: '' });
  expect(addressOf('/console/', '')).toEqual({ parts: [], search: '' });
  expect(addressOf('/elsewhere', '?a=b')).toEqual({ parts: [], search: 'a=b' });
});
