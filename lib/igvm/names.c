#include "lib/igvm/igvm.h"
#include "spec/hv_regs.h"

struct type_info {
	u32 type;
	const char *name;
	u32 length;
};

static const struct type_info types[] = {
	{ IGVM_SUPPORTED_PLATFORM, "SUPPORTED_PLATFORM", sizeof(struct igvm_supported_platform) },
	{ IGVM_GUEST_POLICY, "GUEST_POLICY", sizeof(struct igvm_guest_policy) },
	{ IGVM_RELOCATABLE_REGION, "RELOCATABLE_REGION", sizeof(struct igvm_relocatable_region) },
	{ IGVM_PAGE_TABLE_RELOCATION_REGION, "PAGE_TABLE_RELOCATION_REGION",
	  sizeof(struct igvm_page_table_relocation) },
	{ IGVM_PARAMETER_AREA, "PARAMETER_AREA", sizeof(struct igvm_parameter_area) },
	{ IGVM_PAGE_DATA, "PAGE_DATA", sizeof(struct igvm_page_data) },
	{ IGVM_PARAMETER_INSERT, "PARAMETER_INSERT", sizeof(struct igvm_parameter_insert) },
	{ IGVM_VP_CONTEXT, "VP_CONTEXT", sizeof(struct igvm_vp_context) },
	{ IGVM_REQUIRED_MEMORY, "REQUIRED_MEMORY", sizeof(struct igvm_required_memory) },
	{ IGVM_VP_COUNT_PARAMETER, "VP_COUNT", sizeof(struct igvm_parameter) },
	{ IGVM_SRAT, "SRAT", sizeof(struct igvm_parameter) },
	{ IGVM_MADT, "MADT", sizeof(struct igvm_parameter) },
	{ IGVM_MMIO_RANGES, "MMIO_RANGES", sizeof(struct igvm_parameter) },
	{ IGVM_SNP_ID_BLOCK, "SNP_ID_BLOCK", 0 },
	{ IGVM_MEMORY_MAP, "MEMORY_MAP", sizeof(struct igvm_parameter) },
	{ IGVM_ERROR_RANGE, "ERROR_RANGE", sizeof(struct igvm_error_range) },
	{ IGVM_COMMAND_LINE, "COMMAND_LINE", sizeof(struct igvm_parameter) },
	{ IGVM_SLIT, "SLIT", sizeof(struct igvm_parameter) },
	{ IGVM_PPTT, "PPTT", sizeof(struct igvm_parameter) },
	{ IGVM_VBS_MEASUREMENT, "VBS_MEASUREMENT", 0 },
	{ IGVM_DEVICE_TREE, "DEVICE_TREE", sizeof(struct igvm_parameter) },
	{ IGVM_ENVIRONMENT_INFO_PARAMETER, "ENVIRONMENT_INFO", sizeof(struct igvm_parameter) },
};

static const char *const platforms[] = { "NATIVE", "VSM_ISOLATION", "SEV_SNP", "TDX", "SEV", "SEV_ES", "CCA" };

struct register_info {
	u32 name;
	const char *text;
};

static const struct register_info registers[] = {
	{ HV_X64_REGISTER_RAX, "rax" },	{ HV_X64_REGISTER_RCX, "rcx" },	{ HV_X64_REGISTER_RDX, "rdx" },
	{ HV_X64_REGISTER_RBX, "rbx" },	{ HV_X64_REGISTER_RSP, "rsp" },	{ HV_X64_REGISTER_RBP, "rbp" },
	{ HV_X64_REGISTER_RSI, "rsi" },	{ HV_X64_REGISTER_RDI, "rdi" },	{ HV_X64_REGISTER_RIP, "rip" },
	{ HV_X64_REGISTER_RFLAGS, "rflags" }, { HV_X64_REGISTER_CR0, "cr0" }, { HV_X64_REGISTER_CR2, "cr2" },
	{ HV_X64_REGISTER_CR3, "cr3" },	{ HV_X64_REGISTER_CR4, "cr4" },	{ HV_X64_REGISTER_CR8, "cr8" },
	{ HV_X64_REGISTER_ES, "es" },	{ HV_X64_REGISTER_CS, "cs" },	{ HV_X64_REGISTER_SS, "ss" },
	{ HV_X64_REGISTER_DS, "ds" },	{ HV_X64_REGISTER_FS, "fs" },	{ HV_X64_REGISTER_GS, "gs" },
	{ HV_X64_REGISTER_LDTR, "ldtr" }, { HV_X64_REGISTER_TR, "tr" },	{ HV_X64_REGISTER_IDTR, "idtr" },
	{ HV_X64_REGISTER_GDTR, "gdtr" }, { HV_X64_REGISTER_EFER, "efer" }, { HV_X64_REGISTER_PAT, "pat" },
};

static const struct type_info *find(u32 type)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (types[i].type == type)
			return &types[i];
	return NULL;
}

const char *igvm_type_name(u32 type)
{
	const struct type_info *info = find(type);

	return info ? info->name : NULL;
}

u32 igvm_body_length(u32 type)
{
	const struct type_info *info = find(type);

	return info ? info->length : 0;
}

bool igvm_is_parameter(u32 type)
{
	return type >= IGVM_VP_COUNT_PARAMETER && igvm_body_length(type) == sizeof(struct igvm_parameter);
}

const char *igvm_platform_name(u8 platform_type)
{
	return platform_type < ARRAY_SIZE(platforms) ? platforms[platform_type] : NULL;
}

const char *igvm_register_name(u32 name)
{
	for (size_t i = 0; i < ARRAY_SIZE(registers); i++)
		if (registers[i].name == name)
			return registers[i].text;
	return NULL;
}
