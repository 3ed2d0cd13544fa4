/** The server extension's REST calls, each a function. All raise ApiError. */

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import type {
  IEngine,
  IFailure,
  IFolder,
  IKernel,
  IKernelRequest,
  IPrunePreview,
  IState,
  ITrust,
  Kind,
  PruneKind
} from './shapes';

/** What the server refused, in its words. */
export class ApiError extends Error implements IFailure {
  constructor(
    message: string,
    readonly status: number,
    readonly hint?: string
  ) {
    super(message);
    this.name = 'ApiError';
  }
}

type Query = Record<string, string | number | boolean | undefined>;

/** Where the server extension listens. */
export function apiUrl(settings: ServerConnection.ISettings, path: string, query: Query = {}): string {
  const pairs = Object.entries(query)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(String(value))}`);
  return URLExt.join(settings.baseUrl, 'labdock', 'api', path) + (pairs.length ? `?${pairs.join('&')}` : '');
}

/** A container's TCP port, as a page of the Jupyter server: no port on the host is needed. */
export function portUrl(settings: ServerConnection.ISettings, container: string, port: number): string {
  return URLExt.join(settings.baseUrl, 'labdock', 'port', encodeURIComponent(container), String(port)) + '/';
}

/** The typed calls to one server. */
export class Api {
  constructor(readonly settings: ServerConnection.ISettings = ServerConnection.makeSettings()) {}

  /** One request: the response if it went well. Cookies, XSRF and base URL are ServerConnection's. */
  async response(path: string, init: RequestInit = {}, query: Query = {}): Promise<Response> {
    let response: Response;
    try {
      response = await ServerConnection.makeRequest(apiUrl(this.settings, path, query), init, this.settings);
    } catch (error) {
      if (init.signal?.aborted) {
        throw error;
      }
      throw new ApiError('The Jupyter server does not answer', 0);
    }
    if (!response.ok) {
      throw await refusal(response);
    }
    return response;
  }

  /** One request: the answer's JSON, undefined where there is none. */
  async request<T>(path: string, init: RequestInit = {}, query: Query = {}): Promise<T> {
    const response = await this.response(path, init, query);
    const text = response.status === 204 ? '' : await response.text();
    return (text ? JSON.parse(text) : undefined) as T;
  }

  private post<T = void>(path: string, body?: unknown, query: Query = {}): Promise<T> {
    return this.request<T>(path, { method: 'POST', ...json(body) }, query);
  }

  // --- the engine ---

  engine(): Promise<IEngine> {
    return this.request('engine');
  }

  actOnEngine(action: 'start' | 'stop' | 'restart'): Promise<IEngine> {
    return this.post('engine', { action });
  }

  state(start = false): Promise<IState> {
    return this.request('state', {}, start ? { start: 1 } : {});
  }

  // --- containers ---

  start(id: string): Promise<void> {
    return this.post(`docker/containers/${id}/start`);
  }

  /** `seconds`: how long the container may take before it is killed. */
  stop(id: string, seconds?: number): Promise<void> {
    return this.post(`docker/containers/${id}/stop`, undefined, { t: seconds });
  }

  restart(id: string, seconds?: number): Promise<void> {
    return this.post(`docker/containers/${id}/restart`, undefined, { t: seconds });
  }

  pause(id: string): Promise<void> {
    return this.post(`docker/containers/${id}/pause`);
  }

  unpause(id: string): Promise<void> {
    return this.post(`docker/containers/${id}/unpause`);
  }

  kill(id: string, signal = 'KILL'): Promise<void> {
    return this.post(`docker/containers/${id}/kill`, undefined, { signal });
  }

  remove(id: string, options: { force?: boolean; volumes?: boolean } = {}): Promise<void> {
    return this.request(
      `docker/containers/${id}`,
      { method: 'DELETE' },
      { force: options.force ? 1 : 0, v: options.volumes ? 1 : 0 }
    );
  }

  rename(id: string, name: string): Promise<void> {
    return this.post(`docker/containers/${id}/rename`, undefined, { name });
  }

  /** Make an image of a container as it is: the image's id. */
  async commit(id: string, reference: string, options: { comment?: string; pause?: boolean } = {}): Promise<string> {
    const [repo, tag] = splitReference(reference);
    const query = { container: id, repo, tag, comment: options.comment, pause: options.pause === false ? 0 : 1 };
    return (await this.post<{ Id: string }>('docker/commit', {}, query)).Id;
  }

  /** `body` as of the Docker Engine API's POST /containers/create: the id and what the engine warns of. */
  create(body: unknown, name?: string): Promise<{ Id: string; Warnings: string[] | null }> {
    return this.post('docker/containers/create', body, { name: name || undefined });
  }

  /** A shell (or `command`) in a container, in one of JupyterLab's terminals: its name. */
  async terminal(container: string, command?: string[]): Promise<string> {
    return (await this.post<{ name: string }>('terminals', { container, command })).name;
  }

  /** What the engine says of one thing, in full. */
  inspect(kind: Kind, id: string): Promise<unknown> {
    return this.request(`docker/${kind}s/${encodePath(id)}${kind === 'container' || kind === 'image' ? '/json' : ''}`);
  }

  /** Whether what a container's image serves may be opened on this server's own origin. */
  trust(container: string): Promise<ITrust> {
    return this.request('trust', {}, { container });
  }

  trustImage(image: string): Promise<void> {
    return this.post('trust', { image });
  }

  // --- images, networks, volumes ---

  removeImage(id: string, force = false): Promise<unknown> {
    return this.request(`docker/images/${encodePath(id)}`, { method: 'DELETE' }, { force: force ? 1 : 0 });
  }

  tagImage(id: string, reference: string): Promise<void> {
    const [repo, tag] = splitReference(reference);
    return this.post(`docker/images/${encodePath(id)}/tag`, undefined, { repo, tag });
  }

  createNetwork(body: { Name: string; Driver?: string; Internal?: boolean; IPAM?: unknown }): Promise<{ Id: string }> {
    return this.post('docker/networks/create', body);
  }

  removeNetwork(id: string): Promise<void> {
    return this.request(`docker/networks/${encodePath(id)}`, { method: 'DELETE' });
  }

  createVolume(body: { Name?: string; Labels?: Record<string, string> }): Promise<{ Name: string }> {
    return this.post('docker/volumes/create', body);
  }

  removeVolume(name: string): Promise<void> {
    return this.request(`docker/volumes/${encodePath(name)}`, { method: 'DELETE' });
  }

  // --- what is unused ---

  previewPrune(kind: PruneKind): Promise<IPrunePreview> {
    return this.request('prune', {}, { kind });
  }

  /** Remove what is unused: the bytes that this freed. Volumes and images: those with a name too, as previewed. */
  async prune(kind: PruneKind): Promise<number> {
    const filters = kind === 'images' ? '{"dangling":["true"]}' : undefined;
    const answer = await this.post<{ SpaceReclaimed?: number }>(`docker/${kind}/prune`, undefined, { filters });
    return answer?.SpaceReclaimed ?? 0;
  }

  // --- files ---

  files(container: string, path: string): Promise<IFolder> {
    return this.request('files', {}, { container, path });
  }

  /** The address of one file's bytes, as an attachment. */
  fileUrl(container: string, path: string): string {
    return apiUrl(this.settings, 'files/content', { container, path });
  }

  /** The address of a file or folder as a tar. */
  archiveUrl(container: string, path: string): string {
    return apiUrl(this.settings, `docker/containers/${container}/archive`, { path });
  }

  writeFile(container: string, path: string, content: Blob | string): Promise<void> {
    return this.request('files/content', { method: 'PUT', body: content }, { container, path });
  }

  // --- kernels inside images ---

  kernels(): Promise<IKernel[]> {
    return this.request('kernels');
  }

  addKernel(request: IKernelRequest): Promise<IKernel> {
    return this.post('kernels', request);
  }

  removeKernel(name: string): Promise<void> {
    return this.request(`kernels/${encodePath(name)}`, { method: 'DELETE' });
  }
}

/** `repository:tag` → both; the tag is "latest" where none is named. A registry's port is no tag. */
export function splitReference(reference: string): [string, string] {
  const colon = reference.lastIndexOf(':');
  return colon > reference.lastIndexOf('/')
    ? [reference.slice(0, colon), reference.slice(colon + 1)]
    : [reference, 'latest'];
}

/** A name in a path: everything escaped but slashes, which are in names of images. */
function encodePath(name: string): string {
  return name.split('/').map(encodeURIComponent).join('/');
}

function json(body: unknown): RequestInit {
  return body === undefined ? {} : { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } };
}

async function refusal(response: Response): Promise<ApiError> {
  let said: Partial<IFailure> = {};
  try {
    said = await response.json();
  } catch {
    // A proxy's page, say: the status has to do.
  }
  return new ApiError(said.message || `${response.status} ${response.statusText}`, response.status, said.hint);
}
