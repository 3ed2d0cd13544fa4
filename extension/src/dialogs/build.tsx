/** Build a Dockerfile, carry out a Compose file: with what they say. */

import React from 'react';

import { type ICommandHost, tell } from '../commands/registry';
import { askForm, lines } from './form';
import { watchWork } from './work';

/** Lines that are kept of what is said. */
const KEPT = 2000;

export async function askBuild(host: ICommandHost, path: string): Promise<void> {
  const { trans, model } = host;
  const folder = path.split('/').slice(-2, -1)[0] ?? 'image';
  const values = await askForm(trans, {
    title: trans.__('Build %1', path),
    does: trans.__('Build'),
    fields: [
      { name: 'tag', label: trans.__('Name of the image'), type: 'text', value: folder.toLowerCase(), half: true },
      { name: 'target', label: trans.__('Up to the stage'), type: 'text', placeholder: trans.__('the last'), half: true },
      { name: 'args', label: trans.__('Build arguments'), type: 'lines', placeholder: trans.__('NAME=value') }
    ]
  });
  if (!values) {
    return;
  }
  const pairs = lines(values.args).map(line => [line.split('=', 1)[0], line.slice(line.indexOf('=') + 1)]);
  const tag = String(values.tag).trim();
  const said: string[] = [];
  const went = await watchWork(model, trans, {
    title: trans.__('Building %1', tag || path),
    kind: 'build',
    request: {
      path,
      ...(tag ? { tag } : {}),
      ...(String(values.target).trim() ? { target: String(values.target).trim() } : {}),
      ...(pairs.length ? { args: Object.fromEntries(pairs) as Record<string, string> } : {})
    },
    take: data => add(said, data.text),
    draw: () => <Output text={said} label={trans.__('What the build says')} />,
    done: () => trans.__('Built.')
  });
  if (went) {
    tell(trans.__('%1 was built.', tag || path));
  }
}

export async function runCompose(host: ICommandHost, path: string, action: 'up' | 'down'): Promise<void> {
  const { trans, model } = host;
  const said: string[] = [];
  const went = await watchWork(model, trans, {
    title: action === 'up' ? trans.__('Starting %1', path) : trans.__('Removing %1', path),
    kind: 'compose',
    request: { path, action },
    take: data => add(said, data.text),
    draw: () => <Output text={said} label={trans.__('What Compose says')} />,
    done: () => trans.__('Done.')
  });
  if (went) {
    tell(action === 'up' ? trans.__('%1 is up.', path) : trans.__('%1 is down.', path));
  }
}

/** Text comes in pieces that end anywhere: the last of the lines is the one that goes on. */
function add(said: string[], text: string): void {
  const [more, ...lines] = text.split('\n');
  said.push((said.pop() ?? '') + more, ...lines);
  said.splice(0, Math.max(0, said.length - KEPT));
}

function Output({ text, label }: { text: readonly string[]; label: string }): JSX.Element {
  const end = React.useRef<HTMLPreElement>(null);
  React.useEffect(() => {
    // quirk: newer browsers' scrollTo gives a promise, which React would take for what undoes the effect.
    void end.current?.scrollTo(0, end.current.scrollHeight);
  });
  return (
    <pre ref={end} className="jp-labdock-output jp-labdock-mod-framed" tabIndex={0} aria-label={label} role="log">
      {text.join('\n')}
    </pre>
  );
}
