/** What the sidebar shows, line by line: a tree made flat. Pure. */

import type { IContainer, IImage, IKinds, INetwork, IVolume, Kind } from '../shapes';
import { KINDS } from '../shapes';

export interface IThings {
  readonly containers: ReadonlyMap<string, IContainer>;
  readonly images: ReadonlyMap<string, IImage>;
  readonly networks: ReadonlyMap<string, INetwork>;
  readonly volumes: ReadonlyMap<string, IVolume>;
}

export interface IView {
  filter: string;
  /** Keys of sections and groups that are folded up. */
  folded: ReadonlySet<string>;
  grouping: 'project' | 'state' | 'none';
  /** Whether containers that do not run are shown. */
  ended: boolean;
  /** Whether bridge, host and none are shown. */
  builtin: boolean;
}

interface IPlace {
  key: string;
  level: number;
  /** Its place among its siblings, from 1, and how many they are. */
  position: number;
  siblings: number;
}
export type Row = IPlace &
  (
    | { type: 'section'; kind: Kind; count: number; open: boolean }
    | { type: 'group'; kind: Kind; title: GroupTitle; count: number; running: number; open: boolean }
    | { [K in Kind]: { type: 'item'; kind: K; id: string; value: IKinds[K] } }[Kind]
    | { type: 'empty'; kind: Kind; filtered: boolean }
  );
export type ItemRow = Extract<Row, { type: 'item' }>;
/** A Compose project's name, or which containers these are. */
export type GroupTitle = { project: string } | { state: 'running' | 'ended' | 'alone' };

/** Heights in pixels: every row has one, so that a thousand need no measuring. */
export const HEIGHTS: Record<Row['type'], number> = { section: 32, group: 28, item: 46, empty: 34 };

export function makeRows(things: IThings, view: IView): Row[] {
  const rows: Row[] = [];
  const words = view.filter.toLowerCase().split(/\s+/).filter(Boolean);
  KINDS.forEach((kind, index) => {
    const values = listed(kind, things, view).filter(one => matches(words, searched(kind, one)));
    // What is looked for is shown, also in what is folded up.
    const open = words.length > 0 ? true : !view.folded.has(kind);
    const place = { level: 1, position: index + 1, siblings: KINDS.length };
    rows.push({ type: 'section', key: kind, kind, count: values.length, open, ...place });
    if (!open) {
      return;
    }
    if (values.length === 0) {
      const filtered = words.length > 0;
      rows.push({ type: 'empty', key: `${kind}:empty`, kind, filtered, level: 2, position: 1, siblings: 1 });
    } else if (kind === 'container') {
      addContainers(rows, values as IContainer[], view, words.length > 0);
    } else {
      addItems(rows, kind, values, 2);
    }
  });
  return rows;
}

function addContainers(rows: Row[], values: IContainer[], view: IView, filtered: boolean): void {
  const groups = new Map<string, { title: GroupTitle; members: IContainer[] }>();
  for (const one of values) {
    const title = titleOf(one, view.grouping);
    const key = 'project' in title ? `project:${title.project}` : `state:${title.state}`;
    const group = groups.get(key) ?? { title, members: [] };
    group.members.push(one);
    groups.set(key, group);
  }
  // A heading over everything says nothing.
  const only = [...groups.values()][0];
  if (view.grouping === 'none' || (groups.size === 1 && 'state' in only.title && only.title.state === 'alone')) {
    addItems(rows, 'container', values, 2);
    return;
  }
  const ordered = [...groups.entries()].sort(([, a], [, b]) => rank(a.title) - rank(b.title) || compareTitles(a.title, b.title));
  ordered.forEach(([name, { title, members }], index) => {
    const key = `container:${name}`;
    const open = filtered || !view.folded.has(key);
    const running = members.filter(isAlive).length;
    const place = { level: 2, position: index + 1, siblings: ordered.length };
    rows.push({ type: 'group', key, kind: 'container', title, count: members.length, running, open, ...place });
    if (open) {
      addItems(rows, 'container', members, 3);
    }
  });
}

