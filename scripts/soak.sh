#!/usr/bin/env bash
# Serves for a while what good and hostile clients ask for, at once, and prints the memory and the
# descriptors of the server every half minute: docs/benchmarks.md has the figures.
#   CALOTYPE_SOAK_MINUTES    how long (30)
#   CALOTYPE_BENCH_PROGRAM   the built program, instead of building the release
#   CALOTYPE_BENCH_PICTURES  a folder of pictures (../shared/images)
#   CALOTYPE_CORPUS          a folder of hostile files (../shared/corpus)
# Needs wrk and curl.
set -euo pipefail
cd "$(dirname "$0")/.."

minutes=${CALOTYPE_SOAK_MINUTES:-30}
pictures=$(realpath "${CALOTYPE_BENCH_PICTURES:-../shared/images}")
corpus=$(realpath "${CALOTYPE_CORPUS:-../shared/corpus}")
program=${CALOTYPE_BENCH_PROGRAM:-}
if [[ -z $program ]]; then
    cargo build --release --locked >&2
    program=target/release/calotype
fi
unset "${!CALOTYPE_@}"
command -v wrk >/dev/null || scripts/install-packages.sh wrk curl >&2

folder=$(mktemp -d)
# shellcheck disable=SC2046
trap 'kill $(jobs -p) 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$folder"' EXIT
port=8641 account=0123456789abcdef0123456789abcdef hash=Vi7wi5KSItxGFsWRG2Us6Q
token=$(printf 't%.0s' {1..40})
api=http://127.0.0.1:$port/client/v4/accounts/$account/images/v1
"$program" serve --listen 127.0.0.1:$port --metrics-listen 127.0.0.1:$((port + 1)) --data-dir "$folder/data" \
    --account-id $account --account-hash $hash --api-token "$token" --cache-disk-bytes 200MB \
    --cache-memory-bytes 32MB --accept-more true --log warn >"$folder/out" 2>"$folder/log" &
server=$!
for _ in {1..100}; do
    curl -sf 127.0.0.1:$port/readyz >/dev/null && break
    sleep 0.1
done
call() { curl -s -o /dev/null -H "Authorization: Bearer $token" "$@"; }
call -X PATCH "$api/config" -d '{"flexible_variants":true}' -H 'Content-Type: application/json'
for name in photo_12mp_420.jpg photo_wine_1600.jpg alpha_800.png anim_photo_16f.gif photo_1200.webp; do
    call -F "file=@$pictures/$name" -F "id=${name%.*}" "$api"
done

# Deliveries: cached ones, new ones, refused ones, broken ones.
cat >"$folder/mix.lua" <<'LUA'
local ids = { "photo_12mp_420", "photo_wine_1600", "alpha_800", "anim_photo_16f", "photo_1200", "none", "..%2f", "%00" }
local options = { "public", "w=64", "w=320,format=auto", "none", "w=0", "w=99999", "blur=250,w=200", "rotate=90,w=300",
    "w=300,h=300,fit=cover,gravity=auto", "trim=border,w=200", "w=120,format=json", "draw=%5B%5D", "w=1e9", "=,=" }
local accepts = { "", "image/webp", "image/avif,image/webp", "*/*" }
local hash = "Vi7wi5KSItxGFsWRG2Us6Q"
function init() math.randomseed(os.time()) end
function request()
    local option = options[math.random(#options)]
    if math.random(10) == 1 then option = "w=" .. math.random(2000) .. ",q=" .. math.random(100) end
    local path = "/" .. hash .. "/" .. ids[math.random(#ids)] .. "/" .. option
    local headers = { Accept = accepts[math.random(#accepts)] }
    if math.random(20) == 1 then headers["Range"] = "bytes=" .. math.random(100) .. "-" end
    return wrk.format("GET", path, headers)
end
LUA
until_end() { while kill -0 $server 2>/dev/null; do "$@" || true; done; }
deliver() { wrk -t1 -c24 -d60s --timeout 60s -s "$folder/mix.lua" http://127.0.0.1:$port >>"$folder/wrk" 2>&1; }
# Clients which leave before they are answered.
leave() {
    curl -s -o /dev/null --max-time "0.0$((RANDOM % 9 + 1))" "127.0.0.1:$port/$hash/photo_12mp_420/w=$((RANDOM % 3000)),f=avif"
}
# Uploads of hostile files, and deletions of those which are accepted.
upload() {
    local file id=soak-$RANDOM$RANDOM
    file=$(find "$corpus" -type f -size -10M | shuf -n 1)
    call --max-time 60 -F "file=@$file" -F "id=$id" "$api"
    curl -s -o /dev/null --max-time 20 "127.0.0.1:$port/$hash/$id/w=100,format=auto"
    call -X DELETE "$api/$id"
}
# Files as they are, in the binding.
bind() {
    local file
    file=$(find "$corpus" -type f -size -5M | shuf -n 1)
    call --max-time 60 -F "image=@$file" "http://127.0.0.1:$port/info"
}
# Connections which say a little and nothing more.
stall() {
    exec 9<>"/dev/tcp/127.0.0.1/$port" && printf 'GET /livez HTTP/1.1\r\nHost' >&9
    sleep 1
    exec 9>&-
}
for client in deliver leave upload bind stall; do until_end $client & done 2>/dev/null

echo "| minute | resident, MB | descriptors | threads | requests | health, ms |"
echo "| ---: | ---: | ---: | ---: | ---: | ---: |"
for half in $(seq 0 $((minutes * 2))); do
    if ! kill -0 $server 2>/dev/null; then
        echo "the server has ended" >&2
        cat "$folder/log" >&2
        exit 1
    fi
    health=$(curl -s -o /dev/null -w '%{time_total}' 127.0.0.1:$port/livez)
    requests=$(curl -s 127.0.0.1:$((port + 1))/metrics |
        awk '/^calotype_requests_total/ { all += $2 } END { printf "%d", all }')
    awk -v half="$half" -v files="$(find /proc/$server/fd -mindepth 1 | wc -l)" -v requests="$requests" -v health="$health" '
        /^VmRSS/ { resident = $2 / 1024 } /^Threads/ { threads = $2 }
        END { printf "| %.1f | %d | %d | %d | %d | %.1f |\n", half / 2, resident, files, threads, requests, health * 1000 }
    ' /proc/$server/status
    sleep 30
done
echo
grep -E 'panicked|ERROR' "$folder/log" | head || true
echo "disk: $(du -sm "$folder/data/cache" | cut -f1) MB of renditions of 200 allowed"
