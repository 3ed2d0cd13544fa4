/** The extension's icons; their colours are the theme's (`jp-icon3`). */

import { LabIcon } from '@jupyterlab/ui-components';

import containers from '../style/icons/containers.svg';

export const containersIcon = new LabIcon({ name: 'labdock:containers', svgstr: containers });
