// Every Images method of the official TypeScript SDK, unmodified, against a running Calotype.
//
// `tests/clients.rs` starts the server and this program. By hand:
//   CLOUDFLARE_BASE_URL=http://127.0.0.1:8787/client/v4 CLOUDFLARE_API_TOKEN=… \
//   CLOUDFLARE_ACCOUNT_ID=… node tests/clients/typescript/suite.mjs
// The account must be empty and the server must allow private sources.

import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { Readable } from 'node:stream';
import test, { after, afterEach, before } from 'node:test';
import { deflateSync } from 'node:zlib';

// The SDK lives in the private tool folder, filled by scripts/setup-tests.sh.
const require = createRequire(new URL('../../../.tools/typescript/', import.meta.url));
const Cloudflare = require('cloudflare');
const { toFile } = Cloudflare;

const account_id = process.env.CLOUDFLARE_ACCOUNT_ID;
const requests = [];
const client = new Cloudflare({ fetch: counted, maxRetries: 2 });
const { v1, v2 } = client.images;

/** `fetch`, keeping a note of every request, so that silent retries show. */
function counted(url, init) {
  requests.push(`${init?.method ?? 'GET'} ${url}`);
  return fetch(url, init);
}

/** The number of requests which `action` sends. */
async function requestsOf(action) {
  const before = requests.length;
  await action();
  return requests.length - before;
}

/** A PNG of one colour: red, green, blue and perhaps alpha. */
function png(width, height, colour) {
  const row = Buffer.concat([Buffer.from([0]), ...Array(width).fill(Buffer.from(colour))]);
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, colour.length === 4 ? 6 : 2, 0, 0, 0], 8);
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(Buffer.concat(Array(height).fill(row)))),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

function chunk(name, data) {
  const body = Buffer.concat([Buffer.from(name, 'latin1'), data]);
  const out = Buffer.alloc(body.length + 8);
  out.writeUInt32BE(data.length, 0);
  body.copy(out, 4);
  out.writeUInt32BE(crc32(body), body.length + 4);
  return out;
}

function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

const RED = png(40, 30, [200, 30, 30]);
/** Stays a PNG when it is delivered to clients without WebP; an opaque one becomes a JPEG. */
const GLASS = png(40, 30, [200, 30, 30, 100]);

async function upload(params = {}) {
  const { file = await toFile(RED, 'red.png', { type: 'image/png' }), ...rest } = params;
  return v1.create({ account_id, file, ...rest });
}

async function bytesOf(id) {
  const response = await v1.blobs.get(id, { account_id });
  return Buffer.from(await response.arrayBuffer());
}

/** Expects an API error of this class, status and code. */
async function refuses(promise, Kind, status, code) {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof Kind, `${error?.constructor?.name} is no ${Kind.name}: ${error}`);
    assert.equal(error.status, status);
    assert.equal(error.errors?.[0]?.code, code, JSON.stringify(error.errors));
    return true;
  });
}

/** Leaves the account as empty as it was found. */
async function deleteAll() {
  const page = await v2.list({ account_id });
  for (const image of page.images) await v1.delete(image.id, { account_id });
}

let origin;
let originUrl;

before(async () => {
  origin = createServer((request, response) => {
    if (request.url === '/pictures/red%20one.png') {
      response.writeHead(200, { 'content-type': 'image/png' }).end(RED);
    } else if (request.url === '/page.html') {
      response.writeHead(200, { 'content-type': 'text/html' }).end('<p>no image</p>');
    } else {
      response.writeHead(404).end('nothing here');
    }
  });
  await new Promise((resolve) => origin.listen(0, '127.0.0.1', resolve));
  originUrl = `http://127.0.0.1:${origin.address().port}`;
});

after(() => origin.close());
afterEach(deleteAll);

