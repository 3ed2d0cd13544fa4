/** What was filled in for a run → the Docker Engine API's body of POST /containers/create. Pure. */

export interface IRunForm {
  image: string;
  command: string;
  ports: string[];
  environment: string[];
  volumes: string[];
  network: string;
  remove: boolean;
  terminal: boolean;
}

/** Raises Error, in words, for a port that is none. */
export function runRequest(form: IRunForm): object {
  const command = splitWords(form.command);
  const bindings: Record<string, { HostIp: string; HostPort: string }[]> = {};
  const exposed: Record<string, object> = {};
  for (const port of form.ports) {
    const [inside, binding] = parsePort(port);
    exposed[inside] = {};
    if (binding) {
      (bindings[inside] ??= []).push(binding);
    }
  }
  return {
    Image: form.image,
    ...(command.length ? { Cmd: command } : {}),
    Env: form.environment,
    ExposedPorts: exposed,
    Tty: form.terminal,
    OpenStdin: form.terminal,
    HostConfig: {
      AutoRemove: form.remove,
      Binds: form.volumes,
      PortBindings: bindings,
      ...(form.network ? { NetworkMode: form.network } : {})
    }
  };
}

/** `[address:]public:private[/type]`, or `private` alone: exposed, and opened through the Jupyter server. */
export function parsePort(text: string): [string, { HostIp: string; HostPort: string } | null] {
  const found = /^(?:(?:([\d.]+|\[[\da-f:]+\]):)?(\d*):)?(\d+)(?:\/(tcp|udp))?$/i.exec(text.trim());
  if (!found || Number(found[3]) > 65_535 || Number(found[2] ?? 0) > 65_535) {
    throw new Error(text);
  }
  const inside = `${found[3]}/${(found[4] ?? 'tcp').toLowerCase()}`;
  return [inside, found[2] === undefined ? null : { HostIp: found[1] ?? '', HostPort: found[2] }];
}

/** Words as a shell sees them: quotes hold words together, a backslash takes the next letter as it is. */
export function splitWords(text: string): string[] {
  const words: string[] = [];
  const pattern = /\s*((?:[^\s"'\\]|\\[\s\S]|"(?:[^"\\]|\\[\s\S])*"|'[^']*')+)/gy;
  for (let found = pattern.exec(text); found; found = pattern.exec(text)) {
    const parts = found[1].match(/\\[\s\S]|"(?:[^"\\]|\\[\s\S])*"|'[^']*'|[^\s"'\\]+/g) ?? [];
    words.push(parts.map(unquote).join(''));
  }
  return words;
}

function unquote(part: string): string {
  switch (part[0]) {
    case "'":
      return part.slice(1, -1);
    case '"':
      return part.slice(1, -1).replace(/\\(["\\$`])/g, '$1');
    case '\\':
      return part.slice(1);
    default:
      return part;
  }
}
