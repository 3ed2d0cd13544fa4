/** What travels between the browser and the server extension. Times are seconds since 1970 (0: never), sizes are bytes. */

/** A failure in words: what was tried and why it failed; the hint says what to do next. */
export interface IFailure {
  message: string;
  hint?: string;
}

export interface IFinding {
  level: string;
  text: string;
  hint?: string;
}

export type EngineState = 'running' | 'stopped' | 'starting' | 'unavailable';

export interface IEngine {
  state: EngineState;
  version?: string;
  message?: string;
  hint?: string;
  findings?: IFinding[];
  /** Whether JupyterLab's terminals are there to run a shell in a container. */
  terminals?: boolean;
}

export type ContainerState = 'created' | 'running' | 'paused' | 'restarting' | 'exited' | 'dead' | 'removing';
export type Health = 'healthy' | 'unhealthy' | 'starting' | 'none';

export interface IPort {
  /** The port in the container. */
  private: number;
  type: string;
  /** The port on the server's machine; without one it is only exposed. */
  public?: number;
  ip?: string;
  url?: string;
}

export interface IMount {
  type: string;
  source: string;
  target: string;
  rw: boolean;
}

export interface IContainer {
  id: string;
  name: string;
  image: string;
  image_id: string;
  command: string;
  state: ContainerState;
  health: Health;
  /** Docker's words: "Up 5 minutes (healthy)". */
  status: string;
  exit_code: number;
  created: number;
  started: number;
  finished: number;
  ports: IPort[];
  labels: Record<string, string>;
  project?: string;
  service?: string;
  networks: string[];
  mounts: IMount[];
}

export interface IImage {
  id: string;
  tags: string[];
  digests: string[];
  created: number;
  size: number;
  /** How many containers were made from it. */
  containers: number;
  dangling: boolean;
}

export interface INetwork {
  id: string;
  name: string;
  driver: string;
  scope: string;
  internal: boolean;
  subnets: string[];
  containers: string[];
  /** bridge, host and none: they can't be removed. */
  builtin: boolean;
}

export interface IVolume {
  name: string;
  driver: string;
  created: number;
  mountpoint?: string;
  labels: Record<string, string>;
  used_by: string[];
}

export interface IState {
  engine: IEngine;
  containers: IContainer[];
  images: IImage[];
  networks: INetwork[];
  volumes: IVolume[];
}

/** The four kinds of things, and the value of each. */
export interface IKinds {
  container: IContainer;
  image: IImage;
  network: INetwork;
  volume: IVolume;
}
export type Kind = keyof IKinds;
export const KINDS: readonly Kind[] = ['container', 'image', 'network', 'volume'];

export interface IStats {
  id: string;
  /** Percent of one processor. */
  cpu: number;
  memory: number;
  limit: number;
  read: number;
  write: number;
  received: number;
  sent: number;
  pids: number;
}

/** A line of a log: where it was written, the text, and the time where that was asked for. */
export type LogLine = ['out' | 'err', string, string?];

export interface ILayer {
  status: string;
  current: number;
  total: number;
}

/** What a channel can be opened for, and what each then gives. */
export interface IChannels {
  logs: {
    request: { container: string; tail?: number; since?: number | string; timestamps?: boolean; follow: boolean };
    data: { lines: LogLine[] };
  };
  stats: { request: { containers: string[] | null }; data: { stats: IStats[] } };
  pull: { request: { reference: string; platform?: string }; data: { layers: Record<string, ILayer> } };
  build: {
    request: { path: string; tag?: string; target?: string; args?: Record<string, string> };
    data: { text: string };
  };
  compose: {
    request: { path: string; action: 'up' | 'down' | 'stop' | 'restart'; project?: string };
    data: { text: string };
  };
  bootstrap: { request: Record<string, unknown>; data: { text: string } };
}
export type ChannelKind = keyof IChannels;

/** How a channel ended. `lost`: the connection broke; open it again when the model is connected. */
export interface IEnding {
  error?: IFailure;
  result?: Record<string, unknown>;
  lost?: boolean;
}

/** What the server sends. */
export type ServerMessage =
  | { type: 'engine'; engine: IEngine }
  | ({ type: 'state' } & IState)
  | { [K in Kind]: { type: 'change'; kind: K; id: string; value: IKinds[K] | null } }[Kind]
  | { type: 'data'; channel: number; [key: string]: unknown }
  | { type: 'end'; channel: number; error?: IFailure; result?: Record<string, unknown> };

export interface IFileEntry {
  name: string;
  kind: 'file' | 'folder' | 'link' | 'other';
  size: number;
  mode: number;
  mtime: number;
  target?: string;
}

export interface IFolder {
  path: string;
  entries: IFileEntry[];
  truncated: boolean;
}

export interface IKernel {
  name: string;
  display_name: string;
  image: string;
  [key: string]: unknown;
}

export interface IKernelRequest {
  image: string;
  name?: string;
  display_name?: string;
  install?: boolean;
  network?: boolean | string;
  memory?: string;
  mounts?: string[];
  api_socket?: boolean;
}

export type PruneKind = 'containers' | 'images' | 'networks' | 'volumes' | 'build';

export interface IPrunePreview {
  items: { id: string; name: string; size: number }[];
  reclaimable: number;
}

/** The mimetype of outputs that stay live, and what it carries: ids and names only. */
export const CARD_MIME = 'application/vnd.labdock.v1+json';
export interface ICard {
  kind: 'container' | 'containers' | 'image' | 'images' | 'network' | 'volume' | 'build';
  ids: string[];
  names: string[];
  title?: string;
}

/** A container's image, the name it was asked for by, and whether its web applications may be opened. */
export interface ITrust {
  image: string;
  name: string;
  trusted: boolean;
}
