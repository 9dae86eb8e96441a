SRCS := commands.c options.c help.c transport.c session.c inspect.c paths.c kmsg.c events.c exec.c run.c output.c vm.c capture.c \
	relay.c flow.c again.c top.c bundle.c perf.c crash.c
DEPS := lib/inspect lib/rpc lib/os lib/core
FLAVOURS := native host fuzz
PROG := pvdiag
PROG_pvdiag := main.c
PROGFLAVOUR_pvdiag := native
