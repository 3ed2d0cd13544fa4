/** A dialog for work that takes a while: what happens, and a button that cancels it. */

import { Dialog, ReactWidget } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import type { ChannelKind, IChannels, IEnding } from '../shapes';
import type { ILiveModel } from '../tokens';

class Progress extends ReactWidget {
  constructor(private readonly draw: () => JSX.Element) {
    super();
    this.addClass('jp-labdock-form');
    this.addClass('jp-labdock-progress');
  }
  protected override render(): JSX.Element {
    return this.draw();
  }
}

interface IWork<K extends ChannelKind> {
  title: string;
  kind: K;
  request: IChannels[K]['request'];
  /** Take in what was said. */
  take(data: IChannels[K]['data']): void;
  draw(): JSX.Element;
  /** What it came to, once it went well. */
  done(): string;
}

/** Do it with a dialog: whether it went well. Closing the dialog cancels the work. */
export async function watchWork<K extends ChannelKind>(
  model: ILiveModel,
  trans: TranslationBundle,
  work: IWork<K>
): Promise<boolean> {
  let ending: IEnding | null = null;
  const body = new Progress(() => (
    <>
      {work.draw()}
      <div role="status">{ending ? outcome(trans, ending, work.done()) : null}</div>
    </>
  ));
  const buttons = [Dialog.cancelButton({ label: trans.__('Cancel') })];
  const dialog = new Dialog<unknown>({ title: work.title, body, buttons });
  const hold = model.hold();
  const channel = model.openChannel(work.kind, work.request, {
    data: data => {
      work.take(data);
      body.update();
    },
    end: end => {
      ending = end;
      if (end.error || end.lost) {
        body.update();
        rename(dialog, trans.__('Close'));
      } else {
        dialog.resolve(0);
      }
    }
  });
  await dialog.launch();
  channel.dispose();
  hold.dispose();
  const ended = ending as IEnding | null;
  return ended !== null && !ended.error && !ended.lost;
}

function rename(dialog: Dialog<unknown>, label: string): void {
  const button = dialog.node.querySelector('.jp-Dialog-footer .jp-Dialog-buttonLabel');
  if (button) {
    button.textContent = label;
  }
}

function outcome(trans: TranslationBundle, ending: IEnding, done: string): JSX.Element {
  if (ending.lost) {
    return <p>{trans.__('The connection was lost, and the work with it.')}</p>;
  }
  if (ending.error) {
    return (
      <>
        <p>{ending.error.message}</p>
        {ending.error.hint && <p className="jp-labdock-hint">{ending.error.hint}</p>}
      </>
    );
  }
  return <p>{done}</p>;
}
