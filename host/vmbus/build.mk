SRCS := loop.c channel.c hvsock.c get.c guest_state.c uart.c crash.c crash_receiver.c guest_log.c guest_record.c
DEPS := lib/core lib/log lib/os lib/vhd lib/vmgs lib/vmbus
# the archive: pvhost then runs where that library is not, as in the bench machine
LIBS := -l:libjansson.a
FLAVOURS := native host fuzz
