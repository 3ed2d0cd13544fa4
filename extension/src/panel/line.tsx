/** One line of the tree. */

import type { TranslationBundle } from '@jupyterlab/translation';
import { caretDownIcon, caretRightIcon, ellipsesIcon, type LabIcon } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import React from 'react';

import { KIND_ICONS, stateIcon } from '../icons';
import type { IContainer, IImage, INetwork, IPort, IVolume } from '../shapes';
import { bytes, duration, healthWord, percent, since, stateWord } from '../words';
import { type ItemRow, imageName, nameOf, type Row, shortId } from './rows';
import { points, type StatsWatch } from './stats';

export interface ILineTools {
  trans: TranslationBundle;
  commands: CommandRegistry;
  stats: StatsWatch;
  charts: boolean;
  now: number;
}

/** What the line is for those who hear it. */
export function describe(row: Row, trans: TranslationBundle): string {
  switch (row.type) {
    case 'section':
      return trans.__('%1, %2', sectionTitle(row.kind, trans), row.count);
    case 'group':
      return trans.__('%1, %2 of %3 running', groupTitle(row, trans), row.running, row.count);
    case 'empty':
      return emptyText(row, trans);
    case 'item': {
      const name = nameOf(row.kind, row.value);
      if (row.kind === 'container') {
        return [name, stateWord(trans, row.value), healthWord(trans, row.value), row.value.image].filter(Boolean).join(', ');
      }
      return name;
    }
  }
}

export function sectionTitle(kind: Row['kind'], trans: TranslationBundle): string {
  switch (kind) {
    case 'container':
      return trans.__('Containers');
    case 'image':
      return trans.__('Images');
    case 'network':
      return trans.__('Networks');
    case 'volume':
      return trans.__('Volumes');
  }
}

function groupTitle(row: Extract<Row, { type: 'group' }>, trans: TranslationBundle): string {
  if ('project' in row.title) {
    return row.title.project;
  }
  switch (row.title.state) {
    case 'running':
      return trans.__('Running');
    case 'ended':
      return trans.__('Not running');
    case 'alone':
      return trans.__('No project');
  }
}

function emptyText(row: Extract<Row, { type: 'empty' }>, trans: TranslationBundle): string {
  if (row.filtered) {
    return trans.__('Nothing matches');
  }
  switch (row.kind) {
    case 'container':
      return trans.__('No containers yet');
    case 'image':
      return trans.__('No images yet');
    case 'network':
      return trans.__('No networks of your own');
    case 'volume':
      return trans.__('No volumes yet');
  }
}

export function LineContent({ row, tools }: { row: Row; tools: ILineTools }): JSX.Element {
  const { trans } = tools;
  switch (row.type) {
    case 'section':
      return (
        <>
          <Caret open={row.open} />
          <span className="jp-labdock-section-title">{sectionTitle(row.kind, trans)}</span>
          <span className="jp-labdock-count">{row.count}</span>
          <span className="jp-labdock-space" />
          <SectionActions kind={row.kind} tools={tools} />
        </>
      );
    case 'group':
      return (
        <>
          <Caret open={row.open} />
          <span className="jp-labdock-name" title={groupTitle(row, trans)}>
            {groupTitle(row, trans)}
          </span>
          <span className="jp-labdock-count">{'project' in row.title ? `${row.running}/${row.count}` : row.count}</span>
        </>
      );
    case 'empty':
      return (
        <span className="jp-labdock-empty">
          {emptyText(row, trans)}
          {!row.filtered && row.kind === 'container' && <Begin tools={tools} />}
        </span>
      );
    case 'item':
      return <Item row={row} tools={tools} />;
  }
}

function Caret({ open }: { open: boolean }): JSX.Element {
  const Icon = open ? caretDownIcon : caretRightIcon;
  return <Icon.react tag="span" className="jp-labdock-caret" width="16px" height="16px" />;
}

function SectionActions({ kind, tools }: { kind: Row['kind']; tools: ILineTools }): JSX.Element | null {
  const makers: Record<Row['kind'], string> = {
    container: 'labdock:run-image',
    image: 'labdock:pull-image',
    network: 'labdock:create-network',
    volume: 'labdock:create-volume'
  };
  return <Action id={makers[kind]} args={{}} tools={tools} />;
}

