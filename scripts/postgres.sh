#!/usr/bin/env bash
# Runs a PostgreSQL of its own for tests, in a temporary folder and on a free port of 127.0.0.1, and
# prints its address. Then it does what the lines of its standard input say, and answers each:
#   create NAME     makes a database
#   sql NAME WORDS  executes statements in a database
#   crash           kills the server and starts it again
#   pause | resume  stops all of its processes, and lets them go on
# When the input ends, which it does however the tests end, it stops and removes everything.
#
# With CALOTYPE_TEST_POSTGRES_CERTIFICATE and CALOTYPE_TEST_POSTGRES_KEY, files of PEM, it speaks TLS, and
# takes no connection without.
set -euo pipefail

fail() {
    echo "$1" >&2
    exit 1
}
# Debian keeps the programs of a server out of the PATH.
for folder in /usr/lib/postgresql/*/bin; do
    [[ -x $folder/initdb ]] && PATH=$folder:$PATH
done
command -v initdb >/dev/null || fail 'PostgreSQL is missing: make setup-tests installs it'

folder=$(mktemp -d)
# It refuses to run as root.
as_user=()
if [[ $(id -u) -eq 0 ]]; then
    as_user=(setpriv --reuid=nobody --regid=nogroup --clear-groups env HOME="$folder")
    chown nobody:nogroup "$folder"
fi
server=
# shellcheck disable=SC2329 # the trap calls it
stop() {
    if [[ -n $server ]]; then
        kill -QUIT "$server" 2>/dev/null || true
        kill -CONT "$server" 2>/dev/null || true
    fi
    wait || true
    rm -rf "$folder"
}
trap stop EXIT
trap 'exit 1' INT TERM HUP

cd "$folder"
"${as_user[@]}" initdb --pgdata=data --username=postgres --auth=trust --encoding=UTF8 \
    --locale=C --no-sync >init.log || fail "$(cat init.log)"
# Tests which kill the server mean its process and not the machine, so that nothing need be synced.
"${as_user[@]}" tee -a data/postgresql.conf >/dev/null <<CONF
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 300
shared_buffers = 64MB
fsync = ${CALOTYPE_TEST_POSTGRES_FSYNC:-off}
full_page_writes = off
logging_collector = off
CONF
if [[ -n ${CALOTYPE_TEST_POSTGRES_CERTIFICATE:-} ]]; then
    "${as_user[@]}" tee data/server.crt <"$CALOTYPE_TEST_POSTGRES_CERTIFICATE" >/dev/null
    "${as_user[@]}" tee data/server.key <"$CALOTYPE_TEST_POSTGRES_KEY" >/dev/null
    # It refuses one which others may read.
    "${as_user[@]}" chmod 600 data/server.key
    echo 'ssl = on' | "${as_user[@]}" tee -a data/postgresql.conf >/dev/null
    echo 'hostssl all all 127.0.0.1/32 trust' | "${as_user[@]}" tee data/pg_hba.conf >/dev/null
fi

start() {
    "${as_user[@]}" postgres -D data -p "$port" >server.log 2>&1 </dev/null &
    server=$!
    until grep -qs 'ready to accept connections' server.log; do
        kill -0 "$server" 2>/dev/null || return 1
        sleep 0.02
    done
}
signal() { # SIGNAL: to the server and the processes which serve its connections
    pkill "-$1" -P "$server" || true
    kill "-$1" "$server"
}

for _ in {1..20}; do
    port=$((20000 + RANDOM % 12000))
    start && break
    grep -q 'Address already in use' server.log || break
done
kill -0 "$server" 2>/dev/null || fail "PostgreSQL does not start: $(cat server.log)"
echo "postgres://postgres@127.0.0.1:$port"

while read -r command name; do
    case $command in
    create) createdb -h 127.0.0.1 -p "$port" -U postgres "$name" >create.log 2>&1 || cat create.log ;;
    sql)
        psql -h 127.0.0.1 -p "$port" -U postgres -d "${name%% *}" -qtA -v ON_ERROR_STOP=1 -c "${name#* }" \
            >sql.log 2>&1 || cat sql.log
        ;;
    crash)
        kill -QUIT "$server"
        wait "$server" || true
        start || cat server.log
        ;;
    pause) signal STOP ;;
    resume) signal CONT ;;
    esac
    echo "$command $name"
done
