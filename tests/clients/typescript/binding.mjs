// The Images binding of the stock Workers runtime, unmodified, against a running Calotype.
//
// `tests/clients.rs` starts the server and this program, which starts workerd. By hand:
//   CLOUDFLARE_BASE_URL=http://127.0.0.1:8787/client/v4 CLOUDFLARE_API_TOKEN=… \
//   node tests/clients/typescript/binding.mjs
// The server must allow private sources, for the font comes from this program.

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
const here = (path) => new URL(path, import.meta.url);
const photo = readFileSync(here('../../pictures/photo.jpg'));
const svg = readFileSync(here('../../pictures/script.svg'));
const font = readFileSync(here('../../../crates/pixels/tests/fonts/NotoSansArabic-subset.ttf'));

const server = new URL(process.env.CLOUDFLARE_BASE_URL).host;
const token = process.env.CLOUDFLARE_API_TOKEN;

const worker = `
  const steps = {
    info: async (images, input) => Response.json(await images.info(input())),
    stages: async (images, input) => {
      const badge = images.input(input()).transform({ width: 20, height: 20, fit: 'squeeze' })
        .draw(images.input(input()).transform({ width: 4, height: 4, fit: 'squeeze', brightness: 0.01 }),
          { left: 0, top: 0 });
      const made = images.input(input())
        .transform({ width: 60, height: 40, fit: 'cover', gravity: { x: 0, y: 0, mode: 'remainder' } })
        .transform({ rotate: 90 })
        .transform({ brightness: 250 })
        .draw(badge, { right: 0, bottom: 0 });
      return (await made.output({ format: 'rgb' })).response();
    },
    text: async (images, input, font) => {
      const text = images.text('سلام', { size: 20, color: 'red', font: { url: font } });
      const made = images.input(input()).transform({ width: 200, height: 60, fit: 'squeeze', brightness: 250 })
        .draw(text, { left: 10, top: 10 });
      return (await made.output({ format: 'image/png' })).response();
    },
    webp: async (images, input) =>
      (await images.input(input()).output({ format: 'image/webp', quality: 50 })).response(),
    short: async (images, input) => (await images.input(input()).output({ format: 'webp' })).response(),
    twice: async (images, input) => {
      const made = images.input(input());
      await made.output({ format: 'image/png' });
      return (await made.output({ format: 'image/png' })).response();
    },
  };
  export default {
    async fetch(request, env) {
      const bytes = await request.arrayBuffer();
      const { pathname, searchParams } = new URL(request.url);
      const input = () => new Blob([bytes]).stream();
      try {
        return await steps[pathname.slice(1)](env.IMAGES, input, searchParams.get('font'));
      } catch (error) {
        return Response.json({ code: error.code, message: error.message }, { status: 599 });
      }
    },
  };`;

const config = `
  using Workerd = import "/workerd/workerd.capnp";
  const config :Workerd.Config = (
    services = [
      (name = "main", worker = (
        modules = [(name = "worker", esModule = embed "worker.js")],
        compatibilityDate = "2025-04-01",
        bindings = [(name = "IMAGES", wrapped = (
          moduleName = "cloudflare-internal:images-api",
          innerBindings = [(name = "fetcher", service = "images")]))])),
      (name = "images", external = (address = "${server}", http = (
        injectRequestHeaders = [(name = "Authorization", value = "Bearer ${token}")]))),
    ],
    sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")]);`;

const folder = mkdtempSync(join(tmpdir(), 'binding-'));
let runtime;
let fonts;
let base;

before(async () => {
  writeFileSync(join(folder, 'worker.js'), worker);
  writeFileSync(join(folder, 'config.capnp'), config);
  fonts = createServer((_, answer) => answer.end(font)).listen(0, '127.0.0.1');
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
  fonts?.close();
  rmSync(folder, { recursive: true });
});

const call = (path, body = photo) => fetch(`${base}/${path}`, { method: 'POST', body });

test('info describes an image', async () => {
  const described = await (await call('info')).json();
  assert.equal(described.format, 'image/jpeg');
  assert.equal(described.fileSize, photo.length);
  assert.ok(described.width > 0 && described.height > 0);
  assert.deepEqual(await (await call('info', svg)).json(), { format: 'image/svg+xml' });
});

test('stages and draws follow the program', async () => {
  const answer = await call('stages');
  assert.equal(answer.status, 200, await answer.clone().text());
  const rgb = new Uint8Array(await answer.arrayBuffer());
  assert.equal(rgb.length, 40 * 60 * 3);
  const at = (x, y) => [...rgb.subarray((y * 40 + x) * 3, (y * 40 + x) * 3 + 3)];
  // Turned and made white, but for the badge in its corner, which is dark where it was drawn on.
  assert.deepEqual(at(2, 2), [255, 255, 255]);
  assert.deepEqual(at(19, 59), [255, 255, 255]);
  assert.ok(Math.max(...at(21, 41)) < 16, at(21, 41).join());
  assert.ok(Math.max(...at(36, 56)) > 16);
});

test('a text is drawn in a font from elsewhere', async () => {
  const answer = await call(`text?font=http://127.0.0.1:${fonts.address().port}/arabic.ttf`);
  assert.equal(answer.status, 200, await answer.clone().text());
  assert.equal(answer.headers.get('content-type'), 'image/png');
  const failed = await (await call('text?font=http://127.0.0.1:1/none')).json();
  assert.equal(failed.code, 9410);
});

test('formats are those which are asked for', async () => {
  const answer = await call('webp');
  assert.equal(answer.headers.get('content-type'), 'image/webp');
  const bytes = Buffer.from(await answer.arrayBuffer());
  assert.equal(bytes.toString('latin1', 8, 12), 'WEBP');
});

test('failures have their codes', async () => {
  const failure = async (path, body) => {
    const answer = await call(path, body);
    assert.equal(answer.status, 599);
    return answer.json();
  };
  const short = await failure('short');
  assert.equal(short.code, 9432);
  assert.equal(short.message, 'IMAGES_TRANSFORM_ERROR 9432: Bad request: invalid output format');
  assert.equal((await failure('webp', 'text')).code, 9412);
  assert.equal((await failure('webp', svg)).code, 9412);
  assert.equal((await failure('twice')).code, 9525);
  const info = await failure('info', 'text');
  assert.equal(info.code, 9412);
  assert.match(info.message, /^IMAGES_INFO_ERROR 9412: /);
});