/** The first step, for who has nothing yet. */
function Begin({ tools }: { tools: ILineTools }): JSX.Element {
  return (
    <button className="jp-labdock-link" tabIndex={-1} onClick={() => void tools.commands.execute('labdock:run-image')}>
      {tools.trans.__('Run an image…')}
    </button>
  );
}

interface IActionProps {
  id: string;
  args: { id?: string };
  tools: Pick<ILineTools, 'commands'>;
  /** In the tree the keyboard's way to it is the menu. */
  tabIndex?: number;
}

/** A button for a command: nothing where the command does not fit. */
export function Action({ id, args, tools, tabIndex = -1 }: IActionProps): JSX.Element | null {
  const { commands } = tools;
  if (!commands.hasCommand(id) || !commands.isEnabled(id, args)) {
    return null;
  }
  const Icon = commands.icon(id, args) as LabIcon | undefined;
  const name = commands.label(id, { ...args, menu: true });
  return (
    <button
      className="jp-labdock-action"
      title={name}
      aria-label={name}
      tabIndex={tabIndex}
      onClick={event => {
        event.stopPropagation();
        void commands.execute(id, args);
      }}
    >
      {Icon ? <Icon.react tag="span" width="16px" height="16px" /> : name}
    </button>
  );
}

function Item({ row, tools }: { row: ItemRow; tools: ILineTools }): JSX.Element {
  const name = nameOf(row.kind, row.value);
  const container = row.kind === 'container' ? row.value : null;
  const Icon = container ? stateIcon(container) : KIND_ICONS[row.kind];
  const look = container ? lookOf(container) : 'plain';
  return (
    <>
      <span className={`jp-labdock-state jp-labdock-mod-${look}`}>
        <Icon.react tag="span" width="16px" height="16px" />
      </span>
      <span className="jp-labdock-text">
        <span className="jp-labdock-first">
          <span className="jp-labdock-name" title={name}>
            {name}
          </span>
        </span>
        <span className="jp-labdock-second">
          <Second row={row} tools={tools} />
        </span>
      </span>
      {container && tools.charts && <Charts id={container.id} tools={tools} />}
      <span className="jp-labdock-actions">
        <ItemActions row={row} tools={tools} />
        <button
          className="jp-labdock-action"
          title={tools.trans.__('More')}
          aria-label={tools.trans.__('More')}
          aria-haspopup="menu"
          tabIndex={-1}
          onClick={event => {
            event.stopPropagation();
            openMenu(event.currentTarget);
          }}
        >
          <ellipsesIcon.react tag="span" width="16px" height="16px" />
        </button>
      </span>
    </>
  );
}

/** JupyterLab's context menu for an element, under it. */
export function openMenu(element: Element): void {
  const box = element.getBoundingClientRect();
  const place = { clientX: box.left + 8, clientY: box.bottom };
  element.dispatchEvent(new MouseEvent('contextmenu', { bubbles: true, cancelable: true, view: window, ...place }));
}

function ItemActions({ row, tools }: { row: ItemRow; tools: ILineTools }): JSX.Element {
  const verbs: Record<ItemRow['kind'], string[]> = {
    container: ['logs', 'open-terminal', 'start', 'stop', 'unpause'],
    image: ['run-image'],
    network: ['inspect'],
    volume: ['inspect']
  };
  return (
    <>
      {verbs[row.kind].map(verb => (
        <Action key={verb} id={`labdock:${verb}`} args={{ id: row.id }} tools={tools} />
      ))}
    </>
  );
}

function lookOf(one: IContainer): string {
  if (one.health === 'unhealthy' || one.state === 'dead') {
    return 'bad';
  }
  switch (one.state) {
    case 'running':
      return 'good';
    case 'paused':
    case 'restarting':
      return 'warn';
    case 'exited':
      return one.exit_code === 0 ? 'quiet' : 'bad';
    default:
      return 'quiet';
  }
}

/** Ports that have a button; the command asks which where there are more. */
const PORTS = 3;

