# Paravane: one non-recursive make. Each folder's build.mk says SRCS, DEPS, PROG, FLAVOURS; the rest is here.
MAKEFLAGS += -rR --no-print-directory
.DELETE_ON_ERROR:
.SUFFIXES:
SHELL := /bin/bash
.DEFAULT_GOAL := all

O ?= build
JOBS ?= $(shell nproc)
V ?=
CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/paravane
export CACHE JOBS
Q := $(if $(V),,@)
say = $(if $(V),@:,@printf '  %-8s %s\n' '$(1)' '$(2)')

# ---- what is built, in layers: a folder may include only from itself, spec/ and its DEPS
FOLDERS := lib/core lib/log lib/os lib/task lib/inspect lib/state lib/rpc lib/dtb lib/igvm lib/vhd lib/vmgs lib/apic lib/synic lib/vmbus lib/uart lib/gdb \
	boot igvmgen pvvmgs init \
	vmm/hcl vmm/mem vmm/emul vmm/vfio vmm/nvme vmm/bus vmm/device_worker vmm/chipset vmm/uio vmm/serial vmm/vmbus vmm/disk vmm/chipset/ide vmm/nvme_disk vmm/storvsp vmm/apic vmm/tpm vmm/vp vmm/board \
	vmm/loader vmm/get vmm/vmgs vmm/settings vmm/worker \
	diag/server diag/crash diag/dump diag/perf diag/cli initramfs \
	host/load host/vtl host/vmbus host/gdb host/vpci host/nvme host/pvhost tests/lives tests/guests/tools tests/guests/bare tests/tools tests/unit tests/fuzz tests/sim tests/differential tests/sweep tests/mutate
FOLDERS := $(patsubst %/build.mk,%,$(wildcard $(addsuffix /build.mk,$(FOLDERS))))

# ---- flavours: the same source, compiled for different worlds
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wpointer-arith -Wwrite-strings \
	-Wimplicit-fallthrough -Wundef -Wno-unused-parameter -Werror
COMMON := -std=gnu11 -g -fno-common -fno-strict-aliasing -I. $(WARN)
KHDR := $(O)/deps/kernel-headers/include

# the firmware is compiled for size, but for the way of a disk request
FAST_target := lib/vmbus vmm/vmbus vmm/storvsp vmm/disk vmm/nvme vmm/nvme_disk
CC_target := musl-gcc
# frame pointers: `pvdiag perf-trace` walks stacks in production (docs/decisions/frame-pointers.md)
CFLAGS_target := $(COMMON) -Os -fno-omit-frame-pointer -D_GNU_SOURCE -isystem $(KHDR) -isystem $(O)/deps/musl/include -ffunction-sections -fdata-sections
LDFLAGS_target := -static -Wl,--build-id=sha1 -L$(O)/deps/musl/lib -Wl,--gc-sections -Wl,-z,noseparate-code
CC_native := gcc
CFLAGS_native := $(COMMON) -O2 -D_GNU_SOURCE -isystem $(O)/deps/uapi
LDFLAGS_native :=
CLANG_WARN := -Wno-gnu-variable-sized-type-not-at-end
CC_host := clang
CFLAGS_host := $(COMMON) $(CLANG_WARN) -O1 -D_GNU_SOURCE -isystem $(O)/deps/uapi -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
LDFLAGS_host := -fsanitize=address,undefined
CC_tsan := clang
CFLAGS_tsan := $(COMMON) $(CLANG_WARN) -O1 -D_GNU_SOURCE -isystem $(O)/deps/uapi -fsanitize=thread
LDFLAGS_tsan := -fsanitize=thread
CC_fuzz := clang
CFLAGS_fuzz := $(COMMON) $(CLANG_WARN) -O1 -D_GNU_SOURCE -isystem $(O)/deps/uapi -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
LDFLAGS_fuzz := -fsanitize=fuzzer,address,undefined
# libFuzzer's look at every comparison finds magic numbers, and is two thirds of the time where there are none to find
PLAIN_fuzz := lib/task vmm/nvme vmm/disk vmm/bus vmm/chipset vmm/chipset/ide vmm/mem
CC_bare := gcc
CFLAGS_bare := $(COMMON) -Os -ffreestanding -fno-builtin -mgeneral-regs-only -mno-red-zone -fno-stack-protector \
	-fpie -fcf-protection=none -fno-asynchronous-unwind-tables -DPARAVANE_BARE -mcmodel=small
