/** The engine's things, live over one websocket. */

import type { ServerConnection } from '@jupyterlab/services';
import { DisposableDelegate, type IDisposable } from '@lumino/disposable';
import { Signal } from '@lumino/signaling';

import { Api, ApiError, apiUrl } from './api';
import type { ChannelKind, IChannels, IEnding, IEngine, IFailure, IKinds, IState, Kind, ServerMessage } from './shapes';
import { KINDS } from './shapes';
import type { Change, Connection, IChannel, IChannelHandlers, ILiveModel } from './tokens';

/** Between tries: doubled from the first to the last, in milliseconds. */
const FIRST_WAIT = 500;
const LAST_WAIT = 10_000;
/** A page that nobody has seen for so long lets go of the server, unless work is under way. */
const HIDDEN_WAIT = 60_000;
/** What goes on while the page is hidden. */
const WORK: readonly ChannelKind[] = ['pull', 'build', 'compose', 'bootstrap'];

type Maps = { [K in Kind]: Map<string, IKinds[K]> };
type Signals = { [K in Kind]: Signal<ILiveModel, Change<K>> };

interface IOpenChannel {
  kind: ChannelKind;
  handlers: IChannelHandlers<ChannelKind>;
}

export class LiveModel implements ILiveModel, IDisposable {
  readonly api: Api;
  readonly changed: Signals;
  readonly engineChanged: Signal<ILiveModel, IEngine | null> = new Signal<ILiveModel, IEngine | null>(this);
  readonly connectionChanged: Signal<ILiveModel, Connection> = new Signal<ILiveModel, Connection>(this);

  constructor(settings?: ServerConnection.ISettings) {
    this.api = new Api(settings);
    const signals = KINDS.map(kind => [kind, new Signal<ILiveModel, unknown>(this)]);
    this.changed = Object.fromEntries(signals) as Signals;
    document.addEventListener('visibilitychange', this.onVisibility);
    window.addEventListener('online', this.onOnline);
  }

