# Sourced by the scripts here: messages, progress, downloads into the cache. Needs bash.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
TOP=$PWD
CACHE=${CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/paravane}
O=${O:-build}
JOBS=${JOBS:-$(nproc)}
me=$(basename "$0")

say() { printf '%s: %s\n' "$me" "$*" >&2; }
die() { printf '%s: error: %s\n' "$me" "$*" >&2; exit 1; }

# progress "what" logfile command...: runs it with its output in logfile; shows time passing (a line a minute when the
# output is no terminal); at failure shows the log's end
progress() {
	local what=$1 log=$2 start=$SECONDS pid
	shift 2
	mkdir -p "$(dirname "$log")"
	"$@" >"$log" 2>&1 &
	pid=$!
	while kill -0 $pid 2>/dev/null; do
		if [ -t 2 ]; then printf '\r%s: %s ... %ds ' "$me" "$what" $((SECONDS - start)) >&2
		elif [ $(((SECONDS - start) % 60)) = 59 ]; then say "$what ... $((SECONDS - start))s"; fi
		sleep 1
	done
	[ ! -t 2 ] || printf '\r\033[K' >&2
	if ! wait $pid; then
		tail -n 40 "$log" >&2
		die "$what failed after $((SECONDS - start))s; the whole log is $log"
	fi
	say "$what: done in $((SECONDS - start))s"
}

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else return 1; fi
}

# a lock, so that two makes do not fill the same cache entry at once
with_lock() {
	mkdir -p "$CACHE"
	exec 9>"$CACHE/.lock-$1"
	flock 9
}

key_of() { cat "$@" | sha256sum | cut -c1-16; }
