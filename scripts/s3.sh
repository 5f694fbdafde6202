#!/usr/bin/env bash
# Runs an S3 server of its own for tests: the gateway of Ceph over one store in memory, in a temporary
# folder and on free ports of 127.0.0.1. Prints its address; the key is `test`, its secret `secret`,
# the bucket `images`. When the standard input ends, which it does however the tests end, it stops and
# removes everything.
#
# With CALOTYPE_TEST_S3_CERTIFICATE and CALOTYPE_TEST_S3_KEY, files of PEM, it speaks TLS alone.
set -euo pipefail

fail() {
    echo "$1" >&2
    exit 1
}
for program in radosgw radosgw-admin ceph ceph-mon ceph-osd ceph-authtool monmaptool curl openssl; do
    command -v "$program" >/dev/null || fail "$program is missing: make setup-tests installs it"
done

folder=$(mktemp -d)
daemons=()
# shellcheck disable=SC2329 # the trap calls it
stop() {
    # The shell would say that they were killed.
    exec 2>/dev/null
    [[ ${#daemons[@]} -eq 0 ]] || kill -KILL "${daemons[@]}" 2>/dev/null || true
    wait || true
    rm -rf "$folder"
}
trap stop EXIT
trap 'exit 1' INT TERM HUP

id=$(cat /proc/sys/kernel/random/uuid)
free_port() {
    local port
    while port=$((20000 + RANDOM % 12000)); do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}
mon_port=$(free_port)
port=$(free_port)
url=http://127.0.0.1:$port
frontend="beast endpoint=127.0.0.1:$port"
if [[ -n ${CALOTYPE_TEST_S3_CERTIFICATE:-} ]]; then
    url=https://127.0.0.1:$port
    frontend="beast ssl_endpoint=127.0.0.1:$port ssl_certificate=$CALOTYPE_TEST_S3_CERTIFICATE"
    frontend+=" ssl_private_key=$CALOTYPE_TEST_S3_KEY"
fi
mkdir "$folder"/{mon,osd,rgw,run,log}
export CEPH_CONF=$folder/ceph.conf
cat >"$CEPH_CONF" <<CONF
[global]
fsid = $id
mon host = [v1:127.0.0.1:$mon_port]
ms bind msgr2 = false
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd crush chooseleaf type = 0
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon max pg per osd = 1000
osd class update on start = false
paxos propose interval = 0.05
osd objectstore = memstore
memstore device bytes = 1073741824
log file = $folder/log/\$name.log
run dir = $folder/run
admin socket = $folder/run/\$name.asok
mon data = $folder/mon
osd data = $folder/osd
rgw data = $folder/rgw
keyring = $folder/keyring
[client.rgw]
rgw frontends = $frontend
rgw thread pool size = 64
CONF

run() { # in the background, with its output kept
    "$@" >>"$folder/log/output" 2>&1 </dev/null &
    daemons+=($!)
}
quietly() {
    timeout 60 "$@" >>"$folder/log/output" 2>&1 </dev/null || fail "$1 failed: $(cat "$folder/log/output")"
}
quietly ceph-authtool --create-keyring "$folder/keyring" --gen-key -n mon. --cap mon 'allow *'
quietly ceph-authtool "$folder/keyring" --gen-key -n client.admin \
    --cap mon 'allow *' --cap osd 'allow *'
quietly monmaptool --create --addv a "[v1:127.0.0.1:$mon_port]" --fsid "$id" "$folder/monmap"
quietly ceph-mon --mkfs -i a --monmap "$folder/monmap" --keyring "$folder/keyring"
run ceph-mon -f -i a
osd=$(cat /proc/sys/kernel/random/uuid)
number=$(timeout 60 ceph osd new "$osd" 2>>"$folder/log/output")
quietly ceph-osd -i "$number" --mkfs --osd-uuid "$osd"
# Now and then the first start meets a monitor which does not know it yet, and ends.
for _ in {1..20}; do
    run ceph-osd -f -i "$number"
    while kill -0 "${daemons[-1]}" 2>/dev/null; do
        [[ $(timeout 60 ceph osd stat 2>>"$folder/log/output") == *' 1 up'* ]] && break 2
        sleep 0.05
    done
    unset 'daemons[-1]'
done
quietly radosgw-admin user create --uid test --display-name test --access-key test --secret secret
run radosgw -f -n client.rgw
for _ in {1..600}; do
    curl -sfk -o /dev/null "$url/" && break
    kill -0 "${daemons[@]}" 2>/dev/null || fail "Ceph does not start: $(cat "$folder/log/output")"
    sleep 0.1
done

# Makes the bucket: a request with a signature of version 2, which needs no more than openssl.
date=$(date -uR | sed 's/+0000/GMT/')
signature=$(printf 'PUT\n\n\n%s\n/images' "$date" | openssl dgst -sha1 -hmac secret -binary | base64)
curl -sfk -o /dev/null -X PUT -H "Date: $date" -H "Authorization: AWS test:$signature" \
    "$url/images" || fail 'the bucket cannot be made'

echo "$url"
# Until the input ends.
cat >/dev/null
