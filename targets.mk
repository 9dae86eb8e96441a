# The targets people type. Kept apart from Makefile so that the rules stay readable.
all: $(PROGRAMS)  ## every program

UAPI_HEADERS := asm-generic asm linux
$(O)/deps/.uapi:
	@mkdir -p $(O)/deps/uapi; touch $@
$(O)/deps/.target:
	@mkdir -p $(O)/deps; scripts/deps musl $(O)/deps && touch $@

check-unit: $(UNIT)  ## unit tests under ASan and UBSan
	@scripts/run-tests $(UNIT)
clean:  ## remove what was built (the cache stays)
	rm -rf $(O)
help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 18
check-igvm: $(O)/native/bin/igvmgen  ## igvmgen against an independent reader and hand-made files
	@tests/igvm/check.sh $<
