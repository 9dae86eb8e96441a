/* Linux by the 64-bit boot protocol (Documentation/arch/x86/boot.rst 1.14) */
#include "vmm/loader/loader.h"

#include <errno.h>
#include <string.h>

#include "lib/log/log.h"
#include "spec/bootparam.h"
#include "vmm/mem/places.h"

LOG_DOMAIN("loader");

#define SECTOR 512u
#define E820_ACPI 3u
#define IDENTITY_GIB 4u
#define LOW_RAM_END 0xa0000u

struct load {
	struct guest *guest;
	const struct partition_layout *layout;
	const struct loader_machine *machine;
	struct openhcl_linux_info info;
	struct boot_params bp;
	u64 kernel_file, kernel_file_len, kernel_at, kernel_len, kernel_room;
	u64 initrd, initrd_len;
};

static int read_config(struct load *l)
{
	struct openhcl_vtl0_config config;

	if (guest_read(l->guest, OPENHCL_VTL0_CONFIG_GPA, &config, sizeof(config)))
		return log_err(-ENOENT, "VTL0 has no memory at 0");
	if (config.magic != OPENHCL_VTL0_CONFIG_MAGIC || !(config.supported_vtl0 & OPENHCL_VTL0_LINUX))
		return log_err(-ENOENT, "measured config: magic %#llx, supports %#llx", (unsigned long long)config.magic,
			       (unsigned long long)config.supported_vtl0);
	l->info = config.linux_info;
	if (l->info.kernel_entrypoint)
		return log_err(-ENOTSUP, "a kernel that is entered as it lies");
	l->kernel_file = l->info.kernel_region.base_page_number << PAGE_SHIFT;
	l->kernel_file_len = l->info.kernel_region.page_count << PAGE_SHIFT;
	l->initrd = l->info.initrd_region.base_page_number << PAGE_SHIFT;
	l->initrd_len = l->info.initrd_size;
	if (!guest_range(l->guest, l->kernel_file, l->kernel_file_len) ||
	    (l->initrd_len && !guest_range(l->guest, l->initrd, l->initrd_len)))
		return log_err(-EFAULT, "kernel or initrd outside of VTL0's memory");
	return 0;
}

static bool is_kept(const struct load *l, const struct place *p)
{
	return p->kind == PLACE_RAM_ACPI || (p->kind == PLACE_RAM_RESERVED && (l->machine->tpm || !place_is_tpms(p)));
}

static int check_kernel(struct load *l)
{
	struct setup_header *h = &l->bp.hdr;

	if (l->kernel_file_len < 4096 || guest_read(l->guest, l->kernel_file + 0x1f1, h, sizeof(*h)))
		return log_err(-ENOEXEC, "kernel of %llu bytes", (unsigned long long)l->kernel_file_len);
	if (h->boot_flag != BOOT_FLAG || h->header != BOOT_HEADER_MAGIC || h->version < 0x020c ||
	    !(h->xloadflags & BOOT_XLF_KERNEL_64))
		return log_err(-ENOEXEC, "not a 64-bit bzImage: magic %#x, version %#x, flags %#x", h->header, h->version,
			       h->xloadflags);
	u64 setup = ((h->setup_sects ? h->setup_sects : 4u) + 1u) * SECTOR;

	l->kernel_len = (u64)h->syssize * 16;
	if (!l->kernel_len || !range_within(setup, l->kernel_len, 0, l->kernel_file_len))
		return log_err(-ENOEXEC, "bzImage is cut: %llu + %llu of %llu bytes", (unsigned long long)setup,
			       (unsigned long long)l->kernel_len, (unsigned long long)l->kernel_file_len);
	l->kernel_room = MAX(h->init_size, l->kernel_len);
	l->kernel_at = h->pref_address;
	for (unsigned i = 0; i < PLACE_COUNT; i++)
		if (is_kept(l, &places[i]) && ranges_overlap(l->kernel_at, l->kernel_room, places[i].base, places[i].len))
			return log_err(-ENOSPC, "the kernel wants to be at %#llx, where the %s is",
				       (unsigned long long)l->kernel_at, places[i].name);
	if (!guest_range(l->guest, l->kernel_at, l->kernel_room))
		return log_err(-ENOSPC, "no room for the kernel at %#llx + %#llx", (unsigned long long)l->kernel_at,
			       (unsigned long long)l->kernel_room);
	return 0;
}

