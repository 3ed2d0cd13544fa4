import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IRunningSessionManagers } from '@jupyterlab/running';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { RunningContainers } from '../running/containers';
import { DOMAIN, ILabdock } from '../tokens';

/** Containers beside kernels and terminals. */
export const running: JupyterFrontEndPlugin<void> = {
  id: 'labdock:running',
  description: 'Lists running containers in the panel of running sessions.',
  autoStart: true,
  requires: [ILabdock],
  // Notebook 7 has it on some of its pages.
  optional: [IRunningSessionManagers, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    labdock: ILabdock,
    managers: IRunningSessionManagers | null,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    managers?.add(new RunningContainers(labdock.model, app.commands, trans));
  }
};
