import { expect, test } from 'vitest';
import type { Edge, Node } from '../../src/api/types';
import { curve, layout, type Placed } from '../../src/model/layout';

function node(id: string, kind = 'set', parent?: string): Node {
  return { id, name: id.split('/').at(-1)!, kind, parent };
}

function edge(from: string, to: string, kind = 'next', label?: string): Edge {
  return { from, to, kind, label };
}

// A fork of two branches, of which one is a `try` that catches, between two tasks; and a way past all of them.
const NODES = [
  node('start', 'start'),
  node('/do/0/first'),
  node('/do/1/both', 'fork'),
  node('/do/1/both/a', 'call', '/do/1/both'),
  node('/do/1/both/b', 'try', '/do/1/both'),
  node('/do/1/both/b/try/0/risky', 'call', '/do/1/both/b'),
  node('/do/1/both/b/catch/0/sorry', 'set', '/do/1/both/b'),
  node('/do/2/last'),
  node('end', 'end'),
];
const EDGES = [
  edge('start', '/do/0/first'),
  edge('/do/0/first', '/do/1/both', 'case', 'a condition that is much longer than what there is room for'),
  edge('/do/0/first', '/do/2/last', 'then', 'otherwise'),
  edge('/do/1/both', '/do/1/both/a', 'enter'),
  edge('/do/1/both', '/do/1/both/b', 'enter'),
  edge('/do/1/both/b', '/do/1/both/b/try/0/risky', 'enter'),
  edge('/do/1/both/b', '/do/1/both/b/catch/0/sorry', 'catch'),
  edge('/do/1/both', '/do/2/last'),
  edge('/do/1/both/b/try/0/risky', '/do/2/last', 'exit'),
  edge('/do/2/last', 'end'),
];

const placed = layout({ nodes: NODES, edges: EDGES });
const at = (id: string) => placed.nodes.find((it) => it.node.id === id)!;

const isWithin = (inner: Placed, outer: Placed) =>
  inner.x >= outer.x &&
  inner.y >= outer.y &&
  inner.x + inner.width <= outer.x + outer.width &&
  inner.y + inner.height <= outer.y + outer.height;
const isApart = (a: Placed, b: Placed) =>
  a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y;

test('every node has a place, within the box that it is in', () => {
  expect(placed.nodes.map((it) => it.node.id).sort()).toEqual(NODES.map((it) => it.id).sort());
  for (const it of placed.nodes) {
    if (it.node.parent) expect(isWithin(it, at(it.node.parent)), it.node.id).toBe(true);
  }
});

test('what is in the same box does not overlap', () => {
  for (const a of placed.nodes) {
    for (const b of placed.nodes) {
      if (a !== b && a.node.parent === b.node.parent) {
        expect(isApart(a, b), `${a.node.id}, ${b.node.id}`).toBe(true);
      }
    }
  }
});

test('the flow goes down', () => {
  const heights = ['start', '/do/0/first', '/do/1/both', '/do/2/last', 'end'].map((it) => at(it).y);
  expect(heights).toEqual([...heights].sort((a, b) => a - b));
});

test('boxes stand around what is in them, and say how that is come to', () => {
  expect([at('/do/1/both').isBox, at('/do/1/both/a').isBox]).toEqual([true, false]);
  expect([at('/do/1/both').depth, at('/do/1/both/b/try/0/risky').depth]).toEqual([0, 2]);
  expect(at('/do/1/both/b/catch/0/sorry').entry).toBe('catch');
  expect(at('/do/1/both/a').entry).toBeUndefined();
});

test('ways run between what stands side by side, each once', () => {
  const ways = placed.routes.map((it) => `${it.from} → ${it.to}${it.label ? `: ${it.label}` : ''}`);
  expect(ways.sort()).toEqual([
    '/do/0/first → /do/1/both: a condition that is much …',
    '/do/0/first → /do/2/last: otherwise',
    '/do/1/both → /do/2/last',
    '/do/2/last → end',
    'start → /do/0/first',
  ]);
});

test('a definition without tasks has a picture, too', () => {
  const { nodes, width, height } = layout({ nodes: [], edges: [] });
  expect(nodes).toEqual([]);
  expect(Number.isFinite(width) && Number.isFinite(height)).toBe(true);
});

test('the same graph has the same picture', () => {
  expect(layout({ nodes: NODES, edges: EDGES })).toEqual(placed);
});

test('a route is drawn through its points', () => {
  expect(curve([])).toBe('');
  expect(curve([at2(0, 0), at2(10, 20)])).toBe('M0 0L10 20');
  expect(curve([at2(0, 0), at2(0, 10), at2(10, 10), at2(10, 20)])).toBe('M0 0Q0 10 5 10Q10 10 10 20');
});

function at2(x: number, y: number) {
  return { x, y };
}
