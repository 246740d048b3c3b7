// A graph, drawn: of a definition, or of an instance with how each task stands.
import { useMemo } from 'preact/hooks';
import type { Graph as GraphView } from '../api/types';
import { curve, layout, type Placed, type Route } from '../model/layout';
import { lookOf, taken, wordsOf } from '../model/node-look';
import { Mark } from './marks';

export function Graph({
  graph,
  selected,
  onSelect,
}: {
  graph: GraphView;
  selected?: string;
  onSelect?: (id: string | undefined) => void;
}) {
  // Where nodes are depends on the definition alone: nothing moves while the instance does.
  const shape = graph.nodes.map((it) => it.id).join(' ') + graph.workflow;
  // The same shape has the same places.
  const { nodes, routes, width, height } = useMemo(() => layout(graph), [shape]);
  const states = new Map(graph.nodes.map((it) => [it.id, it.state]));
  const isOfInstance = graph.instance !== undefined;
  const passed = isOfInstance ? taken(routes, states) : new Set<Route>();
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard
    <section class="graph" aria-label="Graph, drawn" tabIndex={0}>
      <div class="graph-sheet" style={{ width: `${width}px`, height: `${height}px` }}>
        <svg width={width} height={height} aria-hidden="true" focusable="false">
          <defs>
            <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
              <path d="M0 .8 7 4 0 7.2z" class="arrow" />
            </marker>
            <marker
              id="arrow-passed"
              viewBox="0 0 8 8"
              refX="7"
              refY="4"
              markerWidth="7"
              markerHeight="7"
              orient="auto"
            >
              <path d="M0 .8 7 4 0 7.2z" class="arrow passed" />
            </marker>
          </defs>
          {nodes
            .filter((it) => it.isBox)
            .map((it) => (
              <rect
                key={it.node.id}
                class={`box is-${lookOf(states.get(it.node.id))} depth-${it.depth % 2}`}
                x={it.x}
                y={it.y}
                width={it.width}
                height={it.height}
                rx="8"
              />
            ))}
          {routes.map((it) => (
            <path
              key={`${it.from} ${it.to} ${it.label}`}
              class={`route is-${it.kind} ${passed.has(it) ? 'passed' : ''}`}
              d={curve(it.points)}
              marker-end={passed.has(it) ? 'url(#arrow-passed)' : 'url(#arrow)'}
            />
          ))}
        </svg>
        {routes
          .filter((it) => it.labelAt)
          .map((it) => (
            <span
              key={`${it.from} ${it.to} ${it.label}`}
              class="route-label"
              style={{ left: `${it.labelAt!.x}px`, top: `${it.labelAt!.y}px` }}
            >
              {it.label}
            </span>
          ))}
        <ul class="graph-nodes" aria-label="Tasks">
          {nodes.map((it) => (
            <GraphNode
              key={it.node.id}
              placed={it}
              state={states.get(it.node.id)}
              isOfInstance={isOfInstance}
              isSelected={it.node.id === selected}
              onSelect={onSelect}
            />
          ))}
        </ul>
      </div>
    </section>
  );
}

function GraphNode({
  placed,
  state,
  isOfInstance,
  isSelected,
  onSelect,
}: {
  placed: Placed;
  state: GraphView['nodes'][number]['state'];
  isOfInstance: boolean;
  isSelected: boolean;
  onSelect?: (id: string | undefined) => void;
}) {
  const { node, x, y, width, height, isBox, entry } = placed;
  const place = { left: `${x}px`, top: `${y}px`, width: `${width}px`, height: isBox ? undefined : `${height}px` };
  if (node.kind === 'start' || node.kind === 'end') {
    return (
      <li class={`graph-node terminal ${isOfInstance ? `is-${lookOf(state)}` : ''}`} style={place} data-node={node.id}>
        {node.kind}
      </li>
    );
  }
  const look = isOfInstance ? lookOf(state) : undefined;
  const words = isOfInstance ? wordsOf(state) : (node.detail ?? node.kind);
  const content = (
    <>
      {look && <Mark of={look} size={15} />}
      <span class="graph-name">{node.name}</span>
      <span class="graph-kind">
        {entry === 'catch' ? `catch · ${node.kind}` : entry === 'compensate' ? `undo · ${node.kind}` : node.kind}
      </span>
      {!isBox && <span class="graph-words">{words}</span>}
      {isBox && isOfInstance && <span class="graph-words">{words}</span>}
    </>
  );
  const className = `graph-node ${isBox ? 'box-head' : 'task'} ${look ? `is-${look}` : ''} ${isSelected ? 'selected' : ''}`;
  const title = [node.detail, node.condition && `if ${node.condition}`].filter(Boolean).join('\n') || undefined;
  return (
    <li style={place} class="graph-place" data-node={node.id} data-look={look}>
      {onSelect ? (
        <button
          type="button"
          class={className}
          aria-pressed={isSelected}
          aria-label={`${node.name}, ${node.kind}: ${words}`}
          title={title}
          onClick={() => onSelect(isSelected ? undefined : node.id)}
        >
          {content}
        </button>
      ) : (
        <div class={className} title={title}>
          {content}
        </div>
      )}
    </li>
  );
}
