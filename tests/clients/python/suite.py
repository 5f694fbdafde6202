"""Every Images method of the official Python SDK, unmodified, against a running Calotype.

`tests/clients.rs` starts the server and this program. By hand:

    CLOUDFLARE_BASE_URL=http://127.0.0.1:8787/client/v4 CLOUDFLARE_API_TOKEN=… \
    CLOUDFLARE_ACCOUNT_ID=… .tools/python/bin/python tests/clients/python/suite.py

The account must be empty and the server must allow private sources.
"""

import asyncio
import hashlib
import hmac
import http.server
import io
import json
import os
import re
import struct
import threading
import time
import unittest
import zlib
from datetime import datetime, timedelta, timezone
from urllib.parse import urlsplit

import cloudflare
import httpx
from cloudflare import AsyncCloudflare, Cloudflare

ACCOUNT = os.environ["CLOUDFLARE_ACCOUNT_ID"]


def png(width, height, colour):
    """A PNG of one colour: red, green, blue and perhaps alpha."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 6 if len(colour) == 4 else 2, 0, 0, 0)
    rows = (b"\0" + bytes(colour) * width) * height
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


RED = png(40, 30, (200, 30, 30))
FILE = ("red.png", RED, "image/png")
# Stays a PNG when it is delivered to clients without WebP; an opaque one becomes a JPEG.
GLASS = ("glass.png", png(40, 30, (200, 30, 30, 100)), "image/png")


class Origin(http.server.BaseHTTPRequestHandler):
    """Where images uploaded by URL come from."""

    def do_GET(self):
        known = self.path == "/pictures/red%20one.png"
        self.send_response(200 if known else 404)
        body = RED if known else b"nothing here"
        self.send_header("Content-Type", "image/png" if known else "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204 if self.path == "/hook" else 404)
        self.end_headers()

    def log_message(self, *_):
        pass


class Images(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.sent = []
        note = httpx.Client(event_hooks={"request": [cls.sent.append]}, timeout=60)
        cls.client = Cloudflare(http_client=note)
        cls.v1 = cls.client.images.v1
        cls.v2 = cls.client.images.v2
        cls.origin = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Origin)
        threading.Thread(target=cls.origin.serve_forever, daemon=True).start()
        cls.origin_url = f"http://127.0.0.1:{cls.origin.server_address[1]}"

    @classmethod
    def tearDownClass(cls):
        cls.origin.shutdown()
        cls.origin.server_close()
        cls.client.close()

    def tearDown(self):
        """Leaves the account as empty as it was found."""
        for image in self.v2.list(account_id=ACCOUNT).images:
            self.v1.delete(image.id, account_id=ACCOUNT)

    def upload(self, file=FILE, **fields):
        return self.v1.create(account_id=ACCOUNT, file=file, **fields)

    def bytes_of(self, image_id):
        return self.v1.blobs.get(image_id, account_id=ACCOUNT).read()

    def refuses(self, kind, status, code, call, *args, **kwargs):
        """Expects an API error of this class, status and code."""
        with self.assertRaises(kind) as caught:
            call(*args, **kwargs)
        error = caught.exception
        self.assertEqual(error.status_code, status)
        self.assertEqual(error.body["errors"][0]["code"], code, error.body)

    def walk(self, **query):
        """The ids of the whole V2 list, page by page."""
        pages, token = [], None
        while True:
            more = {"continuation_token": token} if token else {}
            page = self.v2.list(account_id=ACCOUNT, **more, **query)
            pages.append([image.id for image in page.images])
            token = page.continuation_token
            if token is None:
                return pages
            self.assertLess(len(pages), 50, "the walk does not end")

    def find(self, **query):
        return sum(self.walk(sort_order="asc", **query), [])

    def test_uploads_bytes_tuples_and_open_files(self):
        image = self.upload()
        self.assertRegex(image.id, r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{10}00$")
        self.assertEqual(image.filename, "red.png")
        self.assertIs(image.require_signed_urls, False)
        self.assertIsNone(image.creator)
        self.assertIsInstance(image.uploaded, datetime)
        self.assertTrue(any(url.endswith(f"/{image.id}/public") for url in image.variants))
        self.assertEqual(self.bytes_of(image.id), RED)
        self.assertEqual(self.upload(file=RED).filename, "upload")
        self.assertEqual(self.bytes_of(self.upload(file=io.BytesIO(RED)).id), RED)

    def test_uploads_by_url(self):
        url = f"{self.origin_url}/pictures/red%20one.png"
        image = self.v1.create(account_id=ACCOUNT, url=url, id="by/url")
        self.assertEqual(image.filename, "red one.png")
        self.assertEqual(self.bytes_of("by/url"), RED)
        with self.assertRaises(cloudflare.APIStatusError) as caught:
            self.v1.create(account_id=ACCOUNT, url=f"{self.origin_url}/missing.png")
        self.assertIn(caught.exception.status_code, range(400, 500))

    def test_keeps_custom_ids(self):
        for image_id in [
            "plain",
            "dir/sub dir/ünï.png",
            "100%?#&+=;,:@a",
            "50%25",
            "it's (1)! $2 *&[x]",
            "日本/画像.png",
            "keys/mine",
            "ends/in/blob",
        ]:
            with self.subTest(image_id):
                created = self.upload(id=image_id)
                self.assertEqual(created.id, image_id)
                self.assertEqual(self.v1.get(image_id, account_id=ACCOUNT).id, image_id)
                self.assertEqual(self.bytes_of(image_id), RED)
                edited = self.v1.edit(image_id, account_id=ACCOUNT, metadata={"seen": True})
                self.assertEqual(edited.meta, {"seen": True})
                self.assertEqual(httpx.get(created.variants[0]).status_code, 200, created.variants)
                self.v1.delete(image_id, account_id=ACCOUNT)
                self.refuses(
                    cloudflare.NotFoundError, 404, 5404, self.v1.get, image_id, account_id=ACCOUNT
                )

    def test_takes_metadata_as_an_object_and_as_json_text(self):
        metadata = {
            "a": 1,
            "b": True,
            "text": "one two",
            "n": {"deep": [1, 2, {"k": "v"}]},
            "ключ": "значение",
        }
        self.assertEqual(self.upload(metadata=metadata).meta, metadata)
        exact = {"number": "007", "nothing": None, "list": []}
        self.assertEqual(self.upload(metadata=json.dumps(exact)).meta, exact)
        bad = {"metadata": json.dumps({"long": "x" * 1024})}
        self.refuses(cloudflare.BadRequestError, 400, 5400, self.upload, **bad)

    def test_lists_by_page(self):
        ids = []
        for _ in range(5):
            ids.insert(0, self.upload(creator="few" if len(ids) < 2 else "").id)
        before = len(self.sent)
        seen = []
        for page in self.v1.list(account_id=ACCOUNT, per_page=2):
            seen.append([image.id for image in page.images])
        self.assertEqual(seen, [ids[0:2], ids[2:4], ids[4:5]])
        self.assertGreaterEqual(len(self.sent) - before, 3)
        page = self.v1.list(account_id=ACCOUNT, page=3, per_page=2)
        self.assertEqual([image["id"] for image in page.result.images], ids[4:])
        few = self.v1.list(account_id=ACCOUNT, creator="few")
        self.assertEqual([image["id"] for image in few.result.images], ids[3:])

    def test_lists_by_continuation_token(self):
        ids = [self.upload().id for _ in range(5)]
        self.assertEqual(sum(self.walk(per_page=2, sort_order="asc"), []), ids)
        pages = [page for page in self.walk(per_page=2) if page]
        self.assertEqual(pages, [[ids[4], ids[3]], [ids[2], ids[1]], [ids[0]]])
        wrong = {"account_id": ACCOUNT, "continuation_token": "garbage"}
        self.refuses(cloudflare.BadRequestError, 400, 5400, self.v2.list, **wrong)

    def test_filters_by_creator_and_metadata(self):
        a = self.upload(creator="ann", metadata=json.dumps({"status": "a", "n": 1})).id
        b = self.upload(creator="ann", metadata=json.dumps({"status": "b", "n": 5, "on": True})).id
        c = self.upload(metadata=json.dumps({"status": "c d", "n": 9})).id
        self.assertEqual(self.find(creator="ann"), [a, b])
        # This SDK drops an empty text, so it cannot ask for images without a creator.
        self.assertEqual(self.find(creator=""), [a, b, c])
        self.assertEqual(self.find(meta={"status[eq:string]": "a"}), [a])
        self.assertEqual(self.find(meta={"status[in]": "a|c d"}), [a, c])
        self.assertEqual(self.find(meta={"n[gte:number]": "5", "n[lt]": "9"}), [b])
        self.assertEqual(self.find(meta={"on[eq:boolean]": "true"}), [b])
        wrong = {"account_id": ACCOUNT, "meta": {"n[near]": "1"}}
        self.refuses(cloudflare.BadRequestError, 400, 5400, self.v2.list, **wrong)

    def test_edits(self):
        image = self.upload(metadata=json.dumps({"old": 1, "kept": 2}), creator="ann")
        edited = self.v1.edit(image.id, account_id=ACCOUNT, metadata={"kept": 3})
        self.assertEqual((edited.id, edited.meta, edited.creator), (image.id, {"kept": 3}, "ann"))
        cleared = self.v1.edit(image.id, account_id=ACCOUNT, creator="")
        self.assertIsNone(cleared.creator)
        closed = self.v1.edit(image.id, account_id=ACCOUNT, require_signed_urls=True)
        self.assertNotEqual(closed.id, image.id)
        self.assertIs(closed.require_signed_urls, True)
        self.refuses(cloudflare.NotFoundError, 404, 5404, self.v1.get, image.id, account_id=ACCOUNT)
        opened = self.v1.edit(closed.id, account_id=ACCOUNT, require_signed_urls=False)
        self.assertEqual(opened.id, image.id)

    def test_a_custom_id_cannot_be_private(self):
        private = {"id": "private/one", "require_signed_urls": True}
        self.refuses(cloudflare.BadRequestError, 400, 5400, self.upload, **private)
        self.upload(id="public/one")
        edit = {"account_id": ACCOUNT, "require_signed_urls": True}
        self.refuses(cloudflare.BadRequestError, 400, 5400, self.v1.edit, "public/one", **edit)

    def test_a_taken_id_is_a_conflict_told_once(self):
        self.upload(id="taken")
        before = len(self.sent)
        self.refuses(cloudflare.ConflictError, 409, 5409, self.upload, id="taken")
        self.assertEqual(len(self.sent) - before, 1, "the client was made to retry")

    def test_refuses(self):
        with Cloudflare(api_token="wrong") as stranger:
            stats = stranger.images.v1.stats.get
            self.refuses(cloudflare.AuthenticationError, 401, 10000, stats, account_id=ACCOUNT)
        for call in [self.v1.get, self.v1.edit, self.v1.delete, self.v1.blobs.get]:
            missing = {"image_id": "no/such/image", "account_id": ACCOUNT}
            self.refuses(cloudflare.NotFoundError, 404, 5404, call, **missing)
        self.refuses(cloudflare.APIStatusError, 415, 5455, self.upload, file=b"not a picture")
        self.refuses(cloudflare.BadRequestError, 400, 5400, self.v1.create, account_id=ACCOUNT)

    def test_a_file_over_the_limit_is_told_so(self):
        before = len(self.sent)
        big = os.urandom(12 * 1024 * 1024)
        self.refuses(cloudflare.APIStatusError, 413, 5413, self.upload, file=big)
        self.assertEqual(len(self.sent) - before, 1)

    def test_signing_keys(self):
        keys = self.v1.keys
        self.assertEqual([key.name for key in keys.list(account_id=ACCOUNT).keys], ["default"])
        two = keys.update("second", account_id=ACCOUNT).keys
        self.assertEqual(sorted(key.name for key in two), ["default", "second"])
        third = {"signing_key_name": "third", "account_id": ACCOUNT}
        self.refuses(cloudflare.PermissionDeniedError, 403, 5453, keys.update, **third)
        one = keys.delete("second", account_id=ACCOUNT).keys
        self.assertEqual([key.name for key in one], ["default"])

    def test_stats(self):
        self.assertEqual(self.v1.stats.get(account_id=ACCOUNT).count.current, 0)
        self.upload()
        self.assertEqual(self.v1.stats.get(account_id=ACCOUNT).count.current, 1)

    def test_variants(self):
        variants = self.v1.variants
        options = {"fit": "cover", "width": 20, "height": 10, "metadata": "none"}
        made = variants.create(
            account_id=ACCOUNT, id="hero", options=options, never_require_signed_urls=True
        ).variant
        self.assertEqual(made.id, "hero")
        self.assertIs(made.never_require_signed_urls, True)
        self.assertEqual(made.options.to_dict(), options)
        listed = variants.list(account_id=ACCOUNT).variants
        self.assertEqual(listed.hero.options.width, 20)
        self.assertIn("public", listed.model_extra)
        url = next(url for url in self.upload(GLASS).variants if url.endswith("/hero"))
        self.assertEqual(struct.unpack(">II", httpx.get(url).content[16:24]), (20, 10))
        wide = {**options, "width": 30}
        edited = variants.edit("hero", account_id=ACCOUNT, options=wide)
        self.assertEqual(edited.variant.options.to_dict(), wide)
        got = variants.get("hero", account_id=ACCOUNT)
        self.assertEqual(got.variant.options.width, 30)
        variants.delete("hero", account_id=ACCOUNT)
        self.refuses(cloudflare.NotFoundError, 404, 5401, variants.get, "hero", account_id=ACCOUNT)

    def test_direct_upload_with_options(self):
        draft = self.v2.direct_uploads.create(
            account_id=ACCOUNT,
            id="people/ann 1.png",
            creator="ann",
            metadata={"role": "portrait"},
            expiry=datetime.now(timezone.utc) + timedelta(minutes=10),
        )
        self.assertTrue(draft.upload_url.endswith("/people%2Fann%201.png"), draft.upload_url)
        self.assertIs(self.v1.get(draft.id, account_id=ACCOUNT).model_extra.get("draft"), True)
        self.assertEqual(self.v2.list(account_id=ACCOUNT).images, [])
        sent = httpx.post(draft.upload_url, files={"file": FILE})
        self.assertEqual(sent.status_code, 200, sent.text)
        self.assertEqual(sent.json()["result"]["id"], draft.id)
        image = self.v1.get(draft.id, account_id=ACCOUNT)
        self.assertNotIn("draft", image.model_extra)
        self.assertEqual((image.creator, image.meta), ("ann", {"role": "portrait"}))
        again = httpx.post(draft.upload_url, files={"file": FILE})
        self.assertEqual(again.status_code, 409, again.text)

    def test_direct_upload_without_options(self):
        draft = self.v2.direct_uploads.create(account_id=ACCOUNT)
        self.assertRegex(draft.id, r"^[0-9a-f-]{36}$")
        self.assertEqual(httpx.post(draft.upload_url, files={"file": FILE}).status_code, 200)

    def test_delivery(self):
        url = self.upload().variants[0]
        webp = httpx.get(url, headers={"Accept": "image/webp,*/*;q=0.8"})
        self.assertEqual(webp.headers["content-type"], "image/webp")
        self.assertTrue(re.match(rb"RIFF....WEBP", webp.content, re.DOTALL))

    def test_signed_delivery(self):
        url = self.upload(require_signed_urls=True).variants[0]
        key = self.v1.keys.list(account_id=ACCOUNT).keys[0].value
        self.assertEqual(httpx.get(url).status_code, 403)
        text = f"{urlsplit(url).path}?exp={int(time.time()) + 600}"
        signature = hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()
        base = url.removesuffix(urlsplit(url).path)
        shown = httpx.get(f"{base}{text}&sig={signature}")
        self.assertEqual(shown.status_code, 200, shown.text[:200] if shown.is_error else "")
        self.assertEqual(httpx.get(f"{base}{text}1&sig={signature}").status_code, 403)

    def test_zones(self):
        zones = [zone for zone in self.client.zones.list(name="127.0.0.1")]
        self.assertEqual([zone.name for zone in zones], ["127.0.0.1"])
        zone = zones[0].id
        origins = self.client.zones.transformations_allowed_origins
        self.assertEqual(origins.edit(zone_id=zone, value="*").value, "*")
        self.assertEqual(origins.get(zone_id=zone).value, "*")
        c2pa = self.client.zones.transformations_c2pa
        self.assertEqual(c2pa.edit(zone_id=zone, value="on").value, "on")
        self.assertEqual(c2pa.get(zone_id=zone).value, "on")

    def test_webhooks_and_policies(self):
        alerting = self.client.alerting
        hooks, policies = alerting.destinations.webhooks, alerting.policies
        url = f"{self.origin_url}/hook"
        hook = hooks.create(account_id=ACCOUNT, name="uploads", url=url, secret="s3cret").id
        listed = list(hooks.list(account_id=ACCOUNT))
        self.assertEqual([(known.id, known.type) for known in listed], [(hook, "generic")])
        self.assertLess(listed[0].created_at, datetime.now(timezone.utc) + timedelta(minutes=1))
        hooks.update(hook, account_id=ACCOUNT, name="renamed", url=url)
        self.assertEqual(hooks.get(hook, account_id=ACCOUNT).name, "renamed")
        policy = policies.create(
            account_id=ACCOUNT,
            name="of users",
            enabled=True,
            alert_type="image_notification",
            mechanisms={"webhooks": [{"id": hook}]},
        ).id
        policies.update(policy, account_id=ACCOUNT, enabled=False)
        shown = policies.get(policy, account_id=ACCOUNT)
        self.assertEqual((shown.name, shown.enabled), ("of users", False))
        self.assertEqual([told.id for told in shown.mechanisms.webhooks], [hook])
        self.assertEqual([known.id for known in policies.list(account_id=ACCOUNT)], [policy])
        refused = cloudflare.ConflictError
        self.refuses(refused, 409, 5409, hooks.delete, hook, account_id=ACCOUNT)
        policies.delete(policy, account_id=ACCOUNT)
        hooks.delete(hook, account_id=ACCOUNT)
        refused = cloudflare.NotFoundError
        self.refuses(refused, 404, 5404, policies.get, policy, account_id=ACCOUNT)

    def test_the_async_client(self):
        async def round_trip():
            async with AsyncCloudflare() as client:
                v1 = client.images.v1
                image = await v1.create(account_id=ACCOUNT, file=FILE, id="async/one")
                blob = await v1.blobs.get(image.id, account_id=ACCOUNT)
                self.assertEqual(await blob.read(), RED)
                pages = [page async for page in v1.list(account_id=ACCOUNT)]
                self.assertEqual([image.id for image in pages[0].images], ["async/one"])
                await v1.delete(image.id, account_id=ACCOUNT)

        asyncio.run(round_trip())


if __name__ == "__main__":
    unittest.main(verbosity=2)
