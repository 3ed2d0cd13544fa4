/** What an output says that a card needs. Pure; outputs are hostile. */

import type { ICard, IContainer, IImage, INetwork, IVolume, Kind } from '../shapes';

const KINDS: Record<string, Kind> = {
  container: 'container',
  containers: 'container',
  image: 'image',
  images: 'image',
  build: 'image',
  network: 'network',
  networks: 'network',
  volume: 'volume',
  volumes: 'volume'
};
/** Things of one card. */
const MOST = 1000;

export interface ICardOf {
  kind: Kind;
  /** Whether it is one thing, to be shown in full. */
  single: boolean;
  things: { id: string; name: string }[];
  title: string;
}

/** null: what this is, we do not know. */
export function readCard(data: unknown): ICardOf | null {
  const found = data as Partial<ICard> | null;
  if (typeof found !== 'object' || found === null || !Array.isArray(found.ids) || found.ids.length === 0) {
    return null;
  }
  const kind = Object.prototype.hasOwnProperty.call(KINDS, String(found.kind)) ? KINDS[String(found.kind)] : null;
  if (!kind || found.ids.length > MOST || !found.ids.every(id => typeof id === 'string' && id !== '')) {
    return null;
  }
  const names: unknown[] = Array.isArray(found.names) ? found.names : [];
  return {
    kind,
    single: !String(found.kind).endsWith('s'),
    things: found.ids.map((id, index) => ({ id, name: String(names[index] || shortId(id)) })),
    title: typeof found.title === 'string' ? found.title : ''
  };
}

export function shortId(id: string): string {
  return id.replace(/^sha256:/, '').slice(0, 12);
}

export type Thing =
  | { kind: 'container'; value: IContainer }
  | { kind: 'image'; value: IImage }
  | { kind: 'network'; value: INetwork }
  | { kind: 'volume'; value: IVolume };

/** Commands' verbs that make sense for a thing as it is, in the order of their buttons. */
export function verbsFor(thing: Thing): string[] {
  switch (thing.kind) {
    case 'container':
      switch (thing.value.state) {
        case 'running':
        case 'restarting':
          return ['stop', 'logs', 'open-terminal', 'stats', 'browse-files', 'remove'];
        case 'paused':
          return ['unpause', 'logs', 'stats', 'remove'];
        case 'removing':
          return [];
        default:
          return ['start', 'logs', 'browse-files', 'remove'];
      }
    case 'image':
      return ['run-image', 'use-as-kernel', 'inspect', 'remove-image'];
    case 'network':
      return thing.value.builtin ? ['inspect'] : ['inspect', 'remove-network'];
    case 'volume':
      return ['inspect', 'remove-volume'];
  }
}
