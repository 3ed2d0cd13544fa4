/** Asked once for each image before anything that it serves is opened: it has this page's own origin. */

import { Dialog, showDialog } from '@jupyterlab/apputils';

import type { ICommandHost } from './registry';

/** Whether the user lets what the container serves be opened; the server remembers it, and opens nothing else. */
export async function isTrusted(host: ICommandHost, container: string, port: number): Promise<boolean> {
  const { trans, model } = host;
  const { image, name, trusted } = await model.api.trust(container);
  if (trusted) {
    return true;
  }
  const answer = await showDialog({
    title: trans.__('Open what %1 serves on port %2?', name, port),
    body: trans.__(
      'Its page has this Jupyter server’s own address, so its scripts can do here whatever you can: open it only if you trust the image %1. You are asked once for each image.',
      name
    ),
    buttons: [
      Dialog.cancelButton({ label: trans.__('Cancel') }),
      Dialog.warnButton({ label: trans.__('Trust and Open') })
    ],
    defaultButton: 0
  });
  if (answer.button.accept) {
    await model.api.trustImage(image);
  }
  return answer.button.accept;
}
