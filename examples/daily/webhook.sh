#!/bin/sh
# Posts the one-line summaries of records to a webhook, ten a message: webhook.sh RECORDS.jsonl URL.
# The field is called `text`, as Slack, Mattermost and others have it. Needs jq and curl.
set -eu
records=$1 url=$2
# Not in the pipe, which would go on without it.
messages=$(jq -c --slurp '
    [.[] | select((.zh_tldr // "") != "") | 
        "\(if (.zh_title // "") == "" then .title else .zh_title end): \(.zh_tldr)\n\(.link)"]
    | range(0; length; 10) as $at | {text: (.[$at:$at + 10] | join("\n\n"))}' "$records")
[ -z "$messages" ] || printf '%s\n' "$messages" |
    while read -r message; do
        curl --fail --silent --show-error --retry 3 -H 'Content-Type: application/json' \
            --data "$message" "$url"
    done
