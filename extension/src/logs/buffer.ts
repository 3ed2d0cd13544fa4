/** The lines of a log, how high each is, and where words are in them. Pure. */

import type { LogLine } from '../shapes';
import { plainText } from './ansi';

export interface ILine {
  stream: 'out' | 'err';
  text: string;
  plain: string;
  time: string;
}

/** Lines that are kept; what is older goes, a tenth at a time. */
export const MOST = 200_000;

export class LogBuffer {
  readonly lines: ILine[] = [];
  /** Lines that are gone from the start. */
  dropped = 0;
  /** Numbers of the lines in which the words are, counted from the first line ever. */
  matches: number[] = [];

  constructor(private readonly most = MOST) {}

  get length(): number {
    return this.lines.length;
  }
  get lastTime(): string {
    return this._lastTime;
  }
  /** In rows of one line's height. */
  get height(): number {
    return this.columns === 0 ? this.lines.length : (this.tops[this.tops.length - 1] ?? 0);
  }

  /** The rows by which everything moved up, since the oldest lines went. */
  add(lines: readonly LogLine[]): number {
    for (const [stream, text, time = ''] of lines) {
      const plain = plainText(text);
      if (time > this._lastTime) {
        this._lastTime = time;
      }
      if (this.query && plain.toLowerCase().includes(this.query)) {
        this.matches.push(this.dropped + this.lines.length);
      }
      this.lines.push({ stream, text, plain, time });
      if (this.columns > 0) {
        this.tops.push((this.tops[this.tops.length - 1] ?? 0) + this.rowsOf(plain));
      }
    }
    return this.lines.length > this.most ? this.shorten() : 0;
  }

  clear(): void {
    this.dropped += this.lines.length;
    this.lines.length = 0;
    this.tops.length = 0;
    this.matches = [];
  }

  /** Lines are wrapped after so many columns; 0: never. `lead`: columns that each begins with, its time. */
  wrap(columns: number, lead = 0): void {
    if (columns !== this.columns || lead !== this.lead) {
      this.columns = columns;
      this.lead = lead;
      this.measure();
    }
  }

  search(query: string): void {
    this.query = query.toLowerCase();
    this.matches = [];
    if (this.query) {
      this.lines.forEach((line, index) => {
        if (line.plain.toLowerCase().includes(this.query)) {
          this.matches.push(this.dropped + index);
        }
      });
    }
  }

  /** Where line `index` begins, in rows. */
  top(index: number): number {
    return this.columns === 0 ? index : index === 0 ? 0 : this.tops[index - 1];
  }

  rows(index: number): number {
    return this.columns === 0 ? 1 : this.rowsOf(this.lines[index].plain);
  }

  /** The line at a row. */
  at(row: number): number {
    if (this.columns === 0) {
      return Math.min(Math.max(Math.floor(row), 0), Math.max(this.lines.length - 1, 0));
    }
    let low = 0;
    let high = Math.max(this.tops.length - 1, 0);
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.tops[middle] > row) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  }

  private shorten(): number {
    const gone = this.lines.length - Math.floor(this.most * 0.9);
    const rows = this.top(gone);
    this.lines.splice(0, gone);
    this.dropped += gone;
    this.matches = this.matches.filter(line => line >= this.dropped);
    this.measure();
    return rows;
  }

  private measure(): void {
    this.tops.length = 0;
    if (this.columns > 0) {
      let top = 0;
      for (const line of this.lines) {
        top += this.rowsOf(line.plain);
        this.tops.push(top);
      }
    }
  }

  private rowsOf(plain: string): number {
    return Math.max(1, Math.ceil((this.lead + columnsOf(plain)) / this.columns));
  }

  private readonly tops: number[] = [];
  private columns = 0;
  private lead = 0;
  private query = '';
  private _lastTime = '';
}

function columnsOf(text: string): number {
  // Characters of East Asia and pictures take two places.
   
  return /^[\x00-\u10ff]*$/.test(text) ? text.length : text.length + (text.match(/[\u1100-\uffff]/g)?.length ?? 0);
}
