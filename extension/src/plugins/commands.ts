import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { IFileBrowserFactory } from '@jupyterlab/filebrowser';
import { ILauncher } from '@jupyterlab/launcher';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { DisposableSet } from '@lumino/disposable';

import { addContainerCommands } from '../commands/containers';
import { addFileCommands } from '../commands/files';
import { followChanges, type ICommandHost } from '../commands/registry';
import { addThingCommands } from '../commands/things';
import { DOMAIN, ILabdock, ILabdockPanel, SETTINGS } from '../tokens';

/** Everything that can be done, in the palette and in menus. */
export const commands: JupyterFrontEndPlugin<void> = {
  id: 'labdock:commands',
  description: 'Commands on containers, images, networks and volumes.',
  autoStart: true,
  requires: [ILabdock],
  optional: [ILabdockPanel, ICommandPalette, IFileBrowserFactory, ILauncher, ISettingRegistry, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    labdock: ILabdock,
    panel: ILabdockPanel | null,
    palette: ICommandPalette | null,
    browsers: IFileBrowserFactory | null,
    launcher: ILauncher | null,
    settings: ISettingRegistry | null,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    let asks = true;
    void settings?.load(SETTINGS).then(loaded => {
      const apply = (): void => {
        asks = loaded.composite.confirm !== false;
      };
      loaded.changed.connect(apply);
      apply();
    });
    const host: ICommandHost = {
      app,
      model: labdock.model,
      panel,
      trans,
      asks: () => asks,
      owned: new DisposableSet()
    };
    const ids = [...addContainerCommands(host), ...addThingCommands(host)];
    followChanges(host, app.commands, ids);
    const category = trans.__('Containers');
    const opens = panel ? ['labdock:open-panel'] : [];
    for (const command of [...opens, ...ids, ...addFileCommands(host, browsers)]) {
      palette?.addItem({ command, category });
    }
    if (panel) {
      launcher?.add({ command: 'labdock:open-panel', category: trans.__('Other'), rank: 90 });
    }
  }
};
