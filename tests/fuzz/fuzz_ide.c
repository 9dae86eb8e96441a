/*
 * Port accesses of any kind to an IDE controller with a disk of each sort, PRDs and TRIM ranges out of the input, and disks
 * that answer late or with errors: nothing may be touched outside of the guest, and a reset always gives drives that answer.
 */
#include "tests/lib/model_ide.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static struct model_ide *m;
static struct disk *fault;

static void make(void)
{
	static const struct guid id = { 1, 2, 3, { 4 } };
	static struct model_ide model;

	m = &model;
	if (!model_init(m, 1))
		__builtin_trap();
	fault = disk_fault(disk_ram(MiB, 512, &id), 1);
	if (ide_add(m->ide, 0, 0, IDE_DISK, fault) || ide_add(m->ide, 0, 1, IDE_CD, disk_ram(MiB, 512, &id)) ||
	    ide_add(m->ide, 1, 0, IDE_CD, disk_delay(disk_ram(256 * KiB, 512, &id), 1000)) ||
	    ide_add(m->ide, 1, 1, IDE_DISK, disk_read_only(disk_ram(MiB, 512, &id))))
		__builtin_trap();
}

/* what the input says of one access: 4 bytes */
static void step(const u8 *in)
{
	static const u16 ports[] = { 0x1f0, 0x1f1, 0x1f2, 0x1f3, 0x1f4, 0x1f5, 0x1f6, 0x1f7, 0x3f6, 0x170, 0x171, 0x172, 0x173,
				     0x174, 0x175, 0x176, 0x177, 0x376, 0xffa0, 0xffa2, 0xffa4, 0xffa8, 0xffaa, 0xffac, 0xcf8,
				     0xcfc };
	u16 port = ports[(in[0] & 31) % ARRAY_SIZE(ports)];
	unsigned size = 1u << (in[0] >> 5 & 3);
	u64 value = (u64)in[1] | (u64)in[2] << 8 | (u64)in[3] << 16;

	if (in[0] == 0xff) {                    /* the disks' turn */
		sim_run(m->sim, sim_now_ns(m->sim) + in[1] * 100u);
	} else if (in[0] == 0xfe) {             /* many words through the data port */
		for (unsigned i = 0; i < in[1] * 8u; i++)
			if (in[2] & 1)
				model_out(m, in[2] & 2 ? 0x170 : 0x1f0, 4, i * in[3]);
			else
				model_in(m, in[2] & 2 ? 0x170 : 0x1f0, 4);
	} else if (in[0] == 0xfd) {
		disk_fault_set(fault, in[1] & 1 ? FAULT_ERROR : FAULT_NONE, in[2], 1 + (in[3] & 7), -5);
	} else if (in[0] & 0x80) {
		model_in(m, port, size);
	} else {
		model_out(m, port, size, port >= 0xffa0 && size == 4 ? value & 0xfff : value);
	}
}

static void state_goes_round(void)
{
	struct saver s;
	struct loader l;

	bus_stop(&m->bus);
	model_run(m);
	saver_init(&s);
	bus_save(&m->bus, &s);
	if (saver_finish(&s) || loader_init(&l, s.data, s.len))
		__builtin_trap();
	bus_start(&m->bus);
	model_run(m);
	bus_stop(&m->bus);
	if (bus_restore(&m->bus, l))
		__builtin_trap();
	bus_start(&m->bus);
	model_run(m);
	saver_fini(&s);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	if (!m)
		make();
	if (size < 260)
		return 0;
	bus_reset(&m->bus);
	/* tables at 0 to FFFh: bases small enough to be RAM now and then */
	if (guest_write(m->guest, 0, data, 256) || guest_write(m->guest, 0x800, data, 256))
		__builtin_trap();
	bool round = data[256] & 1;

	data += 257;
	size -= 257;
	for (; size >= 4; data += 4, size -= 4)
		step(data);
	if (round)
		state_goes_round();
	disk_fault_set(fault, FAULT_NONE, 0, 1, 0);
	for (unsigned i = 0; i < 2; i++) {
		model_channel(m, i);
		model_out(m, m->control, 1, 4);
		model_run(m);
		model_out(m, m->control, 1, 0);
		model_run(m);
		if (model_in(m, m->control, 1) & 0x88)
			__builtin_trap();
	}
	return 0;
}
