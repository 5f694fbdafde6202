// Pictures in a real Chromium: every format which is negotiated is decoded and shown, `srcset` and
// `width=auto` pick what they should, and no drawing runs a script.
//
// `tests/clients.rs` starts the server and this program, which starts the browser. By hand:
//   CLOUDFLARE_BASE_URL=http://127.0.0.1:8787/client/v4 CLOUDFLARE_API_TOKEN=… \
//   CLOUDFLARE_ACCOUNT_ID=… CHROMIUM=chromium node tests/clients/browser.mjs

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { json } from 'node:stream/consumers';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after, before } from 'node:test';
import { deflateSync, crc32 } from 'node:zlib';

const api = process.env.CLOUDFLARE_BASE_URL;
const server = new URL(api);
const account = process.env.CLOUDFLARE_ACCOUNT_ID;
const token = process.env.CLOUDFLARE_API_TOKEN;
const chromium = process.env.CHROMIUM ?? 'chromium';
const picture = (name) => readFileSync(new URL(`../pictures/${name}`, import.meta.url));

let hash;
let page = '';
let site;
let home;
let hear;
const asked = [];

// Four quarters: red, green, blue and white.
function quarters(width, height) {
  const chunk = (kind, body) => {
    const tagged = Buffer.concat([Buffer.from(kind), body]);
    const length = Buffer.alloc(4);
    const sum = Buffer.alloc(4);
    length.writeUInt32BE(body.length);
    sum.writeUInt32BE(crc32(tagged));
    return Buffer.concat([length, tagged, sum]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2], 8);
  const row = (left, right) => {
    const bytes = Buffer.alloc(1 + width * 3);
    for (let x = 0; x < width; x += 1) bytes.set(x < width / 2 ? left : right, 1 + x * 3);
    return bytes;
  };
  const upper = row([255, 0, 0], [0, 255, 0]);
  const lower = row([0, 0, 255], [255, 255, 255]);
  const rows = Array.from({ length: height }, (_, y) => (y < height / 2 ? upper : lower));
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(Buffer.concat(rows))),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

async function call(method, path, body) {
  const json = body instanceof FormData ? {} : { 'content-type': 'application/json' };
  const answer = await fetch(`${api}/accounts/${account}/images/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, ...json },
    body: body instanceof FormData ? body : JSON.stringify(body),
  });
  assert.equal(answer.status, 200, await answer.clone().text());
  return (await answer.json()).result;
}

async function upload(id, bytes) {
  const form = new FormData();
  form.set('id', id);
  form.set('file', new Blob([bytes]), id);
  return call('POST', '', form);
}

// A site whose pages ask for client hints, and whose pictures are those of the server.
function answer(question, reply) {
  asked.push(question);
  const { pathname } = new URL(question.url, 'http://site.test');
  if (pathname === '/') {
    reply.writeHead(200, {
      'content-type': 'text/html; charset=utf-8',
      'accept-ch': 'Sec-CH-Viewport-Width, Sec-CH-DPR',
    });
    reply.end(page);
  } else if (pathname === '/said') {
    json(question).then(hear);
    reply.writeHead(204).end();
  } else if (pathname === '/ran' || pathname === '/favicon.ico') {
    reply.writeHead(204).end();
  } else {
    const { method, headers, url: path } = question;
    const asking = request({ host: server.hostname, port: server.port, method, headers, path });
    asking.on('response', (found) => {
      reply.writeHead(found.statusCode, found.headers);
      found.pipe(reply);
    });
    asking.on('error', () => reply.destroy());
    question.pipe(asking);
  }
}

before(async () => {
  site = createServer(answer).listen(0, '127.0.0.1');
  await new Promise((resolve) => site.once('listening', resolve));
  home = `http://127.0.0.1:${site.address().port}/`;
  await call('PATCH', '/config', { flexible_variants: true });
  const uploaded = await upload('quarters', quarters(2400, 1200));
  [hash] = new URL(uploaded.variants[0]).pathname.slice(1).split('/');
  await upload('moving', picture('animated.gif'));
});

after(() => {
  site.close();
  site.closeAllConnections();
});

