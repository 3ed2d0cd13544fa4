/** labdock in JupyterLab: each plugin can be switched off alone. */

import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { commands } from './plugins/commands';
import { model } from './plugins/model';
import { panel } from './plugins/panel';

const plugins: JupyterFrontEndPlugin<unknown>[] = [model, panel, commands];

export default plugins;
