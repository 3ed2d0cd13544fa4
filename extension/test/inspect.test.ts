import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type IJsonView, jsonAt, jsonRows } from '../src/inspect/rows';

const VALUE = {
  Id: 'abc',
  State: { Status: 'running', Health: null },
  Args: ['sleep', { Deep: 'Needle' }],
  Empty: {},
  'a.b/c': ''
};

function view(more: Partial<IJsonView> = {}): IJsonView {
  return { turned: new Set(), depth: 1, search: '', ...more };
}
function keys(more: Partial<IJsonView> = {}): string {
  return jsonRows(VALUE, view(more))
    .map(row => row.key)
    .join();
}

test('what has members is unfolded to a depth, and turned by hand', () => {
  assert.equal(keys({ depth: 0 }), 'Id,State,Args,Empty,a.b/c');
  assert.equal(keys(), 'Id,State,Status,Health,Args,0,1,Empty,a.b/c');
  assert.equal(keys({ depth: 0, turned: new Set(['["State"]']) }), 'Id,State,Status,Health,Args,Empty,a.b/c');
  assert.equal(keys({ depth: 9, turned: new Set(['["State"]', '["Args","1"]']) }), 'Id,State,Args,0,1,Empty,a.b/c');
});

test('each line says what it is', () => {
  const rows = jsonRows(VALUE, view());
  assert.deepEqual(
    rows.map(row => row.kind).join(),
    'string,object,string,null,list,string,object,object,string'
  );
  const empty = rows.find(row => row.key === 'Empty');
  assert.equal(empty?.open, undefined, 'there is nothing to unfold');
  assert.equal(rows.find(row => row.key === 'Args')?.count, 2);
});

test('a search shows what matches by name or value, and the way there', () => {
  assert.equal(keys({ search: 'needle', depth: 0 }), 'Args,1,Deep');
  assert.equal(keys({ search: 'STATUS', depth: 0 }), 'State,Status');
  const rows = jsonRows(VALUE, view({ search: 'needle' }));
  assert.deepEqual(
    rows.filter(row => row.found).map(row => row.key),
    ['Deep']
  );
  assert.equal(keys({ search: 'needle', turned: new Set(['["Args"]']) }), 'Args');
  assert.equal(keys({ search: 'nothing such' }), '');
});

test('a path leads to its value, whatever is in the names, and never out of the value', () => {
  for (const row of jsonRows(VALUE, view({ depth: 9 }))) {
    assert.notEqual(jsonAt(VALUE, row.path), undefined, row.path);
  }
  assert.equal(jsonAt(VALUE, '["Args","1","Deep"]'), 'Needle');
  assert.equal(jsonAt(VALUE, '["constructor"]'), undefined);
});
