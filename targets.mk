# The targets people type. Kept apart from Makefile so that the rules stay readable.
export O CACHE JOBS

all: $(PROGRAMS)  ## every program, firmware and host side

# ---- what is not ours: packages, kernels, libraries (scripts/deps keeps them in $(CACHE))
$(O)/.setup: scripts/setup
	@mkdir -p $(@D); scripts/setup && touch $@
$(O)/deps/.uapi: $(O)/.setup
	@mkdir -p $(O)/deps/uapi; touch $@
$(O)/deps/.target: $(O)/.setup scripts/deps kernel/build kernel/fetch $(wildcard configs/kernel/*.config)
	@mkdir -p $(O)/deps; scripts/deps musl $(O)/deps && touch $@
$(O)/deps/busybox: $(O)/deps/.target configs/busybox/firmware.config
	@scripts/deps busybox $(O)/deps
$(O)/deps/.guest: $(O)/.setup scripts/deps
	@mkdir -p $(O)/deps; scripts/deps guest $(O)/deps && touch $@
$(O)/deps/kernel-debug/vmlinux: $(O)/.setup kernel/build $(wildcard configs/kernel/*.config)
	@kernel/build $(@D) configs/kernel/debug.config
	@touch -h $@

# the guest that is debugged: 7.x with symbols and gdb scripts
$(O)/deps/kernel-guest/bzImage $(O)/deps/kernel-guest/vmlinux: $(O)/.setup kernel/build-guest configs/kernel/guest.config
	@kernel/build-guest $(O)/deps/kernel-guest
	@touch -h $(O)/deps/kernel-guest/bzImage $(O)/deps/kernel-guest/vmlinux
guest-kernel: $(O)/deps/kernel-guest/bzImage  ## a 7.x guest kernel with symbols, to debug (scripts/vm up --kernel build/deps/kernel-guest/bzImage)

# ---- firmware image
-include initramfs/rules.mk
VTL2_CMDLINE ?= printk.devkmsg=on vfio.enable_unsafe_noiommu_mode=1 loglevel=4
VTL0_APPEND ?= console=ttyS0,115200 quiet
VTL0_KERNEL ?= $(O)/deps/guest/vmlinuz
VTL0_INITRD ?= $(O)/guest.initrd
# an empty VTL0_KERNEL makes an image of the firmware alone
VTL0_ARGS = $(if $(VTL0_KERNEL),--vtl0-kernel $(VTL0_KERNEL) --vtl0-initrd $(VTL0_INITRD) --vtl0-cmdline '$(VTL0_APPEND)')
IMAGE ?= $(O)/paravane.igvm
VTL2_MEMORY ?= 64M
VTL2_KERNEL ?= $(O)/deps/kernel/vmlinux
IMAGE_INPUTS := $(O)/bare/bin/shim $(O)/native/bin/igvmgen $(O)/initramfs.cpio.zst $(O)/deps/.target $(O)/deps/.guest

$(O)/guest.initrd: tests/guests/mkinitrd $(wildcard tests/guests/initrd/*) $(addprefix $(O)/target/bin/,ports accesses fsx churn kexec) $(O)/deps/.guest
	$(call say,INITRD,$@)
	$(Q)tests/guests/mkinitrd $@
$(O)/bare-guest.img: $(O)/bare/bin/bare-guest
	$(Q)objcopy -O binary $< $@
$(O)/deps/.guests: $(O)/.setup scripts/deps
	@mkdir -p $(O)/deps; scripts/deps guests $(O)/deps && touch $@
$(O)/guest-%.initrd: $(O)/guest.initrd $(O)/deps/.guests
	$(call say,INITRD,$@)
	$(Q)tests/guests/mkinitrd $@ $(O)/deps/guest-$*
$(O)/root.ext4: tests/guests/mkrootfs $(wildcard tests/guests/root/*) tests/guests/initrd/agent.sh $(O)/deps/.guest
	$(Q)tests/guests/mkrootfs $@
root-image: $(O)/root.ext4  ## a Debian root file system for guests (wants root)
$(IMAGE): $(IMAGE_INPUTS) $(VTL0_INITRD)
	$(call say,IGVM,$@)
	$(Q)$(O)/native/bin/igvmgen build --shim $(O)/bare/bin/shim --kernel $(VTL2_KERNEL) --initrd $(O)/initramfs.cpio.zst \
		--vtl2-memory $(VTL2_MEMORY) --cmdline '$(VTL2_CMDLINE)' $(VTL0_ARGS) -o $@
image: $(IMAGE)  ## paravane.igvm, with a stock Debian guest kernel as its payload

$(O)/bench.initramfs: scripts/bench/build scripts/bench/init.sh $(O)/deps/.guest | $(O)/native/bin/pvhost
	$(call say,BENCH,$@)
	$(Q)scripts/bench/build $@
bench-machine: $(O)/bench.initramfs  ## the initramfs of the machine that stands in for a KVM host

# Linux's own nvme driver in VTL2, to check host/nvme with: another kernel, nothing of our firmware but the shim
$(O)/deps/kernel-nvme/vmlinux: $(O)/.setup kernel/build configs/kernel/vtl2.config configs/kernel/nvme-test.config
	@kernel/build $(@D) configs/kernel/nvme-test.config
	@touch -h $@
$(O)/deps/.nvme-cli: $(O)/.setup
	@mkdir -p $(@D); scripts/deps nvme_cli $(O)/deps && touch $@
$(O)/nvme-linux.initrd: tests/guests/mknvme $(wildcard tests/guests/nvme/*) $(O)/deps/.nvme-cli
	$(call say,INITRD,$@)
	$(Q)tests/guests/mknvme $@
$(O)/nvme-linux.igvm: $(O)/nvme-linux.initrd $(O)/deps/kernel-nvme/vmlinux $(O)/bare/bin/shim $(O)/native/bin/igvmgen
	$(call say,IGVM,$@)
	$(Q)$(O)/native/bin/igvmgen build --shim $(O)/bare/bin/shim --kernel $(O)/deps/kernel-nvme/vmlinux \
		--initrd $< --cmdline 'printk.devkmsg=on loglevel=6 nvme_core.io_timeout=2 nvme_core.admin_timeout=5' -o $@

tools: $(addprefix $(O)/native/bin/,pvhost pvdiag igvmgen pvvmgs)
machine: image tools bench-machine  ## all that scripts/vm needs

# ---- run
run: machine  ## boot the firmware and a guest to a shell (CPUS=1 MEMORY=1G)
	@scripts/vm -n run down
	@trap 'scripts/vm -n run down' EXIT; \
	scripts/vm -n run up --cpus $(or $(CPUS),1) --memory $(or $(MEMORY),1G) && scripts/vm -n run console
# gdb's own arguments: GDB='-batch -ex bt'
debug: machine $(O)/deps/kernel-debug/vmlinux  ## gdb on the firmware: WHAT=kernel (default), shim, worker, control or init
	@$(MAKE) --no-print-directory image IMAGE=$(O)/paravane-debug.igvm VTL2_KERNEL=$(O)/deps/kernel-debug/vmlinux
	@scripts/vm -n debug down
	@trap 'scripts/vm -n debug down' EXIT; \
	scripts/vm -n debug up --igvm $(O)/paravane-debug.igvm --vtl2-console --gdb $(if $(filter shim,$(WHAT)),wait,nowait) $(UP) && \
	scripts/vm -n debug gdb $(if $(filter-out kernel shim,$(WHAT)),--process $(WHAT),--vtl2) $(GDB)

# ---- check
RESULTS := $(abspath $(O))/results
export RESULTS
TSAN_EXEC := tests/unit/lib/task/test_exec.c lib/task/exec.c lib/task/timers.c lib/task/wake.c lib/task/exec_uring.c \
	lib/task/exec_sim.c lib/log/log.c lib/os/file.c
$(O)/tsan/test_exec: $(call obj,tsan,$(TSAN_EXEC))
	$(Q)$(CC_tsan) $(LDFLAGS_tsan) -o $@ $^ -luring -lpthread -lcmocka
check-tsan: $(O)/tsan/test_exec  ## the wake rule under ThreadSanitizer
	@scripts/run-tests $^
check-unit: $(UNIT)
	@scripts/run-tests $(UNIT)
print-deps:
	@$(foreach d,$(FOLDERS),echo '$(d): $(deps/$(d))';)
check-layers: $(O)/.setup $(UNIT)
	@scripts/check-layers
check-headers: $(O)/deps/.uapi
	@scripts/check-headers
check-style: $(O)/.setup
	@scripts/check-style
check-sim: sims
	@$(O)/host/bin/sim_storage --runs 10
	@$(O)/host/bin/sim_storage --seed 982 --runs 1 # once: no answer for ever, when an abort was under way as a reset was wanted
check: check-style check-layers check-headers check-unit check-sim  ## quick: style, layers, headers, unit tests, ten seeds

check-igvm: $(O)/native/bin/igvmgen $(O)/bare/bin/shim $(O)/deps/.target  ## images against an independent reader
	@tests/igvm/check.sh $(O)/native/bin/igvmgen $(O)/bare/bin/shim $(O)/deps/kernel/vmlinux

fuzz: $(FUZZERS)  ## each fuzz target for FUZZ_TIME seconds (20)
	@scripts/run-fuzz $(or $(FUZZ_TIME),20) $(FUZZERS)
fuzzers: $(FUZZERS)
sims: $(O)/host/bin/sim_storage
SIM_RUNS ?= 10000
SIM_SEED ?= 1
sim: sims  ## SIM_RUNS seeds (10000) of the simulations
	@scripts/run-sim storage $(O)/host/bin/sim_storage $(SIM_SEED) $(SIM_RUNS)
differentials: $(O)/native/bin/emul_unicorn
DIFF_CASES ?= 200000
DIFF_SEED ?= 1
differential: differentials  ## DIFF_CASES random instructions (200000) through the MMIO emulator and Unicorn
	@scripts/run-differential emul $(O)/native/bin/emul_unicorn $(DIFF_SEED) $(DIFF_CASES)
sweeps: $(O)/host/bin/sweep_exits
SWEEP_EXITS ?= 200000
SWEEP_SEED ?= 1
sweep: sweeps  ## SWEEP_EXITS (200000) random exits of VTL0 through the worker's side of a VP, the whole chipset and back
	@scripts/run-sweep $(O)/host/bin/sweep_exits $(SWEEP_SEED) $(SWEEP_EXITS)
mutants: $(O)/host/bin/mutate_boot
MUTATIONS ?= 20000
MUTATE_SEED ?= 1
mutate: mutants  ## MUTATIONS (20000) of IGVM files and device trees through shim, `igvmgen show` and pvhost's loader
	@scripts/run-mutate $(O)/host/bin/mutate_boot $(MUTATE_SEED) $(MUTATIONS)
test-the-tests: sims lives sweeps  ## planted mistakes: what does not notice one fails
	@scripts/test-the-tests $(O)/host/bin/sim_storage $(O)/native/bin/tpm_lives $(O)/native/bin/paravane-tpm $(O)/host/bin/sweep_exits
lives: $(O)/native/bin/tpm_lives $(O)/native/bin/paravane-tpm
LIVES_KILLS ?= 1000
LIVES_SEED ?= 1
tpm-lives: lives  ## the TPM's process: LIVES_KILLS kills (1000), and a power cut at each write of its state
	@scripts/run-lives tpm $(O)/native/bin/tpm_lives --kills $(LIVES_KILLS) --seed $(LIVES_SEED) $(O)/native/bin/paravane-tpm
e2e: machine  ## the tests that boot machines
	@tests/e2e/run
test:  ## everything CI runs
	@scripts/test
long:  ## long runs: TEST=fuzz|sim|emul|sweep|mutate|boots|faults|reboots|crashes|clients|gdb|nvme|verify|shapes|stress|console|bare SEED= TIME=
	@scripts/long "$(TEST)" "$(TIME)"
report-size: $(O)/.setup  ## functions past 70 lines, files past 600
	@scripts/report-size
compile_commands.json: $(PROGRAMS)
	@{ echo '['; find $(O) -name '*.json' -path '*.o.json' -exec cat {} + | sed '$$ s/,$$//'; echo ']'; } >$@
clean:  ## remove what was built (the cache stays)
	rm -rf $(O) compile_commands.json
help:  ## this list
	@grep -hE '^[a-z_.0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z_.0-9-]+):.*## (.*)/  \1\t\2/' | expand -t 26
.PHONY: lives tpm-lives all image guest-kernel root-image run debug check test long clean help e2e fuzz tools machine bench-machine print-deps check-unit check-layers \
	check-headers check-style check-sim sim sims fuzzers differential differentials sweep sweeps mutate mutants test-the-tests report-size check-igvm FORCE
