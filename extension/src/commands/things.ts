/** Commands on images, networks and volumes, and those that make new ones. */

import { addIcon, closeIcon, inspectorIcon, kernelIcon, runIcon } from '@jupyterlab/ui-components';

import { pruneIcon, pullIcon } from '../icons';
import { imageName, nameOf } from '../panel/rows';
import { KINDS, type PruneKind } from '../shapes';
import { confirm } from './containers';
import { addAction, attempt, complain, type ICommandHost, keyOf, targetOf } from './registry';

export function addThingCommands(host: ICommandHost): string[] {
  return [...addImages(host), ...addRemovals(host), ...addMakers(host), ...addGeneral(host)];
}

function isRunning(host: ICommandHost): boolean {
  return host.model.engine?.state === 'running';
}

function addImages(host: ICommandHost): string[] {
  const { trans, app, owned } = host;
  const image = { type: 'string', description: trans.__('The image’s name or id') };
  const menu = { type: 'boolean', description: trans.__('Whether it is shown in a menu of the thing itself') };
  owned.add(
    app.commands.addCommand('labdock:run-image', {
      label: args => (args.menu ? trans.__('Run…') : trans.__('Run Image…')),
      caption: trans.__('Make a container of an image and start it'),
      icon: runIcon,
      describedBy: { args: { type: 'object', properties: { id: image, menu } } },
      isEnabled: () => isRunning(host),
      execute: args =>
        attempt(async () => {
          const chosen = targetOf(host, 'image', args);
          const { askRun } = await import('../dialogs/run');
          return askRun(host, chosen ? imageName(chosen) : typeof args.id === 'string' ? args.id : '');
        })
    })
  );
  owned.add(
    app.commands.addCommand('labdock:pull-image', {
      label: args => (args.menu ? trans.__('Pull…') : trans.__('Pull Image…')),
      caption: trans.__('Fetch an image from a registry'),
      icon: pullIcon,
      describedBy: { args: { type: 'object', properties: { reference: image, menu } } },
      isEnabled: () => isRunning(host),
      execute: args =>
        attempt(async () => {
          const { askPull } = await import('../dialogs/pull');
          return askPull(host, typeof args.reference === 'string' ? args.reference : '');
        })
    })
  );
  addAction(host, {
    id: 'labdock:use-as-kernel',
    kind: 'image',
    label: trans.__('Use Image as Kernel…'),
    short: trans.__('Use as Kernel…'),
    caption: trans.__('Offer this image in the launcher: notebooks then run inside it'),
    icon: kernelIcon,
    fits: one => one.tags.length > 0,
    execute: async one => {
      const { askKernel } = await import('../dialogs/kernel');
      return askKernel(host, imageName(one));
    }
  });
  return ['labdock:run-image', 'labdock:pull-image', 'labdock:use-as-kernel'];
}

function addRemovals(host: ICommandHost): string[] {
  const { trans, model } = host;
  addAction(host, {
    id: 'labdock:remove-image',
    kind: 'image',
    label: trans.__('Remove Image…'),
    short: trans.__('Remove…'),
    caption: trans.__('Remove the image and its names'),
    icon: closeIcon,
    execute: async one => {
      const name = imageName(one);
      const text = one.tags.length > 1 ? trans.__('It has these names: %1', one.tags.join(', ')) : '';
      if (await confirm(host, trans.__('Remove %1?', name), text, trans.__('Remove'))) {
        await model.api.removeImage(one.id, one.tags.length > 1);
      }
    }
  });
  addAction(host, {
    id: 'labdock:remove-network',
    kind: 'network',
    label: trans.__('Remove Network…'),
    short: trans.__('Remove…'),
    caption: trans.__('Remove the network'),
    icon: closeIcon,
    fits: one => !one.builtin,
    execute: async one => {
      if (await confirm(host, trans.__('Remove the network %1?', one.name), '', trans.__('Remove'))) {
        await model.api.removeNetwork(one.id);
      }
    }
  });
  addAction(host, {
    id: 'labdock:remove-volume',
    kind: 'volume',
    label: trans.__('Remove Volume…'),
    short: trans.__('Remove…'),
    caption: trans.__('Remove the volume with all that is in it'),
    icon: closeIcon,
    execute: async one => {
      const text = trans.__('All files in it are lost.');
      if (await confirm(host, trans.__('Remove the volume %1?', one.name), text, trans.__('Remove'))) {
        await model.api.removeVolume(one.name);
      }
    }
  });
  return ['labdock:remove-image', 'labdock:remove-network', 'labdock:remove-volume'];
}

