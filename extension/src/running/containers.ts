/** Running containers for the panel of running sessions. */

import { Notification } from '@jupyterlab/apputils';
import type { IRunningSessions } from '@jupyterlab/running';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import { type ISignal, Signal } from '@lumino/signaling';

import { containersIcon } from '../icons';
import type { IContainer } from '../shapes';
import type { ILiveModel } from '../tokens';

export class RunningContainers implements IRunningSessions.IManager {
  readonly name: string;
  readonly shutdownLabel: string;
  readonly shutdownAllLabel: string;
  readonly shutdownAllConfirmationText: string;

  constructor(
    private readonly model: ILiveModel,
    private readonly commands: CommandRegistry,
    private readonly trans: TranslationBundle
  ) {
    this.name = trans.__('Containers');
    this.shutdownLabel = trans.__('Stop');
    this.shutdownAllLabel = trans.__('Stop All');
    this.shutdownAllConfirmationText = trans.__('Stop all running containers?');
    model.changed.container.connect(() => this._changed.emit());
    model.engineChanged.connect(() => this._changed.emit());
  }

  get runningChanged(): ISignal<unknown, unknown> {
    return this._changed;
  }

  running(): IRunningSessions.IRunningItem[] {
    return this.alive().map(one => ({
      icon: () => containersIcon,
      label: () => one.name,
      labelTitle: () => `${one.name}\n${one.image}\n${one.status}`,
      detail: () => one.image,
      open: () => void this.commands.execute('labdock:logs', { id: one.id }),
      shutdown: () => void this.stop(one)
    }));
  }

  shutdownAll(): void {
    this.alive().forEach(one => void this.stop(one));
  }

  refreshRunning(): void {
    // The list is told, not asked for; this is for who had no connection.
    if (this.model.connection === 'disconnected') {
      this.model.retry();
    }
  }

  private alive(): IContainer[] {
    const found = [...this.model.containers.values()].filter(one => one.state === 'running' || one.state === 'paused');
    return found.sort((a, b) => a.name.localeCompare(b.name));
  }

  private async stop(one: IContainer): Promise<void> {
    try {
      await this.model.api.stop(one.id);
    } catch (error) {
      const { message } = error as Error;
      Notification.error(this.trans.__('%1 could not be stopped: %2', one.name, message), { autoClose: 10_000 });
    }
  }

  private readonly _changed = new Signal<this, void>(this);
}
