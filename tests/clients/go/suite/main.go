// The Images methods of the official Go SDK, unmodified, against a running Calotype.
//
// tests/clients.rs starts the server and this program. By hand:
//
//	CLOUDFLARE_BASE_URL=http://127.0.0.1:8787/client/v4 CLOUDFLARE_API_TOKEN=… \
//	CLOUDFLARE_ACCOUNT_ID=… go run ./suite
//
// The account must be empty and the server must allow private sources.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/cloudflare/cloudflare-go/v6"
	"github.com/cloudflare/cloudflare-go/v6/alerting"
	"github.com/cloudflare/cloudflare-go/v6/images"
	"github.com/cloudflare/cloudflare-go/v6/option"
)

var (
	ctx     = context.Background()
	account = cloudflare.F(os.Getenv("CLOUDFLARE_ACCOUNT_ID"))
	sent    int
	client  = cloudflare.NewClient(option.WithMiddleware(count))
	v1      = client.Images.V1
	v2      = client.Images.V2
	red     = redPNG()
)

// count notes every request, so that silent retries show.
func count(request *http.Request, next option.MiddlewareNext) (*http.Response, error) {
	sent++
	return next(request)
}

func main() {
	failed := 0
	for _, test := range []struct {
		name string
		run  func()
	}{
		{"uploads a reader", uploadsAReader},
		{"uploads by URL", uploadsByURL},
		{"keeps custom ids with raw slashes", keepsCustomIDs},
		{"takes metadata as an object and as JSON text", takesMetadata},
		{"pages by itself through three pages", pages},
		{"walks by continuation token", walks},
		{"edits", edits},
		{"tells errors once", tellsErrors},
		{"makes and removes signing keys", signingKeys},
		{"counts in the statistics", statistics},
		{"makes, changes and removes variants", variants},
		{"uploads directly", uploadsDirectly},
		{"tells webhooks", tellsWebhooks},
	} {
		if problem := attempt(test.run); problem != nil {
			failed++
			fmt.Printf("FAILED %s: %v\n", test.name, problem)
		} else {
			fmt.Printf("ok     %s\n", test.name)
		}
	}
	if failed > 0 {
		os.Exit(1)
	}
}

// attempt runs one test and leaves the account as empty as it was found.
func attempt(test func()) (problem any) {
	defer func() { problem = recover() }()
	defer deleteAll()
	test()
	return nil
}

// ok is the value of a call which must succeed.
func ok[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func same(got, want any) {
	if !reflect.DeepEqual(got, want) {
		panic(fmt.Sprintf("got %#v, want %#v", got, want))
	}
}

func check(holds bool, words string, arguments ...any) {
	if !holds {
		panic(fmt.Sprintf(words, arguments...))
	}
}

// refused expects an API error of this status and code.
func refused(err error, status int, code int64) {
	var problem *cloudflare.Error
	check(errors.As(err, &problem), "no API error but %v", err)
	same(problem.StatusCode, status)
	check(len(problem.Errors) > 0, "no errors in %v", problem)
	same(problem.Errors[0].Code, code)
}

func redPNG() []byte {
	picture := image.NewRGBA(image.Rect(0, 0, 40, 30))
	for i := 0; i < 40*30; i++ {
		picture.Set(i%40, i/40, color.RGBA{200, 30, 30, 255})
	}
	var out bytes.Buffer
	if err := png.Encode(&out, picture); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func upload(change func(*images.V1NewParams)) (*images.Image, error) {
	params := images.V1NewParams{
		AccountID: account,
		File:      cloudflare.F[io.Reader](bytes.NewReader(red)),
	}
	if change != nil {
		change(&params)
	}
	return v1.New(ctx, params)
}

func deleteAll() {
	page := ok(v2.List(ctx, images.V2ListParams{AccountID: account}))
	for _, stored := range page.Images {
		ok(v1.Delete(ctx, stored.ID, images.V1DeleteParams{AccountID: account}))
	}
}

func blob(id string) []byte {
	response := ok(v1.Blobs.Get(ctx, id, images.V1BlobGetParams{AccountID: account}))
	defer response.Body.Close()
	return ok(io.ReadAll(response.Body))
}

func get(id string) (*images.Image, error) {
	return v1.Get(ctx, id, images.V1GetParams{AccountID: account})
}

func uploadsAReader() {
	stored := ok(upload(nil))
	same(len(stored.ID), 36)
	same(stored.Filename, "anonymous_file")
	same(stored.RequireSignedURLs, false)
	same(stored.Creator, "")
	check(time.Since(stored.Uploaded).Abs() < time.Hour, "uploaded %v", stored.Uploaded)
	check(len(stored.Variants) > 0, "no variants")
	same(blob(stored.ID), red)
	named := ok(upload(func(params *images.V1NewParams) {
		params.File = cloudflare.F[io.Reader](namedReader{bytes.NewReader(red)})
		params.Creator = cloudflare.F("ann")
	}))
	same(named.Filename, `a "b".png`)
	same(named.Creator, "ann")
	same(ok(get(named.ID)).ID, named.ID)
}

// namedReader tells the SDK its file name and its content type.
type namedReader struct{ io.Reader }

func (namedReader) Filename() string    { return `a "b".png` }
func (namedReader) ContentType() string { return "image/png" }

func uploadsByURL() {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/pictures/red.png" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "image/png")
		w.Write(red)
	}))
	defer origin.Close()
	stored := ok(v1.New(ctx, images.V1NewParams{
		AccountID: account,
		URL:       cloudflare.F(origin.URL + "/pictures/red.png"),
	}))
	same(stored.Filename, "red.png")
	same(blob(stored.ID), red)
	_, err := v1.New(ctx, images.V1NewParams{
		AccountID: account,
		URL:       cloudflare.F(origin.URL + "/missing.png"),
	})
	var problem *cloudflare.Error
	check(errors.As(err, &problem) && problem.StatusCode/100 == 4, "%v", err)
}

