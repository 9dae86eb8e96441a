# every folder that has a host flavour can be tested; the path of a test mirrors the path of what it tests
DEPS := $(foreach d,$(FOLDERS),$(if $(filter host,$(flavours/$(d))),$(d)))
TESTS := $(patsubst tests/unit/%,%,$(shell find tests/unit -name 'test_*.c'))
LIBS := -lfdt
