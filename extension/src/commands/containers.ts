import { Clipboard, Dialog, InputDialog, Notification, showDialog } from '@jupyterlab/apputils';
import {
  closeIcon,
  copyIcon,
  editIcon,
  launchIcon,
  refreshIcon,
  runIcon,
  saveIcon,
  stopIcon,
  terminalIcon
} from '@jupyterlab/ui-components';

import { portUrl } from '../api';
import { pauseIcon } from '../icons';
import { isAlive } from '../panel/rows';
import type { IContainer } from '../shapes';
import { addAction, attempt, type ICommandHost, tell } from './registry';
import { isTrusted } from './trust';

export function addContainerCommands(host: ICommandHost): string[] {
  return [...addLife(host), ...addRemoval(host), ...addAccess(host), ...addNaming(host)];
}

function addLife(host: ICommandHost): string[] {
  const { trans, model } = host;
  addAction(host, {
    id: 'labdock:start',
    kind: 'container',
    label: trans.__('Start Container'),
    short: trans.__('Start'),
    caption: trans.__('Start the container'),
    icon: runIcon,
    fits: one => !isAlive(one) && one.state !== 'removing',
    execute: one => model.api.start(one.id)
  });
  addAction(host, {
    id: 'labdock:stop',
    kind: 'container',
    label: trans.__('Stop Container'),
    short: trans.__('Stop'),
    caption: trans.__('Ask the container to end; kill it when it does not'),
    icon: stopIcon,
    fits: isAlive,
    execute: one => model.api.stop(one.id)
  });
  addAction(host, {
    id: 'labdock:restart',
    kind: 'container',
    label: trans.__('Restart Container'),
    short: trans.__('Restart'),
    caption: trans.__('Stop the container and start it again'),
    icon: refreshIcon,
    fits: isAlive,
    execute: one => model.api.restart(one.id)
  });
  addAction(host, {
    id: 'labdock:pause',
    kind: 'container',
    label: trans.__('Pause Container'),
    short: trans.__('Pause'),
    caption: trans.__('Freeze the container’s processes'),
    icon: pauseIcon,
    fits: one => one.state === 'running',
    execute: one => model.api.pause(one.id)
  });
  addAction(host, {
    id: 'labdock:unpause',
    kind: 'container',
    label: trans.__('Resume Container'),
    short: trans.__('Resume'),
    caption: trans.__('Let the paused container go on'),
    icon: runIcon,
    fits: one => one.state === 'paused',
    execute: one => model.api.unpause(one.id)
  });
  return ['start', 'stop', 'restart', 'pause', 'unpause'].map(verb => `labdock:${verb}`);
}

function addRemoval(host: ICommandHost): string[] {
  const { trans, model } = host;
  addAction(host, {
    id: 'labdock:kill',
    kind: 'container',
    label: trans.__('Kill Container'),
    short: trans.__('Kill'),
    caption: trans.__('End the container at once, without asking it'),
    icon: closeIcon,
    fits: isAlive,
    execute: async one => {
      await model.api.kill(one.id);
      const again = (): void => void attempt(() => model.api.start(one.id));
      Notification.info(trans.__('%1 was killed.', one.name), {
        autoClose: 5000,
        actions: [{ label: trans.__('Start again'), caption: trans.__('Start the container again'), callback: again }]
      });
    }
  });
  addAction(host, {
    id: 'labdock:remove',
    kind: 'container',
    label: trans.__('Remove Container…'),
    short: trans.__('Remove…'),
    caption: trans.__('Remove the container and what it wrote outside of volumes'),
    icon: closeIcon,
    fits: one => one.state !== 'removing',
    execute: async one => {
      const text = isAlive(one)
        ? trans.__('It is running and is killed first. What it wrote outside of volumes is lost.')
        : trans.__('What it wrote outside of volumes is lost.');
      if (await confirm(host, trans.__('Remove %1?', one.name), text, trans.__('Remove'))) {
        await model.api.remove(one.id, { force: isAlive(one) });
      }
    }
  });
  return ['labdock:kill', 'labdock:remove'];
}

