SRCS := engine_libtpms.c commands.c measure.c ppi.c certificate.c identity.c crb.c device.c life.c
DEPS := lib/core lib/log lib/inspect lib/state vmm/device_worker
# Debian builds it for glibc, so there is no musl flavour: the TPM lives in a program of its own
LIBS := -ltpms -lcrypto
FLAVOURS := native host fuzz
PROG := paravane-tpm
PROG_paravane-tpm := main.c wipe.c
PROGFLAVOUR_paravane-tpm := native
# what the linker says of functions that want the library's files at run time is of libcrypto's sockets, which nobody calls
PROGLIBS_paravane-tpm := -static -Wl,--build-id=sha1 -Wl,--gc-sections -Wl,--no-warnings
