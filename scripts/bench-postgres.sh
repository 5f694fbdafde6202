#!/usr/bin/env bash
# Measures what PostgreSQL itself makes of a page, of a point read and of an insert of one row, without our
# client: in the server (EXPLAIN ANALYZE, the median and the least), and by pgbench, which decodes nothing. Beside our table
# stands a plain one, as the prototype had it, with the same images. docs/benchmarks.md has the figures.
#   scripts/bench-postgres.sh postgres://…   fills an empty database and measures it; one which was filled
#                                            by this is measured as it is (scripts/bench-scale.sh starts one)
#   CALOTYPE_BENCH_IMAGES   how many images (1,000,000)
#   CALOTYPE_BENCH_ROUNDS   how often each statement is measured in the server (101)
#   CALOTYPE_BENCH_SECONDS  of each turn of pgbench (5)
set -euo pipefail
cd "$(dirname "$0")/.."

for folder in /usr/lib/postgresql/*/bin; do
    [[ -x $folder/pgbench ]] && PATH=$folder:$PATH
done
database=$1
images=${CALOTYPE_BENCH_IMAGES:-1000000}
rounds=${CALOTYPE_BENCH_ROUNDS:-101}
seconds=${CALOTYPE_BENCH_SECONDS:-5}
run() { psql --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 "$database" "$@"; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# Seven tenths in the first of ten accounts; six tenths with one of 1,000 creators, the first of whom has a
# tenth of those; the id of an image follows from its number, which is its time as well.
fill() {
    cat crates/store/migrations/postgres/*.sql
    cat <<SQL
INSERT INTO accounts (id, hash, name, created, flexible_variants, browser_ttl, preserve_content_credentials)
    SELECT n, n, n, 0, FALSE, 172800, FALSE FROM generate_series(1, 10) AS n;
INSERT INTO images (account, id, id_hash, uploaded, require_signed_urls, blob, bytes, sha256, format, width,
        height, filename, creator, creator_hash, metadata)
    SELECT CASE WHEN n % 10 < 7 THEN 1 ELSE 2 + n / 10 % 9 END, id, sha256(id::bytea), n, n % 7 = 0,
        decode(md5(id), 'hex'), n % 5000000, sha256(id::bytea), 'image/jpeg', 4000, 3000,
        'photo ' || n || '.jpg', creator::bytea, sha256(coalesce(creator, '')::bytea),
        format('{"album":"album %s","rating":%s,"price":%s,"camera":{"maker":"maker %s","flash":%s}}',
            n % 500, n % 6, n % 100000 / 100.0, n % 40, (n % 3 = 0)::text)
    FROM (SELECT n, md5(n::text)::uuid::text AS id,
              CASE WHEN random() < 0.6 THEN 'creator ' || floor(1000 * random() ^ 3) END AS creator
          FROM generate_series(1, $images) AS n) AS made
    ORDER BY n;
CREATE TABLE plain (
    pk BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account BIGINT NOT NULL, id TEXT COLLATE "C" NOT NULL,
    uploaded BIGINT NOT NULL, creator TEXT, filename TEXT, meta JSONB, require_signed BOOLEAN NOT NULL,
    size BIGINT NOT NULL, width BIGINT, height BIGINT, format TEXT, sha256 BYTEA NOT NULL, blob_key TEXT NOT NULL);
INSERT INTO plain (account, id, uploaded, creator, filename, meta, require_signed, size, width, height, format,
        sha256, blob_key)
    SELECT account, id, uploaded, convert_from(creator, 'UTF8'), filename, metadata::jsonb, require_signed_urls,
        bytes, width, height, format, sha256, encode(blob, 'hex')
    FROM images ORDER BY pk;
CREATE UNIQUE INDEX plain_id ON plain (account, id);
CREATE INDEX plain_list ON plain (account, uploaded, id);
CREATE INDEX plain_creator ON plain (account, creator, uploaded, id) WHERE creator IS NOT NULL;
CREATE SEQUENCE numbers START $((images + 1));
SQL
}
if [[ $(run -c "SELECT to_regclass('plain') IS NULL") == t ]]; then
    fill | run --single-transaction -f - >/dev/null
fi
run -c 'VACUUM ANALYZE images' -c 'VACUUM ANALYZE plain' -c CHECKPOINT
# Everything was read once.
run -c 'SELECT count(images.*), max(length(images::text)) FROM images' -c 'SELECT count(plain.*) FROM plain' >/dev/null
images=$(run -c "SELECT start_value - 1 FROM pg_sequences WHERE sequencename = 'numbers'")

# As crates/store/src/catalog/postgres has them (lists.rs, images.rs, rows.rs). `:at` is the number of an
# image of the first account.
columns='id, uploaded, require_signed_urls, draft_expires, blob, bytes, sha256, format, width, height, filename, creator, metadata'
first="sha256('creator 0'::bytea)"
declare -A ours=(
    [page]="SELECT $columns FROM images WHERE account = 1 AND blob IS NOT NULL AND uploaded < :at ORDER BY uploaded DESC LIMIT 1000"
    [creator]="SELECT $columns FROM images WHERE account = 1 AND blob IS NOT NULL AND creator_hash = $first AND uploaded < :at ORDER BY uploaded DESC LIMIT 1000"
    [point]="SELECT $columns FROM images WHERE account = (SELECT pk FROM accounts WHERE id = '1') AND id_hash = sha256(md5(:at::text)::uuid::text::bytea)"
    [insert]="INSERT INTO images (account, id, id_hash, uploaded, require_signed_urls, blob, bytes, sha256, format, width, height, filename, creator_hash, metadata) SELECT 1, id, sha256(id::bytea), n, FALSE, decode(md5(id), 'hex'), 1, sha256(id::bytea), 'image/jpeg', 1, 1, 'photo.jpg', sha256(''), '{}' FROM (SELECT n, md5(n::text)::uuid::text AS id FROM nextval('numbers') AS n) AS made"
)
# With the keys of the prototype.
wide='id, uploaded, creator, filename, meta, require_signed, size, width, height, format, sha256, blob_key'
declare -A plain=(
    [page]="SELECT $wide FROM plain WHERE account = 1 AND (uploaded, id) < (:at, '') ORDER BY uploaded DESC, id DESC LIMIT 1000"
    [creator]="SELECT $wide FROM plain WHERE account = 1 AND creator = 'creator 0' AND (uploaded, id) < (:at, '') ORDER BY uploaded DESC, id DESC LIMIT 1000"
    [point]="SELECT $wide FROM plain WHERE account = 1 AND id = md5(:at::text)::uuid::text"
    [insert]="INSERT INTO plain (account, id, uploaded, filename, meta, require_signed, size, width, height, format, sha256, blob_key) SELECT 1, id, n, 'photo.jpg', '{}', FALSE, 1, 1, 1, 'image/jpeg', sha256(id::bytea), md5(id) FROM (SELECT n, md5(n::text)::uuid::text AS id FROM nextval('numbers') AS n) AS made"
)

# in_server SQL: milliseconds in the server, the median and the least. Places are those of the later half, so
# that every page is full; each is asked for twice, and the second time counts, which finds it in memory.
in_server() {
    local round at
    {
        echo "PREPARE asked (bigint) AS ${1//:at/\$1};"
        for round in $(seq "$rounds"); do
            at=$(((images / 2 + round * (images / 2 / (rounds + 1))) / 10 * 10))
            echo "EXPLAIN (ANALYZE) EXECUTE asked ($at); EXPLAIN (ANALYZE) EXECUTE asked ($at);"
        done
    } | run -f - | sed -n 's/^Execution Time: \(.*\) ms$/\1/p' | awk 'NR % 2 == 0' | sort -n |
        awk '{ all[NR] = $1 } END { printf "%s ms (%s)", all[int((NR + 1) / 2)], all[1] }'
}

# by_pgbench SQL CLIENTS: how many a second.
by_pgbench() {
    printf '\\set at random(%d, %d) * 10\n%s;\n' $((images / 20)) $((images / 10 - 1)) "$1" >"$folder/asked.sql"
    pgbench --no-vacuum --protocol prepared --client "$2" --jobs 1 --time "$seconds" --file "$folder/asked.sql" \
        "$database" | sed -n 's/^tps = \([0-9.]*\).*/\1/p'
}
milliseconds() { awk -v rate="$1" 'BEGIN { printf "%.2f ms", 1000 / rate }'; }
a_second() { awk -v rate="$1" 'BEGIN { printf "%.0f a second", rate }'; }

echo "| $images images | ours, in the server | plain, in the server | ours, by pgbench | plain, by pgbench |"
echo '| --- | --- | --- | --- | --- |'
for what in page creator; do
    name='page of 1,000'
    [[ $what == page ]] || name+=' of one creator'
    echo "| $name | $(in_server "${ours[$what]}") | $(in_server "${plain[$what]}") | $(milliseconds "$(by_pgbench "${ours[$what]}" 1)") | $(milliseconds "$(by_pgbench "${plain[$what]}" 1)") |"
done
echo "| point read | $(in_server "${ours[point]}") | $(in_server "${plain[point]}") | $(a_second "$(by_pgbench "${ours[point]}" 1)") | $(a_second "$(by_pgbench "${plain[point]}" 1)") |"
for clients in 1 32; do
    echo "| durable inserts, $clients at a time | | | $(a_second "$(by_pgbench "${ours[insert]}" $clients)") | $(a_second "$(by_pgbench "${plain[insert]}" $clients)") |"
done
