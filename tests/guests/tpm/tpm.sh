#!/bin/bash
# tpm.sh NAME...: checks of the TPM in a Debian guest with tpm2-tools; tests/e2e/80-tpm.sh puts it there. What one has learned
# for another lies in /root/tpm.
set -eu -o pipefail
export TPM2TOOLS_TCTI=device:/dev/tpmrm0
mkdir -p /root/tpm
cd /root/tpm

die() { echo "tpm.sh: $*"; exit 1; }
# refused REGEX COMMAND...: it fails, and says that
refused() {
	local re=$1
	shift
	! "$@" >refused.out 2>&1 || die "was allowed: $*"
	grep -qE -- "$re" refused.out || { cat refused.out; die "does not say $re: $*"; }
}
# of what it says now, each value behind its name; each command costs a second here, so one for all
variables() { tpm2_getcap properties-variable >variables; }
variable() { awk -v n="$1:" '$1 == n {print $2}' variables; }
hex() { od -An -v -tx1 "$@" | tr -d ' \n'; }
nv() { hex <(tpm2_nvread "$1" -C o); }
# of a bank, what PCRs 0 to 9 have: lines "N value", lower case
pcrs() {
	tpm2_pcrread "$1:0,1,2,3,4,5,6,7,8,9" | sed -nE 's/^ +([0-9]+) *: 0x([0-9A-F]+)$/\1 \2/p' | tr A-F a-f
}

# ---- what it says of itself
t_properties() {
	local fixed
	fixed=$(tpm2_getcap properties-fixed)
	grep -A2 TPM2_PT_FAMILY_INDICATOR <<<"$fixed" | grep -q '"2.0"'
	grep -A2 TPM2_PT_MANUFACTURER <<<"$fixed" | grep -q '"IBM"'
	variables
	# an owner's passwords are not set, and the platform is the firmware's own business
	[ "$(variable ownerAuthSet)$(variable lockoutAuthSet)$(variable inLockout)" = 000 ]
	[ "$(variable phEnable)" = 0 ]
	[ "$(variable shEnable)$(variable ehEnable)" = 11 ]
}

t_algorithms() {
	local all a
	all=$(tpm2_getcap algorithms)
	for a in rsa ecc aes sha256 sha384 hmac keyedhash rsassa rsapss oaep ecdsa ecdh cfb kdf1_sp800_108; do
		grep -q "^$a:" <<<"$all" || die "no $a"
	done
	for a in rsa2048 rsa3072 ecc256 ecc384 aes256cfb; do tpm2_testparms $a; done
}

