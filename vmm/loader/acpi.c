/* ACPI 6.5 tables of VTL0, the shape Hyper-V gives a Linux direct guest: VMOD/VMBS carry VMBus (drivers/hv/vmbus_drv.c) */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "spec/tpm_crb.h"
#include "vmm/chipset/chipset.h"
#include "vmm/chipset/watchdog.h"
#include "vmm/loader/aml.h"
#include "vmm/loader/loader.h"
#include "vmm/mem/places.h"

#define HEADER_LEN 36u

struct build {
	struct aml a;
	u64 gpa;
};

static void u16_put(struct build *b, u16 v) { aml_put(&b->a, &v, 2); }
static void u32_put(struct build *b, u32 v) { aml_put(&b->a, &v, 4); }
static void u64_put(struct build *b, u64 v) { aml_put(&b->a, &v, 8); }

static u8 checksum(const u8 *p, size_t len)
{
	u8 sum = 0;

	while (len--)
		sum += *p++;
	return (u8)-sum;
}

static void align(struct build *b)
{
	while (b->a.len % 16 && !b->a.failed)
		aml_byte(&b->a, 0);
}

static size_t begin(struct build *b, const char *signature, u8 revision)
{
	align(b);
	size_t at = b->a.len;

	aml_put(&b->a, signature, 4);
	u32_put(b, 0);
	aml_byte(&b->a, revision);
	aml_byte(&b->a, 0);
	aml_put(&b->a, "PARAVNPARAVANE", 14); /* OEM id 6, table id 8 */
	u32_put(b, 1);
	aml_put(&b->a, "PRVN", 4);
	u32_put(b, 1);
	return at;
}

static u64 end(struct build *b, size_t at)
{
	u32 len = (u32)(b->a.len - at);

	if (b->a.failed)
		return 0;
	memcpy(b->a.data + at + 4, &len, 4);
	b->a.data[at + 9] = checksum(b->a.data + at, len);
	return b->gpa + at;
}

static void com_device(struct aml *a, const char *name, u64 uid, u16 base, unsigned line)
{
	size_t device = aml_device(a, name);

	aml_name(a, "_HID");
	aml_eisa(a, "PNP0501");
	aml_name(a, "_UID");
	aml_integer(a, uid);
	size_t crs = aml_crs_open(a);

	aml_res_io(a, base, 8);
	aml_res_irq(a, line);
	aml_crs_close(a, crs);
	aml_close(a, device);
}

static void vmbus_device(struct aml *a, const struct partition_layout *l)
{
	size_t vmod = aml_device(a, "VMOD");

	aml_name(a, "_HID");
	aml_string(a, "ACPI0004");
	aml_name(a, "_UID");
	aml_integer(a, 0);
	size_t crs = aml_crs_open(a);

	for (unsigned i = 0; i < l->range_count; i++)
		if (l->ranges[i].type == OPENHCL_MEMORY_VTL0_MMIO)
			aml_res_window(a, l->ranges[i].base, l->ranges[i].len);
	aml_crs_close(a, crs);
	size_t vmbs = aml_device(a, "VMBS");

	aml_name(a, "_HID");
	aml_string(a, "VMBUS");
	aml_name(a, "_DDN");
	aml_string(a, "VMBUS");
	aml_name(a, "_UID");
	aml_integer(a, 0);
	aml_name(a, "_STA");
	aml_integer(a, 15);
	/* empty, but Linux gives up on the device without one (vmbus_drv.c vmbus_acpi_add) */
	crs = aml_crs_open(a);
	aml_crs_close(a, crs);
	aml_close(a, vmbs);
	aml_close(a, vmod);
}

/*
 * Bus 0, with the windows of a PC: without one around the legacy ports of IDE, Linux takes them for a conflict. No _PRT: what
 * is there today has ISA lines.
 */
static void pci_device(struct aml *a)
{
	size_t device = aml_device(a, "PCI0");

	aml_name(a, "_HID");
	aml_eisa(a, "PNP0A03");
	aml_name(a, "_UID");
	aml_integer(a, 0);
	aml_name(a, "_BBN");
	aml_integer(a, 0);
	size_t crs = aml_crs_open(a);

	aml_res_bus(a, 0, 1);
	aml_res_io(a, 0xcf8, 8);
	aml_res_io_window(a, 0, 0xcf8);
	aml_res_io_window(a, 0xd00, 0x10000 - 0xd00);
	aml_crs_close(a, crs);
	aml_close(a, device);
}

