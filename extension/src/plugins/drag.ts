import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { addInsertion } from '../drag/insertion';
import { watchDrags } from '../drag/start';
import { DOMAIN, ILabdock, ILabdockPanel } from '../tokens';

/** From the sidebar into a notebook. */
export const drag: JupyterFrontEndPlugin<void> = {
  id: 'labdock:drag',
  description: 'Inserts the code for a container, image, network or volume into a notebook, also by dragging it there.',
  autoStart: true,
  requires: [ILabdock, INotebookTracker],
  optional: [ILabdockPanel, ICommandPalette, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    labdock: ILabdock,
    tracker: INotebookTracker,
    panel: ILabdockPanel | null,
    palette: ICommandPalette | null,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    addInsertion(app, labdock.model, tracker, panel, trans);
    palette?.addItem({ command: 'labdock:insert-code', category: trans.__('Containers') });
    watchDrags(labdock.model);
  }
};
