/** Offer an image as a kernel. */

import { Notification } from '@jupyterlab/apputils';

import { ApiError } from '../api';
import { confirm } from '../commands/containers';
import type { ICommandHost } from '../commands/registry';
import type { IKernel, IKernelRequest } from '../shapes';
import { askForm } from './form';

export async function askKernel(host: ICommandHost, image: string): Promise<void> {
  const { trans, model, app } = host;
  const values = await askForm(trans, {
    title: trans.__('Notebooks inside %1', image),
    does: trans.__('Add'),
    intro: trans.__('The launcher offers it then. The folder of the notebook is there inside; files stay yours.'),
    fields: [
      { name: 'title', label: trans.__('Shown as'), type: 'text', value: image },
      { name: 'memory', label: trans.__('Memory at most'), type: 'text', half: true, placeholder: trans.__('2g') },
      { name: 'network', label: trans.__('Let it use the network'), type: 'check', half: true, value: true },
      { name: 'engine', label: trans.__('Let it use this engine: run and build containers'), type: 'check' }
    ]
  });
  if (!values) {
    return;
  }
  const request: IKernelRequest = {
    image,
    display_name: String(values.title).trim() || image,
    network: values.network === true,
    api_socket: values.engine === true
  };
  const memory = String(values.memory).trim();
  const added = await add(host, memory ? { ...request, memory } : request);
  if (added) {
    await app.serviceManager.kernelspecs.refreshSpecs();
    Notification.success(trans.__('“%1” is in the launcher.', added.display_name), {
      autoClose: 10_000,
      actions: [
        {
          label: trans.__('New Notebook'),
          callback: () => void app.commands.execute('notebook:create-new', { kernelName: added.name })
        }
      ]
    });
  }

  async function add(host: ICommandHost, request: IKernelRequest): Promise<IKernel | null> {
    try {
      return await model.api.addKernel(request);
    } catch (error) {
      if (!(error instanceof ApiError && !request.install && /ipykernel/i.test(`${error.message} ${error.hint}`))) {
        throw error;
      }
      const text = trans.__('An image with it can be built from this one.');
      const ask: ICommandHost = { ...host, asks: () => true };
      return (await confirm(ask, error.message, text, trans.__('Build it'))) ? add(host, { ...request, install: true }) : null;
    }
  }
}
