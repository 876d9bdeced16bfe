#!/bin/sh
# Mails a page: mail.sh FILE.html ADDRESS. Needs msmtp with an account.
set -eu
page=$1 address=$2
{
    printf 'To: %s\nSubject: =?UTF-8?B?%s?=\n' "$address" "$(printf '文摘 %s' "$(date +%F)" | base64)"
    printf 'MIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\n'
    printf 'Content-Transfer-Encoding: base64\n\n'
    base64 "$page"
} | ${MSMTP:-msmtp} -- "$address"
