/** The tree of things: only the lines that are seen are in the page. */

import React from 'react';

import { describe, type ILineTools, LineContent, openMenu } from './line';
import { HEIGHTS, type Row, windowOf } from './rows';
import type { PanelStore } from './store';

/** What the age of things is told anew after, in milliseconds, while the tree is seen. */
const TICK = 20_000;

interface ITreeProps {
  store: PanelStore;
  tools: Omit<ILineTools, 'now' | 'charts'>;
  /** Whether the sidebar is shown. */
  shown: boolean;
  label: string;
}

export function Tree({ store, tools, shown, label }: ITreeProps): JSX.Element {
  const box = React.useRef<HTMLDivElement>(null);
  const [scroll, setScroll] = React.useState(0);
  const [height, setHeight] = React.useState(600);
  const [now, setNow] = React.useState(Date.now() / 1000);
  const { rows, tops } = store;
  const [first, last] = windowOf(tops, scroll, height);

  React.useEffect(() => {
    const node = box.current!;
    const watch = new ResizeObserver(() => setHeight(node.clientHeight || 600));
    watch.observe(node);
    return () => watch.disconnect();
  }, []);
  React.useEffect(() => {
    if (!shown) {
      return;
    }
    setNow(Date.now() / 1000);
    const timer = window.setInterval(() => setNow(Date.now() / 1000), TICK);
    return () => window.clearInterval(timer);
  }, [shown]);
  // Ages count from the last change, too.
  React.useEffect(() => setNow(Date.now() / 1000), [rows]);
  React.useEffect(() => {
    const reveal = (): void => {
      const node = box.current;
      const index = store.activeIndex;
      if (node && index >= 0) {
        const top = store.tops[index];
        const bottom = store.tops[index + 1];
        if (top < node.scrollTop) {
          node.scrollTop = top;
        } else if (bottom > node.scrollTop + node.clientHeight) {
          node.scrollTop = bottom - node.clientHeight;
        }
      }
    };
    store.revealed.connect(reveal);
    return () => {
      store.revealed.disconnect(reveal);
    };
  }, [store]);
  // Only what is seen is measured.
  const running = rows
    .slice(first, last)
    .flatMap(row => (row.type === 'item' && row.kind === 'container' && row.value.state === 'running' ? [row.id] : []));
  const charts = store.preferences.charts;
  const watched = shown && charts ? running.join() : '';
  React.useEffect(() => tools.stats.watch(watched ? watched.split(',') : []), [watched]);

  // The chosen line stays in the page, for those who hear it.
  const active = store.activeIndex;
  const shownRows = rows.slice(first, last).map((row, n) => [row, first + n] as const);
  if (active >= 0 && (active < first || active >= last)) {
    shownRows.push([rows[active], active]);
  }
  return (
    <div
      ref={box}
      className="jp-labdock-tree"
      role="tree"
      tabIndex={0}
      aria-label={label}
      aria-activedescendant={active >= 0 ? lineId(rows[active]) : undefined}
      onScroll={event => setScroll(event.currentTarget.scrollTop)}
      onKeyDown={event => onKey(event, store, tools)}
    >
      <div role="none" className="jp-labdock-lines" style={{ height: tops[tops.length - 1] }}>
        {shownRows.map(([row, index]) => (
          <Line
            key={row.key}
            row={row}
            top={tops[index]}
            active={index === active}
            store={store}
            tools={{ ...tools, now, charts }}
          />
        ))}
      </div>
    </div>
  );
}

function lineId(row: Row): string {
  return `labdock-line-${row.key.replace(/[^\w-]/g, '_')}`;
}

interface ILineProps {
  row: Row;
  top: number;
  active: boolean;
  store: PanelStore;
  tools: ILineTools;
}

function Line({ row, top, active, store, tools }: ILineProps): JSX.Element {
  const folds = row.type === 'section' || row.type === 'group';
  return (
    <div
      id={lineId(row)}
      className={`jp-labdock-line jp-labdock-mod-${row.type}${active ? ' jp-mod-active' : ''}`}
      role="treeitem"
      aria-level={row.level}
      aria-posinset={row.position}
      aria-setsize={row.siblings}
      aria-selected={active}
      aria-expanded={folds ? row.open : undefined}
      aria-label={describe(row, tools.trans)}
      data-kind={row.kind}
      data-key={row.key}
      data-id={row.type === 'item' ? row.id : undefined}
      data-state={row.type === 'item' && row.kind === 'container' ? row.value.state : undefined}
      style={{ top, height: HEIGHTS[row.type] }}
      onClick={() => {
        store.choose(row.key);
        if (folds) {
          store.fold(row.key, row.open);
        }
      }}
      onContextMenu={() => store.choose(row.key)}
      onDoubleClick={() => act(row, tools)}
    >
      <LineContent row={row} tools={tools} />
    </div>
  );
}

/** What Enter and a double click do. */
function act(row: Row, tools: Pick<ILineTools, 'commands'>): void {
  if (row.type === 'item') {
    const verbs = { container: 'logs', image: 'run-image', network: 'inspect', volume: 'inspect' };
    const id = `labdock:${verbs[row.kind]}`;
    void tools.commands.execute(tools.commands.hasCommand(id) ? id : 'labdock:inspect', { id: row.id });
  }
}

function onKey(event: React.KeyboardEvent<HTMLDivElement>, store: PanelStore, tools: ITreeProps['tools']): void {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target !== event.currentTarget) {
    return;
  }
  const row = store.rows[store.activeIndex];
  const page = Math.max(1, Math.floor(event.currentTarget.clientHeight / HEIGHTS.item) - 1);
  const execute = (id: string): void => {
    if (row?.type === 'item' && tools.commands.isEnabled(id, { id: row.id })) {
      void tools.commands.execute(id, { id: row.id });
    }
  };
  const keys: Record<string, () => void> = {
    ArrowDown: () => store.move(1),
    ArrowUp: () => store.move(-1),
    PageDown: () => store.move(page),
    PageUp: () => store.move(-page),
    Home: () => store.move(-Infinity),
    End: () => store.move(Infinity),
    ArrowRight: () => unfold(row, store),
    ArrowLeft: () => foldUp(row, store),
    Enter: () => (row && 'open' in row ? store.fold(row.key, row.open) : row && act(row, tools)),
    ' ': () => row && 'open' in row && store.fold(row.key, row.open),
    Delete: () => row && execute(REMOVERS[row.kind]),
    F2: () => execute('labdock:rename'),
    ContextMenu: () => menuOf(row),
    F10: () => event.shiftKey && menuOf(row)
  };
  const does = keys[event.key];
  if (does) {
    event.preventDefault();
    event.stopPropagation();
    does();
  }
}

const REMOVERS: Record<Row['kind'], string> = {
  container: 'labdock:remove',
  image: 'labdock:remove-image',
  network: 'labdock:remove-network',
  volume: 'labdock:remove-volume'
};

function menuOf(row: Row | undefined): void {
  const element = row && document.getElementById(lineId(row));
  if (element) {
    openMenu(element);
  }
}

function unfold(row: Row | undefined, store: PanelStore): void {
  if (row && 'open' in row) {
    if (row.open) {
      store.move(1);
    } else {
      store.fold(row.key, false);
    }
  }
}

function foldUp(row: Row | undefined, store: PanelStore): void {
  if (row && 'open' in row && row.open) {
    store.fold(row.key, true);
  } else if (row) {
    const above = store.rows.slice(0, store.activeIndex).reverse();
    const parent = above.find(one => one.level < row.level);
    if (parent) {
      store.choose(parent.key, true);
    }
  }
}