# banks that have PCRs, with how many
banks() { tpm2_getcap pcrs | sed -nE 's/^ +- ([a-z0-9_]+): \[ *(.*[0-9]) *\]$/\1 \2/p' | awk '{gsub(",", ""); print $1, NF - 1}'; }
t_banks() {
	[ "$(banks)" = "sha256 24
sha384 24" ] || { banks; die "not these"; }
	! tpm2_pcrread sha1:0 2>/dev/null | grep 0x
}

t_selftest() {
	tpm2_selftest || sleep 5
	tpm2_selftest
	# Linux waits two seconds, which a bench machine may need for itself; the test goes on all the same
	tpm2_selftest -f || sleep 5
	tpm2_gettestresult | grep -q 'status: *success'
}

t_random() {
	[ "$(tpm2_getrandom --hex 32)" != "$(tpm2_getrandom --hex 32)" ]
	[ "$(tpm2_getrandom 32 | wc -c)" = 32 ]
}

t_clock() {
	local a b
	a=$(tpm2_readclock | awk '$1 == "clock:" {print $2}')
	sleep 2
	b=$(tpm2_readclock | awk '$1 == "clock:" {print $2}')
	# milliseconds; a busy machine may take any time more
	[ $((b - a)) -ge 1900 ] && [ $((b - a)) -lt 300000 ]
	tpm2_readclock | grep -qE 'safe: (yes|no)'
}

# ---- keys
primary() { tpm2_createprimary -Q -C o -G "$1" -c "$1.primary"; }
t_primary_ecc() {
	primary ecc
	tpm2_readpublic -c ecc.primary -f pem -o ecc.pem | grep -q 'value: NIST p256'
	# the same seed, the same key
	tpm2_createprimary -Q -C o -G ecc -c again.ctx
	tpm2_readpublic -Q -c again.ctx -f pem -o again.pem
	cmp ecc.pem again.pem
	tpm2_createprimary -Q -C n -G ecc384 -c n.ctx
}
t_primary_rsa() {
	primary rsa
	tpm2_readpublic -c rsa.primary -f pem -o rsa.pem | grep -q 'bits: 2048'
}

# sign PRIMARY ALGORITHM: made, loaded, used; a changed message is refused; OpenSSL agrees
sign() {
	echo "message of $2" >message
	echo "another" >other
	tpm2_create -Q -C "$1.primary" -G "$2" -u k.pub -r k.priv
	tpm2_load -Q -C "$1.primary" -u k.pub -r k.priv -c k.ctx
	tpm2_sign -Q -c k.ctx -g sha256 -o sig message
	tpm2_verifysignature -Q -c k.ctx -g sha256 -m message -s sig
	refused 'signature|0x2DB' tpm2_verifysignature -Q -c k.ctx -g sha256 -m other -s sig
	tpm2_sign -Q -c k.ctx -g sha256 -f plain -o sig.plain message
	tpm2_readpublic -Q -c k.ctx -f pem -o k.pem
	openssl dgst -sha256 -verify k.pem -signature sig.plain message | grep -q 'Verified OK'
}
t_sign_ecc() { sign ecc ecc256; }
t_sign_rsa() { sign ecc rsa2048; }

t_encrypt() {
	echo secret >message
	tpm2_create -Q -C ecc.primary -G rsa2048 -u k.pub -r k.priv
	tpm2_load -Q -C ecc.primary -u k.pub -r k.priv -c k.ctx
	tpm2_readpublic -Q -c k.ctx -f pem -o k.pem
	openssl pkeyutl -encrypt -pubin -inkey k.pem -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 -in message -out sealed
	[ "$(tpm2_rsadecrypt -c k.ctx -s oaep sealed)" = secret ]
	tpm2_create -Q -C ecc.primary -G hmac -c h.ctx
	[ "$(tpm2_hmac -c h.ctx --hex message | wc -c)" = 64 ]
	[ "$(tpm2_hash -g sha384 -C n --hex message)" = "$(sha384sum message | cut -d' ' -f1)" ]
}

# ---- sealed to PCRs; 23 is one that the guest may reset
seal() { # PCRS NAME
	tpm2_createpolicy -Q --policy-pcr -l "$1" -L "$2.policy"
	echo "the secret $2" | tpm2_create -Q -C ecc.primary -L "$2.policy" -i - -u "$2.pub" -r "$2.priv"
}
unseal() {
	tpm2_load -Q -C ecc.primary -u "$2.pub" -r "$2.priv" -c sealed.ctx
	tpm2_unseal -c sealed.ctx -p "pcr:$1"
}
t_seal() {
	local bank
	for bank in sha256 sha384; do
		tpm2_pcrreset -Q 23
		seal $bank:9,23 s
		[ "$(unseal $bank:9,23 s)" = "the secret s" ]
		tpm2_pcrextend 23:sha256=$(echo x | sha256sum | cut -d' ' -f1),sha384=$(echo x | sha384sum | cut -d' ' -f1)
		refused 'policy check failed|0x99D' unseal $bank:9,23 s
		tpm2_pcrreset -Q 23
		[ "$(unseal $bank:9,23 s)" = "the secret s" ]
		refused '' tpm2_unseal -Q -c sealed.ctx
	done
}
# a secret that only this boot's measurements open; boot_unseal and boot_refused are for later: a context that was saved does not
# outlive a TPM's start, so the primary key is made again
t_boot_seal() { primary ecc && seal sha256:0,7,8,9 boot && t_boot_unseal; }
t_boot_unseal() { primary ecc && [ "$(unseal sha256:0,7,8,9 boot)" = "the secret boot" ]; }
t_boot_refused() { primary ecc && refused 'policy check failed|0x99D' unseal sha256:0,7,8,9 boot; }

# ---- NV
INDEX=0x1500010 COUNTER=0x1500011 BITS=0x1500012
t_nv() {
	tpm2_nvdefine -Q $INDEX -C o -s 64 -a 'ownerread|ownerwrite|authread|authwrite' -p index
	head -c 64 /dev/urandom >nv.data
	tpm2_nvwrite -Q $INDEX -C o -i nv.data
	[ "$(nv $INDEX)" = "$(hex nv.data)" ]
	refused 'auth|0x98E|0x922' tpm2_nvread -Q $INDEX -P wrong
	[ "$(hex <(tpm2_nvread $INDEX -P index))" = "$(hex nv.data)" ]
	tpm2_nvdefine -Q $COUNTER -C o -s 8 -a 'nt=counter|ownerread|ownerwrite|no_da'
	tpm2_nvincrement -Q $COUNTER -C o
	tpm2_nvincrement -Q $COUNTER -C o
	nv $COUNTER >counter
	tpm2_nvdefine -Q $BITS -C o -s 8 -a 'nt=bits|ownerread|ownerwrite'
	tpm2_nvsetbits -Q $BITS -C o -i 0x10
	[ "$(nv $BITS)" = 0000000000000010 ]
	refused 'already|0x14C' tpm2_nvdefine -Q $BITS -C o -s 8
	tpm2_nvundefine -Q $BITS -C o
}
# after a reset or another start: what was written is there, and a counter is not below what it was
t_nv_is_there() {
	[ "$(nv $INDEX)" = "$(hex nv.data)" ] || die "the index has other data"
	[[ $(nv $COUNTER) > $(cat counter) || $(nv $COUNTER) = $(cat counter) ]] || die "the counter went back: $(nv $COUNTER), was $(cat counter)"
	tpm2_nvincrement -Q $COUNTER -C o
	[[ $(nv $COUNTER) > $(cat counter) ]]
	nv $COUNTER >counter
	tpm2_readpublic -Q -c 0x81000100 -f pem -o p.pem
	cmp p.pem kept.pem || die "the kept key is another"
}
t_keep_key() {
	tpm2_evictcontrol -Q -C o -c ecc.primary 0x81000100
	tpm2_readpublic -Q -c 0x81000100 -f pem -o kept.pem
}

# ---- attestation, the way of an attestation key: made under the endorsement key, certified by a credential for both
t_attest() {
	tpm2_createak -Q -C 0x8101000a -G ecc -g sha256 -s ecdsa -c ak.ctx -u ak.pem -f pem -n ak.name
	tpm2_readpublic -Q -c 0x8101000a -o ek.pub
	head -c 20 /dev/urandom >credential
	# whoever certifies has only the endorsement key's public part and the attestation key's name
	tpm2_makecredential -Q -T none -u ek.pub -s credential -n "$(hex ak.name)" -o blob
	tpm2_startauthsession --policy-session -S session
	tpm2_policysecret -Q -S session -c e
	tpm2_activatecredential -Q -c ak.ctx -C 0x8101000a -i blob -o opened -P session:session
	tpm2_flushcontext session
	cmp credential opened
}
t_quote() {
	tpm2_quote -Q -c ak.ctx -l sha256:0,7,8,9+sha384:9 -q 0123abcd -g sha256 -m quote.msg -s quote.sig -o quote.pcrs
	tpm2_checkquote -Q -u ak.pem -m quote.msg -s quote.sig -f quote.pcrs -g sha256 -q 0123abcd
	refused . tpm2_checkquote -Q -u ak.pem -m quote.msg -s quote.sig -f quote.pcrs -g sha256 -q 0123abce
	tpm2_certify -Q -C ak.ctx -c ecc.primary -g sha256 -o attest -s attest.sig -f tss
}

# ---- identity
t_certificates() {
	local n=0 h kind
	tpm2_getekcertificate -o rsa.der -o ecc.der 2>gek.err || { cat gek.err; die "no certificates"; }
	tpm2_nvread -Q 0x1c00002 -o rsa.nv
	tpm2_nvread -Q 0x1c0000a -o ecc.nv
	tpm2_nvread -Q 0x1c00100 -o ca.nv
	cmp rsa.der rsa.nv && cmp ecc.der ecc.nv
	openssl x509 -inform der -in ca.nv -out ca.pem
	for kind in rsa ecc; do
		openssl x509 -inform der -in $kind.nv -out $kind.crt
		openssl verify -x509_strict -check_ss_sig -CAfile ca.pem $kind.crt
		h=0x81010001
		[ $kind = rsa ] || h=0x8101000a
		tpm2_readpublic -Q -c $h -f pem -o $kind.ek
		openssl x509 -in $kind.crt -noout -pubkey | openssl pkey -pubin -outform der >a
		openssl pkey -pubin -in $kind.ek -outform der >b
		cmp a b
		openssl x509 -in $kind.crt -noout -text | grep -q '2.23.133.8.1'
		n=$((n + 1))
	done
	# nobody else's
	! openssl verify -CAfile ecc.crt rsa.crt 2>/dev/null
	[ $n = 2 ]
	refused . tpm2_nvundefine -Q 0x1c00002 -C o
}
t_ek() {
	tpm2_createek -Q -c ek.ctx -G ecc -u ek1.pub
	tpm2_readpublic -Q -c 0x8101000a -o ek2.pub
	cmp ek1.pub ek2.pub
	tpm2_createek -Q -c ek.ctx -G rsa -u ek1.pub
	tpm2_readpublic -Q -c 0x81010001 -o ek2.pub
	cmp ek1.pub ek2.pub
}
t_ek_is_there() { [ "$(tpm2_getcap handles-persistent | grep -ciE '0x8101000(1|a)$')" = 2 ]; }

# ---- what was measured
LOG=/sys/kernel/security/tpm0/binary_bios_measurements
t_log() {
	local bank
	[ -e $LOG ] || mount -t securityfs none /sys/kernel/security
	tpm2_eventlog $LOG >log.yaml
	for bank in sha256 sha384; do
		# what the log comes to, for each PCR that it has
		awk -v b="  $bank:" '/^pcrs:/ {on = 1} on && /^  [a-z]/ {in_bank = $0 == b} on && in_bank && /: 0x/ {print $1, $NF}' log.yaml |
			sed -E 's/^([0-9]+):? (: )?0x/\1 /; s/ +/ /' >replayed.$bank
		pcrs $bank >pcrs.$bank
		[ "$(wc -l <pcrs.$bank)" = 10 ]
		# all ten are in the log: separators in 0 to 7
		diff replayed.$bank pcrs.$bank
	done
}
# a digest of the log: PCR EVENTNUMBER-OF-THAT-PCR BANK
t_log_digest() {
	awk -v pcr="$1" -v want="$2" -v bank="$3" '/PCRIndex:/ {at = $2; n += at == pcr} /AlgorithmId:/ {alg = $3} $1 == "AlgorithmId:" {alg = $2}
		/Digest:/ && at == pcr && n == want && alg == bank {gsub("\"", "", $NF); print $NF}' log.yaml | head -n 1
}
t_command_line() {
	[ "$(t_log_digest 8 1 sha256)" = "$(tr -d '\n' </proc/cmdline | sha256sum | cut -d' ' -f1)" ]
	[ "$(t_log_digest 8 1 sha384)" = "$(tr -d '\n' </proc/cmdline | sha384sum | cut -d' ' -f1)" ]
	grep -qF "kernel_cmdline: $(cat /proc/cmdline)" $LOG
}
t_pcrs_keep() { cat <(pcrs sha256) <(pcrs sha384) >first.pcrs; }
t_pcrs_are() { diff first.pcrs <(pcrs sha256; pcrs sha384); }

# ---- lockout
t_lockout() {
	local n
	tpm2_dictionarylockout -Q -s -n 3 -t 100000 -l 10
	tpm2_dictionarylockout -Q -c
	variables
	[ "$(variable TPM2_PT_MAX_AUTH_FAIL)" = 0x3 ]
	tpm2_create -Q -C ecc.primary -G ecc256 -p right -u k.pub -r k.priv
	tpm2_load -Q -C ecc.primary -u k.pub -r k.priv -c k.ctx
	for n in 1 2 3; do
		refused 'auth|0x98E|0x921' tpm2_sign -Q -c k.ctx -p wrong -g sha256 -o sig message
		variables
		[ "$(variable TPM2_PT_LOCKOUT_COUNTER)" = 0x$n ] || die "after $n the count is $(variable TPM2_PT_LOCKOUT_COUNTER)"
	done
	[ "$(variable inLockout)" = 1 ]
	refused 'lockout|DA|0x921' tpm2_sign -Q -c k.ctx -p right -g sha256 -o sig message
	tpm2_dictionarylockout -Q -c
	tpm2_sign -Q -c k.ctx -p right -g sha256 -o sig message
	variables
	[ "$(variable TPM2_PT_LOCKOUT_COUNTER)" = 0x0 ]
	# once more, to be found again after a reset: what counts attempts must not be had out of by switching off
	refused 'auth|0x98E|0x921' tpm2_sign -Q -c k.ctx -p wrong -g sha256 -o sig message
}
t_lockout_counts_on() { variables && [ "$(($(variable TPM2_PT_LOCKOUT_COUNTER)))" -ge 1 ] && tpm2_dictionarylockout -Q -c; }

t_clear() {
	# a wrong word here would close lockout's own for a day
	tpm2_changeauth -Q -c l lockout
	tpm2_changeauth -Q -c o owner
	tpm2_clear -Q -c l lockout
	variables
	[ "$(variable ownerAuthSet)$(variable lockoutAuthSet)" = 00 ]
	refused . tpm2_readpublic -Q -c 0x81000100
	refused . tpm2_nvreadpublic -Q $INDEX
	# certificates are the maker's
	tpm2_nvreadpublic -Q 0x1c00002
	# a new seed: another key
	primary ecc
	tpm2_readpublic -Q -c ecc.primary -f pem -o p.pem
	! cmp -s p.pem ecc.pem
	cp p.pem ecc.pem
	# the platform's way is not the guest's
	refused . tpm2_clear -Q -c p
}

# ---- /dev/tpmrm0: each client has objects of its own, three as far as Linux goes; the TPM has places for three in all
# command FD HEX: the response, in hex
command_on() {
	printf "$(sed 's/../\\x&/g' <<<"$2")" >raw.bin
	cat raw.bin >&"$1"
	dd bs=4096 count=1 status=none <&"$1" | hex
}
# CreatePrimary in the null hierarchy, a P-256 signing key; the byte makes it another key. Its handle
make_on() { # FD BYTE
	local public=0023000b000400720000001000100003001000"01$2"0000 r
	public=$(printf %04x $((${#public} / 2)))$public
	local body=4000000700000009400000090000000000000400000000${public}000000000000
	r=$(command_on "$1" 8002$(printf %08x $((10 + ${#body} / 2)))00000131$body)
	[ "${r:12:8}" = 00000000 ] || { echo "CreatePrimary: $r" >&2; return 1; }
	echo "${r:20:8}"
}
read_on() { command_on "$1" 80010000000e00000173"$2"; }
t_space() {
	local fd n h r
	exec 5<>/dev/tpmrm0 6<>/dev/tpmrm0 7<>/dev/tpmrm0
	for n in 1 2 3; do
		for fd in 5 6 7; do
			make_on $fd "$fd$n" >handle.$fd.$n
			r=$(read_on $fd "$(cat handle.$fd.$n)")
			[ "${r:12:8}" = 00000000 ]
			echo "$r" >public.$fd.$n
		done
	done
	for fd in 5 6 7; do
		for n in 1 2 3; do
			[ "$(read_on $fd "$(cat handle.$fd.$n)")" = "$(cat public.$fd.$n)" ] || die "object $n of client $fd is another"
		done
	done
	[ "$(sort -u public.[567].[123] | wc -l)" = 9 ]
	# client 6 lets go of its last; client 5 still has its own
	h=$(cat handle.6.3)
	r=$(command_on 6 80010000000e00000165"$h")
	[ "${r:12:8}" = 00000000 ]
	r=$(read_on 6 "$h")
	[ "${r:12:8}" != 00000000 ]
	[ "$(read_on 5 "$(cat handle.5.3)")" = "$(cat public.5.3)" ]
	exec 5>&- 6>&- 7>&-
	# nothing stays behind
	[ -z "$(TPM2TOOLS_TCTI=device:/dev/tpm0 tpm2_getcap handles-transient)" ]
}

# ---- a disk that the TPM opens, as systemd does it
t_cryptenroll() {
	local dev
	modprobe -a loop dm-crypt algif_skcipher
	rm -f luks.img
	truncate -s 24M luks.img
	echo -n password >luks.key
	cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file luks.key luks.img
	dev=$(losetup --show -f luks.img)
	PASSWORD=password systemd-cryptenroll --tpm2-device=auto --tpm2-pcrs=9+14 "$dev"
	/lib/systemd/systemd-cryptsetup attach tpmvol "$dev" - tpm2-device=auto,headless=1
	head -c 4096 /dev/zero >/dev/mapper/tpmvol
	/lib/systemd/systemd-cryptsetup detach tpmvol
	tpm2_pcrextend 14:sha256=$(echo x | sha256sum | cut -d' ' -f1),sha384=$(echo x | sha384sum | cut -d' ' -f1)
	refused . /lib/systemd/systemd-cryptsetup attach tpmvol "$dev" - tpm2-device=auto,headless=1
	[ ! -e /dev/mapper/tpmvol ]
	losetup -d "$dev"
}
# after a reset PCR 14 is what it was
t_cryptopen() {
	local dev
	modprobe -a loop dm-crypt algif_skcipher
	dev=$(losetup --show -f luks.img)
	/lib/systemd/systemd-cryptsetup attach tpmvol "$dev" - tpm2-device=auto,headless=1
	[ -e /dev/mapper/tpmvol ]
	/lib/systemd/systemd-cryptsetup detach tpmvol
	losetup -d "$dev"
}

# ---- physical presence
PPI=/sys/class/tpm/tpm0/ppi
t_ppi() {
	[ "$(cat $PPI/version)" = 1.3 ]
	grep -qE '^5 4:' $PPI/tcg_operations
	[ "$(cat $PPI/request)" = 0 ]
}
t_ppi_clear() {
	tpm2_nvdefine -Q 0x1500013 -C o -s 8
	t_keep_key
	echo 5 >$PPI/request
	[ "$(cat $PPI/request)" = 5 ]
}
t_ppi_cleared() {
	[ "$(cat $PPI/request)" = 0 ]
	grep -qE '^5 0: ' $PPI/response || { cat $PPI/response; die "not this"; }
	refused . tpm2_readpublic -Q -c 0x81000100
	refused . tpm2_nvreadpublic -Q 0x1500013
	t_ek_is_there
	t_ek
}
t_ppi_banks() { echo 23 "$1" >$PPI/request; }
t_ppi_banks_are() {
	grep -qE '^23 0: ' $PPI/response || { cat $PPI/response; die "not this"; }
	[ "$(banks)" = "$1" ] || { banks; die "not these"; }
}

# ---- under kills: a counter, with the last value that was acknowledged; random and PCR commands beside it
KILLED=0x1500020
t_count_begin() {
	tpm2_nvundefine -Q -C o $KILLED 2>/dev/null || true
	tpm2_nvdefine -Q $KILLED -C o -s 8 -a 'nt=counter|ownerread|ownerwrite|no_da'
	tpm2_nvincrement -Q $KILLED -C o
	nv $KILLED >acked
	t_count_on
}
t_count_on() {
	rm -f stop
	nohup bash "$0" count_loop >count.log 2>&1 </dev/null &
}
# none of these may take for ever, whatever becomes of the process
t_count_loop() {
	local v bad=0 good=0
	set +e
	while [ ! -e stop ]; do
		if timeout 150 tpm2_nvincrement -Q $KILLED -C o 2>/dev/null && v=$(timeout 150 tpm2_nvread $KILLED -C o 2>/dev/null | hex) && [ ${#v} = 16 ]; then
			[[ ! $v < $(cat acked) ]] || echo "$v after $(cat acked)" >>went-back
			echo "$v" >acked.new && mv acked.new acked
			good=$((good + 1))
		else
			[ $? != 124 ] || echo "a command hung" >>hung
			bad=$((bad + 1))
		fi
		timeout 150 tpm2_getrandom 16 >/dev/null 2>&1
		[ $? != 124 ] || echo "a command hung" >>hung
		echo "$good $bad" >counts
	done
	touch stopped
}
t_count_end() {
	local n
	touch stop
	for n in $(seq 400); do [ ! -e stopped ] || break; sleep 0.5; done
	[ -e stopped ] || die "the loop hangs"
	rm -f stopped
	[ ! -e hung ] && [ ! -e went-back ] || { cat hung went-back; return 1; }
	[[ ! $(nv $KILLED) < $(cat acked) ]] || die "the counter is $(nv $KILLED), $(cat acked) was acknowledged"
	cat counts
}
# it works again within so many seconds; says how many it took
t_works() {
	local start=$SECONDS
	while ! timeout 60 tpm2_getrandom -Q 8 >/dev/null 2>&1; do
		[ $((SECONDS - start)) -lt "$1" ] || die "no TPM after $1 s"
		sleep 0.5
	done
	echo "$((SECONDS - start)) s"
}

declare -F "t_$1" >/dev/null || die "no check $1"
"t_$1" "${@:2}"
