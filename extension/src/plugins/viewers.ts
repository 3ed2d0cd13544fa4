import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { DOMAIN, ILabdock, ILabdockPanel } from '../tokens';
import { addViewers } from '../viewers/commands';

/** Logs, figures and files of containers. */
export const viewers: JupyterFrontEndPlugin<void> = {
  id: 'labdock:viewers',
  description: 'Opens the logs, figures and files of containers.',
  autoStart: true,
  requires: [ILabdock],
  optional: [ILabdockPanel, ICommandPalette, ILayoutRestorer, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    labdock: ILabdock,
    panel: ILabdockPanel | null,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    addViewers({ app, model: labdock.model, panel, palette, restorer, trans });
  }
};
