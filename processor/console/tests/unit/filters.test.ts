import { expect, test } from 'vitest';
import { type Filters, filtersOf, isFiltered, queryOf, searchOf } from '../../src/model/filters';

const ALL: Filters = {
  workflow: 'shop/order',
  status: 'running',
  since: '2026-01-31T10:00',
  until: '2026-02-01T10:00',
  where: ['customer=acme & sons', 'paid=false'],
  cursor: 'abc',
};

test('filters come back as they went into the address', () => {
  expect(filtersOf(`?${searchOf(ALL)}`)).toEqual(ALL);
  expect(searchOf(filtersOf(searchOf(ALL)))).toBe(searchOf(ALL));
  expect(searchOf({ where: [] })).toBe('');
});

test('what makes no sense in an address is left out', () => {
  const filters = filtersOf('status=lost&since=yesterday&where=customer&where==x&workflow=');
  expect(filters).toEqual({ where: [] });
  expect(isFiltered(filters)).toBe(false);
});

test('a page of the same list is no filter', () => {
  expect(isFiltered({ where: [], cursor: 'abc' })).toBe(false);
  expect(isFiltered({ where: ['a=b'] })).toBe(true);
});

test('the API is asked in its own words', () => {
  const query = queryOf(ALL, 50);
  expect(query).toMatchObject({ workflow: 'shop/order', status: 'running', limit: 50, cursor: 'abc' });
  expect(query.since).toBe(new Date('2026-01-31T10:00').toISOString());
});
