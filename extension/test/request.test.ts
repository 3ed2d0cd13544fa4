import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parsePort, runRequest, splitWords } from '../src/dialogs/request';

test('words are as a shell sees them', () => {
  assert.deepEqual(splitWords(`sh -c "echo \\"a b\\"" 'c d' e\\ f`), ['sh', '-c', 'echo "a b"', 'c d', 'e f']);
  assert.deepEqual(splitWords('  '), []);
});

test('ports are written as docker has them', () => {
  assert.deepEqual(parsePort('8080:80'), ['80/tcp', { HostIp: '', HostPort: '8080' }]);
  assert.deepEqual(parsePort('127.0.0.1:53:53/udp'), ['53/udp', { HostIp: '127.0.0.1', HostPort: '53' }]);
  assert.deepEqual(parsePort('80'), ['80/tcp', null]);
  for (const bad of ['', 'web', '80:', '1:70000', '80/sctp']) {
    assert.throws(() => parsePort(bad), Error);
  }
});

test('an empty form asks for nothing but the image', () => {
  const form = { image: 'busybox', command: '', ports: [], environment: [], volumes: [], network: '' };
  assert.deepEqual(runRequest({ ...form, remove: false, terminal: false }), {
    Image: 'busybox',
    Env: [],
    ExposedPorts: {},
    Tty: false,
    OpenStdin: false,
    HostConfig: { AutoRemove: false, Binds: [], PortBindings: {} }
  });
});
