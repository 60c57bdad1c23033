#!/usr/bin/env bash
# The perplexity of a list of shards on several machines, by GNU parallel.
#
#   bash parallel.sh LIST FOLDER PROCESSES [--sshlogin a,b,c]
#
# Without a login, the processes run here. Machines share the folders of the list and of the results.
set -euo pipefail
mkdir -p "$2"
# Quoted: GNU parallel gives its command to a shell, on another machine perhaps.
list=$(printf %q "$(realpath "$1")") folder=$(printf %q "$(realpath "$2")")
folder_here=$2 processes=$3
shift 3
seq 0 $((processes - 1)) | parallel --jobs "$processes" --halt soon,fail=1 --retries 3 "$@" \
    wgpu-loss cross-entropy --list "$list" --shard "{}/$processes" --resume "$folder/shards" \
    --adapter-turn "{%}" --save-partial "$folder/part-{}.json" --quiet ">$folder/report-{}.txt"
wgpu-loss merge "$folder_here"/part-*.json
