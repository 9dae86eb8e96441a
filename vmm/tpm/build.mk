SRCS := engine_libtpms.c
DEPS := lib/core lib/log lib/state
# Debian builds it for glibc, so there is no musl flavour: the TPM lives in a program of its own
LIBS := -ltpms
FLAVOURS := native host