/* the staged initrd stays unless the kernel unpacks over it; then it goes behind the kernel's room */
static int place_initrd(struct load *l)
{
	u64 max = l->bp.hdr.initrd_addr_max ? l->bp.hdr.initrd_addr_max : 0x7fffffffu, to = l->initrd, end;

	if (!l->initrd_len)
		return 0;
	if (ranges_overlap(to, l->initrd_len, l->kernel_at, l->kernel_room)) {
		to = ALIGN_UP(MAX(l->kernel_at + l->kernel_room, l->kernel_file + l->kernel_file_len), 2 * MiB);
		if (guest_copy(l->guest, to, l->initrd, l->initrd_len))
			return log_err(-ENOSPC, "no room for the initrd at %#llx", (unsigned long long)to);
	}
	if (add_overflow(to, l->initrd_len, &end) || (end - 1 > max && !(l->bp.hdr.xloadflags & BOOT_XLF_CAN_BE_LOADED_ABOVE_4G)))
		return log_err(-ENOSPC, "initrd at %#llx is above what the kernel takes", (unsigned long long)to);
	l->initrd = to;
	l->bp.hdr.ramdisk_image = (u32)to;
	l->bp.hdr.ramdisk_size = (u32)l->initrd_len;
	l->bp.ext_ramdisk_image = (u32)(to >> 32);
	l->bp.ext_ramdisk_size = (u32)(l->initrd_len >> 32);
	return 0;
}

/* the initrd first: the kernel's new place may hold it, and the staged kernel last may lie where nothing else is needed */
static int copy_kernel(struct load *l)
{
	u64 setup = ((l->bp.hdr.setup_sects ? l->bp.hdr.setup_sects : 4u) + 1u) * SECTOR;

	if (guest_copy(l->guest, l->kernel_at, l->kernel_file + setup, l->kernel_len))
		return log_err(-EFAULT, "kernel copy");
	return 0;
}

static int command_line(struct load *l)
{
	char text[BOOT_COMMAND_LINE_SIZE] = "";
	u64 from = l->info.command_line.base_page_number << PAGE_SHIFT;
	size_t max = MIN((size_t)(l->bp.hdr.cmdline_size ? l->bp.hdr.cmdline_size : 255u), sizeof(text) - 1), len;

	if (l->info.command_line.page_count && guest_read(l->guest, from, text, max))
		return log_err(-EFAULT, "command line at %#llx", (unsigned long long)from);
	text[max] = 0;
	len = strlen(text);
	l->bp.hdr.cmd_line_ptr = (u32)places[PLACE_COMMAND_LINE].base;
	return guest_write(l->guest, places[PLACE_COMMAND_LINE].base, text, len + 1);
}

static int add_e820(struct load *l, u64 base, u64 end, u32 type)
{
	if (base >= end)
		return 0;
	if (l->bp.e820_entries == E820_TABLE_MAX)
		return log_err(-E2BIG, "e820");
	l->bp.e820_table[l->bp.e820_entries++] = (struct e820_entry){ base, end - base, type };
	return 0;
}