function addMakers(host: ICommandHost): string[] {
  const { trans, app, owned } = host;
  const args = { type: 'object', properties: {} };
  owned.add(
    app.commands.addCommand('labdock:create-network', {
      label: trans.__('Create Network…'),
      caption: trans.__('Make a network for containers to find each other on'),
      icon: addIcon,
      describedBy: { args },
      isEnabled: () => isRunning(host),
      execute: () => attempt(async () => (await import('../dialogs/make')).askNetwork(host))
    })
  );
  owned.add(
    app.commands.addCommand('labdock:create-volume', {
      label: trans.__('Create Volume…'),
      caption: trans.__('Make a volume for files that outlive containers'),
      icon: addIcon,
      describedBy: { args },
      isEnabled: () => isRunning(host),
      execute: () => attempt(async () => (await import('../dialogs/make')).askVolume(host))
    })
  );
  return ['labdock:create-network', 'labdock:create-volume'];
}

function addGeneral(host: ICommandHost): string[] {
  const { trans, model, app, owned, panel } = host;
  const id = { type: 'string', description: trans.__('An id or a name; without it, what is chosen in the sidebar') };
  const menu = { type: 'boolean', description: trans.__('Whether it is shown in a menu of the thing itself') };
  const kind = { type: 'string', description: trans.__('containers, images, networks, volumes or build') };
  const find = (args: { id?: unknown }): { kind: (typeof KINDS)[number]; key: string; name: string } | undefined => {
    for (const one of args.id === undefined && panel?.selection ? [panel.selection.kind] : KINDS) {
      const value = targetOf(host, one, args as { id?: string });
      if (value) {
        return { kind: one, key: keyOf(one, value), name: nameOf(one, value) };
      }
    }
    return undefined;
  };
  owned.add(
    app.commands.addCommand('labdock:inspect', {
      label: args => (args.menu ? trans.__('Inspect') : trans.__('Inspect Container, Image, Network or Volume')),
      caption: trans.__('All that the engine knows of it'),
      icon: inspectorIcon,
      describedBy: { args: { type: 'object', properties: { id, menu } } },
      isEnabled: args => find(args) !== undefined,
      execute: args =>
        attempt(async () => {
          const found = find(args);
          if (found) {
            const { openInspection } = await import('../inspect/view');
            await openInspection(host, `${found.kind}-${found.key}`, found.name, () =>
              model.api.inspect(found.kind, found.key)
            );
          }
        })
    })
  );
  owned.add(
    app.commands.addCommand('labdock:prune', {
      label: trans.__('Remove What Is Unused…'),
      caption: trans.__('See what nothing uses, and remove it'),
      icon: pruneIcon,
      describedBy: { args: { type: 'object', properties: { kind } } },
      isEnabled: () => isRunning(host),
      execute: args =>
        attempt(async () => {
          const { askPrune } = await import('../dialogs/prune');
          return askPrune(host, (args.kind as PruneKind | undefined) ?? 'containers');
        })
    })
  );
  owned.add(
    app.commands.addCommand('labdock:start-engine', {
      label: trans.__('Start the Engine'),
      caption: trans.__('Start labdock’s engine'),
      icon: runIcon,
      describedBy: { args: { type: 'object', properties: {} } },
      isEnabled: () => !isRunning(host),
      execute: async () => {
        const failure = await model.startEngine();
        if (failure) {
          complain(failure);
        }
      }
    })
  );
  return ['labdock:inspect', 'labdock:prune', 'labdock:start-engine'];
}
