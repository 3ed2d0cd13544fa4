/** Remove what is unused: what that would be, first. */

import { Dialog, ReactWidget } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { HTMLSelect } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import React from 'react';

import { type ICommandHost, tell } from '../commands/registry';
import type { IPrunePreview, PruneKind } from '../shapes';
import { bytes } from '../words';

class Preview extends ReactWidget implements Dialog.IBodyWidget<PruneKind> {
  constructor(
    private readonly host: ICommandHost,
    private kind: PruneKind
  ) {
    super();
    this.addClass('jp-labdock-form');
    void this.look();
  }

  getValue(): PruneKind {
    return this.kind;
  }

  protected override render(): JSX.Element {
    const { trans } = this.host;
    return (
      <>
        <label className="jp-labdock-field">
          <span>{trans.__('What')}</span>
          <HTMLSelect
            defaultValue={this.kind}
            options={[
              { value: 'containers', label: trans.__('Containers that have ended') },
              { value: 'images', label: trans.__('Images without a name that nothing uses') },
              { value: 'networks', label: trans.__('Networks that nothing is on') },
              { value: 'volumes', label: trans.__('Volumes without a name that nothing uses') },
              { value: 'build', label: trans.__('What builds keep') }
            ]}
            onChange={event => {
              this.kind = event.currentTarget.value as PruneKind;
              void this.look();
            }}
          />
        </label>
        <div role="status">{this.said ?? <Found preview={this.preview} trans={trans} />}</div>
      </>
    );
  }

  protected override onUpdateRequest(message: Message): void {
    super.onUpdateRequest(message);
    // Nothing is removed before it was seen, or when there is nothing.
    const button = this.node.closest('.jp-Dialog')?.querySelector<HTMLButtonElement>('button.jp-mod-accept');
    if (button) {
      button.disabled = !this.preview?.items.length;
    }
  }

  private async look(): Promise<void> {
    const { kind } = this;
    this.preview = null;
    this.said = null;
    this.update();
    try {
      const preview = await this.host.model.api.previewPrune(kind);
      if (kind === this.kind) {
        this.preview = preview;
      }
    } catch (error) {
      this.said = (error as Error).message;
    }
    this.update();
  }

  private preview: IPrunePreview | null = null;
  private said: string | null = null;
}

function Found({ preview, trans }: { preview: IPrunePreview | null; trans: TranslationBundle }): JSX.Element {
  if (!preview) {
    return <p>{trans.__('Looking…')}</p>;
  }
  if (preview.items.length === 0) {
    return <p>{trans.__('There is nothing to remove.')}</p>;
  }
  return (
    <>
      <p>{trans.__('This would free %1:', bytes(preview.reclaimable))}</p>
      {/* Scrolled with the keyboard, too. */}
      <ul className="jp-labdock-items" tabIndex={0}>
        {preview.items.slice(0, 500).map(item => (
          <li key={item.id} data-id={item.id}>
            <span>{item.name || item.id.slice(0, 12)}</span>
            <span>{bytes(item.size)}</span>
          </li>
        ))}
      </ul>
    </>
  );
}

export async function askPrune(host: ICommandHost, kind: PruneKind): Promise<void> {
  const { trans, model } = host;
  const buttons = [Dialog.cancelButton({ label: trans.__('Cancel') }), Dialog.warnButton({ label: trans.__('Remove') })];
  const body = new Preview(host, kind);
  const dialog = new Dialog<PruneKind>({ title: trans.__('Remove what is unused'), body, buttons, defaultButton: 0 });
  const { button, value } = await dialog.launch();
  if (button.accept && value) {
    tell(trans.__('%1 were freed.', bytes(await model.api.prune(value))));
  }
}
