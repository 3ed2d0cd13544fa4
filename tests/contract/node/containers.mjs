import { docker, hold, refusal, running, text } from './table.mjs';

const state = async (c) => (await c.inspect()).State;
const listed = async (options) => (await docker.listContainers(options)).map((c) => c.Names[0]);

await hold([
  ['the engine answers a ping', async () => String(await docker.ping()), 'OK'],
  ['it says a version that clients know', async () => (await docker.version()).ApiVersion, /^1\.\d\d$/],
  ['its system is Linux', async () => (await docker.info()).OSType, 'linux'],
  ['an image that is not here is a 404', () => refusal(docker.createContainer({ Image: 'nobody' })), /^404 .*No such image: nobody/],
  ['a container that is not here is a 404', () => refusal(docker.getContainer('nobody').inspect()), /^404 No such container: nobody$/],
  ['a container is made', async (k) => {
    k.c = await docker.createContainer({
      Image: 'busybox', name: 'life', Cmd: ['sh', '-c', 'trap "exit 7" TERM; echo up; while :; do sleep 0.1; done'],
      Env: ['A=b', 'EMPTY='], Labels: { of: 'table' }, WorkingDir: '/tmp', User: '1:2', StopTimeout: 20, ExposedPorts: { '80/tcp': {} },
      HostConfig: { AutoRemove: false, RestartPolicy: { Name: 'no' }, Memory: 64 << 20 },
    });
    return k.c.id;
  }, /^[0-9a-f]{64}$/],
  ['a taken name is a 409', () => refusal(docker.createContainer({ Image: 'busybox', name: 'life' })), /^409 Conflict. The container name "\/life" is already in use/],
  ['it is created and not running', async (k) => (await state(k.c)).Status, 'created'],
  ['its name has a slash', async (k) => (await k.c.inspect()).Name, '/life'],
  ['its environment comes back', async (k) => (await k.c.inspect()).Config.Env.slice(0, 2), ['A=b', 'EMPTY=']],
  ['its labels come back', async (k) => (await k.c.inspect()).Config.Labels, { of: 'table' }],
  ['its stop timeout comes back', async (k) => (await k.c.inspect()).Config.StopTimeout, 20],
  ['its memory limit comes back', async (k) => (await k.c.inspect()).HostConfig.Memory, 64 << 20],
  ['only with all it is listed', async () => [await listed({}), await listed({ all: true })], [[], ['/life']]],
  ['it starts', async (k) => String(await k.c.start()), ''],
  ['a second start changes nothing: 304', (k) => refusal(k.c.start()), /^304 /],
  ['it runs, with a pid', async (k) => { const s = await state(k.c); return [s.Running, s.Pid > 0]; }, [true, true]],
  ['it is found by its label', async () => listed({ filters: { label: ['of=table'] } }), ['/life']],
  ['it is found by its state as JSON', async () => listed({ filters: '{"status":["running"]}' }), ['/life']],
  ['its processes are shown', async (k) => (await k.c.top({ ps_args: 'aux' })).Titles.includes('PID'), true],
  ['its figures are one answer without a stream', async (k) => (await k.c.stats({ stream: false })).memory_stats.limit, 64 << 20],
  ['its figures come as lines with one', async (k) => {
    const stream = await k.c.stats({ stream: true });
    const first = await new Promise((resolve) => stream.once('data', resolve));
    stream.destroy();
    return JSON.parse(first).name;
  }, '/life'],
  ['it is renamed', async (k) => { await k.c.rename({ name: 'other' }); return (await k.c.inspect()).Name; }, '/other'],
  ['it is paused', async (k) => { await k.c.pause(); return (await state(k.c)).Status; }, 'paused'],
  ['and goes on', async (k) => { await k.c.unpause(); return (await state(k.c)).Status; }, 'running'],
  ['its policy is updated', async (k) => {
    await k.c.update({ RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 2 } });
    return (await k.c.inspect()).HostConfig.RestartPolicy;
  }, { Name: 'on-failure', MaximumRetryCount: 2 }],
  ['and back', async (k) => { await k.c.update({ RestartPolicy: { Name: 'no' } }); return (await k.c.inspect()).HostConfig.RestartPolicy.Name; }, 'no'],
  ['removing one that runs is a 409', (k) => refusal(k.c.remove()), /^409 .*Stop the container before/],
  ['a wait that began before the stop ends with its code', async (k) => {
    const waiting = k.c.wait();
    await k.c.stop();
    return (await waiting).StatusCode;
  }, 7],
  ['a second stop changes nothing: 304', (k) => refusal(k.c.stop()), /^304 /],
  ['its code is recorded', async (k) => { const s = await state(k.c); return [s.Status, s.ExitCode]; }, ['exited', 7]],
  ['killing one that does not run is a 409', (k) => refusal(k.c.kill()), /^409 .*is not running/],
  ['it is restarted', async (k) => { await k.c.restart(); return (await state(k.c)).Running; }, true],
  ['it is killed', async (k) => { const w = k.c.wait(); await k.c.kill(); return (await w).StatusCode; }, 137],
  ['its changes are told', async () => {
    const made = await running('changed', { Cmd: ['sh', '-c', 'mkdir /made; rm /etc/profile'] });
    await made.wait();
    const found = (await made.changes()).map((c) => `${c.Kind} ${c.Path}`).sort();
    await made.remove();
    return found;
  }, ['0 /etc', '1 /made', '2 /etc/profile']],
  ['a file is put into it', async (k) => {
    await k.c.putArchive(await k.c.getArchive({ path: '/etc/passwd' }), { path: '/tmp' });
    return (await text(await k.c.getArchive({ path: '/tmp/passwd' }))).includes('root:');
  }, true],
  ['its files leave as a tar', async (k) => (await text(await k.c.getArchive({ path: '/etc/passwd' }))).slice(0, 6), 'passwd'],
  ['the stat of a path is in a header', async (k) => {
    const answer = await k.c.infoArchive({ path: '/etc/passwd' });
    return JSON.parse(Buffer.from(answer.headers['x-docker-container-path-stat'], 'base64')).name;
  }, 'passwd'],
  ['a path that is not there is a 404', (k) => refusal(k.c.getArchive({ path: '/none' })), /^404 /],
  ['all its files leave as a tar', async (k) => (await text(await k.c.export())).includes('bin/busybox'), true],
  ['it is an image when it is committed', async (k) => {
    const made = await k.c.commit({ repo: 'kept', tag: '1', comment: 'so', changes: 'ENV X=y' });
    return (await docker.getImage(made.Id).inspect()).Config.Env.includes('X=y');
  }, true],
  ['it goes', async (k) => { await k.c.remove({ v: true }); return refusal(k.c.inspect()); }, /^404 /],
  ['a removed one is removed with force: 404', (k) => refusal(k.c.remove({ force: true })), /^404 No such container/],
  ['one that removes itself still tells its code', async () => {
    const made = await docker.createContainer({ Image: 'busybox', Cmd: ['sh', '-c', 'exit 5'], HostConfig: { AutoRemove: true } });
    const waiting = made.wait({ condition: 'removed' });
    await made.start();
    return (await waiting).StatusCode;
  }, 5],
  ['those that ended are pruned', async () => {
    const made = await docker.createContainer({ Image: 'busybox', Cmd: ['true'] });
    return (await docker.pruneContainers()).ContainersDeleted.includes(made.id);
  }, true],
  ['one is removed while it runs', async () => { const made = await running('doomed'); await made.remove({ force: true }); return listed({ all: true }); }, []],
]);
