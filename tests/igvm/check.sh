#!/usr/bin/env bash
# usage: check.sh IGVMGEN. The independent reader and igvmgen must agree on every fixture and on an image made here.
set -eu
igvmgen=$1
here=$(dirname "$0")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 "$here/make_fixtures.py" "$dir"
for name in foreign fixed; do
	cmp "$dir/$name.igvm" "$here/fixtures/$name.igvm"
done
if [ $# -gt 1 ]; then
	head -c 100000 /dev/zero >"$dir/initrd"
	"$igvmgen" build --shim "$2" --kernel "$3" --initrd "$dir/initrd" --cmdline test -o "$dir/a.igvm"
	"$igvmgen" build --shim "$2" --kernel "$3" --initrd "$dir/initrd" --cmdline test -o "$dir/b.igvm"
	cmp "$dir/a.igvm" "$dir/b.igvm"
fi
for file in "$dir"/*.igvm; do
	python3 "$here/igvm_read.py" --json "$file" >"$dir/python.json"
	"$igvmgen" show --json "$file" >"$dir/c.json"
	python3 - "$dir/python.json" "$dir/c.json" <<'PY'
import json, sys
ours, theirs = (json.load(open(p)) for p in sys.argv[1:])
def pages(headers, key):
    return sum(h["pages"] for h in headers if h[key] == "PAGE_DATA")
assert ours["bytes"] == theirs["bytes"]
assert pages(ours["headers"], "type") == pages(theirs["headers"], "name")
def registers(headers):
    return [(r["vtl"], r["low"], r["high"]) for h in headers for r in h.get("registers", [])]
assert registers(ours["headers"]) == registers(theirs["headers"]) != []
PY
	head -c 1000 "$file" >"$dir/cut"
	if "$igvmgen" show "$dir/cut" >/dev/null 2>"$dir/said"; then
		echo "a cut-off file was accepted" >&2
		exit 1
	fi
	[ "$(wc -l <"$dir/said")" = 1 ]
done
echo "igvm: reader and igvmgen agree"
