#!/bin/sh
# Runs each folder of tests/cases in a copy and says which come out right.
#
#     GREENFORMERS=/path/to/greenformers sh tests/run-all.sh [NAME...]
#
# A case is a folder with `run.sh`, its input, and `expected`: what must be in what it prints (stdout and stderr together),
# a line each, in this order. A line that begins with `!` must not be in it, `exit: N` is the exit code, 0 where none is
# given, and lines that begin with `#` say why. Nothing here needs root or a compiler.
set -u
here=$(cd "$(dirname "$0")" && pwd)
program=${GREENFORMERS:?"give the program: GREENFORMERS=/path/to/greenformers"}
case $program in
    /*) ;;
    */*) program=$(pwd)/$program ;;
esac
export GREENFORMERS="$program"
unset CUDA_VISIBLE_DEVICES
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
right=0
wrong=0

# The first line of a case's `expected` that its output does not bear out, if there is one.
fault() {
    code=0
    at=1
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in
            '' | '#'*) ;;
            'exit: '*) code=${line#exit: } ;;
            '!'*) if grep -qF -e "${line#!}" "$2"; then echo "must not be there: ${line#!}" && return; fi ;;
            *)
                # In order: looked for from the line of the one before.
                found=$(tail -n "+$at" "$2" | grep -nF -m 1 -e "$line" | cut -d : -f 1)
                if [ -z "$found" ]; then echo "not there: $line" && return; fi
                at=$((at + found - 1))
                ;;
        esac
    done < "$1"
    if [ "$3" != "$code" ]; then echo "exit code $3, expected $code"; fi
}

if [ $# = 0 ]; then
    for folder in "$here"/cases/*/; do set -- "$@" "$(basename "$folder")"; done
fi
for name; do
    cp -R "$here/cases/$name" "$room/$name"
    (cd "$room/$name" && sh run.sh) > "$room/output" 2>&1 < /dev/null
    said=$(fault "$here/cases/$name/expected" "$room/output" $?)
    if [ -z "$said" ]; then
        right=$((right + 1))
        echo "right  $name"
    else
        wrong=$((wrong + 1))
        echo "WRONG  $name: $said"
        sed 's/^/       | /' "$room/output"
    fi
done
echo "$right right, $wrong wrong"
[ "$wrong" = 0 ] && [ "$right" -gt 0 ]
