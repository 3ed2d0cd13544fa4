import { PassThrough } from 'node:stream';

import { docker, hold, parts, refusal, running, text } from './table.mjs';

const TALK = 'echo out; echo err >&2; echo last';
const talked = async (options) => {
  const made = await docker.createContainer({ Image: 'busybox', Cmd: ['sh', '-c', TALK], ...options });
  await made.start();
  await made.wait();
  return made;
};
const execute = async (c, options, start = {}) => {
  const made = await c.exec({ AttachStdout: true, AttachStderr: true, ...options });
  return [made, await made.start({ hijack: true, stdin: Boolean(options.AttachStdin), ...start })];
};

await hold([
  ['logs come in frames, one stream each', async (k) => {
    k.c = await talked();
    return parts(PassThrough.from([await k.c.logs({ stdout: true, stderr: true })]));
  }, { out: 'out\nlast\n', err: 'err\n' }],
  ['only what was asked for', async (k) => parts(PassThrough.from([await k.c.logs({ stderr: true })])), { out: '', err: 'err\n' }],
  ['the last line', async (k) => {
    k.l = await talked({ Cmd: ['sh', '-c', 'echo first; echo last'] });
    return (await parts(PassThrough.from([await k.l.logs({ stdout: true, tail: 1 })]))).out;
  }, 'last\n'],
  ['with times', async (k) => (await parts(PassThrough.from([await k.l.logs({ stdout: true, tail: 1, timestamps: true })]))).out, /^\d{4}-\d\d-\d\dT[\d:.]+Z last\n$/],
  ['followed logs end with the container', async (k) => parts(await k.c.logs({ stdout: true, stderr: true, follow: true })), { out: 'out\nlast\n', err: 'err\n' }],
  ['no stream at all is a 400', (k) => refusal(k.c.logs({})), /^400 .*you must choose at least one stream/],
  ['a terminal has no frames', async () => String(await (await talked({ Tty: true })).logs({ stdout: true })), 'out\r\nerr\r\nlast\r\n'],
  ['run gives the output and the code', async () => {
    const out = new PassThrough();
    const [data, made] = await docker.run('busybox', ['sh', '-c', 'echo ran; exit 3'], out, { HostConfig: { AutoRemove: true } });
    return [data.StatusCode, await text(out), made.id.length];
  }, [3, 'ran\r\n', 64]],
  ['run keeps two streams apart', async () => {
    const [out, err] = [new PassThrough(), new PassThrough()];
    const [data] = await docker.run('busybox', ['sh', '-c', TALK], [out, err], { Tty: false, HostConfig: { AutoRemove: true } });
    return [data.StatusCode, await text(out), await text(err)];
  }, [0, 'out\nlast\n', 'err\n']],
  ['attached before its start, nothing is missed', async () => {
    const made = await docker.createContainer({ Image: 'busybox', Cmd: ['sh', '-c', TALK] });
    const stream = await made.attach({ stream: true, stdout: true, stderr: true });
    await made.start();
    return parts(stream);
  }, { out: 'out\nlast\n', err: 'err\n' }],
  ['what is written to an attached stream is its input, until it is ended', async () => {
    const made = await docker.createContainer({ Image: 'busybox', Cmd: ['sort'], OpenStdin: true, StdinOnce: true, AttachStdin: true });
    const stream = await made.attach({ stream: true, hijack: true, stdin: true, stdout: true, stderr: true });
    await made.start();
    stream.write('b\n');
    stream.end('a\n');
    return parts(stream);
  }, { out: 'a\nb\n', err: '' }],
  ['a terminal is written to and resized', async () => {
    const made = await docker.createContainer({ Image: 'busybox', Cmd: ['sh'], Tty: true, OpenStdin: true, StdinOnce: true });
    const stream = await made.attach({ stream: true, hijack: true, stdin: true, stdout: true, stderr: true });
    await made.start();
    await made.resize({ h: 41, w: 97 });
    stream.write('stty size; exit 4\n');
    const seen = await text(stream);
    return [seen.includes('41 97'), (await made.wait()).StatusCode];
  }, [true, 4]],
  ['the keys to detach end the stream and not the container', async () => {
    const made = await docker.createContainer({ Image: 'busybox', Cmd: ['sh'], Tty: true, OpenStdin: true });
    const stream = await made.attach({ stream: true, hijack: true, stdin: true, stdout: true, detachKeys: 'ctrl-x,x' });
    await made.start();
    stream.write('\x18x');
    await text(stream);
    const still = (await made.inspect()).State.Running;
    await made.remove({ force: true });
    return still;
  }, true],
  ['logs and then the rest', async (k) => {
    k.r = await running('rest', { Cmd: ['sh', '-c', 'echo before; read line; echo $line'], OpenStdin: true, StdinOnce: true });
    const stream = await k.r.attach({ stream: true, hijack: true, logs: true, stdin: true, stdout: true });
    stream.end('after\n');
    return (await parts(stream)).out;
  }, 'before\nafter\n'],
  ['an exec has its output and its code', async (k) => {
    k.r = await running('execs');
    const [made, stream] = await execute(k.r, { Cmd: ['sh', '-c', `${TALK}; exit 6`] });
    return [await parts(stream), (await made.inspect()).ExitCode];
  }, [{ out: 'out\nlast\n', err: 'err\n' }, 6]],
  ['its input ends when the stream does', async (k) => {
    const [, stream] = await execute(k.r, { Cmd: ['sort'], AttachStdin: true });
    stream.write('2\n');
    stream.end('1\n');
    return (await parts(stream)).out;
  }, '1\n2\n'],
  ['its environment, folder and user are its own', async (k) => {
    const [, stream] = await execute(k.r, { Cmd: ['sh', '-c', 'echo $X; pwd; id -u'], Env: ['X=1'], WorkingDir: '/etc', User: '5' });
    return (await parts(stream)).out;
  }, '1\n/etc\n5\n'],
  ['a detached one answers nothing and runs', async (k) => {
    const made = await k.r.exec({ Cmd: ['touch', '/tmp/done'] });
    await made.start({ Detach: true });
    const [, stream] = await execute(k.r, { Cmd: ['sh', '-c', 'while [ ! -e /tmp/done ]; do :; done; echo seen'] });
    return (await parts(stream)).out;
  }, 'seen\n'],
  ['its terminal is resized', async (k) => {
    const [made, stream] = await execute(k.r, { Cmd: ['sh'], Tty: true, AttachStdin: true }, { Tty: true });
    await made.resize({ h: 33, w: 99 });
    stream.write('stty size; exit\n');
    return (await text(stream)).includes('33 99');
  }, true],
  ['it is listed while it runs', async (k) => {
    const [made, stream] = await execute(k.r, { Cmd: ['cat'], AttachStdin: true });
    const [ids, running] = [(await k.r.inspect()).ExecIDs, (await made.inspect()).Running];
    stream.end();
    await parts(stream);
    return [ids.includes(made.id), running, (await made.inspect()).Running];
  }, [true, true, false]],
  ['a program that is not there is told, code 127', async (k) => {
    const [made, stream] = await execute(k.r, { Cmd: ['nothing-here'] });
    const { out, err } = await parts(stream);
    return `${(await made.inspect()).ExitCode} ${out}${err}`;
  }, /^127 .*executable file not found in \$PATH/s],
  ['an exec in what does not run is a 409', async () => refusal((await talked()).exec({ Cmd: ['true'] })), /^409 .*is not running/],
  ['an exec that is not here is a 404', () => refusal(docker.getExec('nothing').inspect()), /^404 No such exec instance: nothing/],
]);