func keepsCustomIDs() {
	for _, id := range []string{"plain", "a/b/c.png", "dir/sub dir/ünï.png", "日本/画像.png"} {
		stored := ok(upload(func(params *images.V1NewParams) { params.ID = cloudflare.F(id) }))
		same(stored.ID, id)
		same(ok(get(id)).ID, id)
		same(blob(id), red)
		edited := ok(v1.Edit(ctx, id, images.V1EditParams{
			AccountID: account,
			Metadata:  cloudflare.F[any](map[string]any{"seen": true}),
		}))
		same(edited.Meta, any(map[string]any{"seen": true}))
		ok(v1.Delete(ctx, id, images.V1DeleteParams{AccountID: account}))
		_, err := get(id)
		refused(err, 404, 5404)
	}
}

func takesMetadata() {
	object := map[string]any{
		"a":    1,
		"b":    true,
		"n":    map[string]any{"deep": []any{1, 2, map[string]any{"k": "v"}}},
		"text": "one two",
		"ключ": "значение",
	}
	stored := ok(upload(func(params *images.V1NewParams) { params.Metadata = cloudflare.F[any](object) }))
	same(ok(json.Marshal(stored.Meta)), ok(json.Marshal(object)))
	stored = ok(upload(func(params *images.V1NewParams) {
		params.Metadata = cloudflare.F[any](`{"number":"007"}`)
	}))
	same(stored.Meta, any(map[string]any{"number": "007"}))
}

func pages() {
	var ids []string
	for range 5 {
		ids = append(ids, ok(upload(nil)).ID)
	}
	slices.Reverse(ids)
	var seen []string
	before, pages := sent, 0
	pager := v1.ListAutoPaging(ctx, images.V1ListParams{
		AccountID: account,
		PerPage:   cloudflare.F(2.0),
	})
	for pager.Next() {
		pages++
		for _, stored := range pager.Current().Images {
			seen = append(seen, stored.ID)
		}
		check(pages < 50, "the pager does not end")
	}
	check(pager.Err() == nil, "%v", pager.Err())
	same(pages, 3)
	same(seen, ids)
	check(sent-before >= 3, "%d requests", sent-before)
	page := ok(v1.List(ctx, images.V1ListParams{AccountID: account}))
	raw := page.Result.JSON.ExtraFields["images"].Raw()
	check(strings.Contains(raw, ids[4]), "no result.images in %s", page.JSON.RawJSON())
}

