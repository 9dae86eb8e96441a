SRCS := partition.c memory.c kvm.c cpuid.c registers.c switch.c walk.c decode.c intercept.c msr.c synic.c clock.c \
	apic.c hypercall.c exit.c inject.c debug.c firmware_debug.c pause.c vp.c
DEPS := lib/core lib/log lib/os lib/apic lib/synic
LIBS := -lZydis -lpthread
FLAVOURS := native host
