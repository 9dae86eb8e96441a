#!/bin/busybox sh
# Runs commands that scripts/vm sends over COM2. A line in: EXEC id base64(command). Lines out: OUT id base64(output)...,
# then EXIT id status.
stty -F /dev/ttyS1 raw -echo 115200
exec </dev/ttyS1 >/dev/ttyS1 2>/dev/null
echo HELLO
while read -r word id text; do
	[ "$word" = EXEC ] || continue
	echo "$text" | base64 -d >/tmp/agent.cmd
	sh /tmp/agent.cmd >/tmp/agent.out 2>&1 </dev/null
	status=$?
	base64 -w 1024 /tmp/agent.out | sed "s/^/OUT $id /"
	echo "EXIT $id $status"
done