func walks() {
	var ids []string
	for range 5 {
		ids = append(ids, ok(upload(nil)).ID)
	}
	var seen []string
	params := images.V2ListParams{
		AccountID: account,
		PerPage:   cloudflare.F(2.0),
		SortOrder: cloudflare.F(images.V2ListParamsSortOrderAsc),
	}
	for range 50 {
		page := ok(v2.List(ctx, params))
		for _, stored := range page.Images {
			seen = append(seen, stored.ID)
		}
		if page.ContinuationToken == "" {
			break
		}
		params.ContinuationToken = cloudflare.F(page.ContinuationToken)
	}
	same(seen, ids)
	ok(upload(func(params *images.V1NewParams) { params.Creator = cloudflare.F("ann") }))
	unset := ok(v2.List(ctx, images.V2ListParams{AccountID: account, Creator: cloudflare.F("")}))
	same(len(unset.Images), 5)
	ann := ok(v2.List(ctx, images.V2ListParams{AccountID: account, Creator: cloudflare.F("ann")}))
	same(len(ann.Images), 1)
}

func edits() {
	open := ok(upload(func(params *images.V1NewParams) { params.Creator = cloudflare.F("ann") }))
	edit := func(id string, change func(*images.V1EditParams)) *images.Image {
		params := images.V1EditParams{AccountID: account}
		change(&params)
		return ok(v1.Edit(ctx, id, params))
	}
	cleared := edit(open.ID, func(p *images.V1EditParams) { p.Creator = cloudflare.F("") })
	same(cleared.Creator, "")
	closed := edit(open.ID, func(p *images.V1EditParams) { p.RequireSignedURLs = cloudflare.F(true) })
	check(closed.ID != open.ID && closed.RequireSignedURLs, "%+v", closed)
	_, err := get(open.ID)
	refused(err, 404, 5404)
	opened := edit(closed.ID, func(p *images.V1EditParams) { p.RequireSignedURLs = cloudflare.F(false) })
	same(opened.ID, open.ID)
}

func tellsErrors() {
	once := func(status int, code int64, call func() error) {
		before := sent
		refused(call(), status, code)
		same(sent-before, 1)
	}
	taken := func(params *images.V1NewParams) { params.ID = cloudflare.F("taken") }
	ok(upload(taken))
	once(409, 5409, func() error { _, err := upload(taken); return err })
	once(404, 5404, func() error { _, err := get("no/such/image"); return err })
	once(415, 5455, func() error {
		_, err := upload(func(params *images.V1NewParams) {
			params.File = cloudflare.F[io.Reader](strings.NewReader("not a picture"))
		})
		return err
	})
	once(413, 5413, func() error {
		_, err := upload(func(params *images.V1NewParams) {
			params.File = cloudflare.F[io.Reader](bytes.NewReader(make([]byte, 12<<20)))
		})
		return err
	})
	once(401, 10000, func() error {
		_, err := v1.Stats.Get(ctx, images.V1StatGetParams{AccountID: account}, option.WithAPIToken("wrong"))
		return err
	})
}

func names(keys []images.Key) []string {
	var out []string
	for _, key := range keys {
		out = append(out, key.Name)
	}
	slices.Sort(out)
	return out
}

func signingKeys() {
	listed := ok(v1.Keys.List(ctx, images.V1KeyListParams{AccountID: account}))
	same(names(listed.Keys), []string{"default"})
	updated := ok(v1.Keys.Update(ctx, "second", images.V1KeyUpdateParams{AccountID: account}))
	same(names(updated.Keys), []string{"default", "second"})
	deleted := ok(v1.Keys.Delete(ctx, "second", images.V1KeyDeleteParams{AccountID: account}))
	same(names(deleted.Keys), []string{"default"})
}

func statistics() {
	ok(upload(nil))
	stats := ok(v1.Stats.Get(ctx, images.V1StatGetParams{AccountID: account}))
	same(stats.Count.Current, 1.0)
	check(stats.Count.Allowed > 1, "%v allowed", stats.Count.Allowed)
}

