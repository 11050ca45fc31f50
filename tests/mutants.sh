#!/bin/sh
# Mutation tests of the low rooms: changes the code in every way that cargo-mutants knows, and says which no test sees.
#
#   tests/mutants.sh FOLDER FILES [ARGUMENTS OF CARGO MUTANTS]
#   tests/mutants.sh ../mutants 'src/stats/**'
#
# Makes a small crate in FOLDER, of the room that the files lie in and of those below it, and without the crates for tensors
# and tables: a mutant takes seconds there, and not minutes. Only the unit tests of the room look at it.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
folder=$1 files=$2
shift 2
case $files in
    src/stats/*) rooms='stats' ;;
    src/model/*) rooms='units model' ;;
    src/sensor/*) rooms='units meter ffi sensor' ;;
    src/record/*) rooms='units files meter stats model catalog record' ;;
    src/estimate/*) rooms='units files meter stats model catalog record estimate' ;;
    *) echo "no small crate is known for \`$files\`" >&2 && exit 2 ;;
esac
crates='csv|include_dir|libc|nvml-wrapper|nvml-wrapper-sys|rand|rand_distr|rayon|serde|serde_json|serde_yaml|statrs|strsim'
crates="$crates|sysinfo|tempfile|thiserror|proptest"

rm -rf "$folder/src"
mkdir -p "$folder/src"
cp -R "$root/Cargo.lock" "$root/hardware" "$root/profiles" "$folder"
for room in $rooms; do
    cp -R "$root/src/$room" "$folder/src" 2>/dev/null || cp "$root/src/$room.rs" "$folder/src"
    echo "pub mod $room;" >>"$folder/src/lib.rs"
done
# Of the dependencies those of the rooms, and what says how to compile.
awk -v crates="^($crates) = " '
    /^\[/ { dependencies = /dependencies/; kept = dependencies || /^\[(package|lints.*)\]/ }
    kept && (!dependencies || /^\[/ || $0 ~ crates) && !/^(include|autotests|readme) = |^ *"\/|^\]/
' "$root/Cargo.toml" >"$folder/Cargo.toml"
cd "$folder"
exec cargo mutants --in-place --file "$files" "$@" -- --lib "$room::"
