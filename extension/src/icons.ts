/** The extension's icons; their colours are the theme's: `jp-icon3`, or the text's where a state has a colour. */

import { LabIcon } from '@jupyterlab/ui-components';

import containers from '../style/icons/containers.svg';
import created from '../style/icons/created.svg';
import ended from '../style/icons/ended.svg';
import failed from '../style/icons/failed.svg';
import image from '../style/icons/image.svg';
import network from '../style/icons/network.svg';
import pause from '../style/icons/pause.svg';
import paused from '../style/icons/paused.svg';
import prune from '../style/icons/prune.svg';
import pull from '../style/icons/pull.svg';
import restarting from '../style/icons/restarting.svg';
import running from '../style/icons/running.svg';
import volume from '../style/icons/volume.svg';

import type { IContainer, Kind } from './shapes';

export const containersIcon = new LabIcon({ name: 'labdock:containers', svgstr: containers });
export const imageIcon = new LabIcon({ name: 'labdock:image', svgstr: image });
export const networkIcon = new LabIcon({ name: 'labdock:network', svgstr: network });
export const volumeIcon = new LabIcon({ name: 'labdock:volume', svgstr: volume });
export const pauseIcon = new LabIcon({ name: 'labdock:pause', svgstr: pause });
export const pruneIcon = new LabIcon({ name: 'labdock:prune', svgstr: prune });
export const pullIcon = new LabIcon({ name: 'labdock:pull', svgstr: pull });

const runningIcon = new LabIcon({ name: 'labdock:running', svgstr: running });
const pausedIcon = new LabIcon({ name: 'labdock:paused', svgstr: paused });
const endedIcon = new LabIcon({ name: 'labdock:ended', svgstr: ended });
const failedIcon = new LabIcon({ name: 'labdock:failed', svgstr: failed });
const createdIcon = new LabIcon({ name: 'labdock:created', svgstr: created });
const restartingIcon = new LabIcon({ name: 'labdock:restarting', svgstr: restarting });

/** A shape for each state: it can be told without its colour. */
export function stateIcon(one: IContainer): LabIcon {
  switch (one.state) {
    case 'running':
      return runningIcon;
    case 'paused':
      return pausedIcon;
    case 'restarting':
      return restartingIcon;
    case 'created':
      return createdIcon;
    default:
      return one.exit_code === 0 && one.state !== 'dead' ? endedIcon : failedIcon;
  }
}

export const KIND_ICONS: Record<Kind, LabIcon> = {
  container: containersIcon,
  image: imageIcon,
  network: networkIcon,
  volume: volumeIcon
};
