#!/bin/sh
read -r text
printf '%s' "$text" | base64 -d >/tmp/script.$$
sh /tmp/script.$$ 2>&1
printf '\nSTATUS %s\n' $?
rm -f /tmp/script.$$
