/** CPU and memory over the last minute, of the containers that are looked at. */

import type { IDisposable } from '@lumino/disposable';
import { Signal } from '@lumino/signaling';

import type { IStats } from '../shapes';
import type { IChannel, ILiveModel } from '../tokens';

/** Samples that are kept: one minute, at one in two seconds. */
export const SAMPLES = 30;
const SETTLE = 400;

export interface IHistory {
  cpu: number[];
  memory: number[];
  last: IStats;
}

export class StatsWatch implements IDisposable {
  readonly changed: Signal<StatsWatch, void> = new Signal<StatsWatch, void>(this);

  constructor(private readonly model: ILiveModel) {
    model.connectionChanged.connect(this.reopen, this);
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  of(id: string): IHistory | undefined {
    return this.histories.get(id);
  }

  /** Look at these from now on; none: ask for nothing. */
  watch(ids: readonly string[]): void {
    const wanted = [...ids].sort().join();
    if (wanted !== this.wanted) {
      this.wanted = wanted;
      window.clearTimeout(this.timer);
      // Not for every line that is scrolled by.
      this.timer = window.setTimeout(() => this.reopen(), ids.length === 0 ? 0 : SETTLE);
    }
  }

  dispose(): void {
    if (!this._isDisposed) {
      this._isDisposed = true;
      window.clearTimeout(this.timer);
      this.channel?.dispose();
      this.channel = null;
      Signal.clearData(this);
    }
  }

  private reopen(): void {
    this.channel?.dispose();
    this.channel = null;
    if (this.wanted && this.model.connection === 'connected' && !this._isDisposed) {
      const containers = this.wanted.split(',');
      this.channel = this.model.openChannel('stats', { containers }, { data: ({ stats }) => this.add(stats) });
    }
  }

  private add(stats: readonly IStats[]): void {
    for (const one of stats) {
      const history = this.histories.get(one.id) ?? { cpu: [], memory: [], last: one };
      history.last = one;
      push(history.cpu, one.cpu);
      push(history.memory, one.memory);
      this.histories.set(one.id, history);
    }
    for (const id of this.histories.keys()) {
      if (this.model.containers.get(id)?.state !== 'running') {
        this.histories.delete(id);
      }
    }
    this.changed.emit();
  }

  private readonly histories = new Map<string, IHistory>();
  private channel: IChannel | null = null;
  private wanted = '';
  private timer = 0;
  private _isDisposed = false;
}

function push(values: number[], value: number): void {
  values.push(value);
  if (values.length > SAMPLES) {
    values.shift();
  }
}

/** The points of a line in a box; the highest value of all touches the top, `floor` at least. */
export function points(values: readonly number[], width: number, height: number, floor: number): string {
  const top = Math.max(floor, ...values);
  const step = width / (SAMPLES - 1);
  const left = width - step * (values.length - 1);
  return values.map((value, n) => `${(left + n * step).toFixed(1)},${(height - (value / top) * height).toFixed(1)}`).join(' ');
}
