SRCS := options.c transport.c session.c inspect.c kmsg.c crash.c
DEPS := lib/inspect lib/rpc lib/os lib/core
FLAVOURS := native host
PROG := pvdiag
PROG_pvdiag := main.c
PROGFLAVOUR_pvdiag := native