LDFLAGS_bare := -nostdlib -static -Wl,--build-id=none -Wl,-z,noexecstack -Wl,-z,max-page-size=4096
FLAVOUR_LIST := target native host tsan fuzz bare

# ---- read every folder's fragment
# SRCS: sources of the folder's library.  DEPS: folders it may include and must link.  FLAVOURS: worlds it is compiled for.
# PROG: names of programs; for each, PROG_<name> lists its sources, PROGFLAVOUR_<name> its flavour, PROGLIBS_<name> -l flags.
# TESTS: one program a source, in the host flavour; FUZZ: one libFuzzer target a source.
define read_folder
SRCS :=
DEPS :=
PROG :=
FLAVOURS :=
TESTS :=
FUZZ :=
LIBS :=
include $(1)/build.mk
srcs/$(1) := $$(SRCS)
deps/$(1) := $$(DEPS)
prog/$(1) := $$(PROG)
flavours/$(1) := $$(FLAVOURS)
tests/$(1) := $$(TESTS)
fuzz/$(1) := $$(FUZZ)
libs/$(1) := $$(LIBS)
endef
$(foreach d,$(FOLDERS),$(eval $(call read_folder,$(d))))

# All folders that $(1) links, itself first (DEPS form a DAG; check-layers proves it). Each folder's are found once and kept: found
# anew for every test they were seven seconds of every call of make.
uniq = $(if $(1),$(firstword $(1)) $(call uniq,$(filter-out $(firstword $(1)),$(1))))
linkset = $(if $(linkset/$(1)),,$(eval linkset/$(1) := $(call uniq,$(1) $(foreach d,$(deps/$(1)),$(call linkset,$(d))))))$(linkset/$(1))
archive = $(if $(srcs/$(2)),$(O)/$(1)/$(2)/lib.a)
archives = $(foreach d,$(call linkset,$(2)),$(call archive,$(1),$(d)))
linklibs = $(call uniq,$(strip $(foreach d,$(call linkset,$(1)),$(libs/$(d)))))
obj = $(patsubst %.c,$(O)/$(1)/%.o,$(patsubst %.S,$(O)/$(1)/%.o,$(2)))

# ---- compile rules, one set per flavour
define flavour_rules
$(O)/$(1)/.flags: FORCE
	@mkdir -p $$(@D); f='$$(CC_$(1)) $$(CFLAGS_$(1))'; [ "$$$$f" = "$$$$(cat $$@ 2>/dev/null)" ] || echo "$$$$f" >$$@
$(O)/$(1)/%.o: %.c $(O)/$(1)/.flags $$(READY_$(1))
	$$(call say,CC $(1),$$<)
	@mkdir -p $$(@D)
	$$(Q)$$(CC_$(1)) $$(CFLAGS_$(1)) $$(if $$(filter $$(<D),$$(FAST_$(1))),-O2) $$(if $$(filter $$(<D),$$(PLAIN_$(1))),-fno-sanitize-coverage=trace-cmp) $$(CFLAGS_$$<) -MMD -MP -c -o $$@ $$<
	@printf '{"directory":"%s","file":"%s","command":"%s"},\n' '$$(CURDIR)' '$$<' '$$(CC_$(1)) $$(CFLAGS_$(1)) -c $$<' >$$@.json
