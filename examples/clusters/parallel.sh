#!/usr/bin/env bash
# The perplexity of a list of shards on several machines, by GNU parallel.
#
#   bash parallel.sh LIST FOLDER PROCESSES [--sshlogin a,b,c]
#
# Without a login, the processes run here. Machines share the folders of the list and of the results.
set -euo pipefail
list=$1 folder=$2 processes=$3
shift 3
mkdir -p "$folder"
seq 0 $((processes - 1)) | parallel --jobs "$processes" --halt soon,fail=1 --retries 3 "$@" \
    wgpu-loss cross-entropy --list "$list" --shard "{}/$processes" --resume "$folder/shards" \
    --adapter-turn {%} --save-partial "$folder/part-{}.json" --quiet ">$folder/report-{}.txt"
wgpu-loss merge "$folder"/part-*.json
