#!/bin/sh
# Posts the one-line summaries of records to the webhook WENZHAI_WEBHOOK, ten a message: webhook.sh RECORDS.jsonl.
# The address is the secret of it, so it is no argument, which other users of the machine would see.
# The field is called `text`, as Slack, Mattermost and others have it. Needs jq and curl.
set -eu
records=$1 url=${WENZHAI_WEBHOOK:?the address to post to}
# Not in the pipe, which would go on without it.
messages=$(jq -c --slurp '
    [.[] | select((.zh_tldr // "") != "") | 
        "\(if (.zh_title // "") == "" then .title else .zh_title end): \(.zh_tldr)\n\(.link)"]
    | range(0; length; 10) as $at | {text: (.[$at:$at + 10] | join("\n\n"))}' "$records")
[ -z "$messages" ] || printf '%s\n' "$messages" |
    while read -r message; do
        printf 'url = "%s"\n' "$url" | curl --config - --fail --silent --show-error --retry 3 \
            -H 'Content-Type: application/json' --data "$message"
    done
