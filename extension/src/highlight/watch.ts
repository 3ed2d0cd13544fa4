/** Cells whose first line says that the rest is no Python get the colours of what it is. */

import type { Cell, ICellModel } from '@jupyterlab/cells';
import type { IEditorLanguageRegistry } from '@jupyterlab/codemirror';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';

const DOCKERFILE = 'text/x-dockerfile';
const YAML = 'text/x-yaml';
const SHELL = 'text/x-sh';
/** What a cell is before anybody knows better; its language must not load last either. */
const PYTHON = 'text/x-ipython';

/** The media type for a cell with this text; null: the notebook's own. */
export function mimeTypeOf(source: string): string | null {
  const found = /^\s*%%(\w+)(?:[ \t]+([^\n]*))?(?:\n|$)/.exec(source);
  switch (found?.[1]) {
    case 'dockerfile':
      return DOCKERFILE;
    case 'compose':
      return YAML;
    case 'container':
      // The body of a run without a program of its own is a script for its shell.
      return /^(run|exec|debug)\b/.test(found[2] ?? '') ? SHELL : null;
    default:
      return null;
  }
}

/** Watches all notebooks. */
export function watch(tracker: INotebookTracker, languages: IEditorLanguageRegistry): void {
  // Before any cell asks: of two that load, the last would win.
  const loaded = Promise.all([PYTHON, DOCKERFILE, YAML, SHELL].map(type => languages.getLanguage(type)));
  tracker.widgetAdded.connect((_, panel) => {
    void loaded.then(() => follow(panel));
  });
  void loaded.then(() => tracker.forEach(follow));
}

function follow(panel: NotebookPanel): void {
  if (panel.isDisposed || followed.has(panel)) {
    return;
  }
  followed.add(panel);
  const seen = new WeakSet<ICellModel>();
  const look = (): void => {
    for (const cell of panel.content.widgets) {
      if (!seen.has(cell.model) && cell.model.type === 'code') {
        seen.add(cell.model);
        attach(panel, cell);
      }
    }
  };
  const late = (): void => {
    // The cell's widget comes after its model.
    window.requestAnimationFrame(() => panel.isDisposed || look());
  };
  panel.content.model?.cells.changed.connect(late);
  panel.content.modelContentChanged.connect(late);
  panel.disposed.connect(() => followed.delete(panel));
  look();
}

function attach(panel: NotebookPanel, cell: Cell): void {
  const { model } = cell;
  const fit = (): void => {
    const wanted = mimeTypeOf(model.sharedModel.getSource().slice(0, 400));
    if (wanted !== null && model.mimeType !== wanted) {
      ours.add(model);
      model.mimeType = wanted;
    } else if (wanted === null && ours.has(model)) {
      ours.delete(model);
      model.mimeType = panel.content.codeMimetype;
    }
  };
  model.contentChanged.connect(fit);
  // The notebook sets it anew when the kernel has said what it speaks.
  const later = (): void => {
    // After the editor has heard of the one that is to go.
    window.setTimeout(() => cell.isDisposed || fit(), 0);
  };
  model.mimeTypeChanged.connect(later);
  cell.disposed.connect(() => {
    model.contentChanged.disconnect(fit);
    model.mimeTypeChanged.disconnect(later);
  });
  later();
}

const followed = new WeakSet<NotebookPanel>();
const ours = new WeakSet<ICellModel>();
