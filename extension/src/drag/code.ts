/** The code for a thing: what a reader types to have it again. Pure. */

import type { IContainer, IImage, INetwork, IVolume, Kind } from '../shapes';

export interface IThings {
  readonly containers: ReadonlyMap<string, IContainer>;
  readonly images: ReadonlyMap<string, IImage>;
  readonly networks: ReadonlyMap<string, INetwork>;
  readonly volumes: ReadonlyMap<string, IVolume>;
}

/** A cell's source; null when the thing is not there. */
export function codeFor(things: IThings, kind: Kind, id: string): string | null {
  switch (kind) {
    case 'container': {
      const one = things.containers.get(id);
      return one ? runLine(one) : null;
    }
    case 'image': {
      const one = things.images.get(id);
      return one ? `%container run --rm ${word(one.tags[0] ?? one.id.replace('sha256:', '').slice(0, 12))}` : null;
    }
    case 'network': {
      const one = things.networks.get(id);
      return one ? `%container network inspect ${word(one.name)}` : null;
    }
    case 'volume':
      return things.volumes.has(id) ? `%container volume inspect ${word(id)}` : null;
  }
}

/** What is known of how it was made; its environment is not: that may hold secrets. */
function runLine(one: IContainer): string {
  const parts = ['%container run -d', `--name ${word(one.name)}`];
  const ports = new Set(
    one.ports
      .filter(port => port.public !== undefined)
      .map(port => `${port.public}:${port.private}${port.type === 'tcp' ? '' : `/${port.type}`}`)
  );
  ports.forEach(port => parts.push(`-p ${port}`));
  for (const mount of one.mounts) {
    if (mount.type === 'volume' || mount.type === 'bind') {
      parts.push(`-v ${word(`${mount.source}:${mount.target}${mount.rw ? '' : ':ro'}`)}`);
    }
  }
  for (const network of one.networks) {
    if (!['bridge', 'default'].includes(network)) {
      parts.push(`--network ${word(network)}`);
    }
  }
  parts.push(word(one.image));
  return parts.join(' ');
}

/** One word of a command line, whatever is in it. */
function word(text: string): string {
  const plain = text.replace(/[\r\n]+/g, ' ');
  return /^[\w@%+=:,./-]+$/.test(plain) ? plain : `'${plain.replace(/'/g, `'"'"'`)}'`;
}
