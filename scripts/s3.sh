#!/usr/bin/env bash
# Runs an S3 server of its own for tests: the gateway of Ceph over one store in memory, in a temporary
# folder and on free ports of 127.0.0.1. Prints its address; the keys are below, the bucket is `images`.
# When the standard input ends, which it does however the tests end, it stops and removes everything.
#
# With CALOTYPE_TEST_S3=garage it is Garage instead, which takes conditional puts and does not heed them;
# scripts/setup-garage.sh installs it.
#
# With CALOTYPE_TEST_S3_CERTIFICATE and CALOTYPE_TEST_S3_KEY, files of PEM, it speaks TLS alone. Garage
# does not, so that this is Ceph whatever is asked for.
set -euo pipefail

# Another program may take a port which was free a moment ago: then all begins again, on other ports.
attempt=${CALOTYPE_TEST_S3_ATTEMPT:-1}
folder=
fail() {
    if [[ -n $folder && $attempt -lt 5 ]] && grep -qrs 'Address already in use' "$folder/log"; then
        trap - EXIT
        exec {errors}>&2
        stop
        CALOTYPE_TEST_S3_ATTEMPT=$((attempt + 1)) exec "$0" 2>&"$errors"
    fi
    echo "$1" >&2
    exit 1
}
key=GK000000000000000000000001
secret=0000000000000000000000000000000000000000000000000000000000000001

server=${CALOTYPE_TEST_S3:-ceph}
[[ -z ${CALOTYPE_TEST_S3_CERTIFICATE:-} ]] || server=ceph
case $server in
ceph) needed=(radosgw radosgw-admin ceph ceph-mon ceph-osd ceph-authtool monmaptool curl openssl) setup='make setup-tests' ;;
garage) needed=(garage) setup=scripts/setup-garage.sh ;;
*) fail "CALOTYPE_TEST_S3 is ceph or garage, not $server" ;;
esac
tools=$(cd "$(dirname "$0")/.." && pwd)/.tools
PATH=$PATH:$tools/garage/bin
for program in "${needed[@]}"; do
    command -v "$program" >/dev/null || fail "$program is missing: $setup installs it"
done

folder=$(mktemp -d)
daemons=()
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
free_port() { # [OTHER]: which is not the other one
    local port
    while port=$((20000 + RANDOM % 12000)); do
        [[ $port != "${1:-}" ]] || continue
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}
listens() { # PORT PROCESS: whether it is this process which listens there
    local socket
    socket=$(awk -v port="$(printf ':%04X' "$1")" \
        '$4 == "0A" && substr($2, 9) == port { print $10 }' /proc/net/tcp)
    [[ -n $socket && -n $(find "/proc/$2/fd" -lname "socket:\[$socket\]" 2>/dev/null) ]]
}
until_it_works() { # NAME PROCESS COMMAND...: until the command succeeds
    for _ in {1..600}; do
        "${@:3}" >/dev/null 2>&1 && return
        kill -0 "$2" 2>/dev/null || break
        sleep 0.1
    done
    fail "$1 does not start: $(cat "$folder/log/output")"
}
run() { # in the background, with its output kept
    "$@" >>"$folder/log/output" 2>&1 </dev/null &
    daemons+=($!)
}
quietly() {
    timeout 60 "$@" >>"$folder/log/output" 2>&1 </dev/null || fail "$1 failed: $(cat "$folder/log/output")"
}
mkdir "$folder/log"

if [[ $server == garage ]]; then
    port=$(free_port)
    rpc=127.0.0.1:$(free_port "$port")
    export GARAGE_CONFIG_FILE=$folder/garage.toml
    cat >"$GARAGE_CONFIG_FILE" <<CONF
metadata_dir = "$folder/meta"
data_dir = "$folder/data"
db_engine = "sqlite"
replication_factor = 1
rpc_bind_addr = "$rpc"
rpc_public_addr = "$rpc"
rpc_secret = "$(openssl rand -hex 32)"
[s3_api]
s3_region = "us-east-1"
api_bind_addr = "127.0.0.1:$port"
root_domain = ".s3.garage.localhost"
CONF
    run garage server
    until_it_works Garage "${daemons[0]}" garage status
    until_it_works Garage "${daemons[0]}" listens "$port" "${daemons[0]}"
    quietly garage layout assign -z here -c 10G "$(garage node id -q 2>/dev/null | cut -d@ -f1)"
    quietly garage layout apply --version 1
    quietly garage key import --yes -n test $key $secret
    quietly garage bucket create images
    quietly garage bucket allow --read --write --owner images --key $key
    echo "http://127.0.0.1:$port"
    cat >/dev/null
    exit
fi

mon_port=$(free_port)
port=$(free_port "$mon_port")
url=http://127.0.0.1:$port
frontend="beast endpoint=127.0.0.1:$port"
if [[ -n ${CALOTYPE_TEST_S3_CERTIFICATE:-} ]]; then
    url=https://127.0.0.1:$port
    frontend="beast ssl_endpoint=127.0.0.1:$port ssl_certificate=$CALOTYPE_TEST_S3_CERTIFICATE"
    frontend+=" ssl_private_key=$CALOTYPE_TEST_S3_KEY"
fi
mkdir "$folder"/{mon,osd,rgw,run}
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

quietly ceph-authtool --create-keyring "$folder/keyring" --gen-key -n mon. --cap mon 'allow *'
quietly ceph-authtool "$folder/keyring" --gen-key -n client.admin \
    --cap mon 'allow *' --cap osd 'allow *'
quietly monmaptool --create --addv a "[v1:127.0.0.1:$mon_port]" --fsid "$id" "$folder/monmap"
quietly ceph-mon --mkfs -i a --monmap "$folder/monmap" --keyring "$folder/keyring"
run ceph-mon -f -i a
until_it_works 'The monitor of Ceph' "${daemons[0]}" listens "$mon_port" "${daemons[0]}"
osd=$(cat /proc/sys/kernel/random/uuid)
# A monitor which listens may refuse for a moment.
new_osd() {
    number=$(timeout 60 ceph osd new "$osd" 2>>"$folder/log/output")
}
until_it_works 'The monitor of Ceph' "${daemons[0]}" new_osd
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
quietly radosgw-admin user create --uid test --display-name test --access-key $key --secret $secret
run radosgw -f -n client.rgw
until_it_works 'The gateway of Ceph' "${daemons[-1]}" listens "$port" "${daemons[-1]}"
until_it_works 'The gateway of Ceph' "${daemons[-1]}" curl -sfk "$url/"

# Makes the bucket: a request with a signature of version 2, which needs no more than openssl.
date=$(date -uR | sed 's/+0000/GMT/')
signature=$(printf 'PUT\n\n\n%s\n/images' "$date" | openssl dgst -sha1 -hmac $secret -binary | base64)
curl -sfk -o /dev/null -X PUT -H "Date: $date" -H "Authorization: AWS $key:$signature" \
    "$url/images" || fail 'the bucket cannot be made'

echo "$url"
# Until the input ends.
cat >/dev/null
