import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IEditorLanguageRegistry } from '@jupyterlab/codemirror';
import { INotebookTracker } from '@jupyterlab/notebook';

import { watch } from '../highlight/watch';

/** Dockerfiles and Compose files in cells. */
export const highlight: JupyterFrontEndPlugin<void> = {
  id: 'labdock:highlight',
  description: 'Colours the cells that begin with %%dockerfile, %%compose or %%container run as what they are.',
  autoStart: true,
  requires: [INotebookTracker, IEditorLanguageRegistry],
  activate: (_: JupyterFrontEnd, tracker: INotebookTracker, languages: IEditorLanguageRegistry): void =>
    watch(tracker, languages)
};
