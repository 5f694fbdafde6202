#!/usr/bin/env bash
# Measures cached deliveries beside nginx with the same files, and cache misses beside other image
# servers, all on this machine and in turns. Needs wrk and nginx, and the peers which are to be
# compared; those which are missing are left out.
#   CALOTYPE_BENCH_PROGRAM   the built program, instead of building the release
#   CALOTYPE_BENCH_PICTURES  a folder of pictures (../shared/images)
#   CALOTYPE_BENCH_PEERS     a folder with peers: node_modules/ipx, thumbor/bin, bin/oximg (.tools/peers)
#   CALOTYPE_BENCH_ROUNDS    turns (5)
#   CALOTYPE_BENCH_SECONDS   of each turn (3)
#   CALOTYPE_BENCH_KEEP      a folder to keep the pictures of the peers in, to be scored
# The argument `hits`, `misses`, `overload` or `widths` measures these alone.
set -euo pipefail
cd "$(dirname "$0")/.."

pictures=${CALOTYPE_BENCH_PICTURES:-../shared/images}
peers=$(realpath -m "${CALOTYPE_BENCH_PEERS:-.tools/peers}")
rounds=${CALOTYPE_BENCH_ROUNDS:-5}
seconds=${CALOTYPE_BENCH_SECONDS:-3}
keep=${CALOTYPE_BENCH_KEEP:-}
what=${1:-all}
if [[ ! -d $pictures ]]; then
    echo "no pictures in $pictures: deliveries are not measured" >&2
    exit 0
fi
for tool in wrk nginx curl; do
    command -v "$tool" >/dev/null || PATH=$PATH:/usr/sbin
    command -v "$tool" >/dev/null || scripts/install-packages.sh wrk nginx-light curl >&2
done
program=${CALOTYPE_BENCH_PROGRAM:-}
if [[ -z $program ]]; then
    cargo build --release --locked >&2
    program=target/release/calotype
fi
program=$(realpath "$program")
# The program knows no variables but its settings.
unset "${!CALOTYPE_@}"

folder=$(mktemp -d)
# The workers of nginx are somebody else.
chmod 755 "$folder"
declare -A pids=()
end() {
    for pid in "${pids[@]}"; do pkill -P "$pid" || true; kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$folder"
}
trap end EXIT

token=$(printf 't%.0s' {1..40})
account=0123456789abcdef0123456789abcdef
hash=Vi7wi5KSItxGFsWRG2Us6Q

