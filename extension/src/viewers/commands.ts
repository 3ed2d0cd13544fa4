/** The commands that open a container's log, figures and files, each in a tab of its own. */

import type { ILayoutRestorer, JupyterFrontEnd } from '@jupyterlab/application';
import { type ICommandPalette, MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { folderIcon, type LabIcon, listIcon, runningIcon } from '@jupyterlab/ui-components';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import type { Widget } from '@lumino/widgets';

import type { ILabdockPanel, ILiveModel } from '../tokens';

export interface IViewerHost {
  app: JupyterFrontEnd;
  model: ILiveModel;
  panel: ILabdockPanel | null;
  palette: ICommandPalette | null;
  restorer: ILayoutRestorer | null;
  trans: TranslationBundle;
}

interface IViewer {
  verb: string;
  label: string;
  short: string;
  caption: string;
  icon: LabIcon;
  /** The tab's title for a container. */
  title(name: string): string;
  /** What is in the tab; null: this needs a container and none is chosen. */
  make(id: string | null): Promise<Widget> | null;
}

export function addViewers(host: IViewerHost): void {
  const { model, trans } = host;
  addViewer(host, {
    verb: 'logs',
    label: trans.__('Show a Container’s Log'),
    short: trans.__('Log'),
    caption: trans.__('Follow and search what the container writes'),
    icon: listIcon,
    title: name => trans.__('Log of %1', name),
    make: id => id && import('../logs/view').then(({ LogView }) => new LogView(model, id, trans))
  } as IViewer);
  addViewer(host, {
    verb: 'stats',
    label: trans.__('Show What Containers Use'),
    short: trans.__('Usage'),
    caption: trans.__('Processor, memory, network and disk, as they are used'),
    icon: runningIcon,
    title: name => (name ? trans.__('Usage of %1', name) : trans.__('Usage of containers')),
    make: id => import('../stats/view').then(({ StatsView }) => new StatsView(model, id, trans))
  });
  addViewer(host, {
    verb: 'browse-files',
    label: trans.__('Browse a Container’s Files'),
    short: trans.__('Files'),
    caption: trans.__('Look at, download and upload files of the container'),
    icon: folderIcon,
    title: name => trans.__('Files of %1', name),
    make: id => id && import('../files/view').then(({ FilesView }) => new FilesView(model, id, trans))
  } as IViewer);
}

function addViewer(host: IViewerHost, viewer: IViewer): void {
  const { app, model, palette, restorer, trans } = host;
  const command = `labdock:${viewer.verb}`;
  const namespace = `labdock-${viewer.verb}`;
  const tracker = new WidgetTracker<MainAreaWidget>({ namespace });
  const key = (widget: Widget): string => widget.id.slice(namespace.length + 1);
  app.commands.addCommand(command, {
    label: args => (args.menu ? viewer.short : viewer.label),
    caption: viewer.caption,
    icon: viewer.icon,
    describedBy: {
      args: {
        type: 'object',
        properties: {
          id: { type: 'string', description: trans.__('A container’s id or name; without it, what is chosen in the sidebar') },
          menu: { type: 'boolean', description: trans.__('Whether it is shown in a menu of the thing itself') }
        }
      }
    },
    execute: async args => {
      const id = containerOf(host, args);
      const found = tracker.find(widget => key(widget) === (id ?? 'all'));
      if (found) {
        app.shell.activateById(found.id);
        return found;
      }
      const content = await viewer.make(id);
      if (!content) {
        return;
      }
      const widget = new MainAreaWidget({ content });
      widget.id = `${namespace}-${id ?? 'all'}`;
      widget.title.icon = viewer.icon;
      widget.title.closable = true;
      name(host, viewer, widget, id);
      await tracker.add(widget);
      app.shell.add(widget, 'main', { type: 'labdock' });
      app.shell.activateById(widget.id);
      return widget;
    }
  });
  palette?.addItem({ command, category: trans.__('Containers') });
  void restorer?.restore(tracker, {
    command,
    args: widget => ({ id: key(widget) }),
    name: key,
    when: Promise.resolve(model)
  });
}

/** Gives the tab the container's name, now or when it is known. */
function name(host: IViewerHost, viewer: IViewer, widget: Widget, id: string | null): void {
  const { model } = host;
  const call = (): void => {
    const known = id === null ? '' : model.containers.get(id)?.name;
    if (known !== undefined || !widget.title.label) {
      widget.title.label = viewer.title(known ?? (id ?? '').slice(0, 12));
    }
  };
  call();
  if (id !== null) {
    model.changed.container.connect(call);
    widget.disposed.connect(() => model.changed.container.disconnect(call));
  }
}

/** The id of the container that a command is about; null: none is chosen. */
export function containerOf(host: Pick<IViewerHost, 'model' | 'panel'>, args: ReadonlyPartialJSONObject): string | null {
  const { model, panel } = host;
  if (typeof args.id !== 'string') {
    return panel?.selection?.kind === 'container' ? panel.selection.id : null;
  }
  if (args.id === 'all' && !model.containers.has('all')) {
    return null;
  }
  const { id } = args;
  const known = model.containers.get(id) ?? [...model.containers.values()].find(one => one.name === id);
  return known?.id ?? id;
}
