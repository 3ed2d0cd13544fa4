/** What containers use, over the last minutes, while somebody looks. */

import type { IDisposable } from '@lumino/disposable';
import { Signal } from '@lumino/signaling';

import type { IStats } from '../shapes';
import type { IChannel, ILiveModel } from '../tokens';

export interface ISample extends IStats {
  /** Milliseconds since 1970. */
  time: number;
}

export class UsageFeed implements IDisposable {
  readonly changed: Signal<UsageFeed, void> = new Signal<UsageFeed, void>(this);
  readonly samples = new Map<string, ISample[]>();

  constructor(
    private readonly model: ILiveModel,
    private readonly most: number
  ) {
    model.connectionChanged.connect(this.reopen, this);
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** These from now on; null: all that run; none: ask for nothing. */
  watch(containers: readonly string[] | null): void {
    const wanted = containers === null ? null : [...containers].sort();
    if (JSON.stringify(wanted) !== JSON.stringify(this.wanted)) {
      this.wanted = wanted;
      this.reopen();
    }
  }

  last(id: string): ISample | undefined {
    return this.samples.get(id)?.slice(-1)[0];
  }

  dispose(): void {
    if (!this._isDisposed) {
      this._isDisposed = true;
      this.model.connectionChanged.disconnect(this.reopen, this);
      this.channel?.dispose();
      Signal.clearData(this);
    }
  }

  private reopen(): void {
    this.channel?.dispose();
    this.channel = null;
    const { wanted } = this;
    if ((wanted === null || wanted.length > 0) && this.model.connection === 'connected' && !this._isDisposed) {
      this.channel = this.model.openChannel('stats', { containers: wanted }, { data: ({ stats }) => this.add(stats) });
    }
  }

  private add(stats: readonly IStats[]): void {
    const time = Date.now();
    for (const one of stats) {
      const samples = this.samples.get(one.id) ?? [];
      samples.push({ ...one, time });
      if (samples.length > this.most) {
        samples.shift();
      }
      this.samples.set(one.id, samples);
    }
    for (const id of this.samples.keys()) {
      if (!this.model.containers.has(id)) {
        this.samples.delete(id);
      }
    }
    this.changed.emit();
  }

  private channel: IChannel | null = null;
  private wanted: string[] | null = [];
  private _isDisposed = false;
}
