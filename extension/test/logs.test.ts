/** Logs: what is seen of a line, where lines are, and what is found. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { plainText, segments } from '../src/logs/ansi';
import { LogBuffer } from '../src/logs/buffer';
import type { LogLine } from '../src/shapes';

const lines = (count: number): LogLine[] => Array.from({ length: count }, (_, n) => ['out', `line ${n}`, `t${n}`]);

test('colours become classes of the theme', () => {
  assert.deepEqual(segments('a\x1b[31mb\x1b[1;42mc\x1b[0md'), [
    { text: 'a', classes: '' },
    { text: 'b', classes: 'jp-labdock-ansi-fg1' },
    { text: 'c', classes: 'jp-labdock-ansi-fg1 jp-labdock-ansi-bg2 jp-labdock-ansi-bold' },
    { text: 'd', classes: '' }
  ]);
  assert.equal(segments('\x1b[38;5;196mx')[0].classes, 'jp-labdock-ansi-fg1 jp-labdock-ansi-bold');
  assert.equal(segments('\x1b[38;2;0;0;255mx')[0].classes, 'jp-labdock-ansi-fg4 jp-labdock-ansi-bold');
});

test('what a terminal would not show is not there, in both readings', () => {
  for (const line of ['\x1b[2K\x1b[1Gx\x07', '\x1b]0;title\x07x', '10%\r20%\rx', '\x1b[31mx', '\x1b']) {
    const seen = line === '\x1b' ? '' : 'x';
    assert.equal(plainText(line), seen, JSON.stringify(line));
    assert.equal(segments(line).map(part => part.text).join(''), seen, JSON.stringify(line));
  }
  assert.equal(plainText('a\tb'), 'a       b');
});

test('words are found also in lines that come later, and the oldest lines go', () => {
  const buffer = new LogBuffer(100);
  buffer.add(lines(50));
  buffer.search('LINE 4');
  assert.equal(buffer.matches.length, 11);
  assert.equal(buffer.add([['err', 'line 4x']]), 0);
  assert.equal(buffer.matches.length, 12);
  assert.equal(buffer.add(lines(60)), 21);
  assert.equal(buffer.length, 90);
  assert.equal(buffer.dropped, 21);
  assert.ok(buffer.matches.every(line => buffer.lines[line - buffer.dropped].plain.includes('line 4')));
});

test('each row belongs to the line that is drawn there, wrapped or not', () => {
  const buffer = new LogBuffer();
  buffer.add([['out', 'x'.repeat(25)], ['out', ''], ['out', '日本'.repeat(5)]]);
  buffer.wrap(10);
  assert.deepEqual([0, 1, 2].map(index => buffer.rows(index)), [3, 1, 2]);
  assert.equal(buffer.height, 6);
  for (let index = 0; index < buffer.length; index++) {
    for (let row = buffer.top(index); row < buffer.top(index) + buffer.rows(index); row++) {
      assert.equal(buffer.at(row), index);
    }
  }
  buffer.wrap(10, 5);
  assert.equal(buffer.rows(0), 3);
  buffer.wrap(0);
  assert.equal(buffer.height, 3);
});
