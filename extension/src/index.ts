/** labdock in JupyterLab: each plugin can be switched off alone. */

import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { cards } from './plugins/cards';
import { commands } from './plugins/commands';
import { drag } from './plugins/drag';
import { highlight } from './plugins/highlight';
import { model } from './plugins/model';
import { panel } from './plugins/panel';
import { running } from './plugins/running';
import { status } from './plugins/status';
import { viewers } from './plugins/viewers';

const plugins: JupyterFrontEndPlugin<unknown>[] = [
  model,
  panel,
  commands,
  viewers,
  cards,
  drag,
  highlight,
  running,
  status
];

export default plugins;
