# one libFuzzer target a file; corpora in tests/fuzz/corpus/<target>
DEPS := $(foreach d,$(FOLDERS),$(if $(filter fuzz,$(flavours/$(d))),$(d)))
FUZZ := $(patsubst tests/fuzz/%,%,$(shell find tests/fuzz -name 'fuzz_*.c'))
# both ends of GET have functions of one name
TESTDEPS_fuzz_diag.c := diag/server
TESTDEPS_fuzz_inspect_request.c := diag/server
TESTDEPS_fuzz_data_port.c := diag/server
TESTDEPS_fuzz_get_vmgs.c := vmm/vmgs
TESTDEPS_fuzz_guest_state.c := host/vmbus
