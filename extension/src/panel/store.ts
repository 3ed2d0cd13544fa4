/** What the sidebar shows and which line is chosen: the part without elements. */

import type { IDisposable } from '@lumino/disposable';
import { type ISignal, Signal } from '@lumino/signaling';

import type { Kind } from '../shapes';
import { KINDS } from '../shapes';
import type { ILabdockPanel, ILiveModel } from '../tokens';
import { type IView, makeRows, offsets, type Row } from './rows';

export interface IKept {
  folded: string[];
  [key: string]: string[];
}

export interface IPreferences {
  grouping: IView['grouping'];
  ended: boolean;
  builtin: boolean;
  charts: boolean;
  confirm: boolean;
}

export class PanelStore implements ILabdockPanel, IDisposable {
  readonly changed: Signal<PanelStore, void> = new Signal<PanelStore, void>(this);
  readonly selectionChanged: Signal<PanelStore, void> = new Signal<PanelStore, void>(this);
  /** Asks the tree to bring the chosen line into view. */
  readonly revealed: Signal<PanelStore, void> = new Signal<PanelStore, void>(this);
  preferences: IPreferences = { grouping: 'project', ended: true, builtin: false, charts: true, confirm: true };

  constructor(readonly model: ILiveModel) {
    for (const kind of KINDS) {
      (model.changed[kind] as ISignal<ILiveModel, unknown>).connect(this.refresh, this);
    }
    model.engineChanged.connect(this.refresh, this);
    model.connectionChanged.connect(this.refresh, this);
  }

  get rows(): readonly Row[] {
    this._rows ??= makeRows(this.model, { ...this.preferences, filter: this._filter, folded: this.folded });
    return this._rows;
  }
  get tops(): readonly number[] {
    this._tops ??= offsets(this.rows);
    return this._tops;
  }
  get filter(): string {
    return this._filter;
  }
  set filter(filter: string) {
    this._filter = filter;
    this.refresh();
  }
  get kept(): IKept {
    return { folded: [...this.folded] };
  }
  set kept(kept: IKept) {
    this.folded = new Set(kept.folded);
    this.refresh();
  }
  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** The chosen line. */
  get active(): string {
    return this._active;
  }
  get activeIndex(): number {
    return this.rows.findIndex(row => row.key === this._active);
  }
  get selection(): { kind: Kind; id: string } | null {
    const at = this._active.indexOf('/');
    return at < 0 ? null : { kind: this._active.slice(0, at) as Kind, id: this._active.slice(at + 1) };
  }

  choose(key: string, reveal = false): void {
    if (key !== this._active) {
      this._active = key;
      this.selectionChanged.emit();
      this.changed.emit();
    }
    if (reveal) {
      this.revealed.emit();
    }
  }

  /** Choose the line so many further on, or the nearest that there is. */
  move(by: number): void {
    const index = Math.min(Math.max(this.activeIndex + by, 0), this.rows.length - 1);
    this.choose(this.rows[index].key, true);
  }

  fold(key: string, folded: boolean): void {
    if (folded) {
      this.folded.add(key);
    } else {
      this.folded.delete(key);
    }
    this.refresh();
  }

  reveal(kind: Kind, id: string): void {
    this._filter = '';
    this.folded.delete(kind);
    for (const key of [...this.folded].filter(one => one.startsWith(`${kind}:`))) {
      this.folded.delete(key);
    }
    this.refresh();
    this.choose(`${kind}/${id}`, true);
  }

  refresh(): void {
    const before = this._rows?.findIndex(row => row.key === this._active) ?? -1;
    this._rows = null;
    this._tops = null;
    if (before >= 0 && this.activeIndex < 0 && this.rows.length > 0) {
      // What was chosen is gone: its neighbour is, so that the keyboard does not begin anew.
      this._active = this.rows[Math.min(before, this.rows.length - 1)].key;
      this.selectionChanged.emit();
    }
    this.changed.emit();
  }

  /** Have this done at the end. */
  disposedBy(end: () => void): void {
    this.ends.push(end);
  }

  dispose(): void {
    if (!this._isDisposed) {
      this._isDisposed = true;
      this.ends.forEach(end => end());
      Signal.clearData(this);
    }
  }

  private readonly ends: (() => void)[] = [];
  private folded = new Set<string>(['network', 'volume']);
  private _active = 'container';
  private _filter = '';
  private _rows: readonly Row[] | null = null;
  private _tops: readonly number[] | null = null;
  private _isDisposed = false;
}
