/** Tabs for what a container serves. */

import { IFrame, MainAreaWidget } from '@jupyterlab/apputils';
import { launchIcon } from '@jupyterlab/ui-components';
import { Widget } from '@lumino/widgets';

import type { ICommandHost } from '../commands/registry';

/** A page that a container of a trusted image serves, in a tab. It can't lead JupyterLab itself elsewhere. */
export function openPage(host: ICommandHost, url: string, name: string): void {
  // With its own origin: without one it has no cookies, and the server gives it nothing but its first page.
  const content = new IFrame({
    sandbox: ['allow-same-origin', 'allow-scripts', 'allow-forms', 'allow-modals', 'allow-popups', 'allow-downloads']
  });
  content.url = url;
  content.addClass('jp-labdock-page');
  show(host, content, name, launchIcon);
}

function show(host: ICommandHost, content: Widget, name: string, icon: typeof launchIcon): void {
  const widget = new MainAreaWidget({ content });
  widget.title.label = name;
  widget.title.icon = icon;
  widget.title.closable = true;
  host.app.shell.add(widget, 'main', { type: 'labdock' });
  host.app.shell.activateById(widget.id);
}