test('uploads a file made by toFile', async () => {
  const image = await upload();
  assert.match(image.id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{10}00$/);
  assert.equal(image.filename, 'red.png');
  assert.equal(image.requireSignedURLs, false);
  assert.equal(image.creator ?? null, null);
  assert.equal(image.draft, undefined);
  assert.match(image.uploaded, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.ok(image.variants.some((url) => url.endsWith(`/${image.id}/public`)), `${image.variants}`);
  assert.deepEqual(await bytesOf(image.id), RED);
});

test('uploads a stream and a File', async () => {
  const stream = Readable.from([RED.subarray(0, 20), RED.subarray(20)]);
  const streamed = await upload({ file: await toFile(stream, 'streamed.png'), creator: 'u1' });
  assert.deepEqual(await bytesOf(streamed.id), RED);
  assert.equal(streamed.creator, 'u1');
  const file = await upload({ file: new File([RED], 'naïve "name".png') });
  assert.deepEqual(await bytesOf(file.id), RED);
  assert.equal(file.filename, 'naïve "name".png');
});

test('uploads by URL', async () => {
  const url = `${originUrl}/pictures/red%20one.png`;
  const image = await v1.create({ account_id, url, id: 'by/url' });
  assert.equal(image.id, 'by/url');
  assert.equal(image.filename, 'red one.png');
  assert.deepEqual(await bytesOf('by/url'), RED);
  await assert.rejects(v1.create({ account_id, url: `${originUrl}/missing.png` }), (error) => {
    assert.ok(error.status >= 400 && error.status < 500, `${error}`);
    return true;
  });
  await refuses(
    v1.create({ account_id, url: `${originUrl}/page.html` }),
    Cloudflare.APIError,
    415,
    5455,
  );
});

for (const id of [
  'plain',
  'a/b/c.png',
  'dir/sub dir/ünï.png',
  '100%?#&+=;,:@a',
  '50%25',
  "it's (1)! $2 *&[x]",
  '日本/画像.png',
  'keys/mine',
  'ends/in/blob',
]) {
  test(`keeps the custom id ${id}`, async () => {
    const created = await upload({ id });
    assert.equal(created.id, id);
    assert.equal((await v1.get(id, { account_id })).id, id);
    assert.deepEqual(await bytesOf(id), RED);
    const edited = await v1.edit(id, { account_id, metadata: { seen: true } });
    assert.deepEqual(edited.meta, { seen: true });
    const delivered = await fetch(created.variants[0]);
    assert.equal(delivered.status, 200, `${created.variants[0]}: ${await delivered.text()}`);
    await v1.delete(id, { account_id });
    await refuses(v1.get(id, { account_id }), Cloudflare.NotFoundError, 404, 5404);
  });
}

test('takes metadata as an object and as JSON text', async () => {
  const metadata = {
    a: 1,
    b: true,
    text: 'one two',
    n: { deep: [1, 2, { k: 'v' }] },
    ключ: 'значение',
  };
  const object = await upload({ metadata });
  assert.deepEqual(object.meta, metadata);
  const exact = { number: '007', nothing: null, list: [], big: 1e300 };
  const text = await upload({ metadata: JSON.stringify(exact) });
  assert.deepEqual(text.meta, exact);
  assert.deepEqual((await v1.get(text.id, { account_id })).meta, exact);
  await refuses(upload({ metadata: '[1]' }), Cloudflare.BadRequestError, 400, 5400);
  await refuses(
    upload({ metadata: JSON.stringify({ long: 'x'.repeat(1024) }) }),
    Cloudflare.BadRequestError,
    400,
    5400,
  );
});

test('an empty creator means none', async () => {
  const image = await upload({ creator: '' });
  assert.equal(image.creator ?? null, null);
  const edited = await v1.edit(image.id, { account_id, creator: 'somebody' });
  assert.equal(edited.creator, 'somebody');
  const cleared = await v1.edit(image.id, { account_id, creator: '' });
  assert.equal(cleared.creator ?? null, null);
});

test('v1.list pages by itself', async () => {
  const ids = [];
  for (let i = 0; i < 5; i += 1) ids.unshift((await upload({ creator: i < 2 ? 'few' : '' })).id);
  const seen = [];
  const sent = await requestsOf(async () => {
    for await (const page of v1.list({ account_id, per_page: 2 })) {
      seen.push(page.images.map((image) => image.id));
    }
  });
  assert.deepEqual(seen.map((page) => page.length), [2, 2, 1]);
  assert.deepEqual(seen.flat(), ids, 'newest first');
  assert.ok(sent >= 3, `${sent} requests`);

  const page = await v1.list({ account_id, page: 3, per_page: 2 });
  assert.deepEqual(page.result.images.map((image) => image.id), ids.slice(4));
  const few = await v1.list({ account_id, creator: 'few' });
  assert.deepEqual(few.result.images.map((image) => image.id), ids.slice(3));
  const unset = await v1.list({ account_id, creator: '' });
  assert.deepEqual(unset.result.images.map((image) => image.id), ids.slice(0, 3));
});

async function walk(params) {
  const pages = [];
  let continuation_token = null;
  do {
    const page = await v2.list({ account_id, continuation_token, ...params });
    pages.push(page.images.map((image) => image.id));
    continuation_token = page.continuation_token ?? null;
    assert.ok(pages.length < 50, 'the walk does not end');
  } while (continuation_token !== null);
  return pages;
}

test('v2.list walks by continuation token in both orders', async () => {
  const ids = [];
  for (let i = 0; i < 5; i += 1) ids.push((await upload()).id);
  assert.deepEqual((await walk({ per_page: 2, sort_order: 'asc' })).flat(), ids);
  const pages = await walk({ per_page: 2, sort_order: 'desc' });
  assert.deepEqual(pages.flat(), ids.toReversed());
  assert.deepEqual(pages.filter((page) => page.length > 0).map((page) => page.length), [2, 2, 1]);
  assert.deepEqual((await walk({})).flat(), ids.toReversed(), 'newest first by default');
  await refuses(
    v2.list({ account_id, continuation_token: 'garbage' }),
    Cloudflare.BadRequestError,
    400,
    5400,
  );
  await refuses(
    v2.list({ account_id, sort_order: 'sideways' }),
    Cloudflare.BadRequestError,
    400,
    5400,
  );
});

test('v2.list filters by creator and by metadata', async () => {
  const meta = (object) => ({ metadata: JSON.stringify(object) });
  const a = (await upload({ creator: 'ann', ...meta({ status: 'a', n: 1, in: { deep: 'x' } }) })).id;
  const b = (await upload({ creator: 'ann', ...meta({ status: 'b', n: 5, on: true }) })).id;
  const c = (await upload(meta({ status: 'c d', n: 9 }))).id;
  const find = async (params) => (await walk({ sort_order: 'asc', ...params })).flat();
  assert.deepEqual(await find({ creator: 'ann' }), [a, b]);
  assert.deepEqual(await find({ creator: '' }), [c]);
  assert.deepEqual(await find({ creator: 'nobody' }), []);
  assert.deepEqual(await find({ meta: { 'status[eq:string]': 'a' } }), [a]);
  assert.deepEqual(await find({ meta: { 'status[in]': 'a|c d' } }), [a, c]);
  assert.deepEqual(await find({ meta: { 'n[gte:number]': '5', 'n[lt]': '9' } }), [b]);
  assert.deepEqual(await find({ meta: { 'n[in:number]': '1|9' } }), [a, c]);
  assert.deepEqual(await find({ meta: { 'on[eq:boolean]': 'true' } }), [b]);
  assert.deepEqual(await find({ meta: { 'in.deep[eq]': 'x' } }), [a]);
  assert.deepEqual(await find({ creator: 'ann', meta: { 'status[eq]': 'c d' } }), []);
  for (const wrong of [{ 'n[near]': '1' }, { 'n[gt:number]': 'many' }, { 'on[eq:boolean]': 'x' }]) {
    await refuses(v2.list({ account_id, meta: wrong }), Cloudflare.BadRequestError, 400, 5400);
  }
});

test('v1.edit replaces the metadata', async () => {
  const image = await upload({ metadata: JSON.stringify({ old: 1, kept: 2 }) });
  const edited = await v1.edit(image.id, { account_id, metadata: { kept: 3 } });
  assert.equal(edited.id, image.id);
  assert.deepEqual(edited.meta, { kept: 3 });
  const untouched = await v1.edit(image.id, { account_id });
  assert.deepEqual(untouched.meta, { kept: 3 });
});

test('v1.edit of requireSignedURLs returns a new id, and returns it back', async () => {
  const open = await upload();
  const closed = await v1.edit(open.id, { account_id, requireSignedURLs: true });
  assert.notEqual(closed.id, open.id);
  assert.equal(closed.requireSignedURLs, true);
  await refuses(v1.get(open.id, { account_id }), Cloudflare.NotFoundError, 404, 5404);
  assert.deepEqual(await bytesOf(closed.id), RED);
  const opened = await v1.edit(closed.id, { account_id, requireSignedURLs: false });
  assert.equal(opened.id, open.id);
});

test('a custom id cannot be private', async () => {
  await refuses(
    upload({ id: 'private/one', requireSignedURLs: true }),
    Cloudflare.BadRequestError,
    400,
    5400,
  );
  await upload({ id: 'public/one' });
  await refuses(
    v1.edit('public/one', { account_id, requireSignedURLs: true }),
    Cloudflare.BadRequestError,
    400,
    5400,
  );
});

test('a taken id is a conflict, told once', async () => {
  await upload({ id: 'taken' });
  const sent = await requestsOf(() =>
    refuses(upload({ id: 'taken' }), Cloudflare.ConflictError, 409, 5409),
  );
  assert.equal(sent, 1, 'the client was made to retry');
});

test('refuses a wrong token and a missing image', async () => {
  const stranger = new Cloudflare({ apiToken: 'wrong' });
  await refuses(
    stranger.images.v1.stats.get({ account_id }),
    Cloudflare.AuthenticationError,
    401,
    10000,
  );
  const missing = 'no/such/image';
  await refuses(v1.get(missing, { account_id }), Cloudflare.NotFoundError, 404, 5404);
  await refuses(v1.edit(missing, { account_id }), Cloudflare.NotFoundError, 404, 5404);
  await refuses(v1.delete(missing, { account_id }), Cloudflare.NotFoundError, 404, 5404);
  await refuses(v1.blobs.get(missing, { account_id }), Cloudflare.NotFoundError, 404, 5404);
});

test('refuses a bare Buffer, which the SDK sends as one part per byte', async () => {
  await refuses(v1.create({ account_id, file: RED }), Cloudflare.BadRequestError, 400, 5400);
  // The parser bounds the parts: this is one of them per byte.
  await refuses(
    v1.create({ account_id, file: randomBytes(20_000) }),
    Cloudflare.BadRequestError,
    400,
    5400,
  );
});

test('refuses what is no image', async () => {
  const file = await toFile(Buffer.from('not a picture'), 'red.png', { type: 'image/png' });
  await refuses(upload({ file }), Cloudflare.APIError, 415, 5455);
  await refuses(v1.create({ account_id }), Cloudflare.BadRequestError, 400, 5400);
});

test('a file over the limit is told so, not cut off', async () => {
  const file = await toFile(randomBytes(12 * 1024 * 1024), 'big.png');
  const sent = await requestsOf(() => refuses(upload({ file }), Cloudflare.APIError, 413, 5413));
  assert.equal(sent, 1);
});

test('signing keys are made, listed and removed', async () => {
  const { keys } = await v1.keys.list({ account_id });
  assert.deepEqual(keys.map((key) => key.name), ['default']);
  const two = (await v1.keys.update('second', { account_id })).keys;
  assert.deepEqual(two.map((key) => key.name).sort(), ['default', 'second']);
  const rotated = (await v1.keys.update('second', { account_id })).keys;
  const value = (list) => list.find((key) => key.name === 'second').value;
  assert.notEqual(value(rotated), value(two));
  await refuses(
    v1.keys.update('third', { account_id }),
    Cloudflare.PermissionDeniedError,
    403,
    5453,
  );
  const one = (await v1.keys.delete('second', { account_id })).keys;
  assert.deepEqual(one.map((key) => key.name), ['default']);
  await refuses(v1.keys.delete('second', { account_id }), Cloudflare.NotFoundError, 404, 5404);
});

test('stats count the stored images', async () => {
  assert.equal((await v1.stats.get({ account_id })).count.current, 0);
  await upload();
  const { count } = await v1.stats.get({ account_id });
  assert.equal(count.current, 1);
  assert.ok(count.allowed > 1);
});

test('variants are made, listed, changed and removed', async () => {
  const options = { fit: 'cover', width: 20, height: 10, metadata: 'none' };
  const made = await v1.variants.create({
    account_id,
    id: 'hero',
    options,
    neverRequireSignedURLs: true,
  });
  assert.equal(made.variant.id, 'hero');
  assert.deepEqual(made.variant.options, options);
  assert.equal(made.variant.neverRequireSignedURLs, true);
  await refuses(
    v1.variants.create({ account_id, id: 'hero', options }),
    Cloudflare.ConflictError,
    409,
    5409,
  );
  const list = await v1.variants.list({ account_id });
  assert.deepEqual(Object.keys(list.variants).sort(), ['hero', 'public']);
  assert.deepEqual(list.variants.hero.options, options);

  const image = await upload({ file: await toFile(GLASS, 'glass.png') });
  const url = image.variants.find((variant) => variant.endsWith('/hero'));
  assert.ok(url, `${image.variants}`);
  const delivered = Buffer.from(await (await fetch(url)).arrayBuffer());
  assert.equal(delivered.readUInt32BE(16), 20, 'the width in the PNG header');
  assert.equal(delivered.readUInt32BE(20), 10, 'the height in the PNG header');

  const wide = { ...options, width: 30 };
  const edited = await v1.variants.edit('hero', { account_id, options: wide });
  assert.deepEqual(edited.variant.options, wide);
  assert.deepEqual((await v1.variants.get('hero', { account_id })).variant.options, wide);
  const widened = Buffer.from(await (await fetch(url)).arrayBuffer());
  assert.equal(widened.readUInt32BE(16), 30, 'a changed variant is rendered anew');

  await v1.variants.delete('hero', { account_id });
  await refuses(v1.variants.get('hero', { account_id }), Cloudflare.NotFoundError, 404, 5401);
  assert.equal((await fetch(url)).status, 403);
});

async function sendForm(url) {
  const form = new FormData();
  form.set('file', new File([RED], 'from-a-form.png'));
  const response = await fetch(url, { method: 'POST', body: form });
  return { status: response.status, body: await response.json() };
}

test('a direct upload with options takes one file, once', async () => {
  const draft = await v2.directUploads.create({
    account_id,
    id: 'people/ann 1.png',
    creator: 'ann',
    metadata: { role: 'portrait' },
    expiry: new Date(Date.now() + 10 * 60_000).toISOString(),
  });
  assert.equal(draft.id, 'people/ann 1.png');
  assert.ok(draft.uploadURL.endsWith('/people%2Fann%201.png'), draft.uploadURL);
  const pending = await v1.get(draft.id, { account_id });
  assert.equal(pending.draft, true);
  assert.deepEqual((await v2.list({ account_id })).images, []);

  const first = await sendForm(draft.uploadURL);
  assert.equal(first.status, 200, JSON.stringify(first.body));
  assert.equal(first.body.result.id, draft.id);
  assert.equal(first.body.result.meta, undefined, 'metadata is not for the uploader');
  const image = await v1.get(draft.id, { account_id });
  assert.equal(image.draft, undefined);
  assert.equal(image.creator, 'ann');
  assert.deepEqual(image.meta, { role: 'portrait' });
  assert.deepEqual(await bytesOf(draft.id), RED);

  const second = await sendForm(draft.uploadURL);
  assert.equal(second.status, 409);
  assert.equal(second.body.errors[0].code, 5409);
});

test('a direct upload without options is an empty form', async () => {
  const draft = await v2.directUploads.create({ account_id });
  assert.match(draft.id, /^[0-9a-f-]{36}$/);
  const sent = await sendForm(draft.uploadURL);
  assert.equal(sent.status, 200, JSON.stringify(sent.body));
  const unknown = await sendForm(draft.uploadURL.replace(draft.id, 'unknown'));
  assert.equal(unknown.status, 404);
  assert.equal(unknown.body.errors[0].code, 5404);
  await refuses(
    v2.directUploads.create({ account_id, expiry: '2001-01-01T00:00:00Z' }),
    Cloudflare.BadRequestError,
    400,
    5400,
  );
});

test('delivers WebP to whom it suits', async () => {
  const image = await upload();
  const webp = await fetch(image.variants[0], { headers: { accept: 'image/webp,*/*;q=0.8' } });
  assert.equal(webp.status, 200);
  assert.equal(webp.headers.get('content-type'), 'image/webp');
  assert.match(webp.headers.get('vary') ?? '', /accept/i);
  const bytes = Buffer.from(await webp.arrayBuffer());
  assert.equal(bytes.toString('latin1', 0, 4), 'RIFF');
  assert.equal(bytes.toString('latin1', 8, 12), 'WEBP');

  const jpeg = await fetch(image.variants[0], { headers: { accept: 'image/*' } });
  assert.equal(jpeg.headers.get('content-type'), 'image/jpeg', 'an opaque picture');
  await jpeg.arrayBuffer();
  const glass = await upload({ file: await toFile(GLASS, 'glass.png') });
  const png = await fetch(glass.variants[0], { headers: { accept: 'image/*' } });
  assert.equal(png.headers.get('content-type'), 'image/png', 'a translucent picture');
  await png.arrayBuffer();
});

test('a private image is shown to the bearer of a signature alone', async () => {
  const image = await upload({ requireSignedURLs: true });
  const { keys } = await v1.keys.list({ account_id });
  const url = new URL(image.variants[0]);
  assert.equal((await fetch(url)).status, 403);

  const signed = (expiry) => {
    const copy = new URL(url);
    copy.searchParams.set('exp', String(expiry));
    const text = `${copy.pathname}?${copy.searchParams}`;
    copy.searchParams.set('sig', createHmac('sha256', keys[0].value).update(text).digest('hex'));
    return copy;
  };
  const now = Math.floor(Date.now() / 1000);
  const shown = await fetch(signed(now + 600));
  assert.equal(shown.status, 200, await shown.text());
  assert.match(shown.headers.get('cache-control') ?? '', /private/);
  assert.equal((await fetch(signed(now - 600))).status, 403);
  const forged = signed(now + 600);
  forged.searchParams.set('exp', String(now + 900));
  assert.equal((await fetch(forged)).status, 403);
});

test('zones and their settings', async () => {
  const zones = [];
  for await (const zone of client.zones.list()) zones.push(zone);
  const zone = zones.find(({ name }) => name === '127.0.0.1');
  assert.ok(zone, JSON.stringify(zones));
  const zone_id = zone.id;
  assert.equal((await client.zones.get({ zone_id })).account.id, account_id);
  const origins = client.zones.transformationsAllowedOrigins;
  assert.equal((await origins.get({ zone_id })).value, '');
  const set = await origins.edit({ zone_id, value: 'example.com,cdn.example.com' });
  assert.equal(set.id, 'image_resizing_allowed_origins');
  assert.equal(set.value, 'example.com,cdn.example.com');
  assert.deepEqual(await origins.get({ zone_id }), set);
  const c2pa = await client.zones.transformationsC2pa.edit({ zone_id, value: 'on' });
  assert.equal(c2pa.value, 'on');
  assert.deepEqual(await client.zones.transformationsC2pa.get({ zone_id }), c2pa);
  await refuses(origins.edit({ zone_id, value: 'no host' }), Cloudflare.BadRequestError, 400, 5400);
});

test('a webhook learns how a direct upload ends', async () => {
  const messages = [];
  let wake = () => {};
  const receiver = createServer(async (request, response) => {
    let body = '';
    for await (const piece of request) body += piece;
    messages.push({ headers: request.headers, body: JSON.parse(body) });
    response.end('ok');
    wake();
  });
  await new Promise((listening) => receiver.listen(0, '127.0.0.1', listening));
  const url = `http://127.0.0.1:${receiver.address().port}/hook`;
  const { destinations, policies } = client.alerting;
  try {
    const { id } = await destinations.webhooks.create({ account_id, name: 'uploads', url, secret: 's3cret' });
    assert.equal(messages.length, 1);
    const hooks = [];
    for await (const hook of destinations.webhooks.list({ account_id })) hooks.push(hook);
    assert.deepEqual(hooks.map((hook) => [hook.id, hook.name, hook.url, hook.type, hook.secret]),
      [[id, 'uploads', url, 'generic', undefined]]);
    const policy = await policies.create({
      account_id, name: 'of users', enabled: true, alert_type: 'image_notification',
      mechanisms: { webhooks: [{ id }] },
    });
    const known = [];
    for await (const one of policies.list({ account_id })) known.push(one);
    assert.deepEqual(known.map((one) => one.id), [policy.id]);
    assert.deepEqual(known[0].mechanisms, { webhooks: [{ id }] });
    await policies.update(policy.id, { account_id, description: 'direct uploads' });
    assert.equal((await policies.get(policy.id, { account_id })).description, 'direct uploads');

    const upload = await v2.directUploads.create({ account_id, creator: 'mara' });
    const form = new FormData();
    form.set('file', new Blob([png(4, 4, [1, 2, 3])]), 'a.png');
    assert.equal((await fetch(upload.uploadURL, { method: 'POST', body: form })).status, 200);
    while (messages.length < 2) await new Promise((told) => { wake = told; });
    const { headers, body } = messages[1];
    assert.equal(headers['cf-webhook-auth'], 's3cret');
    assert.equal(body.policy_id, policy.id);
    const stored = await v1.get(upload.id, { account_id });
    assert.deepEqual(body.data, {
      account_tag: account_id, image_id: upload.id, status: 'uploaded', reason: null,
      uploaded: stored.uploaded, creator: 'mara',
    });

    await refuses(destinations.webhooks.delete(id, { account_id }), Cloudflare.ConflictError, 409, 5409);
    await policies.delete(policy.id, { account_id });
    await destinations.webhooks.delete(id, { account_id });
    await refuses(destinations.webhooks.get(id, { account_id }), Cloudflare.NotFoundError, 404, 5404);
  } finally {
    receiver.close();
  }
});
