/** Tabs for what a container serves. */

import { IFrame, MainAreaWidget } from '@jupyterlab/apputils';
import { launchIcon } from '@jupyterlab/ui-components';
import { Widget } from '@lumino/widgets';

import type { ICommandHost } from '../commands/registry';

/** A page that a container serves, in a tab: it may run scripts, but is not this page's equal. */
export function openPage(host: ICommandHost, url: string, name: string): void {
  // Without allow-same-origin: what a container serves must not act as the user of this server.
  const content = new IFrame({ sandbox: ['allow-scripts', 'allow-forms', 'allow-popups', 'allow-downloads'] });
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
