# Sourced in the guest: what 56-faults.sh wants of it. The disk under test is LUN 1 of the SCSI controller, whatever its name is.
disk() { echo "/dev/$(ls /sys/class/scsi_disk/0:0:0:1/device/block 2>/dev/null)"; }
# finds DEPTH OFFSET LEN SEED: fio says that what it reads is not what it wrote (EILSEQ), and nothing else is wrong
finds() { ! run "$@" --bsrange=4k-8k >/tmp/lie && [ "$(tail -n 1 /tmp/rounds | cut -d' ' -f1)" = 84 ] || { cat /tmp/lie; false; }; }
# run DEPTH OFFSET LEN SEED [OPTION]...: two jobs write all of it in random pieces and read it back; 0: all is as written.
# A line in /tmp/rounds: fio's error, the longest read and write in microseconds, KiB written
run() {
	local depth=$1 at=$2 len=$(($3 / 2)) seed=$4 status
	shift 4
	fio --ioengine=libaio --direct=1 --thread --verify=crc32c --verify_fatal=1 --verify_interval=4096 --blockalign=4096 --group_reporting \
		--minimal --filename="$(disk)" --name=j --numjobs=2 --offset="$at" --offset_increment=$len --size=$len --rw=randwrite \
		--bsrange=4k-64k --iodepth="$depth" --randseed="$seed" --fsync=64 "$@" >/tmp/fio.out 2>&1
	status=$?
	[ $status = 0 ] || grep -v '^3;' /tmp/fio.out | tail -n 4
	awk -F';' '/^3;/ { print $5, $15, $56, $47 }' /tmp/fio.out >>/tmp/rounds
	return $status
}
# load OFFSET LEN SEED: rounds of all depths until /tmp/stop is there, or one is not good: then /tmp/bad says why
load() {
	local n=$3
	rm -f /tmp/stop /tmp/bad /tmp/ended
	while [ ! -e /tmp/stop ]; do
		case $((n % 4)) in 0) depth=64 ;; 1) depth=4 ;; 2) depth=16 ;; *) depth=1 ;; esac
		n=$((n + 1))
		run $depth "$1" "$2" $n >/tmp/out || { cat /tmp/out >/tmp/bad; break; }
	done
	touch /tmp/ended
}
# until TENTHS COMMAND...: waits for it
until_() {
	local n=$1
	shift
	while ! "$@" >/dev/null 2>&1; do
		n=$((n - 1))
		[ $n -gt 0 ] || return 1
		sleep 0.1
	done
}
# stop_load: all rounds were good
stop_load() {
	touch /tmp/stop
	until_ 1800 test -e /tmp/ended || { echo "the load does not end"; return 1; }
	[ ! -e /tmp/bad ] || { cat /tmp/bad; return 1; }
}
bytes() { printf '%02x %02x %02x %02x' $(($1 >> 24 & 255)) $(($1 >> 16 & 255)) $(($1 >> 8 & 255)) $(($1 & 255)); }
# one command to one block of 4096 bytes; what comes is the sense data in words
read_at() { sg_raw -r 4096 -o /dev/null "$(disk)" 28 00 $(bytes "$1") 00 00 08 00 2>&1; }
write_at() { sg_raw -s 4096 -i /dev/zero "$(disk)" 2a 00 $(bytes "$1") 00 00 08 00 2>&1; }
# the kernel's own idea of it
has_size() { [ "$(cat "/sys/block/$(basename "$(disk)")/size")" = "$1" ]; }
# the disk answers, and does so a moment later too
back() { [ -b "$(disk)" ] && good read_at 0 && sleep 3 && [ -b "$(disk)" ] && good read_at 0; }
flush() { sg_raw "$(disk)" 35 00 00 00 00 00 00 00 00 00 2>&1; }
# good COMMAND...; fails KEY WORDS COMMAND...: with that sense key and these words
good() { "$@" >/tmp/sense && grep -q 'SCSI Status: Good' /tmp/sense || { cat /tmp/sense; return 1; }; }
fails() {
	local key=$1 words=$2
	shift 2
	"$@" >/tmp/sense
	grep -qiE "sense key: ($key)" /tmp/sense && grep -qiE "$words" /tmp/sense || { cat /tmp/sense; return 1; }
}
