/** Escape sequences of terminals, as classes. Pure. */

export interface ISegment {
  text: string;
  /** CSS classes, '' for none. */
  classes: string;
}

interface IStyle {
  fg: number;
  bg: number;
  bold: boolean;
  faint: boolean;
  italic: boolean;
  underline: boolean;
  inverse: boolean;
}

const PLAIN: Readonly<IStyle> = {
  fg: -1,
  bg: -1,
  bold: false,
  faint: false,
  italic: false,
  underline: false,
  inverse: false
};
// CSI, OSC (ended by BEL or ST), other escapes; and control characters that have no picture.
 
const SEQUENCE = /\x1b\[([0-9;:?<=>]*)[ -/]*([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f]/g;
const TAB = 8;

/** What is seen of a line: without escapes, tabs as spaces, and only what the last carriage return left. */
export function plainText(line: string): string {
  if (isPlain(line)) {
    return line;
  }
  return visible(line).replace(SEQUENCE, '');
}

/** The line in pieces of one look each. */
export function segments(line: string): ISegment[] {
  if (isPlain(line)) {
    return [{ text: line, classes: '' }];
  }
  const found: ISegment[] = [];
  const text = visible(line);
  let style: IStyle = { ...PLAIN };
  let last = 0;
  const push = (end: number): void => {
    if (end > last) {
      found.push({ text: text.slice(last, end), classes: classesOf(style) });
    }
  };
  for (const match of text.matchAll(SEQUENCE)) {
    push(match.index);
    last = match.index + match[0].length;
    if (match[2] === 'm') {
      style = styled(style, match[1]);
    }
  }
  push(text.length);
  return found;
}

function isPlain(line: string): boolean {
   
  return !/[\x00-\x1f\x7f]/.test(line);
}

function visible(line: string): string {
  const kept = line.slice(line.lastIndexOf('\r') + 1);
  if (!kept.includes('\t')) {
    return kept;
  }
  let column = 0;
   
  return kept.replace(/\t|\x1b\[[0-9;:?]*[ -/]*[@-~]|[^\t\x1b]+/g, part => {
    if (part === '\t') {
      const wide = TAB - (column % TAB);
      column += wide;
      return ' '.repeat(wide);
    }
    column += part.startsWith('\x1b') ? 0 : part.length;
    return part;
  });
}

function styled(before: IStyle, parameters: string): IStyle {
  const style = { ...before };
  const codes = parameters.split(/[;:]/).map(code => Number(code) || 0);
  for (let n = 0; n < codes.length; n++) {
    const code = codes[n];
    if (code === 0) {
      Object.assign(style, PLAIN);
    } else if (code === 1) {
      style.bold = true;
    } else if (code === 2) {
      style.faint = true;
    } else if (code === 3) {
      style.italic = true;
    } else if (code === 4) {
      style.underline = true;
    } else if (code === 7) {
      style.inverse = true;
    } else if (code === 22) {
      style.bold = style.faint = false;
    } else if (code === 23) {
      style.italic = false;
    } else if (code === 24) {
      style.underline = false;
    } else if (code === 27) {
      style.inverse = false;
    } else if (code === 38 || code === 48) {
      const [colour, used] = extended(codes, n + 1);
      style[code === 38 ? 'fg' : 'bg'] = colour;
      n += used;
    } else if (code === 39) {
      style.fg = -1;
    } else if (code === 49) {
      style.bg = -1;
    } else if (code >= 30 && code <= 37) {
      style.fg = code - 30;
    } else if (code >= 40 && code <= 47) {
      style.bg = code - 40;
    } else if (code >= 90 && code <= 97) {
      style.fg = code - 82;
    } else if (code >= 100 && code <= 107) {
      style.bg = code - 92;
    }
  }
  return style;
}

/** The nearest of the sixteen colours that a theme has, and how many numbers named it. */
function extended(codes: number[], at: number): [number, number] {
  if (codes[at] === 5) {
    const index = codes[at + 1] ?? 0;
    if (index < 16) {
      return [index, 2];
    }
    if (index >= 232) {
      const grey = 8 + (index - 232) * 10;
      return [nearest(grey, grey, grey), 2];
    }
    const cube = index - 16;
    const level = (value: number): number => (value === 0 ? 0 : 55 + value * 40);
    return [nearest(level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6)), 2];
  }
  if (codes[at] === 2) {
    return [nearest(codes[at + 1] ?? 0, codes[at + 2] ?? 0, codes[at + 3] ?? 0), 4];
  }
  return [-1, 1];
}

function nearest(red: number, green: number, blue: number): number {
  const most = Math.max(red, green, blue);
  if (most < 48) {
    return 0;
  }
  const threshold = most / 2 + 16;
  const bits = (red > threshold ? 1 : 0) | (green > threshold ? 2 : 0) | (blue > threshold ? 4 : 0);
  return bits === 7 && most < 160 ? 8 : bits + (most > 200 && bits !== 0 ? 8 : 0);
}

function classesOf(style: IStyle): string {
  const found: string[] = [];
  const [fg, bg] = style.inverse ? [style.bg, style.fg] : [style.fg, style.bg];
  if (fg >= 0) {
    found.push(`jp-labdock-ansi-fg${fg % 8}`);
  }
  if (bg >= 0) {
    found.push(`jp-labdock-ansi-bg${bg % 8}`);
  }
  if (style.inverse && bg < 0) {
    found.push('jp-labdock-ansi-inverse');
  }
  if (style.bold || fg >= 8) {
    found.push('jp-labdock-ansi-bold');
  }
  for (const name of ['faint', 'italic', 'underline'] as const) {
    if (style[name]) {
      found.push(`jp-labdock-ansi-${name}`);
    }
  }
  return found.join(' ');
}
