/** The command that puts the code for a thing into the notebook. */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import { type INotebookTracker, NotebookActions } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';
import { addBelowIcon } from '@jupyterlab/ui-components';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import { type Kind, KINDS } from '../shapes';
import type { ILabdockPanel, ILiveModel } from '../tokens';
import { codeFor } from './code';

export function addInsertion(
  app: JupyterFrontEnd,
  model: ILiveModel,
  tracker: INotebookTracker,
  panel: ILabdockPanel | null,
  trans: TranslationBundle
): void {
  const code = (args: ReadonlyPartialJSONObject): string | null => {
    if (typeof args.id !== 'string') {
      return panel?.selection ? codeFor(model, panel.selection.kind, panel.selection.id) : null;
    }
    const kinds: readonly Kind[] = typeof args.kind === 'string' ? [args.kind as Kind] : KINDS;
    return kinds.map(kind => codeFor(model, kind, String(args.id))).find(Boolean) ?? null;
  };
  const command = 'labdock:insert-code';
  app.commands.addCommand(command, {
    label: args => (args.menu ? trans.__('Insert Code') : trans.__('Insert the Code for What is Chosen')),
    caption: trans.__('Put a cell with the code for this into the notebook'),
    icon: addBelowIcon,
    describedBy: {
      args: {
        type: 'object',
        properties: {
          id: { type: 'string', description: trans.__('An id; without it, what is chosen in the sidebar') },
          kind: { type: 'string', description: trans.__('container, image, network or volume') },
          menu: { type: 'boolean', description: trans.__('Whether it is shown in a menu of the thing itself') }
        }
      }
    },
    isEnabled: args => tracker.currentWidget !== null && code(args) !== null,
    execute: args => {
      const notebook = tracker.currentWidget?.content;
      const source = code(args);
      if (notebook && source) {
        NotebookActions.insertBelow(notebook);
        notebook.activeCell?.model.sharedModel.setSource(source);
      }
    }
  });
  const changed = (): void => app.commands.notifyCommandChanged(command);
  tracker.currentChanged.connect(changed);
  panel?.selectionChanged.connect(changed);
}