$(O)/$(1)/%.o: %.S $(O)/$(1)/.flags $$(READY_$(1))
	$$(call say,AS $(1),$$<)
	@mkdir -p $$(@D)
	$$(Q)$$(CC_$(1)) $$(CFLAGS_$(1)) -D__ASSEMBLY__ -MMD -MP -c -o $$@ $$<
endef
READY_target = $(O)/deps/.target
READY_native = $(O)/deps/.uapi
READY_host = $(O)/deps/.uapi
READY_tsan = $(O)/deps/.uapi
READY_fuzz = $(O)/deps/.uapi
READY_bare =
$(foreach f,$(FLAVOUR_LIST),$(eval $(call flavour_rules,$(f))))

define lib_rule
$(O)/$(1)/$(2)/lib.a: $(call obj,$(1),$(addprefix $(2)/,$(srcs/$(2))))
	@rm -f $$@; ar rcs $$@ $$^
endef
$(foreach d,$(FOLDERS),$(if $(srcs/$(d)),$(foreach f,$(FLAVOUR_LIST),$(eval $(call lib_rule,$(f),$(d))))))

# programs
define prog_rule
PROGRAMS += $(O)/$(PROGFLAVOUR_$(2))/bin/$(2)
$(O)/$(PROGFLAVOUR_$(2))/bin/$(2): $(call obj,$(PROGFLAVOUR_$(2)),$(addprefix $(1)/,$(PROG_$(2)))) $(call archives,$(PROGFLAVOUR_$(2)),$(1)) $(PROGSCRIPT_$(2))
	$$(call say,LD,$$@)
	@mkdir -p $$(@D)
	$$(Q)$$(CC_$(PROGFLAVOUR_$(2))) $$(LDFLAGS_$(PROGFLAVOUR_$(2))) $(if $(PROGSCRIPT_$(2)),-T $(PROGSCRIPT_$(2))) -o $$@ $$(filter %.o,$$^) \
		-Wl,--start-group $$(filter %.a,$$^) $(call linklibs,$(1)) -Wl,--end-group $(PROGLIBS_$(2))
endef
$(foreach d,$(FOLDERS),$(foreach p,$(prog/$(d)),$(eval $(call prog_rule,$(d),$(p)))))

# unit tests (host flavour), fuzz targets (fuzz flavour). TESTDEPS_<source>, in the folder's build.mk, narrows what one links.
testset = $(if $(TESTDEPS_$(2)),$(call uniq,$(strip $(foreach d,$(TESTDEPS_$(2)),$(call linkset,$(d))))),$(call linkset,$(1)))
testarchives = $(foreach d,$(call testset,$(2),$(3)),$(call archive,$(1),$(d)))
define test_rule
UNIT += $(O)/host/$(basename $(1)/$(2))
$(O)/host/$(basename $(1)/$(2)): $(call obj,host,$(1)/$(2)) $(call testarchives,host,$(1),$(2))
	$$(call say,LD,$$@)
	$$(Q)$$(CC_host) $$(LDFLAGS_host) -o $$@ $$(filter %.o,$$^) -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group $(call linklibs,$(1)) -lcmocka
endef
$(foreach d,$(FOLDERS),$(foreach t,$(tests/$(d)),$(eval $(call test_rule,$(d),$(t)))))
define fuzz_rule
FUZZERS += $(O)/fuzz/$(basename $(1)/$(2))
$(O)/fuzz/$(basename $(1)/$(2)): $(call obj,fuzz,$(1)/$(2)) $(call testarchives,fuzz,$(1),$(2))
	$$(call say,LD,$$@)
	$$(Q)$$(CC_fuzz) $$(LDFLAGS_fuzz) -o $$@ $$(filter %.o,$$^) -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group $(call linklibs,$(1))
endef
$(foreach d,$(FOLDERS),$(foreach t,$(fuzz/$(d)),$(eval $(call fuzz_rule,$(d),$(t)))))

# ---- what a person asks for
-include targets.mk

-include $(shell find $(O) -name '*.d' 2>/dev/null)
FORCE:
