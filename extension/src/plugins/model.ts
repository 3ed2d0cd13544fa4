import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';

import { LiveModel } from '../model';
import { ILabdock } from '../tokens';

/** Connects to nothing by itself: whoever shows something holds the model. */
export const model: JupyterFrontEndPlugin<ILabdock> = {
  id: 'labdock:model',
  description: 'Provides the containers, images, networks and volumes, live.',
  autoStart: true,
  provides: ILabdock,
  activate: (app: JupyterFrontEnd): ILabdock => ({ model: new LiveModel(app.serviceManager.serverSettings) })
};
