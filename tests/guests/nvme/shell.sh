#!/bin/sh
read -r text
# Linux numbers controllers as they come: $A is the host's first, $B its second
for c in /sys/class/nvme/nvme*; do
	case $(cat $c/serial 2>/dev/null) in
	PARAVANE0001*) export A=/dev/${c##*/} ;;
	PARAVANE0002*) export B=/dev/${c##*/} ;;
	esac
done
printf '%s' "$text" | base64 -d >/tmp/script.$$
sh /tmp/script.$$ 2>&1
printf '\nSTATUS %s\n' $?
rm -f /tmp/script.$$
