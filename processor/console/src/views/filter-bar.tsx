// The filters of the list. What is set here goes into the address.
import { useState } from 'preact/hooks';
import type { InstanceStatus } from '../api/types';
import { type Filters, isCondition, isFiltered, STATUSES } from '../model/filters';
import { words } from '../model/format';
import { Button } from '../ui/parts';
import { go } from '../ui/router';

export function FilterBar({
  filters,
  workflows,
  onChange,
}: {
  filters: Filters;
  workflows: string[];
  onChange: (change: Partial<Filters>) => void;
}) {
  const [id, setId] = useState('');
  const known =
    filters.workflow && !workflows.includes(filters.workflow) ? [filters.workflow, ...workflows] : workflows;
  return (
    <search class="filters" aria-label="Filters">
      <form
        class="filter"
        onSubmit={(event) => {
          event.preventDefault();
          if (id.trim() !== '') go(['instances', id.trim()]);
        }}
      >
        <label for="filter-id">Id</label>
        <input
          id="filter-id"
          data-search
          type="search"
          placeholder="Open by id, press Enter"
          autocomplete="off"
          spellcheck={false}
          value={id}
          onInput={(event) => setId(event.currentTarget.value)}
        />
      </form>
      <div class="filter">
        <label for="filter-workflow">Workflow</label>
        <select
          id="filter-workflow"
          value={filters.workflow ?? ''}
          onChange={(event) => onChange({ workflow: event.currentTarget.value || undefined })}
        >
          <option value="">All</option>
          {known.map((it) => (
            <option key={it}>{it}</option>
          ))}
        </select>
      </div>
      <div class="filter">
        <label for="filter-status">Status</label>
        <select
          id="filter-status"
          value={filters.status ?? ''}
          onChange={(event) =>
            onChange({ status: (event.currentTarget.value || undefined) as InstanceStatus | undefined })
          }
        >
          <option value="">All</option>
          {STATUSES.map((it) => (
            <option key={it} value={it}>
              {words(it)}
            </option>
          ))}
        </select>
      </div>
      <div class="filter">
        <label for="filter-since">Started from</label>
        <input
          id="filter-since"
          type="datetime-local"
          value={filters.since ?? ''}
          onChange={(event) => onChange({ since: event.currentTarget.value || undefined })}
        />
      </div>
      <div class="filter">
        <label for="filter-until">Started before</label>
        <input
          id="filter-until"
          type="datetime-local"
          value={filters.until ?? ''}
          onChange={(event) => onChange({ until: event.currentTarget.value || undefined })}
        />
      </div>
      <Conditions where={filters.where} onChange={(where) => onChange({ where })} />
      {isFiltered(filters) && (
        <div class="filter end">
          <Button kind="quiet" onClick={() => go(['instances'])}>
            Show all
          </Button>
        </div>
      )}
    </search>
  );
}

function Conditions({ where, onChange }: { where: string[]; onChange: (where: string[]) => void }) {
  const [text, setText] = useState('');
  const [isWrong, setWrong] = useState(false);
  return (
    <form
      class="filter wide"
      onSubmit={(event) => {
        event.preventDefault();
        const condition = text.trim();
        setWrong(!isCondition(condition));
        if (!isCondition(condition)) return;
        setText('');
        onChange([...where.filter((it) => it !== condition), condition]);
      }}
    >
      <label for="filter-where">Attribute</label>
      <div class="conditions">
        {where.map((it) => (
          <button
            key={it}
            type="button"
            class="attribute"
            aria-label={`Remove ${it}`}
            onClick={() => onChange(where.filter((other) => other !== it))}
          >
            {it} <span aria-hidden="true">×</span>
          </button>
        ))}
        <input
          id="filter-where"
          placeholder="customer=acme, press Enter"
          autocomplete="off"
          spellcheck={false}
          value={text}
          aria-invalid={isWrong || undefined}
          aria-describedby={isWrong ? 'filter-where-said' : undefined}
          onInput={(event) => {
            setText(event.currentTarget.value);
            setWrong(false);
          }}
        />
      </div>
      {isWrong && (
        <p class="hint bad" id="filter-where-said" role="alert">
          Write NAME=VALUE, such as customer=acme.
        </p>
      )}
    </form>
  );
}
