# The targets people type. Kept apart from Makefile so that the rules stay readable.
all: $(PROGRAMS)  ## every program

UAPI_HEADERS := asm-generic asm linux
$(O)/deps/.uapi:
	@mkdir -p $(O)/deps/uapi; touch $@
$(O)/deps/.target:
	@mkdir -p $(O)/deps; scripts/deps musl $(O)/deps && touch $@

check-unit: $(UNIT)  ## unit tests under ASan and UBSan
	@scripts/run-tests $(UNIT)
TSAN_EXEC := tests/unit/lib/task/test_exec.c lib/task/exec.c lib/task/timers.c lib/task/wake.c lib/task/exec_uring.c \
	lib/task/exec_sim.c lib/log/log.c lib/os/file.c
$(O)/tsan/test_exec: $(call obj,tsan,$(TSAN_EXEC))
	$(Q)$(CC_tsan) $(LDFLAGS_tsan) -o $@ $^ -luring -lpthread -lcmocka
check-tsan: $(O)/tsan/test_exec  ## the wake rule under ThreadSanitizer
	@scripts/run-tests $^
clean:  ## remove what was built (the cache stays)
	rm -rf $(O)
help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 18
