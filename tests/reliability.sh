#!/usr/bin/env bash
# Tries to lose measurements and to break the program, and writes what came out into reports/reliability.md.
#
#   tests/reliability.sh fuzz [RUNS]   every fuzz target so often (default 1000000 each); needs cargo-fuzz and a nightly toolchain
#   tests/reliability.sh build         two release builds of the last commit in two folders; half an hour on two cores
#   tests/reliability.sh               kills, faults, hostile files, load, serving, properties; then the report
#   tests/reliability.sh report        the report alone, of what was tried last
#
# Counts of executions add up over the calls of `fuzz`, in target/reliability/, until that folder is removed.
set -euo pipefail
cd "$(dirname "$0")/.."
out=target/reliability
mkdir -p "$out"

seed_corpus() {
    mkdir -p fuzz/corpus/{record,catalog,hourly,safetensors,specs}
    for target in record hourly safetensors specs; do
        cp fuzz/seeds/$target/* fuzz/corpus/$target/
    done
    # The first byte says of which kind a file is.
    local kind=0
    for files in 'hardware/*/*.yaml' 'profiles/grid/*.yaml profiles/grid/*/*.yaml' 'profiles/site/*.yaml' 'profiles/workload/*.yaml'; do
        for file in $files; do
            { printf "\\x0$kind"; cat "$file"; } > "fuzz/corpus/catalog/$kind-$(basename "$file")"
        done
        kind=$((kind + 1))
    done
}

if [ "${1:-}" = fuzz ]; then
    runs=${2:-1000000}
    seed_corpus
    for target in ${3:-specs hourly safetensors catalog record}; do
        log="$out/fuzz-$target.log"
        # At the lowest priority an input may wait long for its CPU; large files, and the 2 s they may take, have tests of their own.
        nice -n 19 cargo +nightly fuzz run --sanitizer none "$target" -- -runs="$runs" -timeout=20 -rss_limit_mb=1024 \
            -max_len=16384 -print_final_stats=1 2> "$log" || { tail -n 40 "$log"; exit 1; }
        grep -E '^Done [0-9]+ runs' "$log" | awk -v target="$target" '{ print target, $2, $5 }' >> "$out/fuzz.txt"
    done
    exit
fi

if [ "${1:-}" = build ]; then
    folders=$(mktemp -d)
    trap 'rm -rf "$folders"' EXIT
    for copy in one two; do
        git clone -q . "$folders/$copy"
        (cd "$folders/$copy" && cargo build --release --locked)
    done
    cmp "$folders/one/target/release/greenformers" "$folders/two/target/release/greenformers"
    hash=$(sha256sum "$folders/one/target/release/greenformers" | cut -d' ' -f1)
    echo "| release builds of commit $(git rev-parse --short HEAD) with \`--locked\` | 2, in two folders | the same bytes, SHA-256 $hash |" \
        > "$out/build.md"
    exit
fi

rows="$PWD/$out/rows.md"
profile=${PROFILE:---release}
if [ "${1:-}" != report ]; then
    rm -f "$rows"
    GREENFORMERS_RELIABILITY="$rows" PROPTEST_CASES=${PROPTEST_CASES:-300} \
        cargo test $profile --locked --test integration -- --include-ignored --test-threads 1 \
        reliability:: properties:: safety:: > "$out/tests.log" 2>&1 || { tail -n 60 "$out/tests.log"; exit 1; }
fi

{
    echo "# Reliability"
    echo
    echo "What was tried to lose a measurement, to stop the program or to make it say what cannot be, and what came out. Written by"
    echo "\`tests/reliability.sh\` on $(date -u +%Y-%m-%d), with $(rustc --version | cut -d' ' -f1-2) and the build that \`$profile\` makes, on"
    echo "$(nproc) CPUs of $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2 | xargs), $(uname -sr)."
    echo
    echo "| what was tried | how often | what came out |"
    echo "|---|---|---|"
    sort "$rows"
    if [ -f "$out/build.md" ]; then cat "$out/build.md"; fi
    echo
    echo "## Properties"
    echo
    echo "\`tests/properties.rs\`, ${PROPTEST_CASES:-300} random cases each, none failed:"
    echo
    grep -oE 'test properties::[a-z_0-9]+ \.\.\. ok' "$out/tests.log" | sed 's/test properties::/- /; s/ \.\.\. ok//; s/_/ /g'
    echo
    echo "## Fuzzing"
    echo
    echo "libFuzzer, coverage-guided, debug assertions and overflow checks on, at most 1 GiB for inputs of at most 16 KiB. Executions without a"
    echo "finding:"
    echo
    echo "| target | executions | seconds |"
    echo "|---|---|---|"
    if [ -f "$out/fuzz.txt" ]; then
        awk '{ n[$1] += $2; s[$1] += $3 } END { for (t in n) { print "| " t " | " n[t] " | " s[t] " |"; all += n[t]; time += s[t] }
            print "| all | " all " | " time " |" }' "$out/fuzz.txt" | sort
    else
        echo "| none | 0: \`tests/reliability.sh fuzz\` was not run | |"
    fi
} > reports/reliability.md
echo "reports/reliability.md"
