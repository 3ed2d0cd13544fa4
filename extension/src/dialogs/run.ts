/** Run an image: a small form. */

import type { TranslationBundle } from '@jupyterlab/translation';

import { ApiError } from '../api';
import { type ICommandHost, warn } from '../commands/registry';
import { askForm, type IField, lines } from './form';
import { parsePort, runRequest } from './request';

export async function askRun(host: ICommandHost, image: string): Promise<void> {
  const { trans, model, panel } = host;
  const values = await askForm(trans, {
    title: trans.__('Run an image'),
    does: trans.__('Run'),
    fields: fieldsOf(host, image)
  });
  if (!values) {
    return;
  }
  const name = String(values.image).trim();
  const body = runRequest({
    image: name,
    command: String(values.command),
    ports: lines(values.ports),
    environment: lines(values.environment),
    volumes: lines(values.volumes),
    network: String(values.network),
    remove: values.remove === true,
    terminal: values.terminal === true
  });
  const create = (): Promise<{ Id: string; Warnings: string[] | null }> =>
    model.api.create(body, String(values.name).trim());
  let made: { Id: string; Warnings: string[] | null };
  try {
    made = await create();
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 404 && /no such image/i.test(error.message))) {
      throw error;
    }
    const { pull } = await import('./pull');
    if (!(await pull(host, name))) {
      return;
    }
    made = await create();
  }
  await model.api.start(made.Id);
  panel?.reveal('container', made.Id);
  for (const warning of made.Warnings ?? []) {
    warn(warning);
  }
}

function checkPorts(trans: TranslationBundle, text: string): string | null {
  for (const line of lines(text)) {
    try {
      parsePort(line);
    } catch {
      return trans.__('“%1” is no port: write it as 8080:80, as 127.0.0.1:8080:80/tcp, or as 80 alone.', line);
    }
  }
  return null;
}

function fieldsOf(host: ICommandHost, image: string): IField[] {
  const { trans, model } = host;
  const networks = [...model.networks.values()].map(one => ({ value: one.name, label: one.name }));
  return [
    {
      name: 'image',
      label: trans.__('Image'),
      type: 'text',
      value: image,
      placeholder: trans.__('debian:stable'),
      required: true,
      hint: trans.__('One that is not here is pulled first.')
    },
    { name: 'name', label: trans.__('Name'), type: 'text', half: true, placeholder: trans.__('made up when empty') },
    {
      name: 'network',
      label: trans.__('Network'),
      type: 'choice',
      half: true,
      choices: [{ value: '', label: trans.__('The usual one') }, ...networks.filter(one => one.value !== 'bridge')]
    },
    { name: 'command', label: trans.__('Command'), type: 'text', placeholder: trans.__('what the image says') },
    {
      name: 'ports',
      label: trans.__('Ports'),
      type: 'lines',
      half: true,
      placeholder: trans.__('8080:80'),
      check: text => checkPorts(trans, text),
      hint: trans.__('One a line. “80” alone opens in a tab here, and takes no port of the machine.')
    },
    { name: 'environment', label: trans.__('Environment'), type: 'lines', half: true, placeholder: trans.__('NAME=value') },
    {
      name: 'volumes',
      label: trans.__('Volumes and folders'),
      type: 'lines',
      placeholder: trans.__('data:/var/lib/data'),
      hint: trans.__('One a line: a volume’s name or a folder of the machine, a colon, a folder of the container.')
    },
    { name: 'terminal', label: trans.__('Give it a terminal'), type: 'check', half: true },
    { name: 'remove', label: trans.__('Remove it when it ends'), type: 'check', half: true }
  ];
}
