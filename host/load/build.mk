SRCS := igvm_load.c relocate.c parameters.c device_tree.c
DEPS := lib/igvm lib/fdt lib/core
FLAVOURS := native host fuzz