function addAccess(host: ICommandHost): string[] {
  const { trans, model, app } = host;
  addAction(host, {
    id: 'labdock:open-terminal',
    kind: 'container',
    label: trans.__('Open Terminal in Container'),
    short: trans.__('Terminal'),
    caption: trans.__('A shell inside the container'),
    icon: terminalIcon,
    fits: one => one.state === 'running' && model.engine?.terminals !== false,
    execute: async one => {
      const name = await model.api.terminal(one.id);
      return app.commands.execute('terminal:open', { name });
    }
  });
  addAction(host, {
    id: 'labdock:open-port',
    kind: 'container',
    label: trans.__('Open Container’s Port'),
    short: trans.__('Open Port'),
    caption: trans.__('Show what the container serves in a tab, through the Jupyter server'),
    icon: launchIcon,
    fits: one => one.state === 'running' && one.ports.some(port => port.type === 'tcp'),
    properties: { port: { type: 'number', description: trans.__('The port in the container') } },
    execute: async (one, args) => {
      const port = typeof args.port === 'number' ? args.port : await choosePort(host, one);
      if (port !== undefined && (await isTrusted(host, one.id, port))) {
        const { openPage } = await import('../inspect/page');
        openPage(host, portUrl(model.api.settings, one.id, port), `${one.name}:${port}`);
      }
    }
  });
  addAction(host, {
    id: 'labdock:copy-id',
    kind: 'container',
    label: trans.__('Copy Container’s Id'),
    short: trans.__('Copy Id'),
    caption: trans.__('Copy the container’s id to the clipboard'),
    icon: copyIcon,
    execute: one => Clipboard.copyToSystem(one.id)
  });
  return ['open-terminal', 'open-port', 'copy-id'].map(verb => `labdock:${verb}`);
}

function addNaming(host: ICommandHost): string[] {
  const { trans, model } = host;
  addAction(host, {
    id: 'labdock:rename',
    kind: 'container',
    label: trans.__('Rename Container…'),
    short: trans.__('Rename…'),
    caption: trans.__('Give the container another name'),
    icon: editIcon,
    execute: async one => {
      const title = trans.__('Rename %1', one.name);
      const asked = { title, label: trans.__('Name'), text: one.name, cancelLabel: trans.__('Cancel'), okLabel: trans.__('Rename') };
      const { value } = await InputDialog.getText(asked);
      if (value && value !== one.name) {
        await model.api.rename(one.id, value);
      }
    }
  });
  addAction(host, {
    id: 'labdock:commit',
    kind: 'container',
    label: trans.__('Commit Container to an Image…'),
    short: trans.__('Commit to Image…'),
    caption: trans.__('Make an image of the container as it is now'),
    icon: saveIcon,
    execute: async one => {
      const title = trans.__('Make an image of %1', one.name);
      const asked = { title, label: trans.__('Name of the image'), text: one.name, cancelLabel: trans.__('Cancel'), okLabel: trans.__('Commit') };
      const { value } = await InputDialog.getText({ ...asked, placeholder: trans.__('name:tag') });
      if (value) {
        await model.api.commit(one.id, value);
        tell(trans.__('The image %1 was made.', value));
      }
    }
  });
  return ['labdock:rename', 'labdock:commit'];
}

async function choosePort(host: ICommandHost, one: IContainer): Promise<number | undefined> {
  const { trans } = host;
  const ports = [...new Set(one.ports.filter(port => port.type === 'tcp').map(port => port.private))];
  if (ports.length === 1) {
    return ports[0];
  }
  const title = trans.__('Which port of %1?', one.name);
  const { value } = await InputDialog.getItem({ title, items: ports.map(String), cancelLabel: trans.__('Cancel'), okLabel: trans.__('Open') });
  return value === null ? undefined : Number(value);
}

/** Ask, unless the user's settings say not to. */
export async function confirm(host: ICommandHost, title: string, body: string, does: string): Promise<boolean> {
  if (!host.asks()) {
    return true;
  }
  const buttons = [
    Dialog.cancelButton({ label: host.trans.__('Cancel') }),
    Dialog.warnButton({ label: does })
  ];
  return (await showDialog({ title, body, buttons, defaultButton: 0 })).button.accept;
}
