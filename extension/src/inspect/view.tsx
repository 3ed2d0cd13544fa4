/** All that the engine knows of a thing: a tree to unfold, to search and to copy from. */

import { Clipboard, MainAreaWidget, ReactWidget } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { caretDownIcon, caretRightIcon, inspectorIcon } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import React from 'react';

import { complain, type ICommandHost } from '../commands/registry';
import type { IFailure } from '../shapes';
import { type IJsonRow, type Json, jsonAt, jsonRows } from './rows';

/** Levels that are unfolded at first. */
const DEPTH = 1;
/** Levels deeper than anything that an engine says. */
const ALL = 64;

/** `read` gives it, again whenever it is asked for anew. What is open already is shown as it is now. */
export async function openInspection(
  host: ICommandHost,
  key: string,
  name: string,
  read: () => Promise<unknown>
): Promise<void> {
  const id = `labdock-inspect-${key}`;
  const open = [...host.app.shell.widgets('main')].find(widget => widget.id === id);
  if (open instanceof MainAreaWidget && open.content instanceof InspectView) {
    await open.content.refresh();
    host.app.shell.activateById(id);
    return;
  }
  const content = new InspectView(name, host.trans, read, (await read()) as Json);
  const widget = new MainAreaWidget({ content });
  widget.id = id;
  widget.title.label = name;
  widget.title.icon = inspectorIcon;
  widget.title.closable = true;
  host.app.shell.add(widget, 'main', { type: 'labdock' });
  host.app.shell.activateById(widget.id);
}

export class InspectView extends ReactWidget {
  constructor(
    private readonly name: string,
    private readonly trans: TranslationBundle,
    private readonly read: () => Promise<unknown>,
    private value: Json
  ) {
    super();
    this.addClass('jp-labdock-inspect');
  }

  async refresh(): Promise<void> {
    try {
      this.value = (await this.read()) as Json;
    } catch (error) {
      complain(error as IFailure);
    }
    if (!this.isDisposed) {
      this.update();
    }
  }

  protected override onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    this.node.querySelector<HTMLElement>('input')?.focus();
  }

  protected override render(): JSX.Element {
    return <Inspection name={this.name} value={this.value} trans={this.trans} refresh={() => void this.refresh()} />;
  }
}

interface IInspectionProps {
  name: string;
  value: Json;
  trans: TranslationBundle;
  refresh(): void;
}

function Inspection({ name, value, trans, refresh }: IInspectionProps): JSX.Element {
  const [search, setSearch] = React.useState('');
  const [depth, setDepth] = React.useState(DEPTH);
  const [turned, setTurned] = React.useState<ReadonlySet<string>>(new Set());
  const [active, setActive] = React.useState('');
  const rows = React.useMemo(() => jsonRows(value, { turned, depth, search }), [value, turned, depth, search]);
  const unfold = (levels: number): void => {
    setDepth(levels);
    setTurned(new Set());
  };
  const chosen = rows.find(row => row.path === active);
  const copy = (): void => Clipboard.copyToSystem(copied(value, chosen));
  const found = rows.filter(row => row.found).length;
  return (
    <>
      <div className="jp-labdock-inspect-bar">
        <input
          type="search"
          value={search}
          placeholder={trans.__('Search names and values…')}
          aria-label={trans.__('Search what the engine knows')}
          onChange={event => {
            setSearch(event.currentTarget.value);
            setTurned(new Set());
          }}
        />
        <span className="jp-labdock-inspect-count" role="status">
          {search.trim() ? trans._n('%1 match', '%1 matches', found) : ''}
        </span>
        <button onClick={() => unfold(ALL)}>{trans.__('Unfold all')}</button>
        <button onClick={() => unfold(0)}>{trans.__('Fold all')}</button>
        <button onClick={copy}>{chosen ? trans.__('Copy %1', chosen.key) : trans.__('Copy all')}</button>
        <button onClick={refresh}>{trans.__('Refresh')}</button>
      </div>
      <Lines
        {...{ rows, active, search, trans, copy }}
        label={trans.__('What the engine knows of %1', name)}
        choose={setActive}
        turn={path => setTurned(before => toggled(before, path))}
      />
    </>
  );
}

/** Text as it is, all else as JSON; everything when nothing is chosen. */
function copied(value: Json, chosen: IJsonRow | undefined): string {
  const found = chosen ? jsonAt(value, chosen.path) : value;
  return typeof found === 'string' ? found : JSON.stringify(found, null, 2);
}

