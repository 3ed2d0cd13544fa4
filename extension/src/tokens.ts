/** What this extension's plugins have of each other. */

import { Token } from '@lumino/coreutils';
import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';

import type { Api } from './api';
import type { ChannelKind, IChannels, IEnding, IEngine, IFailure, IKinds, Kind } from './shapes';

/** How the browser stands with the Jupyter server.
 *
 * `idle`: nobody has asked yet. `missing`: the server extension is not there. `refused`: this user may not. In both
 * nothing is tried again before `retry()`. */
export type Connection = 'idle' | 'connecting' | 'connected' | 'disconnected' | 'missing' | 'refused';

/** What changed of one kind; null: all of it. */
export type Change<K extends Kind> = { id: string; value: IKinds[K] | null } | null;

export interface IChannel extends IDisposable {
  readonly number: number;
}

export interface IChannelHandlers<K extends ChannelKind> {
  /** More. The server sends on when this (or its promise) is done: that is the back-pressure. */
  data(data: IChannels[K]['data']): void | Promise<void>;
  /** The last thing that is said; not called when the channel is disposed of on this side. */
  end?(ending: IEnding): void;
}

/** What the engine has, live. Nothing is fetched while nobody holds it. */
export interface ILiveModel {
  readonly api: Api;
  readonly connection: Connection;
  /** null until the server has said. */
  readonly engine: IEngine | null;
  /** Whether the lists are the engine's: false before the first state, and while the connection is lost. */
  readonly current: boolean;
  readonly containers: ReadonlyMap<string, IKinds['container']>;
  readonly images: ReadonlyMap<string, IKinds['image']>;
  readonly networks: ReadonlyMap<string, IKinds['network']>;
  readonly volumes: ReadonlyMap<string, IKinds['volume']>;
  readonly changed: { readonly [K in Kind]: ISignal<ILiveModel, Change<K>> };
  readonly engineChanged: ISignal<ILiveModel, IEngine | null>;
  readonly connectionChanged: ISignal<ILiveModel, Connection>;
  readonly isDisposed: boolean;

  /** Be connected until this is disposed of. */
  hold(): IDisposable;
  /** Try now, also after a refusal. */
  retry(): void;
  /** Ends with `lost` when there is no connection. Disposing of the channel cancels its work. */
  openChannel<K extends ChannelKind>(
    kind: K,
    request: IChannels[K]['request'],
    handlers: IChannelHandlers<K>
  ): IChannel;
  /** Start the engine: what the server says then, or why not. */
  startEngine(): Promise<IFailure | null>;
}

/** The sidebar, for what acts on its selection. */
export interface ILabdockPanel {
  readonly selection: { readonly kind: Kind; readonly id: string } | null;
  readonly selectionChanged: ISignal<ILabdockPanel, void>;
  /** Show and choose one thing. */
  reveal(kind: Kind, id: string): void;
}

export interface ILabdock {
  readonly model: ILiveModel;
}

export const ILabdock = new Token<ILabdock>('labdock:ILabdock', 'The containers, images, networks and volumes, live.');
export const ILabdockPanel = new Token<ILabdockPanel>('labdock:ILabdockPanel', 'The sidebar with containers.');

/** The plugins' translations. */
export const DOMAIN = 'labdock';
/** The file of the schema, and the plugin that owns it. */
export const SETTINGS = 'labdock:panel';
