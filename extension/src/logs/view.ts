/** A container's log: followed, searched, and only what is seen is in the page. */

import type { TranslationBundle } from '@jupyterlab/translation';
import {
  caretDownEmptyThinIcon,
  caretUpEmptyThinIcon,
  copyIcon,
  downloadIcon,
  type LabIcon
} from '@jupyterlab/ui-components';
import type { IDisposable } from '@lumino/disposable';
import type { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

import type { IEnding, LogLine } from '../shapes';
import type { IChannel, ILiveModel } from '../tokens';
import { segments } from './ansi';
import { type ILine, LogBuffer, MOST } from './buffer';

/** Lines that are asked for at first. */
const TAIL = 100_000;
/** Lines above and below what is seen. */
const BEYOND = 20;

export class LogView extends Widget {
  constructor(
    private readonly model: ILiveModel,
    readonly container: string,
    private readonly trans: TranslationBundle
  ) {
    super();
    this.addClass('jp-labdock-logs');
    this.node.append(this.makeBar(), this.scroller, this.foot);
    this.scroller.className = 'jp-labdock-logs-lines';
    this.scroller.tabIndex = 0;
    this.scroller.setAttribute('role', 'log');
    this.scroller.setAttribute('aria-live', 'off');
    this.scroller.setAttribute('aria-label', trans.__('Log'));
    this.space.className = 'jp-labdock-logs-space';
    this.scroller.append(this.space);
    this.foot.className = 'jp-labdock-logs-foot';
    this.foot.setAttribute('role', 'status');
    this.foot.append(this.words, this.toEnd);
    this.toEnd.type = 'button';
    this.toEnd.textContent = trans.__('Go to the end');
    this.toEnd.addEventListener('click', () => this.setFollow(true));
    this.scroller.addEventListener('scroll', this.onScroll);
    this.scroller.addEventListener('keydown', this.onKey);
    this.resizes = new ResizeObserver(() => this.onFit());
    this.resizes.observe(this.scroller);
    this.held = model.hold();
    model.connectionChanged.connect(this.open, this);
    model.changed.container.connect(this.onContainer, this);
    this.open();
  }

  get buffer(): LogBuffer {
    return this._buffer;
  }

  override dispose(): void {
    if (this.isDisposed) {
      return;
    }
    this.model.connectionChanged.disconnect(this.open, this);
    this.model.changed.container.disconnect(this.onContainer, this);
    this.resizes.disconnect();
    window.cancelAnimationFrame(this.frame);
    window.clearTimeout(this.typing);
    this.channel?.dispose();
    this.goOn();
    this.held.dispose();
    super.dispose();
  }

  protected override onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    this.scroller.focus();
  }

  // --- what comes ---

  private open(): void {
    if (this.isDisposed || this.model.connection !== 'connected' || (this.channel && !this.channel.isDisposed)) {
      this.tell();
      return;
    }
    const since = this._buffer.lastTime;
    this.ended = null;
    const request = { container: this.container, follow: true, timestamps: true };
    this.channel = this.model.openChannel('logs', since ? { ...request, since, tail: TAIL } : { ...request, tail: TAIL }, {
      data: ({ lines }) => this.take(since ? lines.filter(line => (line[2] ?? '') > since) : lines),
      end: ending => {
        this.ended = ending;
        this.channel = null;
        this.tell();
      }
    });
    this.tell();
  }

  private onContainer(): void {
    const state = this.model.containers.get(this.container)?.state;
    if (state === 'running' && this.state !== 'running' && !this.channel) {
      this.open();
    }
    this.state = state;
    this.tell();
  }

  /** Done when the lines are drawn: more are sent then, and not while somebody reads in a full log. */
  private async take(lines: readonly LogLine[]): Promise<void> {
    const full = this._buffer.length + lines.length > MOST;
    if (full && !this.follow) {
      await new Promise<void>(resolve => this.waiting.push(resolve));
    }
    const moved = this._buffer.add(lines);
    if (moved > 0 && !this.follow) {
      this.scroller.scrollTop -= moved * this.lineHeight;
    }
    this.unseen += this.follow ? 0 : lines.length;
    this.draw();
    await new Promise<void>(resolve => {
      // A page in the background draws nothing: it goes on, but slowly.
      const timer = window.setTimeout(resolve, 250);
      window.requestAnimationFrame(() => {
        window.clearTimeout(timer);
        resolve();
      });
    });
  }

  private goOn(): void {
    this.waiting.splice(0).forEach(resolve => resolve());
  }

  // --- what is seen ---

  private draw(): void {
    if (!this.frame) {
      this.frame = window.requestAnimationFrame(() => {
        this.frame = 0;
        this.drawNow();
      });
    }
  }

  private drawNow(): void {
    if (this.isDisposed || !this.isVisible) {
      return;
    }
    const buffer = this._buffer;
    this.space.style.height = `${buffer.height * this.lineHeight}px`;
    if (this.follow) {
      this.scroller.scrollTop = this.scroller.scrollHeight;
    }
    const from = Math.max(0, buffer.at(this.scroller.scrollTop / this.lineHeight) - BEYOND);
    const seen = this.scroller.scrollTop + this.scroller.clientHeight;
    const until = Math.min(buffer.length, buffer.at(seen / this.lineHeight) + BEYOND);
    const rows: HTMLElement[] = [];
    for (let index = from; index < until; index++) {
      rows.push(this.row(index, buffer.lines[index]));
    }
    this.space.replaceChildren(...rows);
    this.tell();
  }

  private row(index: number, line: ILine): HTMLElement {
    const row = document.createElement('div');
    row.className = `jp-labdock-logs-line jp-labdock-logs-${line.stream}`;
    row.style.top = `${this._buffer.top(index) * this.lineHeight}px`;
    row.style.height = `${this._buffer.rows(index) * this.lineHeight}px`;
    if (this._buffer.dropped + index === this._buffer.matches[this.match]) {
      row.classList.add('jp-labdock-mod-current');
    }
    if (this.times && line.time) {
      const time = document.createElement('span');
      time.className = 'jp-labdock-logs-time';
      time.textContent = line.time.slice(0, 23).replace('T', ' ');
      row.append(time);
    }
    let at = 0;
    const marks = this.marks(line.plain);
    for (const { text, classes } of segments(line.text)) {
      for (const [from, until, marked] of pieces(at, at + text.length, marks)) {
        const part = document.createElement(marked ? 'mark' : 'span');
        part.className = classes;
        part.textContent = text.slice(from - at, until - at);
        row.append(part);
      }
      at += text.length;
    }
    return row;
  }

  private marks(plain: string): [number, number][] {
    const found: [number, number][] = [];
    const query = this.query.value.toLowerCase();
    if (query) {
      const text = plain.toLowerCase();
      for (let at = text.indexOf(query); at >= 0 && found.length < 200; at = text.indexOf(query, at + query.length)) {
        found.push([at, at + query.length]);
      }
    }
    return found;
  }

  private tell(): void {
    const { trans } = this;
    const lines = trans.__('%1 lines', this._buffer.length.toLocaleString());
    const words = [lines, this.situation()].filter(Boolean).join(' · ');
    if (this.words.textContent !== words) {
      this.words.textContent = words;
    }
    this.toEnd.hidden = this.follow;
    this.toEnd.textContent = this.unseen > 0 ? trans.__('Go to the end (%1 new)', this.unseen) : trans.__('Go to the end');
    const matches = this._buffer.matches.length;
    const count = !this.query.value
      ? ''
      : this.match < 0
        ? trans.__('%1 found', matches)
        : trans.__('%1 of %2', this.match + 1, matches);
    if (this.count.textContent !== count) {
      this.count.textContent = count;
    }
  }

  private situation(): string {
    const { model, trans } = this;
    if (model.connection === 'missing') {
      return trans.__('labdock is not in this Jupyter server');
    }
    if (model.connection === 'refused') {
      return trans.__('You may not see containers here');
    }
    if (model.connection !== 'connected' || this.ended?.lost) {
      return trans.__('Not connected');
    }
    if (this.ended?.error) {
      return this.ended.error.message;
    }
    if (model.current && !model.containers.has(this.container)) {
      return trans.__('The container was removed');
    }
    if (this.ended) {
      return trans.__('The log has ended');
    }
    return this.follow ? trans.__('Following') : trans.__('Stopped where you read');
  }

  // --- what is done ---

  private readonly onScroll = (): void => {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    const atEnd = scrollTop + clientHeight >= scrollHeight - 4;
    if (atEnd !== this.follow && (atEnd || scrollTop < this.lastTop)) {
      this.setFollow(atEnd);
    }
    this.lastTop = scrollTop;
    this.draw();
  };

  private readonly onKey = (event: KeyboardEvent): void => {
    if ((event.ctrlKey || event.metaKey) && event.key === 'f') {
      event.preventDefault();
      event.stopPropagation();
      this.query.focus();
    } else if (event.key === 'End') {
      event.preventDefault();
      this.setFollow(true);
    }
  };

  private setFollow(follow: boolean): void {
    this.follow = follow;
    if (follow) {
      this.unseen = 0;
      this.goOn();
    }
    this.draw();
  }

  private search(): void {
    this._buffer.search(this.query.value);
    this.match = -1;
    if (this._buffer.matches.length > 0) {
      this.go(-1);
    } else {
      this.draw();
    }
  }

  /** To the next place (1) or the one before (-1). */
  private go(by: number): void {
    const { matches } = this._buffer;
    if (matches.length === 0) {
      return;
    }
    this.match = this.match < 0 && by < 0 ? matches.length - 1 : (this.match + by + matches.length) % matches.length;
    this.follow = false;
    const top = this._buffer.top(matches[this.match] - this._buffer.dropped) * this.lineHeight;
    this.space.style.height = `${this._buffer.height * this.lineHeight}px`;
    this.scroller.scrollTop = Math.max(0, top - this.scroller.clientHeight / 2);
    this.lastTop = this.scroller.scrollTop;
    this.draw();
  }

  private onFit(): void {
    const probe = document.createElement('span');
    probe.className = 'jp-labdock-logs-probe';
    probe.textContent = '0'.repeat(100);
    this.scroller.append(probe);
    const box = probe.getBoundingClientRect();
    probe.remove();
    if (box.height > 0) {
      this.lineHeight = box.height;
      const room = this.scroller.clientWidth - 16;
      const columns = Math.floor(room / (box.width / 100));
      this._buffer.wrap(this.wrapped ? Math.max(30, columns) : 0, this.times ? 24 : 0);
      this.draw();
    }
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.onFit();
  }

  private text(): string {
    return this._buffer.lines.map(line => (this.times && line.time ? `${line.time} ${line.plain}` : line.plain)).join('\n');
  }

  private download(): void {
    const url = URL.createObjectURL(new Blob([this.text(), '\n'], { type: 'text/plain' }));
    const link = document.createElement('a');
    const name = this.model.containers.get(this.container)?.name ?? this.container.slice(0, 12);
    link.download = `${name}.log`;
    link.href = url;
    link.click();
    window.setTimeout(() => URL.revokeObjectURL(url), 0);
  }

  // --- the bar ---

  private makeBar(): HTMLElement {
    const { trans } = this;
    const bar = document.createElement('div');
    bar.className = 'jp-labdock-logs-bar';
    bar.setAttribute('role', 'toolbar');
    bar.setAttribute('aria-label', trans.__('Log'));
    this.query.type = 'search';
    this.query.placeholder = trans.__('Search');
    this.query.setAttribute('aria-label', trans.__('Search the log'));
    this.query.addEventListener('input', () => {
      window.clearTimeout(this.typing);
      this.typing = window.setTimeout(() => this.search(), 120);
    });
    this.query.addEventListener('keydown', event => {
      if (event.key === 'Enter') {
        event.preventDefault();
        this.go(event.shiftKey ? -1 : 1);
      } else if (event.key === 'Escape') {
        this.query.value = '';
        this.search();
        this.scroller.focus();
      }
    });
    this.count.className = 'jp-labdock-logs-count';
    this.count.setAttribute('role', 'status');
    bar.append(
      this.query,
      this.count,
      button(trans.__('Previous match'), caretUpEmptyThinIcon, () => this.go(-1)),
      button(trans.__('Next match'), caretDownEmptyThinIcon, () => this.go(1)),
      this.toggle(trans.__('Times'), false, on => {
        this.times = on;
      }),
      this.toggle(trans.__('Wrap'), false, on => {
        this.wrapped = on;
        this.scroller.classList.toggle('jp-labdock-mod-wrapped', on);
      }),
      button(trans.__('Copy the log'), copyIcon, () => void navigator.clipboard?.writeText(this.text())),
      button(trans.__('Download the log'), downloadIcon, () => this.download())
    );
    return bar;
  }

  private toggle(label: string, on: boolean, act: (on: boolean) => void): HTMLElement {
    const made = document.createElement('button');
    made.type = 'button';
    made.textContent = label;
    made.setAttribute('aria-pressed', String(on));
    made.addEventListener('click', () => {
      on = !on;
      made.setAttribute('aria-pressed', String(on));
      act(on);
      this.onFit();
    });
    return made;
  }

  private readonly _buffer = new LogBuffer();
  private readonly scroller = document.createElement('div');
  private readonly space = document.createElement('div');
  private readonly foot = document.createElement('div');
  private readonly words = document.createElement('span');
  private readonly toEnd = document.createElement('button');
  private readonly query = document.createElement('input');
  private readonly count = document.createElement('span');
  private readonly resizes: ResizeObserver;
  private readonly held: IDisposable;
  private readonly waiting: (() => void)[] = [];
  private channel: IChannel | null = null;
  private ended: IEnding | null = null;
  private state: string | undefined;
  private follow = true;
  private times = false;
  private wrapped = false;
  private match = -1;
  private unseen = 0;
  private lastTop = 0;
  private lineHeight = 18;
  private frame = 0;
  private typing = 0;
}

function button(label: string, icon: LabIcon, act: () => void): HTMLElement {
  const made = document.createElement('button');
  made.type = 'button';
  made.title = label;
  made.setAttribute('aria-label', label);
  icon.element({ container: made });
  made.addEventListener('click', act);
  return made;
}

/** `from`–`until` cut where marks begin and end: from, until, whether it is marked. */
export function pieces(from: number, until: number, marks: readonly [number, number][]): [number, number, boolean][] {
  const found: [number, number, boolean][] = [];
  let at = from;
  for (const [begin, end] of marks) {
    const first = Math.max(begin, at);
    const last = Math.min(end, until);
    if (first < last) {
      if (first > at) {
        found.push([at, first, false]);
      }
      found.push([first, last, true]);
      at = last;
    }
  }
  if (at < until) {
    found.push([at, until, false]);
  }
  return found;
}
