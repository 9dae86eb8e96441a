/* How the devices hang together: interrupt lines, the local APICs, VMBus's messages and flags. */
#include "vmm/board/board.h"

#include <errno.h>

static void deliver(struct ioapic *a, const struct ioapic_message *m)
{
	vp_assert_interrupt(&container_of(a, struct board, ioapic)->machine, m);
}

/*
 * With the hypervisor's local APICs the 8259s' output goes nowhere: every guest with our ACPI tables uses the IO-APIC and only
 * masks and probes the pair.
 */
static void pic_output(struct pic *p, bool level)
{
	struct board *b = container_of(p, struct board, pic);

	if (b->machine.apics)
		vapics_set_intr(b->machine.apics, level);
}

void board_init(struct board *b, struct exec *home)
{
	b->home = home;
	b->isa = (struct isa){ &b->ioapic, &b->pic };
	bus_init(&b->bus);
	ioapic_init(&b->ioapic);
	b->ioapic.deliver = deliver;
	pic_init(&b->pic);
	b->pic.set_output = pic_output;
	pit_init(&b->pit, home, &b->isa);
	rtc_init(&b->rtc, home, &b->isa);
	pm_init(&b->pm, home, &b->isa, &b->power);
	legacy_init(&b->legacy, &b->power);
	for (unsigned i = 0; i < ARRAY_SIZE(b->com); i++)
		com_init(&b->com[i], i, &b->isa);
	pci_bus_init(&b->pci, &b->power);
	b->machine.bus = &b->bus;
	b->machine.ioapic = &b->ioapic;
	b->machine.pic = &b->pic;
}

int board_add_ide(struct board *b)
{
	int r;

	b->ide = ide_create(&(struct ide_config){ b->machine.guest, b->home, &b->isa });
	if (!b->ide)
		return -ENOMEM;
	r = pci_bridges_add(&b->bridges, &b->pci);
	return r ? r : pci_bus_add(&b->pci, ide_function(b->ide));
}

int board_attach(struct board *b)
{
	struct device *const devices[] = { &b->ioapic.dev, &b->pic.dev, &b->pit.dev, &b->rtc.dev, &b->pm.dev, &b->legacy.dev,
					   &b->com[0].dev, &b->com[1].dev, &b->pci.dev };
	int r = 0;

	for (size_t i = 0; !r && i < ARRAY_SIZE(devices); i++)
		r = bus_attach(&b->bus, devices[i]);
	return !r && b->ide ? bus_attach(&b->bus, ide_device(b->ide)) : r;
}

/* ---- VMBus: the hypervisor on one side, the executors of the VPs on the other */
static u16 io_post(void *ctx, u32 vp, u8 sint, const struct hv_message *message)
{
	return vp_post_message(&((struct board *)ctx)->machine, vp, sint, message);
}

static void io_want_slot(void *ctx, u32 vp, u8 sint)
{
	struct machine *m = &((struct board *)ctx)->machine;

	vp_want_sint(m->vp(m, vp), sint);
}

static void io_signal(void *ctx, u32 vp, u8 sint, u16 flag)
{
	vp_signal_event(&((struct board *)ctx)->machine, vp, sint, flag);
}

static struct exec *io_exec(void *ctx, u32 vp)
{
	struct machine *m = &((struct board *)ctx)->machine;

	return m->vp(m, vp)->exec;
}

static u16 post_message(struct machine *m, const struct hv_post_message *message)
{
	return vmbus_post(container_of(m, struct board, machine)->vmbus, message->connection_id, message->message_type,
			  message->payload, message->payload_size);
}

static u16 signal_event(struct machine *m, u32 connection, u16 flag)
{
	return vmbus_signal(container_of(m, struct board, machine)->vmbus, connection, flag);
}

static void sint_deliverable(struct machine *m, unsigned vp, u16 sints)
{
	vmbus_slot_free(container_of(m, struct board, machine)->vmbus);
}

int board_create_vmbus(struct board *b, u32 vp_count)
{
	const struct vmbus_io io = { .post = io_post, .want_slot = io_want_slot, .signal = io_signal, .exec = io_exec, .ctx = b,
				     .vp_count = vp_count };

	b->vmbus = vmbus_server_create(&io, b->machine.guest, b->home);
	if (!b->vmbus)
		return -ENOMEM;
	b->machine.post_message = post_message;
	b->machine.signal_event = signal_event;
	b->machine.sint_deliverable = sint_deliverable;
	return 0;
}

void board_destroy(struct board *b)
{
	if (b->vmbus)
		vmbus_server_destroy(b->vmbus);
	if (b->ide)
		ide_destroy(b->ide);
}

void board_save(struct board *b, struct saver *s)
{
	bus_save(&b->bus, s);
	vmbus_save(b->vmbus, s);
}

int board_restore(struct board *b, struct loader l)
{
	int r = bus_restore(&b->bus, l);

	return r ? r : vmbus_restore(b->vmbus, l);
}
