#!/usr/bin/env bash
# Kills a digest ten times at random moments, lets it end, and compares it with one that was left
# alone: the same bytes, and no paper summarised twice.
#
# usage: scripts/kill-test.sh INPUT [OPTION...]      options go to `wenzhai digest`
#   WENZHAI=FILE     the program, target/release/wenzhai if not given
#   MAX_DELAY_S=N    latest moment of a kill, 90 if not given; the first papers of a batch of 32
#                    are finished after most of a minute on two cores, sooner with a small --batch
# Needs the model's weights, and sqlite3.
set -euo pipefail
export LC_ALL=C

input=${1:?usage: scripts/kill-test.sh INPUT [OPTION...]}
shift
wenzhai=${WENZHAI:-target/release/wenzhai}
max_delay_s=${MAX_DELAY_S:-90}
kills=10
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

digest() { # NAME OPTION...; takes the place of the shell, so that a kill reaches the program
    local name=$1
    shift
    exec "$wenzhai" digest "$input" --store "$folder/$name.sqlite" -o "$folder/$name.md" "$@"
}
# Finished papers, each with the moment at which it was written: one that is written again differs.
written() { sqlite3 "$folder/killed.sqlite" 'SELECT key, created, rowid FROM summary'; }

echo "left alone:"
(digest alone "$@")
papers=$(sqlite3 "$folder/alone.sqlite" 'SELECT count(*) FROM summary')

: >"$folder/known"
for kill in $(seq $kills); do
    digest killed --quiet "$@" &
    run=$!
    delay=$(awk -v seed="$RANDOM" -v most="$max_delay_s" \
        'BEGIN { srand(seed); printf "%.2f", most * rand() }')
    sleep "$delay"
    kill -KILL "$run" 2>/dev/null || echo "run $kill ended by itself"
    wait "$run" 2>/dev/null || true
    [ -e "$folder/killed.sqlite" ] && written | sort >"$folder/now" || : >"$folder/now"
    if [ -n "$(comm -23 "$folder/known" "$folder/now")" ]; then
        echo "kill $kill after $delay s: finished papers were lost or written again" >&2
        exit 1
    fi
    mv "$folder/now" "$folder/known"
    echo "kill $kill after $delay s: $(wc -l <"$folder/known") of $papers papers finished"
done

if [ ! -s "$folder/known" ]; then
    echo "every kill came before the first paper was finished; raise MAX_DELAY_S" >&2
    exit 1
fi
echo "to the end:"
(digest killed "$@")
written | sort >"$folder/now"
if [ -n "$(comm -23 "$folder/known" "$folder/now")" ]; then
    echo "the last run wrote finished papers again" >&2
    exit 1
fi
cmp "$folder/alone.md" "$folder/killed.md"
echo "ok: $papers papers, $kills kills, the same digest byte for byte, no paper summarised twice"
