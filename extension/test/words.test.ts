import assert from 'node:assert/strict';
import { test } from 'node:test';

import { points } from '../src/panel/stats';
import { bytes, percent } from '../src/words';

test('bytes have three digits and a unit of a thousand', () => {
  assert.deepEqual(
    [0, 999, 1000, 1536, 999_500, 2_140_000, 12_400_000_000].map(bytes),
    ['0 B', '999 B', '1 kB', '1.54 kB', '1 MB', '2.14 MB', '12.4 GB']
  );
  assert.deepEqual([0, 0.25, 9.94, 150.4].map(percent), ['0 %', '0.3 %', '9.9 %', '150 %']);
});

test('a chart ends at the right and its floor keeps quiet lines low', () => {
  assert.equal(points([0, 5], 29, 10, 10), '28.0,10.0 29.0,5.0');
  assert.equal(points([0, 20], 29, 10, 10), '28.0,10.0 29.0,0.0');
});
