/** Figures and states in words. */

import type { TranslationBundle } from '@jupyterlab/translation';

import type { IContainer } from './shapes';

/** Seconds as one rounded unit. */
export function duration(trans: TranslationBundle, seconds: number): string {
  if (seconds < 60) {
    return trans.__('%1 s', Math.max(0, Math.round(seconds)));
  }
  if (seconds < 3600) {
    return trans.__('%1 min', Math.floor(seconds / 60));
  }
  if (seconds < 86_400 * 2) {
    return trans.__('%1 h', Math.floor(seconds / 3600));
  }
  return trans.__('%1 d', Math.floor(seconds / 86_400));
}

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];
/** Bytes as docker says them: powers of 1000, three digits. */
export function bytes(count: number): string {
  let unit = 0;
  let value = count;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${Number(value.toFixed(digits))} ${UNITS[unit]}`;
}

export function percent(value: number): string {
  return `${value >= 10 ? Math.round(value) : Number(value.toFixed(1))} %`;
}

/** The state of a container in a word, with its exit code where it has ended. */
export function stateWord(trans: TranslationBundle, one: IContainer): string {
  switch (one.state) {
    case 'running':
      return trans.__('running');
    case 'paused':
      return trans.__('paused');
    case 'restarting':
      return trans.__('restarting');
    case 'created':
      return trans.__('created');
    case 'dead':
      return trans.__('dead');
    case 'removing':
      return trans.__('being removed');
    case 'exited':
      return one.exit_code === 0 ? trans.__('done') : trans.__('exited %1', one.exit_code);
  }
}

export function healthWord(trans: TranslationBundle, one: IContainer): string {
  switch (one.health) {
    case 'healthy':
      return trans.__('healthy');
    case 'unhealthy':
      return trans.__('unhealthy');
    case 'starting':
      return trans.__('health: starting');
    case 'none':
      return '';
  }
}

/** Since when a container is in its state, in seconds since 1970. */
export function since(one: IContainer): number {
  return (one.state === 'exited' || one.state === 'dead' ? one.finished : one.started) || one.created;
}
