// `fetch(url, {cf: {image: …}})` of the stock Workers runtime, unmodified, against a running Calotype.
//
// `tests/clients.rs` starts the server and this program, which starts workerd. By hand:
//   CLOUDFLARE_BASE_URL=http://127.0.0.1:8787/client/v4 CLOUDFLARE_API_TOKEN=… \
//   node tests/clients/typescript/cf-image.mjs
// The server must allow private sources on any port: they come from this program.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after, before } from 'node:test';

const require = createRequire(new URL('../../../.tools/typescript/', import.meta.url));
const workerd = require('workerd').default;
const photo = readFileSync(new URL('../../pictures/photo.jpg', import.meta.url));

const server = new URL(process.env.CLOUDFLARE_BASE_URL).host;
const token = process.env.CLOUDFLARE_API_TOKEN;

const worker = `
  export default {
    async fetch(request) {
      const { url, image, headers } = await request.json();
      return fetch(url, { cf: { image, cacheTtl: 5 }, headers });
    },
  };`;

// As docs/guide/workers.md shows it.
const gate = `
  export default {
    fetch(request, env) {
      return request.cf?.image ? env.IMAGES.fetch(request) : env.NETWORK.fetch(request);
    },
  };`;

const config = `
  using Workerd = import "/workerd/workerd.capnp";
  const config :Workerd.Config = (
    services = [
      (name = "main", worker = (
        modules = [(name = "worker", esModule = embed "worker.js")],
        compatibilityDate = "2025-04-01", globalOutbound = "gate")),
      (name = "gate", worker = (
        modules = [(name = "gate", esModule = embed "gate.js")],
        compatibilityDate = "2025-04-01",
        bindings = [(name = "IMAGES", service = "images"), (name = "NETWORK", service = "network")])),
      (name = "images", external = (address = "${server}", http = (
        style = proxy, cfBlobHeader = "CF-Blob",
        injectRequestHeaders = [(name = "X-Images-Token", value = "${token}")]))),
      (name = "network", network = (allow = ["private"])),
    ],
    sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")]);`;

const folder = mkdtempSync(join(tmpdir(), 'cf-image-'));
const asked = [];
let runtime;
let origin;
let pictures;
let base;

before(async () => {
  writeFileSync(join(folder, 'worker.js'), worker);
  writeFileSync(join(folder, 'gate.js'), gate);
  writeFileSync(join(folder, 'config.capnp'), config);
  origin = createServer((request, answer) => {
    asked.push(request);
    if (!request.url.startsWith('/photo')) answer.statusCode = 404;
    answer.setHeader('cache-control', 'max-age=60');
    answer.end(photo);
  });
  await new Promise((resolve) => origin.listen(0, '127.0.0.1', resolve));
  pictures = `http://127.0.0.1:${origin.address().port}`;
  runtime = spawn(workerd, ['serve', join(folder, 'config.capnp'), '--control-fd=3'], {
    stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
  });
  const [line] = await new Promise((resolve, reject) => {
    runtime.once('exit', (status) => reject(new Error(`workerd ended with ${status}`)));
    runtime.stdio[3].once('data', (data) => resolve(data.toString().split('\n')));
  });
  base = `http://127.0.0.1:${JSON.parse(line).port}`;
});

after(() => {
  runtime?.removeAllListeners('exit');
  runtime?.kill();
  origin?.close();
  origin?.closeAllConnections();
  rmSync(folder, { recursive: true });
});

const ask = (image, { path = '/photo one.jpg', headers = {} } = {}) =>
  fetch(base, { method: 'POST', body: JSON.stringify({ url: pictures + path, image, headers }) });

test('a picture comes as the Worker wants it', async () => {
  const answer = await ask({
    width: 30,
    height: 20,
    fit: 'cover',
    gravity: { x: 0.5, y: 0.2 },
    format: 'webp',
    background: undefined,
    draw: [{ url: `${pictures}/photo.jpg`, width: 0.5, right: 0, bottom: 0 }],
  });
  assert.equal(answer.status, 200, await answer.clone().text());
  assert.equal(answer.headers.get('content-type'), 'image/webp');
  assert.match(answer.headers.get('cf-resized'), /^internal=ok/);
  const bytes = Buffer.from(await answer.arrayBuffer());
  assert.equal(bytes.toString('latin1', 8, 12), 'WEBP');
  const request = asked.find(({ url }) => url === '/photo%20one.jpg');
  assert.equal(request.headers['x-images-token'], undefined);
  assert.equal(request.headers['cf-blob'], undefined);
});

test('the formats of the fetch are negotiated', async () => {
  const auto = { width: 30, format: 'auto' };
  const webp = await ask(auto, { headers: { accept: 'image/webp,*/*' } });
  assert.equal(webp.headers.get('content-type'), 'image/webp');
  await webp.arrayBuffer();
  const jpeg = await ask(auto, { headers: { accept: '*/*' } });
  assert.equal(jpeg.headers.get('content-type'), 'image/jpeg');
  await jpeg.arrayBuffer();
});

test('credentials reach the origin where the Worker says so', async () => {
  const headers = { authorization: 'Bearer worker' };
  const shared = await ask({ width: 30, 'origin-auth': 'share-publicly' }, { path: '/photo-2', headers });
  assert.equal(shared.status, 200, await shared.text());
  assert.equal(asked.find(({ url }) => url === '/photo-2').headers.authorization, 'Bearer worker');
  const plain = await ask({ width: 30 }, { path: '/photo-3', headers });
  assert.equal(plain.status, 200, await plain.text());
  assert.equal(asked.find(({ url }) => url === '/photo-3').headers.authorization, undefined);
});

test('failures reach the Worker', async () => {
  const wrong = await ask({ width: 'wide' });
  assert.equal(wrong.status, 400);
  assert.equal(wrong.headers.get('cf-resized'), 'err=9401');
  await wrong.text();
  const missing = await ask({ width: 30 }, { path: '/none' });
  assert.equal(missing.status, 404);
  assert.equal(missing.headers.get('cf-resized'), 'err=9404');
  await missing.text();
});

test('what is no image goes its own way', async () => {
  const answer = await ask(undefined, { path: '/photo-4' });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get('cf-resized'), null);
  assert.deepEqual(Buffer.from(await answer.arrayBuffer()), photo);
});