/* VM Generation ID (Microsoft, 2012); the names are those of Hyper-V's own tables (mu_msvm MsvmPkg/AcpiTables/Dsdt.asl) */
static void generation_id_device(struct aml *a)
{
	static const char *const ids[] = { "VM_Gen_Counter", "VMGENCTR", "Hyper_V_Gen_Counter_V1" };
	u64 at = places[PLACE_GENERATION_ID].base;
	size_t device = aml_device(a, "GENC"), package;

	aml_name(a, "_HID");
	aml_string(a, "MSFT1002");
	aml_name(a, "_CID");
	package = aml_package(a, ARRAY_SIZE(ids));
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		aml_string(a, ids[i]);
	aml_close(a, package);
	aml_name(a, "_UID");
	aml_integer(a, 0);
	aml_name(a, "_DDN");
	aml_string(a, "VM_Gen_Counter");
	aml_name(a, "ADDR");
	package = aml_package(a, 2);
	aml_integer(a, (u32)at);
	aml_integer(a, at >> 32);
	aml_close(a, package);
	aml_close(a, device);
}

/* Notify (\_SB.GENC, 0x80): the value is another */
static void generation_id_event(struct aml *a)
{
	size_t scope = aml_scope(a, "\\_GPE"), method = aml_method(a, "_E00", 0);

	aml_put(a, "\x86\\\x2e_SB_GENC\x0a\x80", 13);
	aml_close(a, method);
	aml_close(a, scope);
}

static u64 dsdt(struct build *b, const struct partition_layout *l, const struct loader_machine *machine)
{
	size_t at = begin(b, "DSDT", 2);
	struct aml *a = &b->a;

	/* Name (\_S5, Package () { type, type, 0, 0 }): the package is 8 bytes long with its length and count */
	aml_put(a, "\x08\\_S5_\x12\x08\x04", 9);
	aml_put(a, (u8[]){ 0x0a, PM_S5_TYPE, 0x0a, PM_S5_TYPE, 0, 0 }, 6);
	size_t sb = aml_scope(a, "\\_SB_");

	for (unsigned i = 0; i < l->vp_count; i++) {
		char name[12];

		snprintf(name, sizeof(name), "C%03X", i & 0xfff);
		size_t cpu = aml_device(a, name);

		aml_name(a, "_HID");
		aml_string(a, "ACPI0007");
		aml_name(a, "_UID");
		aml_integer(a, i);
		aml_close(a, cpu);
	}
	vmbus_device(a, l);
	if (machine->pci)
		pci_device(a);
	if (machine->tpm)
		acpi_tpm_device(a);
	com_device(a, "COM1", 1, 0x3f8, 4);
	com_device(a, "COM2", 2, 0x2f8, 3);
	size_t rtc = aml_device(a, "RTC0");

	aml_name(a, "_HID");
	aml_eisa(a, "PNP0B00");
	size_t crs = aml_crs_open(a);

	aml_res_io(a, 0x70, 2);
	aml_res_irq(a, 8);
	aml_crs_close(a, crs);
	aml_close(a, rtc);
	generation_id_device(a);
	aml_close(a, sb);
	generation_id_event(a);
	return end(b, at);
}

static void generic_address(struct build *b, u8 bits, u8 size, u64 port)
{
	aml_put(&b->a, (u8[]){ port ? 1 : 0, bits, 0, size }, 4); /* system I/O */
	u64_put(b, port);
}

static u64 fadt(struct build *b, u64 dsdt_gpa)
{
	size_t at = begin(b, "FACP", 6), room = 276 - HEADER_LEN;
	u8 f[276] = { 0 };
	u32 low = (u32)dsdt_gpa;

	memcpy(f + 40, &low, 4);
	memcpy(f + 46, &(u16){ PM_SCI_LINE }, 2);
	memcpy(f + 56, &(u32){ PM_STATUS_PORT }, 4);
	memcpy(f + 64, &(u32){ PM_CONTROL_PORT }, 4);
	memcpy(f + 76, &(u32){ PM_TIMER_PORT }, 4);
	memcpy(f + 80, &(u32){ PM_GPE_PORT }, 4);
	f[88] = 4; /* PM1 event length */
	f[89] = 2; /* PM1 control length */
	f[91] = 4; /* PM timer length */
	f[92] = 4; /* GPE 0 length */
	memcpy(f + 96, &(u16){ 101 }, 2);   /* C2 and C3 are not there */
	memcpy(f + 98, &(u16){ 1001 }, 2);
	f[108] = 0x32; /* RTC century */
	memcpy(f + 109, &(u16){ 1 | 4 }, 2); /* legacy devices; no VGA */
	/* WBINVD, C1, no power and sleep buttons of the fixed kind, reset register */
	memcpy(f + 112, &(u32){ 1 | 4 | 1 << 4 | 1 << 5 | 1 << 10 }, 4);
	f[116] = 1;
	f[117] = 8;
	f[119] = 1;
	memcpy(f + 120, &(u64){ PM_RESET_PORT }, 8);
	f[128] = PM_RESET_VALUE;
	f[131] = 5; /* minor version: 6.5 */
	memcpy(f + 140, &dsdt_gpa, 8);
	aml_put(&b->a, f + HEADER_LEN, 148 - HEADER_LEN);
	generic_address(b, 32, 2, PM_STATUS_PORT);
	generic_address(b, 0, 0, 0);
	generic_address(b, 16, 2, PM_CONTROL_PORT);
	generic_address(b, 0, 0, 0);
	generic_address(b, 0, 0, 0);
	generic_address(b, 32, 3, PM_TIMER_PORT);
	generic_address(b, 32, 1, PM_GPE_PORT);
	while (b->a.len - at < HEADER_LEN + room && !b->a.failed)
		aml_byte(&b->a, 0);
	return end(b, at);
}

