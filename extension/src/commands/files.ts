/** Commands on files of the file browser: build a Dockerfile, carry out a Compose file. */

import type { IFileBrowserFactory } from '@jupyterlab/filebrowser';
import { refreshIcon, runIcon, stopIcon } from '@jupyterlab/ui-components';

import { attempt, type ICommandHost } from './registry';

const DOCKERFILE = /(^|[./])(docker|container)file([.-][^/]*)?$/i;
const COMPOSE = /(^|\/)(docker-)?compose([.-][^/]*)?\.ya?ml$/i;

export function addFileCommands(host: ICommandHost, browsers: IFileBrowserFactory | null): string[] {
  const { trans, app, owned } = host;
  const chosen = (args: { path?: unknown }): string => {
    const item = browsers?.tracker.currentWidget?.selectedItems().next();
    return typeof args.path === 'string' ? args.path : (item && !item.done && item.value.path) || '';
  };
  const path = { type: 'string', description: trans.__('The file; without it, what is chosen in the file browser') };
  const describedBy = { args: { type: 'object', properties: { path } } };
  owned.add(
    app.commands.addCommand('labdock:build-file', {
      label: trans.__('Build Image…'),
      caption: trans.__('Build an image from this Dockerfile'),
      icon: runIcon,
      describedBy,
      isEnabled: args => DOCKERFILE.test(chosen(args)),
      isVisible: args => DOCKERFILE.test(chosen(args)),
      execute: args => attempt(async () => (await import('../dialogs/build')).askBuild(host, chosen(args)))
    })
  );
  const compose = async (args: { path?: unknown }, action: 'up' | 'down'): Promise<unknown> =>
    attempt(async () => (await import('../dialogs/build')).runCompose(host, chosen(args), action));
  owned.add(
    app.commands.addCommand('labdock:compose-up', {
      label: trans.__('Compose Up'),
      caption: trans.__('Start what this Compose file describes'),
      icon: refreshIcon,
      describedBy,
      isEnabled: args => COMPOSE.test(chosen(args)),
      isVisible: args => COMPOSE.test(chosen(args)),
      execute: args => compose(args, 'up')
    })
  );
  owned.add(
    app.commands.addCommand('labdock:compose-down', {
      label: trans.__('Compose Down'),
      caption: trans.__('Remove the containers and networks of this Compose file'),
      icon: stopIcon,
      describedBy,
      isEnabled: args => COMPOSE.test(chosen(args)),
      isVisible: args => COMPOSE.test(chosen(args)),
      execute: args => compose(args, 'down')
    })
  );
  return ['labdock:build-file', 'labdock:compose-up', 'labdock:compose-down'];
}