// What a script says on a page with this body, in a browser with these flags.
async function see(body, script, ...flags) {
  page = `<!doctype html><meta name=viewport content="width=device-width"><body style="margin:0">${body}
<script>
const shown = async (img) => { await img.decode(); return img; };
const type = (url) => performance.getEntriesByName(new URL(url, location).href)[0]?.contentType;
addEventListener('load', async () => {
  let said;
  try { said = await (async () => { ${script} })(); } catch (error) { said = { error: String(error) }; }
  await fetch('/said', { method: 'POST', body: JSON.stringify(said) });
});
</script>`;
  asked.length = 0;
  const profile = mkdtempSync(join(tmpdir(), 'browser-'));
  const said = new Promise((resolve) => { hear = resolve; });
  const browser = spawn(
    chromium,
    ['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-proxy-server',
      '--no-first-run', '--remote-debugging-port=0', `--user-data-dir=${profile}`, ...flags, home],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let errors = '';
  browser.stderr.on('data', (text) => { errors += text; });
  const ended = once(browser, 'exit').then(() => { throw new Error(`the browser ended: ${errors}`); });
  try {
    return await Promise.race([said, ended]);
  } finally {
    ended.catch(() => {});
    browser.kill();
    await once(browser, 'close');
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

const path = (id, options) => `/${hash}/${id}/${options}`;

test('every format is decoded and shown', async () => {
  const formats = {
    'w=400': 'image/avif',
    'w=401,format=auto': 'image/avif',
    'w=402,format=avif': 'image/avif',
    'w=403,format=webp': 'image/webp',
    'w=404,format=jpeg': 'image/jpeg',
    'w=405,format=baseline-jpeg': 'image/jpeg',
    'w=406,format=png-force': 'image/png',
    'w=2000,format=auto': 'image/webp',
  };
  const body = Object.keys(formats)
    .map((options) => `<img src="${path('quarters', options)}">`)
    .join('');
  const said = await see(
    body,
    `const seen = {};
    for (const img of document.images) {
      await shown(img);
      const { naturalWidth: width, naturalHeight: height } = img;
      const canvas = new OffscreenCanvas(width, height).getContext('2d');
      canvas.drawImage(img, 0, 0);
      const at = (x, y) => [...canvas.getImageData(width * x, height * y, 1, 1).data];
      seen[new URL(img.src).pathname.split('/').pop()] = {
        size: [width, height], type: type(img.src),
        pixels: [at(0.25, 0.25), at(0.75, 0.25), at(0.25, 0.75), at(0.75, 0.75)],
      };
    }
    return seen;`,
  );
  assert.deepEqual(Object.keys(said), Object.keys(formats));
  const wanted = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]];
  for (const [options, { size, type, pixels }] of Object.entries(said)) {
    const width = Number(options.match(/w=(\d+)/)[1]);
    assert.deepEqual(size, [width, Math.round(width / 2)], options);
    assert.equal(type, formats[options], options);
    pixels.forEach((pixel, quarter) => {
      wanted[quarter].forEach((value, channel) => {
        assert.ok(Math.abs(pixel[channel] - value) < 12, `${options}: ${pixels}`);
      });
      assert.equal(pixel[3], 255);
    });
  }
});

test('animations move', async () => {
  const body = ['w=20', 'w=20,format=webp', 'w=20,anim=false']
    .map((options) => `<img src="${path('moving', options)}">`)
    .join('');
  const said = await see(
    body,
    `return Promise.all([...document.images].map(async (img) => {
      const answer = await fetch(img.src, { headers: { accept: 'image/webp' } });
      const type = answer.headers.get('content-type');
      const decoder = new ImageDecoder({ data: await answer.arrayBuffer(), type });
      await decoder.tracks.ready;
      await shown(img);
      return { type, frames: decoder.tracks.selectedTrack.frameCount, width: img.naturalWidth };
    }));`,
  );
  assert.equal(said.length, 3, JSON.stringify(said));
  assert.ok(said[0].frames > 1 && said[1].frames > 1, JSON.stringify(said));
  assert.equal(said[2].frames, 1);
  assert.equal(said[1].type, 'image/webp');
});

test('srcset picks by the width of the place and the pixels of the screen', async () => {
  const widths = [200, 400, 800];
  const set = widths.map((width) => `${path('quarters', `w=${width}`)} ${width}w`).join(', ');
  const body = `<img srcset="${set}" sizes="190px" src="${path('quarters', 'w=100')}" style="width:190px">`;
  const script = `const img = await shown(document.images[0]);
    return new URL(img.currentSrc).pathname.split('/').pop();`;
  for (const [scale, expected] of [[1, 'w=200'], [2, 'w=400'], [3, 'w=800']]) {
    const flag = `--force-device-scale-factor=${scale}`;
    assert.equal(await see(body, script, flag), expected);
    const pictures = asked.filter(({ url }) => url.includes('quarters'));
    assert.equal(pictures.length, 1, 'one of them is fetched');
  }
});

test('width=auto follows the viewport', async () => {
  const body = `<img src="${path('quarters', 'width=auto')}">`;
  const script = `const img = await shown(document.images[0]);
    return { width: img.naturalWidth, viewport: innerWidth };`;
  const found = [];
  for (const window of [600, 1000, 1900]) {
    const { width, viewport } = await see(body, script, `--window-size=${window},700`);
    const { headers } = asked.find(({ url }) => url.includes('quarters'));
    assert.equal(Number(headers['sec-ch-viewport-width']), viewport);
    found.push([viewport, width]);
  }
  // The smallest of the documented widths which is not below the viewport's.
  const expected = (viewport) => [320, 768, 960, 1200].find((width) => width >= viewport) ?? 1200;
  for (const [viewport, width] of found) {
    assert.equal(width, expected(viewport), JSON.stringify(found));
  }
});

test('no drawing runs a script', async () => {
  const tell = (how) => `fetch('/ran?${how}');new Image().src='/ran?${how}';`;
  const drawings = {
    script: `<script>${tell('script')}</script><script href="data:text/javascript,${tell('data')}"/>`,
    load: `<g onload="${tell('load')}"><rect width="9" height="9" onmouseover="${tell('over')}"/></g>`,
    foreign: `<foreignObject width="9" height="9"><body xmlns="http://www.w3.org/1999/xhtml"><img src="/ran?foreign" onerror="${tell('error')}"/><iframe src="/ran?iframe"/></body></foreignObject>`,
    animate: `<a><animate attributeName="href" values="javascript:${encodeURIComponent(tell('animate'))}"/><rect width="9" height="9"/></a>`,
    image: `<image href="/ran?image" width="9" height="9"/><use href="/ran?use#a"/><style>@import '/ran?import';rect{fill:url(/ran?fill#a)}</style><rect width="9" height="9"/>`,
  };
  for (const [name, body] of Object.entries(drawings)) {
    const root = `<svg xmlns="http://www.w3.org/2000/svg" width="90" height="90" onload="${tell('root')}">`;
    await upload(`drawing-${name}`, `${root}${body}<rect y="40" width="90" height="50" fill="#0f0"/></svg>`);
  }
  const urls = Object.keys(drawings).map((name) => path(`drawing-${name}`, 'public'));
  const said = await see(
    urls.map((url) => `<iframe src="${url}"></iframe><object data="${url}"></object><embed src="${url}"><img src="${url}">`).join(''),
    `await Promise.all([...document.images].map(shown));
    // For whatever would still run.
    await new Promise((resolve) => setTimeout(resolve, 2000));
    const pictures = [...document.images].map((img) => img.naturalWidth);
    const frames = [...document.querySelectorAll('iframe')].map((frame) => {
      try { return frame.contentDocument?.documentElement?.nodeName ?? 'closed'; } catch { return 'closed'; }
    });
    return { pictures, frames };`,
  );
  assert.deepEqual(said.pictures, urls.map(() => 90));
  const ran = asked.filter(({ url }) => url.startsWith('/ran')).map(({ url }) => url);
  assert.deepEqual(ran, []);
  // Each was asked for, and came as a drawing which may do nothing.
  for (const url of urls) {
    const answer = await fetch(new URL(url, home));
    assert.equal(answer.headers.get('content-type'), 'image/svg+xml');
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
    assert.match(answer.headers.get('content-security-policy'), /default-src 'none'/);
    assert.ok(!(await answer.text()).includes('/ran'), url);
  }
});
