/** The number of running containers; a button that opens the sidebar. */

import { ReactWidget } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { IDisposable } from '@lumino/disposable';
import { Signal } from '@lumino/signaling';
import React from 'react';

import { containersIcon } from '../icons';
import type { ILiveModel } from '../tokens';

export class StatusItem extends ReactWidget {
  readonly seenChanged: Signal<StatusItem, void> = new Signal<StatusItem, void>(this);

  constructor(
    private readonly model: ILiveModel,
    private readonly commands: CommandRegistry,
    private readonly trans: TranslationBundle
  ) {
    super();
    this.addClass('jp-labdock-status');
    model.changed.container.connect(this.refresh, this);
    model.engineChanged.connect(this.refresh, this);
    model.connectionChanged.connect(this.refresh, this);
  }

  /** Whether there is something to say: not where labdock's server part is missing or not for this user. */
  get hasWords(): boolean {
    return this.model.connection !== 'missing' && this.model.connection !== 'refused';
  }

  /** Be told what runs, or not. */
  listen(on: boolean): void {
    if (on && !this.held) {
      this.held = this.model.hold();
    } else if (!on) {
      this.held?.dispose();
      this.held = null;
    }
  }

  override dispose(): void {
    if (!this.isDisposed) {
      this.model.changed.container.disconnect(this.refresh, this);
      this.model.engineChanged.disconnect(this.refresh, this);
      this.model.connectionChanged.disconnect(this.refresh, this);
      this.listen(false);
      super.dispose();
    }
  }

  protected override render(): JSX.Element {
    const { model, trans } = this;
    const known = model.current && model.engine?.state === 'running';
    const count = [...model.containers.values()].filter(one => one.state === 'running').length;
    const words = known
      ? trans._n('%1 container runs', '%1 containers run', count)
      : model.engine
        ? trans.__('The engine does not run')
        : trans.__('Containers');
    const open = (): void => {
      // The side bar may be switched off.
      if (this.commands.hasCommand('labdock:open-panel')) {
        void this.commands.execute('labdock:open-panel');
      }
    };
    return (
      <button type="button" title={words} aria-label={words} onClick={open}>
        <containersIcon.react tag="span" className="jp-labdock-status-icon" />
        <span className="jp-labdock-status-count">{known ? count : '–'}</span>
      </button>
    );
  }

  private refresh(): void {
    this.update();
    if (this.had !== this.hasWords) {
      this.had = this.hasWords;
      this.seenChanged.emit();
    }
  }

  private held: IDisposable | null = null;
  private had = true;
}