# answers URL: waits until it does, for half a minute.
answers() {
    for _ in {1..150}; do
        curl -sf "$1" -o "${2:-/dev/null}" && return
        sleep 0.2
    done
    echo "$1 does not answer" >&2
    tail -n 3 "$folder"/*.log >&2
    exit 1
}

# serve NAME PORT [FLAG...]: a server of ours with one picture, photo.
serve() {
    local name=$1 port=$2
    shift 2
    "$program" serve --listen "127.0.0.1:$port" --data-dir "$folder/$name" --account-id $account \
        --account-hash $hash --api-token "$token" "$@" >"$folder/$name.out" 2>"$folder/$name.log" &
    pids[$name]=$!
    answers "http://127.0.0.1:$port/readyz"
    local api=http://127.0.0.1:$port/client/v4/accounts/$account/images/v1
    curl -sf -H "Authorization: Bearer $token" -X PATCH "$api/config" \
        -d '{"flexible_variants":true}' -H 'Content-Type: application/json' >/dev/null
    curl -sf -H "Authorization: Bearer $token" -F "file=@$pictures/photo_12mp_420.jpg" -F id=large "$api" >/dev/null
    curl -sf -H "Authorization: Bearer $token" -F "file=@$folder/photo.jpg" -F id=photo "$api" >/dev/null
}

stop() {
    local name
    for name; do
        pkill -P "${pids[$name]}" || true
        kill "${pids[$name]}"
        wait "${pids[$name]}" 2>/dev/null || true
        unset "pids[$name]"
    done
}

# A JPEG of 2,000 pixels, as a camera or a person would upload it.
"$program" transform "$pictures/photo_12mp_420.jpg" "$folder/photo.jpg" w=2000,q=90,f=jpeg >/dev/null

# ticks PID: CPU of a process and its children, in hundredths of a second.
ticks() {
    local pid=$1 all=0 process
    for process in "$pid" $(pgrep -P "$pid"); do
        read -r -a stat < <(sed 's/.*) //' "/proc/$process/stat")
        all=$((all + stat[11] + stat[12]))
    done
    echo $all
}

median() { sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }

# hit NAME URL CLIENTS: microseconds of CPU for a request, and milliseconds within which 99 % were.
hit() {
    local name=$1 url=$2 clients=$3 before after output
    before=$(ticks "${pids[$name]}")
    output=$(wrk -t2 -c"$clients" -d"${seconds}s" --latency "$url")
    after=$(ticks "${pids[$name]}")
    if grep -qE 'Socket errors|Non-2xx' <<<"$output"; then
        echo "$name: $output" >&2
        exit 1
    fi
    awk -v ticks=$((after - before)) '
        /requests in/ { cpu = ticks * 10000 / $1 }
        /99%/ { late = $2; sub("ms", "", late); if (late ~ /us/) { sub("us", "", late); late /= 1000 } }
        /Requests\/sec/ { rate = $2 }
        END { printf "%.2f %.2f %.0f\n", cpu, late, rate }' <<<"$output"
}

# paced URL MILLISECONDS: milliseconds within which 99 % of the requests of 64 clients were, each of which
# pauses about so long after an answer, so that the cores are not full.
paced() {
    echo "function delay() return math.random(0, $((2 * $2))) end" >"$folder/paced.lua"
    wrk -t2 -c64 -d"${seconds}s" --latency -s "$folder/paced.lua" "$1" | awk '
        /99%/ { late = $2; if (sub("us", "", late)) late /= 1000; else sub("ms", "", late) }
        /Requests\/sec/ { rate = $2 }
        END { printf "%.2f %.0f\n", late, rate }'
}

hits() {
    serve memory 8611
    serve disk 8612 --cache-memory-bytes 0
    mkdir -p "$folder/www"
    local list=http://127.0.0.1:8611/$hash size name
    declare -A urls=([5KB]="photo/w=192,q=70,f=jpeg" [50KB]="photo/w=880,q=75,f=jpeg" [500KB]="large/w=3000,q=85,f=jpeg")
    for size in 5KB 50KB 500KB; do
        curl -sf "$list/${urls[$size]}" -o "$folder/www/$size"
        curl -sf "127.0.0.1:8612/$hash/${urls[$size]}" -o /dev/null
    done
    # As Debian configures it, but for the paths.
    cat >"$folder/nginx.conf" <<CONF
worker_processes auto;
daemon off;
pid $folder/nginx.pid;
error_log $folder/nginx.err;
events { worker_connections 768; }
http {
    sendfile on;
    tcp_nopush on;
    types_hash_max_size 2048;
    default_type image/jpeg;
    access_log $folder/nginx.log;
    server { listen 127.0.0.1:8610; root $folder/www; }
}
CONF
    nginx -c "$folder/nginx.conf" &
    pids[nginx]=$!
    answers http://127.0.0.1:8610/5KB

    echo "| bytes | from | CPU of a request, µs | nginx, µs | ratio | 99 % within, 64 clients | nginx | requests/s | nginx | paced: 99 % within | nginx | requests/s | nginx |"
    echo "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    declare -A pause=([5KB]=10 [50KB]=10 [500KB]=50)
    for tier in memory disk; do
        local port=8611
        [[ $tier == disk ]] && port=8612
        for size in 5KB 50KB 500KB; do
            for name in ours theirs ours.paced theirs.paced; do : >"$folder/$name"; done
            for _ in $(seq "$rounds"); do
                hit $tier "http://127.0.0.1:$port/$hash/${urls[$size]}" 64 >>"$folder/ours"
                hit nginx "http://127.0.0.1:8610/$size" 64 >>"$folder/theirs"
                paced "http://127.0.0.1:$port/$hash/${urls[$size]}" "${pause[$size]}" >>"$folder/ours.paced"
                paced "http://127.0.0.1:8610/$size" "${pause[$size]}" >>"$folder/theirs.paced"
            done
            column() { cut -d' ' -f"$2" "$folder/$1" | median; }
            awk -v bytes="$(stat -c %s "$folder/www/$size")" -v tier=$tier \
                -v cpu="$(column ours 1)" -v other="$(column theirs 1)" \
                -v late="$(column ours 2)" -v other_late="$(column theirs 2)" \
                -v rate="$(column ours 3)" -v other_rate="$(column theirs 3)" \
                -v paced="$(column ours.paced 1)" -v other_paced="$(column theirs.paced 1)" \
                -v pace="$(column ours.paced 2)" -v other_pace="$(column theirs.paced 2)" 'BEGIN {
                printf "| %s | %s | %.1f | %.1f | %.2f | %s ms | %s ms | %s | %s | %s ms | %s ms | %s | %s |\n",
                    bytes, tier, cpu, other, cpu / other, late, other_late, rate, other_rate,
                    paced, other_paced, pace, other_pace }'
        done
    done
    stop memory disk nginx
}

# miss NAME PREFIX FORM: requests a second of two clients, no address twice.
miss() {
    local name=$1 before after output
    cat >"$folder/miss.lua" <<LUA
-- Widths around 512 and qualities around 80, each pair once.
local thread = 0
function setup(t) t:set("number", thread); thread = thread + 1 end
function init() count = 0 end
function request()
    local turn = count * 2 + number + start
    count = count + 1
    local width = 480 + turn % 65
    local quality = 78 + math.floor(turn / 65) % 5
    local path = form:gsub("{w}", width):gsub("{q}", quality)
    return wrk.format("GET", path)
end
LUA
    sed -i "1i form = \"$3\"; start = ${4:-0}" "$folder/miss.lua"
    before=$(ticks "${pids[$name]}")
    output=$(wrk -t2 -c2 -d"${seconds}s" -s "$folder/miss.lua" "$2")
    after=$(ticks "${pids[$name]}")
    if grep -qE 'Socket errors|Non-2xx' <<<"$output"; then
        echo "$name: $output" >&2
        exit 1
    fi
    awk -v ticks=$((after - before)) '
        /requests in/ { cpu = ticks * 10 / $1; all = $1 }
        /Requests\/sec/ { rate = $2 }
        END { printf "%.1f %.2f %d\n", rate, cpu, all }' <<<"$output"
}

misses() {
    # No cache anywhere: addresses repeat from turn to turn.
    serve calotype 8621 --cache-memory-bytes 0 --cache-disk-bytes 0
    declare -A at=([calotype]=http://127.0.0.1:8621) form=(
        [calotype]="/$hash/photo/w={w},q={q},f=jpeg"
        [ipx]="/s_{w}x{w},fit_inside,q_{q},f_jpeg/photo.jpg"
        [thumbor]="/unsafe/fit-in/{w}x{w}/filters:format(jpeg):quality({q})/photo.jpg"
        [oximg]="/resize/{w}/{w}/photo.jpg?quality={q}")
    local names=(calotype) name
    mkdir -p "$folder/pictures"
    cp "$folder/photo.jpg" "$folder/pictures/"
    if [[ -d $peers/node_modules/ipx ]]; then
        (cd "$peers" && exec env PORT=8622 HOST=127.0.0.1 node node_modules/ipx/bin/ipx.mjs serve --dir "$folder/pictures") >"$folder/ipx.log" 2>&1 &
        pids[ipx]=$! at[ipx]=http://127.0.0.1:8622
        names+=(ipx)
    fi
    if [[ -x $peers/thumbor/bin/thumbor ]]; then
        printf '%s\n' "LOADER = 'thumbor.loaders.file_loader'" "FILE_LOADER_ROOT_PATH = '$folder/pictures'" \
            "ALLOW_UNSAFE_URL = True" "STORAGE = 'thumbor.storages.no_storage'" >"$folder/thumbor.conf"
        "$peers/thumbor/bin/thumbor" -i 127.0.0.1 -p 8623 -c "$folder/thumbor.conf" --processes 2 >"$folder/thumbor.log" 2>&1 &
        pids[thumbor]=$! at[thumbor]=http://127.0.0.1:8623
        names+=(thumbor)
    fi
    if [[ -x $peers/bin/oximg ]]; then
        PORT=8624 IMAGES_DIR=$folder/pictures "$peers/bin/oximg" serve >"$folder/oximg.log" 2>&1 &
        pids[oximg]=$! at[oximg]=http://127.0.0.1:8624
        names+=(oximg)
    fi
    for name in "${names[@]}"; do
        local path=${form[$name]//\{w\}/512}
        path=${path//\{q\}/80}
        answers "${at[$name]}$path" "$folder/$name.jpg"
        : >"$folder/$name.rates"
    done
    for turn in $(seq "$rounds"); do
        for name in "${names[@]}"; do
            miss "$name" "${at[$name]}" "${form[$name]}" $((turn * 37)) >>"$folder/$name.rates"
        done
    done
    echo
    echo "| a JPEG of 2,000 px to 512 px, two clients | requests/s | CPU of a request, ms | bytes at 512 px, q80 |"
    echo "| --- | ---: | ---: | ---: |"
    for name in "${names[@]}"; do
        printf '| %s | %s | %s | %s |\n' "$name" "$(cut -d' ' -f1 "$folder/$name.rates" | median)" \
            "$(cut -d' ' -f2 "$folder/$name.rates" | median)" "$(stat -c %s "$folder/$name.jpg")"
        if [[ -n $keep ]]; then
            mkdir -p "$keep"
            cp "$folder/$name.jpg" "$folder/photo.jpg" "$keep/"
        fi
    done
    stop "${names[@]}"
}

resident() { awk -v key="$2:" '$1 == key { printf "%d", $2 / 1024 }' "/proc/$1/status"; }
milliseconds() { echo $(($(date +%s%N) / 1000000)); }

# Far more than can be made, by 4,096 clients: what is refused, what is still answered, and when all
# is as before.
overload() {
    serve overload 8631 --render-memory-bytes 300MB
    local pid=${pids[overload]} list=http://127.0.0.1:8631/$hash
    ulimit -n 20000
    cat >"$folder/overload.lua" <<LUA
local thread = 0
function setup(t) t:set("number", thread); thread = thread + 1 end
function init() count = 0 end
function request()
    count = count + 1
    return wrk.format("GET", "/$hash/large/w=" .. 200 + (count * 2 + number) % 3800 .. ",q=" .. 50 + count % 49 .. ",f=auto",
        { Accept = "image/avif,image/webp" })
end
done = function(summary)
    print("refused " .. summary.errors.status .. " of " .. summary.requests)
end
LUA
    local calm=0 health=0 took start
    for _ in {1..20}; do
        took=$(curl -s -o /dev/null -w '%{time_total}' "$list/photo/w=$((RANDOM % 400 + 200))")
        calm=$(awk -v a="$calm" -v b="$took" 'BEGIN { print (a > b ? a : b) }')
    done
    echo "before: resident $(resident "$pid" VmRSS) MB, a miss at most $calm s"
    wrk -t2 -c4096 -d30s --timeout 60s --latency -s "$folder/overload.lua" http://127.0.0.1:8631 >"$folder/overload.out" &
    local load=$!
    sleep 2
    while kill -0 $load 2>/dev/null; do
        took=$(curl -s -o /dev/null -w '%{time_total}' --max-time 5 127.0.0.1:8631/livez || true)
        health=$(awk -v a="$health" -v b="$took" 'BEGIN { print (a > b ? a : b) }')
        sleep 0.2
    done
    start=$(milliseconds)
    until [[ $(curl -s -o /dev/null -w '%{http_code}' "$list/photo/w=$((RANDOM % 400 + 600))") == 200 ]]; do :; done
    echo "first miss after the end: $(($(milliseconds) - start)) ms; health at most $health s meanwhile"
    echo "resident $(resident "$pid" VmRSS) MB, at most $(resident "$pid" VmHWM) MB"
    wait $load || true
    grep -E 'requests in|Socket|refused|99%' "$folder/overload.out"
    stop overload
}

# 10,000 renditions of one image, by one client: 400 widths in 25 qualities.
widths() {
    serve widths 8632 --cache-disk-bytes 20MB --cache-memory-bytes 8MB
    local pid=${pids[widths]} most=0 now width
    echo "before: resident $(resident "$pid" VmRSS) MB"
    for start in $(seq 1 500 9501); do
        for width in $(seq "$start" $((start + 499))); do
            echo "url = http://127.0.0.1:8632/$hash/photo/w=$((width % 400 + 1)),q=$((60 + width / 400))"
            echo "output = /dev/null"
        done >"$folder/widths.curl"
        curl -s -K "$folder/widths.curl"
        now=$(du -sk "$folder/widths/cache" | cut -f1)
        most=$((now > most ? now : most))
    done
    echo "after 10,000: resident $(resident "$pid" VmRSS) MB, at most $(resident "$pid" VmHWM) MB; $most KB of renditions on disk at most, 20,000 allowed"
    stop widths
}

for each in hits misses overload widths; do
    if [[ $what == all || $what == "$each" ]]; then $each; fi
done
