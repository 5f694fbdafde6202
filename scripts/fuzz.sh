#!/usr/bin/env bash
# Builds the fuzz targets and runs them one after another, each for so many seconds:
#
#     fuzz.sh SECONDS [TARGET ...]
#
# What a run has learned stays in target/fuzz/corpus, findings in target/fuzz/findings. Further
# pictures to start from are taken from the folder FUZZ_PICTURES. Without a compiler of LLVM for C
# the codecs in C are watched for wrong accesses, but do not guide the search.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=$1
shift
targets=("$@")
if [[ ${#targets[@]} -eq 0 ]]; then
    targets=(grammar jpeg containers decode render)
fi
here=$PWD/target/fuzz
PATH=$PWD/.tools/fuzz/bin:$PATH
export RUSTUP_TOOLCHAIN=${FUZZ_TOOLCHAIN:-nightly}

# Nothing in C++ reads what clients send, and the fuzzer itself must not be watched.
clang=$(compgen -c clang | grep -E '^clang(-[0-9]+)?$' | sort -V | tail -n 1 || true)
if [[ -n $clang ]]; then
    export CC=$clang CXX=${clang/clang/clang++}
    export CFLAGS='-fsanitize=address,fuzzer-no-link'
else
    export CFLAGS='-fsanitize=address'
fi
cargo fetch --quiet --locked --manifest-path fuzz/Cargo.toml
for target in "${targets[@]}"; do
    cargo fuzz build --release --codegen-units 8 --target-dir "$here/build" "$target"
done
[[ $seconds -gt 0 ]] || exit 0

# Each line of a file as a seed.
lines() { # FILE FOLDER
    local number=0 line
    while IFS= read -r line; do
        number=$((number + 1))
        printf '%s' "$line" >"$2/$number"
    done <"$1"
}

seeds=$here/seeds
rm -rf "$seeds"
mkdir -p "$seeds"/{grammar,jpeg,containers,decode,render}
lines fuzz/seeds/grammar.txt "$seeds/grammar"
cp fuzz/seeds/containers/* "$seeds/containers"
mapfile -t options <fuzz/seeds/options.txt
number=0
while IFS= read -r -d '' picture; do
    name=$(basename "$picture")-$number
    cp "$picture" "$seeds/decode/$name"
    cp "$picture" "$seeds/containers/$name"
    case $picture in *.jpg) cp "$picture" "$seeds/jpeg/$name" ;; esac
    for step in 0 7; do
        line=${options[(number + step) % ${#options[@]}]}
        { printf '%s\n' "$line" && cat "$picture"; } >"$seeds/render/$name-$step"
    done
    number=$((number + 1))
done < <(find fuzz/seeds/pictures ${FUZZ_PICTURES:+"$FUZZ_PICTURES"} \
    -type f -size -64k -not -name '*.md' -not -name '*.tsv' -print0 | sort -z)
for font in crates/pixels/tests/fonts/*.{ttf,otf,woff,woff2}; do
    { grep -F '"font":{"url":"p"}' fuzz/seeds/options.txt && cat "$font"; } >"$seeds/render/$(basename "$font")"
done

# Freed memory waits for a while to be found out, but not for ever.
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_odr_violation=0:quarantine_size_mb=32}
export LSAN_OPTIONS=${LSAN_OPTIONS:-suppressions=$PWD/fuzz/leaks.txt:print_suppressions=0}
failed=()
for target in "${targets[@]}"; do
    echo "== $target, $seconds seconds"
    case $target in
    grammar) limits=(-max_len=4096 -timeout=5 -dict=fuzz/seeds/grammar.dict) ;;
    jpeg) limits=(-max_len=16384 -timeout=20) ;;
    containers) limits=(-max_len=16384 -timeout=20 -dict=fuzz/seeds/svg.dict) ;;
    render) limits=(-max_len=65536 -timeout=60 -dict=fuzz/seeds/grammar.dict) ;;
    *) limits=(-max_len=65536 -timeout=60 -dict=fuzz/seeds/svg.dict) ;;
    esac
    mkdir -p "$here/corpus/$target" "$here/findings"
    # One allocation of any library is within `RENDER_BYTES_MAX` of the targets.
    program=$(echo "$here"/build/*/release/"$target")
    "$program" -max_total_time="$seconds" -print_final_stats=1 \
        -rss_limit_mb=1024 -malloc_limit_mb=64 -artifact_prefix="$here/findings/$target-" \
        "${limits[@]}" "$here/corpus/$target" "$seeds/$target" || failed+=("$target")
done
if [[ ${#failed[@]} -gt 0 ]]; then
    echo "findings in target/fuzz/findings: ${failed[*]}" >&2
    exit 1
fi