static u64 madt(struct build *b, const struct partition_layout *l)
{
	size_t at = begin(b, "APIC", 5);

	u32_put(b, (u32)places[PLACE_LAPIC].base);
	u32_put(b, 1); /* a pair of 8259s is there */
	for (unsigned i = 0; i < l->vp_count; i++) {
		if (l->apic_ids[i] < 255) {
			aml_put(&b->a, (u8[]){ 0, 8, (u8)i, (u8)l->apic_ids[i] }, 4);
			u32_put(b, 1);
		} else {
			aml_put(&b->a, (u8[]){ 9, 16, 0, 0 }, 4);
			u32_put(b, l->apic_ids[i]);
			u32_put(b, 1);
			u32_put(b, i);
		}
	}
	aml_put(&b->a, (u8[]){ 1, 12, IOAPIC_ID, 0 }, 4);
	u32_put(b, (u32)places[PLACE_IOAPIC].base);
	u32_put(b, 0);
	aml_put(&b->a, (u8[]){ 2, 10, 0, 0 }, 4); /* ISA 0 is pin 2, as the bus says */
	u32_put(b, 2);
	u16_put(b, 0);
	aml_put(&b->a, (u8[]){ 2, 10, 0, PM_SCI_LINE }, 4); /* SCI: active high, level */
	u32_put(b, PM_SCI_LINE);
	u16_put(b, 0x000d);
	aml_put(&b->a, (u8[]){ 4, 6, 0xff, 0, 0, 1 }, 6); /* NMI at LINT1 of all */
	aml_put(&b->a, (u8[]){ 10, 12, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0 }, 12); /* and of those told as x2APICs */
	return end(b, at);
}

/* which node processors and memory are in */
static u64 srat(struct build *b, const struct partition_layout *l)
{
	size_t at = begin(b, "SRAT", 3);

	u32_put(b, 1);
	u64_put(b, 0);
	for (unsigned i = 0; i < l->vp_count; i++) {
		/* processor local x2APIC affinity: has room for ids of either kind */
		aml_put(&b->a, (u8[]){ 2, 24, 0, 0 }, 4);
		u32_put(b, l->vp_nodes[i]);
		u32_put(b, l->apic_ids[i]);
		u32_put(b, 1);
		u64_put(b, 0);
	}
	for (unsigned i = 0; i < l->range_count; i++) {
		if (l->ranges[i].type != OPENHCL_MEMORY_VTL0)
			continue;
		aml_put(&b->a, (u8[]){ 1, 40 }, 2);
		u32_put(b, l->ranges[i].node);
		u16_put(b, 0);
		u64_put(b, l->ranges[i].base);
		u64_put(b, l->ranges[i].len);
		u32_put(b, 0);
		u32_put(b, 1);
		u64_put(b, 0);
	}
	return end(b, at);
}

/* how far the nodes are apart: the host does not say, so all are equally far */
static u64 slit(struct build *b, const struct partition_layout *l)
{
	size_t at = begin(b, "SLIT", 1);

	u64_put(b, l->node_count);
	for (unsigned i = 0; i < l->node_count * l->node_count; i++)
		aml_byte(&b->a, i / l->node_count == i % l->node_count ? 10 : 20);
	return end(b, at);
}

static void wdat_entry(struct build *b, u8 action, u8 instruction, u16 port, u32 value, u32 mask)
{
	aml_put(&b->a, (u8[]){ action, instruction, 0, 0 }, 4);
	generic_address(b, 32, 3, port);
	u32_put(b, value);
	u32_put(b, mask);
}