function Second({ row, tools }: { row: ItemRow; tools: ILineTools }): JSX.Element {
  const { trans, now } = tools;
  switch (row.kind) {
    case 'container': {
      const one = row.value;
      const health = healthWord(trans, one);
      const when = new Date(since(one) * 1000).toLocaleString();
      return (
        <>
          <span>{stateWord(trans, one)}</span>
          {health && <span className={`jp-labdock-health jp-labdock-mod-${one.health}`}>{health}</span>}
          <span title={when}>{duration(trans, now - since(one))}</span>
          {one.ports.slice(0, PORTS).map(port => (
            <Port key={`${port.private}/${port.type}/${port.public}`} id={one.id} port={port} tools={tools} />
          ))}
          {one.ports.length > PORTS && <span>{trans.__('+%1', one.ports.length - PORTS)}</span>}
          <span className="jp-labdock-faint" title={one.image}>
            {one.image}
          </span>
        </>
      );
    }
    case 'image':
      return <ImageFacts image={row.value} tools={tools} />;
    case 'network':
      return <NetworkFacts network={row.value} trans={trans} />;
    case 'volume':
      return <VolumeFacts volume={row.value} trans={trans} />;
  }
}

function Port({ id, port, tools }: { id: string; port: IPort; tools: ILineTools }): JSX.Element | null {
  const { trans, commands } = tools;
  if (port.type !== 'tcp') {
    return port.public ? <span className="jp-labdock-port">{`${port.public}/${port.type}`}</span> : null;
  }
  const label = trans.__('Open port %1 in a tab', port.private);
  return (
    <button
      className="jp-labdock-port"
      tabIndex={-1}
      title={label}
      aria-label={label}
      onClick={event => {
        event.stopPropagation();
        void commands.execute('labdock:open-port', { id, port: port.private });
      }}
    >
      {port.public && port.public !== port.private ? `${port.public}→${port.private}` : port.private}
    </button>
  );
}

function ImageFacts({ image, tools }: { image: IImage; tools: ILineTools }): JSX.Element {
  const { trans, now } = tools;
  return (
    <>
      <span>{bytes(image.size)}</span>
      <span title={new Date(image.created * 1000).toLocaleString()}>
        {image.created > 0 ? trans.__('%1 old', duration(trans, now - image.created)) : ''}
      </span>
      {image.dangling && <span>{trans.__('no name')}</span>}
      {image.containers > 0 && <span>{trans._n('%1 container', '%1 containers', image.containers)}</span>}
      <span className="jp-labdock-faint">{imageName(image) === shortId(image.id) ? '' : shortId(image.id)}</span>
    </>
  );
}

function NetworkFacts({ network, trans }: { network: INetwork; trans: TranslationBundle }): JSX.Element {
  const count = network.containers.length;
  return (
    <>
      <span>{network.driver}</span>
      {network.internal && <span>{trans.__('internal')}</span>}
      {network.subnets.length > 0 && <span>{network.subnets.join(' ')}</span>}
      {count > 0 && <span>{trans._n('%1 container', '%1 containers', count)}</span>}
    </>
  );
}

function VolumeFacts({ volume, trans }: { volume: IVolume; trans: TranslationBundle }): JSX.Element {
  const count = volume.used_by.length;
  return (
    <>
      <span>{volume.driver}</span>
      <span>{count > 0 ? trans._n('used by %1 container', 'used by %1 containers', count) : trans.__('unused')}</span>
    </>
  );
}

const WIDTH = 44;
const HEIGHT = 14;

function Charts({ id, tools }: { id: string; tools: ILineTools }): JSX.Element | null {
  const history = tools.stats.of(id);
  if (!history) {
    return null;
  }
  const { last } = history;
  const { trans } = tools;
  const text = trans.__('Processor %1, memory %2, %3 processes', percent(last.cpu), bytes(last.memory), last.pids);
  return (
    <span className="jp-labdock-charts" title={text}>
      <Spark values={history.cpu} floor={10} label={percent(last.cpu)} kind="cpu" />
      <Spark values={history.memory} floor={1} label={bytes(last.memory)} kind="memory" />
    </span>
  );
}

function Spark(props: { values: readonly number[]; floor: number; label: string; kind: string }): JSX.Element {
  const line = points(props.values, WIDTH, HEIGHT - 2, props.floor);
  const first = line.split(',', 1)[0];
  return (
    <span className={`jp-labdock-chart jp-labdock-mod-${props.kind}`}>
      <svg width={WIDTH} height={HEIGHT} viewBox={`0 -1 ${WIDTH} ${HEIGHT}`} aria-hidden="true">
        <polygon points={`${first},${HEIGHT} ${line} ${WIDTH},${HEIGHT}`} />
        <polyline points={line} />
      </svg>
      <span>{props.label}</span>
    </span>
  );
}
