SRCS := igvm_load.c relocate.c parameters.c device_tree.c
DEPS := lib/igvm lib/dtb lib/core
FLAVOURS := native host fuzz
