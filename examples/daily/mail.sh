#!/bin/sh
# Mails a page: mail.sh FILE.html ADDRESS. Needs msmtp with an account.
set -eu
page=$1 address=$2
# Not in the pipe, which would go on without it.
body=$(base64 "$page")
{
    printf 'To: %s\nSubject: =?UTF-8?B?%s?=\n' "$address" "$(printf '文摘 %s' "$(date +%F)" | base64)"
    printf 'MIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\n'
    printf 'Content-Transfer-Encoding: base64\n\n'
    printf '%s\n' "$body"
} | ${MSMTP:-msmtp} -- "$address"
