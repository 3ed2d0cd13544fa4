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
    let begun = false;
    // Not before the page is there and has nothing better to do: a number in a corner keeps nobody waiting.
    void Promise.all([app.restored, settings?.load(ID)]).then(([, loaded]) => {
      const apply = (): void => {
        wanted = loaded?.composite.shown !== false;
        item.listen(wanted && begun);
        activeStateChanged.emit();
      };
      loaded?.changed.connect(apply);
      apply();
      whenIdle(() => {
        begun = true;
        apply();
      });
    });
  }
};

/** Call `work` when the browser has nothing else to do, or after `most` milliseconds. */
function whenIdle(work: () => void, most = 10_000): void {
  if ('requestIdleCallback' in window) {
    window.requestIdleCallback(work, { timeout: most });
  } else {
    setTimeout(work, 1000);
  }
}
