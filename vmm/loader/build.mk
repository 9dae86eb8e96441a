SRCS := loader.c aml.c acpi.c acpi_tpm.c
DEPS := lib/core lib/log vmm/hcl vmm/mem vmm/chipset
FLAVOURS := target host fuzz
