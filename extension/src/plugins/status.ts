import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { Signal } from '@lumino/signaling';

import { StatusItem } from '../status/item';
import { DOMAIN, ILabdock } from '../tokens';

const ID = 'labdock:status';

/** How many containers run. */
export const status: JupyterFrontEndPlugin<void> = {
  id: 'labdock:status',
  description: 'Counts running containers in the status bar.',
  autoStart: true,
  requires: [ILabdock],
  // Notebook 7 has none.
  optional: [IStatusBar, ISettingRegistry, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    labdock: ILabdock,
    bar: IStatusBar | null,
    settings: ISettingRegistry | null,
    translator: ITranslator | null
  ): void => {
    if (!bar) {
      return;
    }
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const item = new StatusItem(labdock.model, app.commands, trans);
    const activeStateChanged = new Signal<StatusItem, void>(item);
    let wanted = true;
    item.seenChanged.connect(() => activeStateChanged.emit());
    const isActive = (): boolean => wanted && item.hasWords;
    bar.registerStatusItem(ID, { item, align: 'left', rank: 30, isActive, activeStateChanged });
    void settings?.load(ID).then(loaded => {
      const apply = (): void => {
        wanted = loaded.composite.shown !== false;
        item.listen(wanted);
        activeStateChanged.emit();
      };
      loaded.changed.connect(apply);
      apply();
    });
    if (!settings) {
      item.listen(true);
    }
  }
};
