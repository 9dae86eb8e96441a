SRCS := text.c host_tree.c allocate.c plan.c kernel_tree.c command_line.c boot_params.c
DEPS := lib/dtb lib/core
FLAVOURS := native host fuzz bare
PROG := shim
PROG_shim := entry.S main.c machine.c trap.c memory.c
PROGFLAVOUR_shim := bare
PROGSCRIPT_shim := boot/shim.lds
PROGLIBS_shim := -Wl,-pie -Wl,--no-dynamic-linker -Wl,-z,notext -Wl,-z,norelro -Wl,--gc-sections -Wl,--no-warn-rwx-segments
