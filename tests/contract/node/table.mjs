// Runs a table of expectations against the engine at LABDOCK_SOCKET: one line, one expectation; prints what did not hold.
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';

import Docker from 'dockerode';

export const docker = new Docker({ socketPath: process.env.LABDOCK_SOCKET });

/** All bytes of a stream, as text. */
export async function text(stream) {
  const parts = [];
  for await (const part of stream) parts.push(Buffer.from(part));
  return Buffer.concat(parts).toString();
}

/** What came on standard output and on standard error of a stream in Docker's frames. */
export async function parts(stream) {
  const out = new PassThrough();
  const err = new PassThrough();
  docker.modem.demuxStream(stream, out, err);
  stream.on('end', () => (out.end(), err.end()));
  stream.on('close', () => (out.end(), err.end()));
  return { out: await text(out), err: await text(err) };
}

/** The lines of progress of a pull, push or build, as docker-modem reads them. */
export function progress(stream) {
  return new Promise((resolve, reject) =>
    docker.modem.followProgress(stream, (error, lines) => (error ? reject(error) : resolve(lines)))
  );
}

/** The engine's refusal: "STATUS message". */
export async function refusal(promise) {
  try {
    await promise;
  } catch (error) {
    return `${error.statusCode} ${error.json?.message ?? error.reason ?? error.message}`;
  }
  return 'it was done';
}

/** A container that runs until it is removed. */
export async function running(name, options = {}) {
  const made = await docker.createContainer({ Image: 'busybox', Cmd: ['sleep', '1000'], name, ...options });
  await made.start();
  return made;
}

/** Rows: [sentence, what is done (given what the rows before kept), what comes of it: a value, or a pattern]. */
export async function hold(rows) {
  const kept = {};
  let broken = 0;
  for (const [sentence, act, wanted] of rows) {
    try {
      const found = await act(kept);
      if (wanted instanceof RegExp) assert.match(String(found), wanted);
      else assert.deepEqual(found, wanted);
    } catch (error) {
      broken += 1;
      console.log(`${sentence}:\n${error.stack}\n`);
    }
  }
  console.log(`${rows.length} rows, ${broken} broken`);
  process.exit(broken && 1);
}