function addItems(rows: Row[], kind: Kind, values: IKinds[Kind][], level: number): void {
  values.forEach((value, index) => {
    const id = idOf(kind, value);
    const place = { level, position: index + 1, siblings: values.length };
    rows.push({ type: 'item', key: `${kind}/${id}`, kind, id, value, ...place } as ItemRow);
  });
}

function titleOf(one: IContainer, grouping: IView['grouping']): GroupTitle {
  if (grouping === 'project') {
    return one.project ? { project: one.project } : { state: 'alone' };
  }
  return { state: isAlive(one) ? 'running' : 'ended' };
}

const ORDER = ['running', 'ended', 'alone'];
function rank(title: GroupTitle): number {
  return 'project' in title ? -1 : ORDER.indexOf(title.state);
}
function compareTitles(a: GroupTitle, b: GroupTitle): number {
  return 'project' in a && 'project' in b ? compare(a.project, b.project) : 0;
}

/** Runs, or will again by itself. */
export function isAlive(one: IContainer): boolean {
  return one.state === 'running' || one.state === 'paused' || one.state === 'restarting';
}

export function idOf(kind: Kind, value: IKinds[Kind]): string {
  return kind === 'volume' ? (value as IVolume).name : (value as IContainer).id;
}

/** What a thing is called. */
export function nameOf(kind: Kind, value: IKinds[Kind]): string {
  return kind === 'image' ? imageName(value as IImage) : (value as IContainer).name;
}

export function imageName(image: IImage): string {
  return image.tags[0] ?? image.digests[0]?.split('@')[0] ?? shortId(image.id);
}

export function shortId(id: string): string {
  return id.replace(/^sha256:/, '').slice(0, 12);
}

function listed(kind: Kind, things: IThings, view: IView): IKinds[Kind][] {
  switch (kind) {
    case 'container':
      return [...things.containers.values()]
        .filter(one => view.ended || isAlive(one))
        .sort((a, b) => Number(isAlive(b)) - Number(isAlive(a)) || b.created - a.created || compare(a.name, b.name));
    case 'image':
      return [...things.images.values()].sort(
        (a, b) => Number(a.dangling) - Number(b.dangling) || compare(imageName(a), imageName(b))
      );
    case 'network':
      return [...things.networks.values()]
        .filter(one => view.builtin || !one.builtin)
        .sort((a, b) => Number(a.builtin) - Number(b.builtin) || compare(a.name, b.name));
    case 'volume':
      return [...things.volumes.values()].sort((a, b) => compare(a.name, b.name));
  }
}

function searched(kind: Kind, value: IKinds[Kind]): string {
  switch (kind) {
    case 'container': {
      const one = value as IContainer;
      const ports = one.ports.map(port => port.public ?? port.private).join(' ');
      return [one.name, one.image, one.state, one.health, one.project, one.service, one.id, ports].join(' ').toLowerCase();
    }
    case 'image': {
      const one = value as IImage;
      return [...one.tags, ...one.digests, one.id].join(' ').toLowerCase();
    }
    case 'network': {
      const one = value as INetwork;
      return [one.name, one.driver, ...one.subnets, one.id].join(' ').toLowerCase();
    }
    case 'volume': {
      const one = value as IVolume;
      return [one.name, one.driver].join(' ').toLowerCase();
    }
  }
}

function matches(words: string[], text: string): boolean {
  return words.every(word => text.includes(word));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Where each row begins; the last number is the height of all. */
export function offsets(rows: readonly Row[]): number[] {
  const tops = [0];
  for (const row of rows) {
    tops.push(tops[tops.length - 1] + HEIGHTS[row.type]);
  }
  return tops;
}

/** The first and (excluded) last row that a window shows, with some more on both sides. */
export function windowOf(tops: readonly number[], scroll: number, height: number, more = 6): [number, number] {
  let low = 0;
  let high = tops.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (tops[middle + 1] <= scroll) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  let last = low;
  while (last < tops.length - 1 && tops[last] < scroll + height) {
    last += 1;
  }
  return [Math.max(0, low - more), Math.min(tops.length - 1, last + more)];
}