  get connection(): Connection {
    return this._connection;
  }
  get engine(): IEngine | null {
    return this._engine;
  }
  get current(): boolean {
    return this._current;
  }
  get containers(): ReadonlyMap<string, IKinds['container']> {
    return this.maps.container;
  }
  get images(): ReadonlyMap<string, IKinds['image']> {
    return this.maps.image;
  }
  get networks(): ReadonlyMap<string, IKinds['network']> {
    return this.maps.network;
  }
  get volumes(): ReadonlyMap<string, IKinds['volume']> {
    return this.maps.volume;
  }
  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    document.removeEventListener('visibilitychange', this.onVisibility);
    window.removeEventListener('online', this.onOnline);
    window.clearTimeout(this.hiddenTimer);
    this.letGo('idle');
    Signal.clearData(this);
  }

  hold(): IDisposable {
    this.holders += 1;
    this.connect();
    return new DisposableDelegate(() => {
      this.holders -= 1;
      if (this.holders === 0) {
        this.letGo('idle');
      }
    });
  }

  retry(): void {
    this.wait = FIRST_WAIT;
    if (this._connection !== 'connected' && this._connection !== 'connecting') {
      this.letGo('idle');
      this.connect();
    }
  }

  openChannel<K extends ChannelKind>(
    kind: K,
    request: IChannels[K]['request'],
    handlers: IChannelHandlers<K>
  ): IChannel {
    const number = ++this.lastChannel;
    const open = { kind, handlers: handlers as IChannelHandlers<ChannelKind> };
    this.channels.set(number, open);
    if (this._connection === 'connected') {
      this.send({ op: 'open', channel: number, kind, ...request });
    } else {
      window.setTimeout(() => this.endChannel(number, { lost: true }), 0);
    }
    const model = this;
    return {
      number,
      get isDisposed(): boolean {
        return model.channels.get(number) !== open;
      },
      dispose: () => {
        if (this.channels.get(number) === open) {
          this.channels.delete(number);
          this.send({ op: 'close', channel: number });
        }
      }
    };
  }

  async startEngine(): Promise<IFailure | null> {
    try {
      this.setEngine(await this.api.actOnEngine('start'));
      return null;
    } catch (error) {
      return error instanceof ApiError ? error : { message: String(error) };
    }
  }

  // --- the connection ---

  private connect(): void {
    if (this.socket || this.timer || this._isDisposed || this.holders === 0) {
      return;
    }
    if (this._connection === 'missing' || this._connection === 'refused' || document.hidden) {
      return;
    }
    const { settings } = this.api;
    let url = apiUrl({ ...settings, baseUrl: settings.wsUrl }, 'live');
    if (settings.appendToken && settings.token) {
      // Only where cookies can't reach the server: as JupyterLab's own sockets do.
      url += `?token=${encodeURIComponent(settings.token)}`;
    }
    if (this._connection === 'idle') {
      this.setConnection('connecting');
    }
    const socket = new settings.WebSocket(url);
    this.socket = socket;
    socket.onopen = () => {
      if (socket === this.socket) {
        this.wait = FIRST_WAIT;
        this.opened = true;
        this.setConnection('connected');
      }
    };
    socket.onmessage = (event: MessageEvent<string>) => {
      if (socket === this.socket) {
        this.receive(JSON.parse(event.data) as ServerMessage);
      }
    };
    socket.onclose = () => {
      if (socket === this.socket) {
        void this.lost();
      }
    };
  }

  /** The socket is gone: say so, find out why when it never opened, and try again later. */
  private async lost(): Promise<void> {
    const opened = this.opened;
    this.closeSocket();
    let next: Connection = 'disconnected';
    if (!opened) {
      const attempt = ++this.attempt;
      try {
        await this.api.engine();
      } catch (error) {
        const status = error instanceof ApiError ? error.status : 0;
        next = status === 404 ? 'missing' : status === 401 || status === 403 ? 'refused' : next;
      }
      if (attempt !== this.attempt || this.socket || this._isDisposed || this.holders === 0) {
        return;
      }
    }
    this.setConnection(next);
    if (next === 'disconnected' && !document.hidden) {
      // Not all at once, when a server comes back to many pages.
      const wait = this.wait * (0.75 + Math.random() / 2);
      this.wait = Math.min(this.wait * 2, LAST_WAIT);
      this.timer = window.setTimeout(() => {
        this.timer = 0;
        this.connect();
      }, wait);
    }
  }

  private letGo(connection: Connection): void {
    window.clearTimeout(this.timer);
    this.timer = 0;
    this.attempt += 1;
    this.closeSocket();
    this.setConnection(connection);
  }

  private closeSocket(): void {
    const socket = this.socket;
    this.socket = null;
    this.opened = false;
    this._current = false;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
    for (const number of [...this.channels.keys()]) {
      this.endChannel(number, { lost: true });
    }
  }

  private readonly onVisibility = (): void => {
    window.clearTimeout(this.hiddenTimer);
    if (document.hidden) {
      this.hiddenTimer = window.setTimeout(() => {
        if (![...this.channels.values()].some(channel => WORK.includes(channel.kind))) {
          this.letGo(this._connection === 'connected' ? 'idle' : this._connection);
        }
      }, HIDDEN_WAIT);
    } else {
      this.wait = FIRST_WAIT;
      this.connect();
    }
  };

  private readonly onOnline = (): void => {
    if (this._connection === 'disconnected') {
      this.retry();
    }
  };

  private send(message: object): void {
    if (this.socket?.readyState === 1) {
      this.socket.send(JSON.stringify(message));
    }
  }

  // --- what the server says ---

  private receive(message: ServerMessage): void {
    switch (message.type) {
      case 'engine':
        this.setEngine(message.engine);
        break;
      case 'state':
        this.setState(message);
        break;
      case 'change':
        this.change(message.kind, message.id, message.value);
        break;
      case 'data':
        void this.hand(message.channel, message);
        break;
      case 'end':
        this.endChannel(message.channel, { error: message.error, result: message.result });
        break;
    }
  }

  private setState(state: IState): void {
    this._current = true;
    this.maps.container = new Map(state.containers.map(one => [one.id, one]));
    this.maps.image = new Map(state.images.map(one => [one.id, one]));
    this.maps.network = new Map(state.networks.map(one => [one.id, one]));
    this.maps.volume = new Map(state.volumes.map(one => [one.name, one]));
    this.setEngine(state.engine);
    for (const kind of KINDS) {
      (this.changed[kind] as Signal<ILiveModel, null>).emit(null);
    }
  }

  private change(kind: Kind, id: string, value: IKinds[Kind] | null): void {
    const map = this.maps[kind] as Map<string, IKinds[Kind]>;
    if (value === null) {
      map.delete(id);
    } else {
      map.set(id, value);
    }
    (this.changed[kind] as Signal<ILiveModel, { id: string; value: IKinds[Kind] | null }>).emit({ id, value });
  }

  private setEngine(engine: IEngine): void {
    const was = this._engine?.state;
    this._engine = { ...(this._engine?.terminals === undefined ? {} : { terminals: this._engine.terminals }), ...engine };
    if (was === 'running' && engine.state !== 'running') {
      for (const kind of KINDS) {
        this.maps[kind].clear();
        (this.changed[kind] as Signal<ILiveModel, null>).emit(null);
      }
    }
    this.engineChanged.emit(this._engine);
  }

  private setConnection(connection: Connection): void {
    if (connection !== this._connection) {
      this._connection = connection;
      this.connectionChanged.emit(connection);
    }
  }

  private async hand(number: number, data: unknown): Promise<void> {
    const channel = this.channels.get(number);
    if (channel) {
      try {
        await channel.handlers.data(data as IChannels[ChannelKind]['data']);
      } finally {
        // Acknowledged also when it went wrong here: the server would wait for ever.
        this.send({ op: 'ack', channel: number });
      }
    }
  }

  private endChannel(number: number, ending: IEnding): void {
    const channel = this.channels.get(number);
    if (channel) {
      this.channels.delete(number);
      channel.handlers.end?.(ending);
    }
  }

  private readonly maps: Maps = { container: new Map(), image: new Map(), network: new Map(), volume: new Map() };
  private readonly channels = new Map<number, IOpenChannel>();
  private _connection: Connection = 'idle';
  private _engine: IEngine | null = null;
  private _current = false;
  private _isDisposed = false;
  private socket: WebSocket | null = null;
  private opened = false;
  private holders = 0;
  private lastChannel = 0;
  private attempt = 0;
  private wait = FIRST_WAIT;
  private timer = 0;
  private hiddenTimer = 0;
}
