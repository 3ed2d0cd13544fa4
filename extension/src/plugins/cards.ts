import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { CardRenderer } from '../cards/renderer';
import { CARD_MIME } from '../shapes';
import { DOMAIN, ILabdock } from '../tokens';

/** Before HTML (50) and text. */
const RANK = 10;

/** Outputs that stay live. */
export const cards: JupyterFrontEndPlugin<void> = {
  id: 'labdock:cards',
  description: 'Shows containers, images, networks and volumes in outputs as they are now.',
  autoStart: true,
  requires: [ILabdock, IRenderMimeRegistry],
  optional: [ITranslator],
  activate: (
    app: JupyterFrontEnd,
    labdock: ILabdock,
    rendermime: IRenderMimeRegistry,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const host = { model: labdock.model, commands: app.commands, rendermime, trans };
    // Safe, also where the notebook is not trusted: it holds ids, and what is shown is the server's word.
    const factory = { safe: true, mimeTypes: [CARD_MIME], createRenderer: () => new CardRenderer(host) };
    rendermime.addFactory(factory, RANK);
  }
};
