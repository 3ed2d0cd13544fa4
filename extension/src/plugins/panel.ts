import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStateDB } from '@jupyterlab/statedb';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { Panel } from '@lumino/widgets';

import { containersIcon } from '../icons';
import { type IKept, type IPreferences, PanelStore } from '../panel/store';
import { PanelBody } from '../panel/widget';
import { DOMAIN, ILabdock, ILabdockPanel, SETTINGS } from '../tokens';

/** The sidebar. */
export const panel: JupyterFrontEndPlugin<ILabdockPanel> = {
  id: 'labdock:panel',
  description: 'A sidebar with containers, images, networks and volumes.',
  autoStart: true,
  provides: ILabdockPanel,
  requires: [ILabdock],
  optional: [ILayoutRestorer, ISettingRegistry, IStateDB, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    labdock: ILabdock,
    restorer: ILayoutRestorer | null,
    settings: ISettingRegistry | null,
    states: IStateDB | null,
    translator: ITranslator | null
  ): ILabdockPanel => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const store = new PanelStore(labdock.model);
    const widget = new Panel();
    widget.id = 'labdock-panel';
    widget.addClass('jp-labdock-panel');
    widget.title.icon = containersIcon;
    widget.title.caption = trans.__('Containers');
    widget.node.setAttribute('role', 'region');
    widget.node.setAttribute('aria-label', trans.__('Containers'));
    widget.addWidget(new PanelBody(store, app.commands, trans));
    widget.disposed.connect(() => store.dispose());
    app.shell.add(widget, 'left', { rank: 250, type: 'Containers' });
    restorer?.add(widget, widget.id);
    void keep(store, states);
    void follow(store, settings);
    app.commands.addCommand('labdock:open-panel', {
      label: args => (args.isLauncher ? trans.__('Containers') : trans.__('Show Containers')),
      caption: trans.__('Show the sidebar with containers, images, networks and volumes'),
      icon: containersIcon,
      describedBy: { args: { type: 'object', properties: {} } },
      execute: () => {
        app.shell.activateById(widget.id);
        widget.node.querySelector<HTMLElement>('.jp-labdock-tree, button')?.focus();
      }
    });
    return store;
  }
};

/** What is folded up stays so over a reload. */
async function keep(store: PanelStore, states: IStateDB | null): Promise<void> {
  const kept = (await states?.fetch(SETTINGS)) as IKept | undefined;
  if (kept && Array.isArray(kept.folded)) {
    store.kept = kept;
  }
  let written = JSON.stringify(store.kept);
  store.changed.connect(() => {
    const now = JSON.stringify(store.kept);
    if (now !== written) {
      written = now;
      void states?.save(SETTINGS, store.kept);
    }
  });
}

/** The user's settings, also when they change. */
async function follow(store: PanelStore, registry: ISettingRegistry | null): Promise<void> {
  const settings = await registry?.load(SETTINGS);
  const apply = (): void => {
    store.preferences = settings!.composite as unknown as IPreferences;
    store.refresh();
  };
  if (settings) {
    settings.changed.connect(apply);
    store.disposedBy(() => settings.changed.disconnect(apply));
    apply();
  }
}