function toggled(before: ReadonlySet<string>, path: string): ReadonlySet<string> {
  const after = new Set(before);
  if (!after.delete(path)) {
    after.add(path);
  }
  return after;
}

interface ILinesProps {
  rows: IJsonRow[];
  active: string;
  search: string;
  label: string;
  trans: TranslationBundle;
  choose(path: string): void;
  turn(path: string): void;
  copy(): void;
}

function Lines(props: ILinesProps): JSX.Element {
  const { rows, active, label, trans, choose, turn } = props;
  const id = React.useId();
  const box = React.useRef<HTMLDivElement>(null);
  React.useEffect(() => {
    box.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: 'nearest' });
  }, [active]);
  if (rows.length === 0) {
    return <p className="jp-labdock-inspect-none">{trans.__('Nothing matches')}</p>;
  }
  const index = rows.findIndex(row => row.path === active);
  return (
    <div
      ref={box}
      className="jp-labdock-inspect-lines"
      role="tree"
      aria-label={label}
      aria-activedescendant={index >= 0 ? `${id}${index}` : undefined}
      tabIndex={0}
      onKeyDown={event => onKey(event, props, index)}
    >
      {rows.map((row, n) => (
        <div
          key={row.path}
          id={`${id}${n}`}
          className={`jp-labdock-inspect-line${row.found ? ' jp-labdock-mod-found' : ''}`}
          role="treeitem"
          aria-level={row.level}
          aria-expanded={row.open}
          aria-selected={row.path === active}
          style={{ paddingInlineStart: `${(row.level - 1) * 16 + 4}px` }}
          onClick={() => {
            choose(row.path);
            if (row.open !== undefined && !window.getSelection()?.toString()) {
              turn(row.path);
            }
          }}
        >
          <Line row={row} trans={trans} />
        </div>
      ))}
    </div>
  );
}

function Line({ row, trans }: { row: IJsonRow; trans: TranslationBundle }): JSX.Element {
  const Icon = row.open ? caretDownIcon : caretRightIcon;
  return (
    <>
      <span className="jp-labdock-caret">
        {row.open !== undefined && <Icon.react tag="span" width="16px" height="16px" />}
      </span>
      <span className="jp-labdock-inspect-key">{row.key}</span>
      <span className="jp-labdock-inspect-value" data-kind={row.kind}>
        {row.kind === 'object' || row.kind === 'list' ? countOf(row, trans) : row.text || trans.__('(empty)')}
      </span>
    </>
  );
}

function countOf(row: IJsonRow, trans: TranslationBundle): string {
  if (row.count === 0) {
    return trans.__('(empty)');
  }
  return row.kind === 'list' ? trans._n('%1 item', '%1 items', row.count) : trans._n('%1 member', '%1 members', row.count);
}

function onKey(event: React.KeyboardEvent<HTMLDivElement>, props: ILinesProps, index: number): void {
  const { rows, choose, turn, copy } = props;
  const row = rows[index] as IJsonRow | undefined;
  const go = (to: number): void => choose(rows[Math.min(Math.max(to, 0), rows.length - 1)].path);
  const above = (): number => {
    for (let n = index - 1; n >= 0; n -= 1) {
      if (rows[n].level < (row?.level ?? 0)) {
        return n;
      }
    }
    return index;
  };
  const keys: Record<string, () => void> = {
    ArrowDown: () => go(index + 1),
    ArrowUp: () => go(index - 1),
    PageDown: () => go(index + 20),
    PageUp: () => go(index - 20),
    Home: () => go(0),
    End: () => go(rows.length - 1),
    ArrowRight: () => (row?.open === false ? turn(row.path) : row?.open && go(index + 1)),
    ArrowLeft: () => (row?.open ? turn(row.path) : go(above())),
    Enter: () => row?.open !== undefined && turn(row.path),
    ' ': () => row?.open !== undefined && turn(row.path),
    // What is marked with the mouse is the browser's to copy.
    c: () => (event.ctrlKey || event.metaKey) && copy()
  };
  const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
  const copies = event.key === 'c' && !plain && !window.getSelection()?.toString();
  if (keys[event.key] && (copies || (plain && event.key !== 'c'))) {
    event.preventDefault();
    event.stopPropagation();
    keys[event.key]();
  }
}