func variants() {
	made := ok(v1.Variants.New(ctx, images.V1VariantNewParams{
		AccountID: account,
		ID:        cloudflare.F("hero"),
		Options: cloudflare.F(images.V1VariantNewParamsOptions{
			Fit:      cloudflare.F(images.V1VariantNewParamsOptionsFitCover),
			Height:   cloudflare.F(10.0),
			Width:    cloudflare.F(20.0),
			Metadata: cloudflare.F(images.V1VariantNewParamsOptionsMetadataNone),
		}),
		NeverRequireSignedURLs: cloudflare.F(true),
	}))
	same(made.Variant.ID, "hero")
	same(made.Variant.Options.Width, 20.0)
	same(made.Variant.NeverRequireSignedURLs, true)
	listed := ok(v1.Variants.List(ctx, images.V1VariantListParams{AccountID: account}))
	same(listed.Variants.Hero.Options.Height, 10.0)
	edited := ok(v1.Variants.Edit(ctx, "hero", images.V1VariantEditParams{
		AccountID: account,
		Options: cloudflare.F(images.V1VariantEditParamsOptions{
			Fit:      cloudflare.F(images.V1VariantEditParamsOptionsFitPad),
			Height:   cloudflare.F(10.0),
			Width:    cloudflare.F(30.0),
			Metadata: cloudflare.F(images.V1VariantEditParamsOptionsMetadataKeep),
		}),
	}))
	same(edited.Variant.Options.Width, 30.0)
	got := ok(v1.Variants.Get(ctx, "hero", images.V1VariantGetParams{AccountID: account}))
	same(string(got.Variant.Options.Fit), "pad")
	ok(v1.Variants.Delete(ctx, "hero", images.V1VariantDeleteParams{AccountID: account}))
	_, err := v1.Variants.Get(ctx, "hero", images.V1VariantGetParams{AccountID: account})
	refused(err, 404, 5401)
}

// sendForm uploads as a browser would, without credentials.
func sendForm(url string) int {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	ok(ok(form.CreateFormFile("file", "from-a-form.png")).Write(red))
	form.Close()
	response := ok(http.Post(url, form.FormDataContentType(), &body))
	response.Body.Close()
	return response.StatusCode
}

func uploadsDirectly() {
	draft := ok(v2.DirectUploads.New(ctx, images.V2DirectUploadNewParams{
		AccountID: account,
		ID:        cloudflare.F("people/ann 1.png"),
		Creator:   cloudflare.F("ann"),
		Metadata:  cloudflare.F[any](map[string]any{"role": "portrait"}),
		Expiry:    cloudflare.F(time.Now().Add(10 * time.Minute)),
	}))
	same(draft.ID, "people/ann 1.png")
	pending := ok(get(draft.ID))
	same(pending.JSON.ExtraFields["draft"].Raw(), "true")
	same(sendForm(draft.UploadURL), 200)
	same(blob(draft.ID), red)
	same(ok(get(draft.ID)).Creator, "ann")
	same(sendForm(draft.UploadURL), 409)
	plain := ok(v2.DirectUploads.New(ctx, images.V2DirectUploadNewParams{AccountID: account}))
	same(sendForm(plain.UploadURL), 200)
}

func tellsWebhooks() {
	heard := make(chan map[string]any, 4)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		var message map[string]any
		if json.NewDecoder(request.Body).Decode(&message) == nil {
			heard <- message
		}
	}))
	defer receiver.Close()
	hooks, policies := client.Alerting.Destinations.Webhooks, client.Alerting.Policies
	hook := ok(hooks.New(ctx, alerting.DestinationWebhookNewParams{
		AccountID: account, Name: cloudflare.F("uploads"), URL: cloudflare.F(receiver.URL),
	}))
	check((<-heard)["text"] != nil, "the message of trial")
	told := []alerting.MechanismWebhookParam{{ID: cloudflare.F(hook.ID)}}
	policy := ok(policies.New(ctx, alerting.PolicyNewParams{
		AccountID:  account,
		Name:       cloudflare.F("of users"),
		Enabled:    cloudflare.F(true),
		AlertType:  cloudflare.F(alerting.PolicyNewParamsAlertTypeImageNotification),
		Mechanisms: cloudflare.F(alerting.MechanismParam{Webhooks: cloudflare.F(told)}),
	}))
	known := ok(policies.List(ctx, alerting.PolicyListParams{AccountID: account}))
	same(len(known.Result), 1)
	same(known.Result[0].Mechanisms.Webhooks[0].ID, hook.ID)

	draft := ok(v2.DirectUploads.New(ctx, images.V2DirectUploadNewParams{AccountID: account}))
	same(sendForm(draft.UploadURL), 200)
	message := <-heard
	same(message["policy_id"], policy.ID)
	same(message["data"].(map[string]any)["image_id"], draft.ID)

	_, err := hooks.Delete(ctx, hook.ID, alerting.DestinationWebhookDeleteParams{AccountID: account})
	refused(err, 409, 5409)
	ok(policies.Delete(ctx, policy.ID, alerting.PolicyDeleteParams{AccountID: account}))
	ok(hooks.Delete(ctx, hook.ID, alerting.DestinationWebhookDeleteParams{AccountID: account}))
	_, err = hooks.Get(ctx, hook.ID, alerting.DestinationWebhookGetParams{AccountID: account})
	refused(err, 404, 5404)
}