/* [base, end) is RAM (or, to a PC's guest, a hole), but for what the table of places keeps; that is told as it is */
static int add_memory(struct load *l, u64 base, u64 end, bool ram)
{
	u64 at = base;
	int r = 0;

	for (unsigned i = 0; !r && i < PLACE_COUNT; i++) {
		const struct place *p = &places[i];

		if (!is_kept(l, p) || !range_within(p->base, p->len, base, end - base))
			continue;
		if (ram)
			r = add_e820(l, at, p->base, E820_RAM);
		if (!r)
			r = add_e820(l, p->base, p->base + p->len, p->kind == PLACE_RAM_ACPI ? E820_ACPI : E820_RESERVED);
		at = p->base + p->len;
	}
	return r || !ram ? r : add_e820(l, at, end, E820_RAM);
}

static int memory_map(struct load *l)
{
	int r = 0;

	for (unsigned i = 0; !r && i < l->layout->range_count; i++) {
		const struct layout_range *range = &l->layout->ranges[i];
		u64 base = range->base, end = base + range->len;

		if (range->type == OPENHCL_MEMORY_VTL0) {
			if (base == 0) {
				r = add_memory(l, 0, LOW_RAM_END, true);
				if (!r)
					r = add_memory(l, LOW_RAM_END, 1 * MiB, false);
			}
			if (!r)
				r = add_memory(l, MAX(base, 1 * MiB), end, true);
		} else if (layout_is_vtl2(range->type)) {
			r = add_e820(l, base, end, E820_RESERVED);
		}
	}
	return r;
}

static int acpi(struct load *l, u64 *ret_rsdp)
{
	static u8 buf[0x10000];
	struct acpi_tables t = { .buf = buf, .room = sizeof(buf) };
	int r = acpi_build(l->layout, l->machine, places[PLACE_ACPI].base, &t);

	if (r)
		return log_err(r, "ACPI tables");
	*ret_rsdp = t.rsdp;
	r = guest_write(l->guest, places[PLACE_ACPI].base, buf, t.len);
	return r ? log_err(r, "ACPI tables at %#llx", (unsigned long long)places[PLACE_ACPI].base) : 0;
}

/* identity map of the first 4 GiB in 2 MiB pages, and a flat 64-bit GDT */
static int start_state(struct load *l, struct loader_entry *e)
{
	u64 base = places[PLACE_PAGE_TABLES].base, table[512] = { 0 };
	const u64 gdt[] = { 0, 0, 0x00af9b000000ffffull, 0x00cf93000000ffffull };
	int r;

	table[0] = (base + PAGE_SIZE) | 3;
	r = guest_write(l->guest, base, table, sizeof(table));
	for (u64 i = 0; i < IDENTITY_GIB; i++)
		table[i] = (base + (2 + i) * PAGE_SIZE) | 3;
	if (!r)
		r = guest_write(l->guest, base + PAGE_SIZE, table, sizeof(table));
	for (u64 i = 0; !r && i < IDENTITY_GIB; i++) {
		for (u64 k = 0; k < 512; k++)
			table[k] = i * GiB + k * 2 * MiB + 0x83;
		r = guest_write(l->guest, base + (2 + i) * PAGE_SIZE, table, sizeof(table));
	}
	if (!r)
		r = guest_write(l->guest, places[PLACE_GDT].base, gdt, sizeof(gdt));
	*e = (struct loader_entry){ .rip = l->kernel_at + 0x200, .rsi = places[PLACE_BOOT_PARAMS].base, .cr3 = base,
				    .gdt_base = places[PLACE_GDT].base, .gdt_limit = sizeof(gdt) - 1 };
	return r ? log_err(r, "start-up tables") : 0;
}

int loader_parts(struct guest *guest, struct loader_parts *ret)
{
	struct load l = { .guest = guest };
	int r = read_config(&l);

	if (r)
		return r;
	ret->kernel = (struct loader_part){ l.kernel_file, l.kernel_file_len };
	ret->initrd = (struct loader_part){ l.initrd, l.initrd_len };
	ret->command_line[0] = 0;
	if (l.info.command_line.page_count &&
	    guest_read(guest, l.info.command_line.base_page_number << PAGE_SHIFT, ret->command_line, BOOT_COMMAND_LINE_SIZE - 1))
		return log_err(-EFAULT, "command line");
	ret->command_line[BOOT_COMMAND_LINE_SIZE - 1] = 0;
	return 0;
}