/* Hardware Watchdog Timers, Microsoft, 1.01: what to do to the watchdog's ports for each action. A register is chosen first. */
static u64 wdat(struct build *b)
{
	enum { READ_VALUE, READ_COUNT, WRITE_VALUE, WRITE_COUNT, PRESERVE = 0x80 };
	static const struct { u8 action, instruction, reg; u32 value, mask; } actions[] = {
		{ 0x01, WRITE_VALUE | PRESERVE, WATCHDOG_CONFIG, WATCHDOG_CONFIGURED | WATCHDOG_ENABLED, 0xf }, /* begin again */
		{ 0x05, READ_COUNT, WATCHDOG_COUNT, ~0u, ~0u },
		{ 0x06, WRITE_COUNT, WATCHDOG_COUNT, ~0u, ~0u },
		{ 0x08, READ_VALUE, WATCHDOG_CONFIG, WATCHDOG_CONFIGURED | WATCHDOG_ENABLED, 0xf }, /* does it run? */
		{ 0x09, WRITE_VALUE | PRESERVE, WATCHDOG_CONFIG, WATCHDOG_CONFIGURED | WATCHDOG_ENABLED, 0xf },
		{ 0x0a, READ_VALUE, WATCHDOG_CONFIG, WATCHDOG_CONFIGURED, 0xf }, /* is it stopped? */
		{ 0x0b, WRITE_VALUE | PRESERVE, WATCHDOG_CONFIG, WATCHDOG_CONFIGURED, 0xf },
		{ 0x20, READ_VALUE, WATCHDOG_CONFIG, WATCHDOG_BOOT_STATUS, 0xf00 }, /* was it the last reset? */
		{ 0x21, WRITE_VALUE | PRESERVE, WATCHDOG_CONFIG, WATCHDOG_BOOT_STATUS, 0xf00 },
	};
	size_t at = begin(b, "WDAT", 1);

	u32_put(b, 32); /* what follows up to the entries */
	u16_put(b, 0xff); /* not on PCI */
	aml_put(&b->a, (u8[]){ 0xff, 0xff, 0xff, 0, 0, 0 }, 6);
	u32_put(b, 1000); /* ms */
	u32_put(b, WATCHDOG_MAX_COUNT);
	u32_put(b, WATCHDOG_MIN_COUNT);
	aml_put(&b->a, (u8[]){ 0x81, 0, 0, 0 }, 4); /* it is there, and stops in sleep states */
	u32_put(b, 2 * ARRAY_SIZE(actions));
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		wdat_entry(b, actions[i].action, WRITE_VALUE, WATCHDOG_PORT, actions[i].reg, ~0u);
		wdat_entry(b, actions[i].action, actions[i].instruction, WATCHDOG_PORT + 4, actions[i].value, actions[i].mask);
	}
	return end(b, at);
}

/* TCG ACPI Specification 1.4, 8.3; the registers are those that VTL0 reads by itself, the log is what was measured before it */
static u64 tpm2(struct build *b)
{
	size_t at = begin(b, "TPM2", TPM2_TABLE_REVISION);

	u32_put(b, 0); /* platform class: client */
	u64_put(b, places[PLACE_TPM_REGISTERS].base + CRB_CONTROL_AREA);
	u32_put(b, TPM2_START_METHOD_CRB);
	for (unsigned i = 0; i < 3; i++)
		u32_put(b, 0); /* parameters of the start method: none */
	u32_put(b, (u32)places[PLACE_EVENT_LOG].len);
	u64_put(b, places[PLACE_EVENT_LOG].base);
	return end(b, at);
}

int acpi_build(const struct partition_layout *layout, const struct loader_machine *machine, u64 gpa, struct acpi_tables *t)
{
	struct build b = { .a = { t->buf, 0, t->room, false }, .gpa = gpa };
	u8 rsdp[36] = "RSD PTR ";

	aml_put(&b.a, rsdp, sizeof(rsdp)); /* its place; filled in below */
	u64 d = dsdt(&b, layout, machine), tables[6] = { fadt(&b, d), madt(&b, layout) };
	unsigned count = 2;

	if (layout->node_count > 1) {
		tables[count++] = srat(&b, layout);
		tables[count++] = slit(&b, layout);
	}
	if (machine->watchdog)
		tables[count++] = wdat(&b);
	if (machine->tpm)
		tables[count++] = tpm2(&b);
	size_t at = begin(&b, "XSDT", 1);

	aml_put(&b.a, tables, count * sizeof(tables[0]));
	u64 xsdt = end(&b, at);

	if (b.a.failed)
		return -ENOSPC;
	memcpy(rsdp + 9, "PARAVN", 6);
	rsdp[15] = 2;
	memcpy(rsdp + 20, &(u32){ 36 }, 4);
	memcpy(rsdp + 24, &xsdt, 8);
	rsdp[8] = checksum(rsdp, 20);
	rsdp[32] = checksum(rsdp, 36);
	memcpy(t->buf, rsdp, sizeof(rsdp));
	t->len = b.a.len;
	t->rsdp = gpa;
	return 0;
}
