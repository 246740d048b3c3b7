// Where the nodes of a graph are drawn, and how its edges run.
//
// A task with tasks of its own is a box around theirs. Boxes are laid out from the inside out: what is in a box first, as a graph of its own,
// then the box as a node of the graph around it. An edge from the inside of one box to the inside of another runs between those two that stand
// side by side.
import dagre from '@dagrejs/dagre';
import type { Edge, Graph, Node } from '../api/types';

export interface Point {
  x: number;
  y: number;
}

export interface Placed {
  node: Node;
  /** Of the upper left corner, from that of the picture. */
  x: number;
  y: number;
  width: number;
  height: number;
  /** Whether it is a box around others. */
  isBox: boolean;
  /** How many boxes it is inside of. */
  depth: number;
  /** Why the flow comes in here, if it comes from the box itself. */
  entry?: 'catch' | 'compensate';
}

export interface Route {
  from: string;
  to: string;
  kind: string;
  label?: string;
  points: Point[];
  labelAt?: Point;
}

export interface Layout {
  nodes: Placed[];
  routes: Route[];
  width: number;
  height: number;
}

export const NODE = { width: 176, height: 46 };
const END_OF_FLOW = { width: 74, height: 26 };
const HEADER = 34;
const PADDING = 14;
const MARGIN = 12;
const LABEL_HEIGHT = 16;
const CHARACTER = 6.4;
const LABEL_MAX = 26;

/** Nodes come in the order of the definition, each after the box that it is in. */
export function layout(graph: Pick<Graph, 'nodes' | 'edges'>): Layout {
  const tree = new Tree(graph.nodes);
  const inside = new Map<string, Inside>();
  // The innermost first.
  for (const node of [...graph.nodes].reverse()) {
    if (tree.children(node.id).length > 0) inside.set(node.id, arrange(tree, graph.edges, node.id, inside));
  }
  const all = arrange(tree, graph.edges, ROOT, inside);
  const nodes: Placed[] = [];
  const routes: Route[] = [];
  place(all, { x: MARGIN, y: MARGIN }, 0);
  return { nodes, routes, width: all.width + 2 * MARGIN, height: all.height + 2 * MARGIN };

  function place(box: Inside, at: Point, depth: number): void {
    for (const it of box.nodes) {
      const corner = { x: at.x + it.x, y: at.y + it.y };
      const own = inside.get(it.node.id);
      nodes.push({ ...it, ...corner, isBox: own !== undefined, depth });
      if (own) place(own, { x: corner.x + PADDING, y: corner.y + HEADER }, depth + 1);
    }
    const shifted = (point: Point) => ({ x: at.x + point.x, y: at.y + point.y });
    for (const it of box.routes) {
      routes.push({ ...it, points: it.points.map(shifted), labelAt: it.labelAt && shifted(it.labelAt) });
    }
  }
}

const ROOT = '';

/** What is in a box, from the upper left corner of its inside. */
interface Inside {
  nodes: Omit<Placed, 'isBox' | 'depth'>[];
  routes: Route[];
  width: number;
  height: number;
}

class Tree {
  readonly #parents = new Map<string, string>();
  readonly #children = new Map<string, Node[]>();

  constructor(nodes: readonly Node[]) {
    for (const node of nodes) {
      const parent = node.parent ?? ROOT;
      this.#parents.set(node.id, parent);
      this.#children.set(parent, [...this.children(parent), node]);
    }
  }

  children(box: string): Node[] {
    return this.#children.get(box) ?? [];
  }

  /** Which node directly inside `box` a node is, or is inside of. */
  within(box: string, id: string): string | undefined {
    let at: string | undefined = id;
    while (at !== undefined && at !== ROOT) {
      const parent = this.#parents.get(at);
      if (parent === box) return at;
      at = parent;
    }
    return undefined;
  }
}

function arrange(tree: Tree, edges: readonly Edge[], box: string, inside: ReadonlyMap<string, Inside>): Inside {
  const graph = new dagre.graphlib.Graph({ multigraph: true });
  graph.setGraph({ rankdir: 'TB', nodesep: 26, ranksep: 34, edgesep: 14 });
  const children = tree.children(box);
  for (const node of children) graph.setNode(node.id, { ...sizeOf(node, inside) });

  const drawn = new Map<string, Edge>();
  for (const edge of edges) {
    const [from, to] = [tree.within(box, edge.from), tree.within(box, edge.to)];
    if (from === undefined || to === undefined || from === to) continue;
    // Of several that would run the same way, those that say something are told apart.
    const name = `${from} ${to} ${edge.label ?? ''}`;
    if (drawn.has(name)) continue;
    const shown = { ...edge, from, to };
    drawn.set(name, shown);
    const label = labelOf(shown);
    const room = label ? { width: label.length * CHARACTER + 10, height: LABEL_HEIGHT, labelpos: 'c' } : {};
    graph.setEdge(from, to, { ...room }, name);
  }
  dagre.layout(graph);

  const nodes = children.map((node) => {
    const { x, y, width, height } = graph.node(node.id);
    const entry = edges.find((it) => it.from === box && it.to === node.id)?.kind;
    return {
      node,
      x: x - width / 2,
      y: y - height / 2,
      width,
      height,
      entry: entry === 'catch' || entry === 'compensate' ? entry : undefined,
    } as const;
  });
  const routes = graph.edges().map((it) => {
    const { points, x, y } = graph.edge(it);
    const edge = drawn.get(it.name!)!;
    const label = labelOf(edge);
    const labelAt = label && x !== undefined && y !== undefined ? { x, y } : undefined;
    return { from: edge.from, to: edge.to, kind: edge.kind, label, points, labelAt };
  });
  const { width, height } = graph.graph();
  // Of nothing, they are infinitely small.
  return { nodes, routes, width: Math.max(0, width ?? 0), height: Math.max(0, height ?? 0) };
}

function sizeOf(node: Node, inside: ReadonlyMap<string, Inside>): { width: number; height: number } {
  const own = inside.get(node.id);
  if (!own) return node.kind === 'start' || node.kind === 'end' ? END_OF_FLOW : NODE;
  return {
    width: Math.max(NODE.width, own.width + 2 * PADDING),
    height: own.height + HEADER + PADDING,
  };
}

/** Ways that say nothing more about themselves. */
const NAMED: Record<string, string> = { exit: 'exit', compensate: 'undone by' };

function labelOf(edge: Edge): string | undefined {
  const text = edge.label ?? NAMED[edge.kind];
  return text && text.length > LABEL_MAX ? `${text.slice(0, LABEL_MAX - 1)}…` : text;
}

/** A curve through the points of a route, as the `d` of a path. */
export function curve(points: readonly Point[]): string {
  const [first, ...rest] = points;
  if (!first) return '';
  const at = ({ x, y }: Point) => `${round(x)} ${round(y)}`;
  if (rest.length < 2) return `M${at(first)}${rest.map((it) => `L${at(it)}`).join('')}`;
  // Straight to the middle of each stretch, and round the points between.
  let path = `M${at(first)}`;
  for (let index = 0; index < rest.length - 1; index += 1) {
    const [point, next] = [rest[index]!, rest[index + 1]!];
    const end = index === rest.length - 2 ? next : { x: (point.x + next.x) / 2, y: (point.y + next.y) / 2 };
    path += `Q${at(point)} ${at(end)}`;
  }
  return path;
}

const round = (value: number) => Math.round(value * 10) / 10;
