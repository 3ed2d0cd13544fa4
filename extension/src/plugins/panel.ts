import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';

import { containersIcon } from '../icons';
import { DOMAIN, ILabdock } from '../tokens';

/** The sidebar. */
export const panel: JupyterFrontEndPlugin<void> = {
  id: 'labdock:panel',
  description: 'A sidebar with containers, images, networks and volumes.',
  autoStart: true,
  requires: [ILabdock],
  optional: [ILayoutRestorer, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    _labdock: ILabdock,
    restorer: ILayoutRestorer | null,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const widget = new Widget();
    widget.id = 'labdock-panel';
    widget.addClass('jp-labdock-panel');
    widget.title.icon = containersIcon;
    widget.title.caption = trans.__('Containers');
    app.shell.add(widget, 'left', { rank: 250, type: 'Containers' });
    restorer?.add(widget, widget.id);
  }
};
