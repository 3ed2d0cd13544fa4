/** How commands on one thing are registered: on `id` of the arguments, else on what is chosen in the sidebar. */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { LabIcon } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { DisposableDelegate, type DisposableSet } from '@lumino/disposable';

import type { IFailure, IKinds, Kind } from '../shapes';
import type { ILabdockPanel, ILiveModel } from '../tokens';

export interface ICommandHost {
  app: JupyterFrontEnd;
  model: ILiveModel;
  /** null where the side bar is switched off. */
  panel: ILabdockPanel | null;
  trans: TranslationBundle;
  /** Whether removing asks first. */
  asks(): boolean;
  /** Takes what ends with the plugin. */
  owned: DisposableSet;
}

export interface IAction<K extends Kind> {
  id: string;
  kind: K;
  /** In the palette, and (short) in menus of the thing itself. */
  label: string;
  short: string;
  caption: string;
  icon: LabIcon;
  /** Whether it makes sense on this one. */
  fits?(value: IKinds[K]): boolean;
  execute(value: IKinds[K], args: ReadonlyPartialJSONObject): Promise<unknown> | unknown;
  /** What it takes beside the id. */
  properties?: Record<string, { type: string; description: string }>;
}

/** The key of a thing in the model's maps. */
export function keyOf(kind: Kind, value: IKinds[Kind]): string {
  return kind === 'volume' ? (value as IKinds['volume']).name : (value as IKinds['container']).id;
}

/** The thing that a command is about, if there is one: by id, a part of the id from its start, or name. */
export function targetOf<K extends Kind>(
  host: Pick<ICommandHost, 'model' | 'panel'>,
  kind: K,
  args: ReadonlyPartialJSONObject
): IKinds[K] | undefined {
  const { model, panel } = host;
  const maps = { container: model.containers, image: model.images, network: model.networks, volume: model.volumes };
  const map = maps[kind] as unknown as ReadonlyMap<string, IKinds[K]>;
  const asked = typeof args.id === 'string' ? args.id : undefined;
  if (asked === undefined) {
    return panel?.selection?.kind === kind ? map.get(panel.selection.id) : undefined;
  }
  return map.get(asked) ?? [...map.values()].find(one => answersTo(kind, one, asked));
}

function answersTo(kind: Kind, value: IKinds[Kind], asked: string): boolean {
  const id = keyOf(kind, value).replace(/^sha256:/, '');
  const names = kind === 'image' ? (value as IKinds['image']).tags : [(value as IKinds['container']).name];
  return names.includes(asked) || (asked.length >= 8 && kind !== 'volume' && id.startsWith(asked.replace(/^sha256:/, '')));
}

export function addAction<K extends Kind>(host: ICommandHost, action: IAction<K>): void {
  const { commands } = host.app;
  const target = (args: ReadonlyPartialJSONObject): IKinds[K] | undefined => {
    const value = targetOf(host, action.kind, args);
    return value && (action.fits?.(value) ?? true) ? value : undefined;
  };
  const id = { type: 'string', description: host.trans.__('An id or a name; without it, what is chosen in the sidebar') };
  const menu = { type: 'boolean', description: host.trans.__('Whether it is shown in a menu of the thing itself') };
  host.owned.add(
    commands.addCommand(action.id, {
      label: args => (args.menu ? action.short : action.label),
      caption: action.caption,
      icon: action.icon,
      describedBy: { args: { type: 'object', properties: { id, menu, ...action.properties } } },
      isEnabled: args => target(args) !== undefined,
      // In a menu of the thing itself, what does not fit is left out.
      isVisible: args => !args.menu || target(args) !== undefined,
      execute: async args => {
        const value = target(args);
        return value && attempt(() => action.execute(value, args));
      }
    })
  );
}

/** Do it; tell the user what the engine refused, and what to do next. */
export async function attempt<T>(does: () => Promise<T> | T): Promise<T | undefined> {
  try {
    return await does();
  } catch (error) {
    complain(error as IFailure);
    return undefined;
  }
}

/** Say that it went well. quirk: a notification without a time is only kept under the bell, and never seen. */
export function tell(message: string): void {
  Notification.success(message, { autoClose: 5000 });
}

/** Say what is not as it was asked for; stays until it is put away. */
export function warn(message: string): void {
  Notification.warning(message, { autoClose: false });
}

export function complain(failure: IFailure): void {
  Notification.error(failure.hint ? `${failure.message}\n\n${failure.hint}` : failure.message, { autoClose: 10_000 });
}

/** Buttons and menus ask again whether commands fit. */
export function followChanges(host: ICommandHost, commands: CommandRegistry, ids: readonly string[]): void {
  let frame = 0;
  const tell = (): void => {
    frame ||= window.requestAnimationFrame(() => {
      frame = 0;
      ids.filter(id => commands.hasCommand(id)).forEach(id => commands.notifyCommandChanged(id));
    });
  };
  host.panel?.selectionChanged.connect(tell);
  host.model.engineChanged.connect(tell);
  host.model.changed.container.connect(tell);
  host.owned.add(
    new DisposableDelegate(() => {
      window.cancelAnimationFrame(frame);
      host.panel?.selectionChanged.disconnect(tell);
      host.model.engineChanged.disconnect(tell);
      host.model.changed.container.disconnect(tell);
    })
  );
}