int loader_load(struct guest *guest, const struct partition_layout *layout, const struct loader_machine *machine,
		struct loader_entry *ret)
{
	struct load l = { .guest = guest, .layout = layout, .machine = machine };
	u64 rsdp = 0;
	int r = read_config(&l);

	if (!r)
		r = check_kernel(&l);
	if (!r)
		r = place_initrd(&l);
	if (!r)
		r = copy_kernel(&l);
	if (!r)
		r = command_line(&l);
	if (!r)
		r = acpi(&l, &rsdp);
	if (!r)
		r = memory_map(&l);
	if (!r)
		r = start_state(&l, ret);
	if (r)
		return r;
	l.bp.hdr.type_of_loader = BOOT_LOADER_UNDEFINED;
	l.bp.hdr.loadflags |= BOOT_LOADED_HIGH;
	l.bp.hdr.code32_start = (u32)l.kernel_at;
	memcpy((u8 *)&l.bp + 0x70, &rsdp, 8); /* acpi_rsdp_addr, zero-page.rst */
	if (guest_write(guest, places[PLACE_BOOT_PARAMS].base, &l.bp, sizeof(l.bp)))
		return log_err(-EFAULT, "boot_params");
	log_at(LOG_INFO, "Linux at %#llx, initrd %#llx + %llu, RSDP %#llx, %u map entries", (unsigned long long)l.kernel_at,
	       (unsigned long long)l.initrd, (unsigned long long)l.initrd_len, (unsigned long long)rsdp, l.bp.e820_entries);
	return 0;
}

static int set_segment(struct hcl_vp *vp, u32 name, u16 selector, u16 attributes, u32 limit)
{
	union hv_register_value v = { .segment = { 0, limit, selector, attributes } };

	return hcl_set(vp, name, &v);
}

int loader_set_registers(struct hcl_vp *vp, const struct loader_entry *e)
{
	const struct { u32 name; u64 value; } words[] = {
		{ HV_X64_REGISTER_EFER, 0x500 }, { HV_X64_REGISTER_CR3, e->cr3 }, { HV_X64_REGISTER_CR4, 0x20 },
		{ HV_X64_REGISTER_CR0, 0x80000011u }, { HV_X64_REGISTER_RSP, 0 }, { HV_X64_REGISTER_RFLAGS, 2 },
		{ HV_X64_REGISTER_RIP, e->rip },
	};
	static const u32 data[] = { HV_X64_REGISTER_DS, HV_X64_REGISTER_ES, HV_X64_REGISTER_FS, HV_X64_REGISTER_GS,
				    HV_X64_REGISTER_SS };
	union hv_register_value gdt = { .table = { .limit = e->gdt_limit, .base = e->gdt_base } };
	int r = 0;

	for (size_t i = 0; !r && i < ARRAY_SIZE(words); i++)
		r = hcl_set64(vp, words[i].name, words[i].value);
	if (!r)
		r = set_segment(vp, HV_X64_REGISTER_CS, 16, 0xa09b, ~0u);
	for (size_t i = 0; !r && i < ARRAY_SIZE(data); i++)
		r = set_segment(vp, data[i], 24, 0xc093, ~0u);
	if (!r)
		r = set_segment(vp, HV_X64_REGISTER_TR, 0, 0x8b, 0x67);
	if (!r)
		r = hcl_set(vp, HV_X64_REGISTER_GDTR, &gdt);
	if (r)
		return log_err(r, "VP %u: initial registers", vp->cpu);
	memset(&vp->run->context, 0, offsetof(struct mshv_cpu_context, fx_state));
	if (vp->page)
		vp->page->dirty = 0;
	hcl_set_gpr(vp, HV_RSI, e->rsi);
	return 0;
}
