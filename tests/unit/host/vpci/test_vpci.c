/* The bus as pci-hyperv would meet it: over VMBus, with the loop on a thread of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/vpci/vpci.h"
#include "spec/vpci.h"
#include "tests/lib/vmbus_guest.h"

#define RING_PAGES 5u
#define WINDOW 0xf8000000ull
static const struct guid instance = GUID(0x11111111, 0x0007, 0x4321, 1, 2, 3, 4, 5, 6, 7, 8);

static struct {
	u32 interrupts, vp;
	u8 vector;
	u32 resets, worked;
} seen;
static struct vpci *bus;
static struct pci_function function;

static u64 device_read(struct pci_function *f, u32 b, u64 offset, u32 size) { return offset; }
static void device_write(struct pci_function *f, u32 b, u64 offset, u32 size, u64 value) {}
static atomic_bool feeding; /* the guest sends another message whenever one was taken */

static void device_reset(struct pci_function *f)
{
	u32 leave = VPCI_BUS_D0_EXIT;
	bool ignored;

	pthread_mutex_lock(&guest.lock);
	seen.resets++;
	pthread_mutex_unlock(&guest.lock);
	if (feeding && ring_write(&guest.out, VMBUS_PACKET_IN_BAND, 0, 5, &leave, sizeof(leave), NULL, 0, &ignored) != RING_OK)
		feeding = false;
}
static const struct pci_function_ops ops = { device_read, device_write, device_reset };

static void on_interrupt(void *ctx, u32 vp, u8 vector)
{
	seen.interrupts++;
	seen.vp = vp;
	seen.vector = vector;
}

static u32 receive(void *data, u32 max, u16 type)
{
	struct ring_received got;
	u8 padded[128]; /* packets are multiples of 8 bytes */
	bool ignored;

	for (u32 i = 0; i < 5000; i++, usleep(1000))
		if (ring_read(&guest.in, padded, sizeof(padded), &got, &ignored) == RING_OK) {
			assert_int_equal(got.type, type);
			memcpy(data, padded, MIN(got.len, max));
			return got.len;
		}
	fail_msg("no answer in 5 s");
	return 0;
}

static void request(const void *message, u32 len, bool wants_completion)
{
	bool ignored;

	assert_int_equal(ring_write(&guest.out, VMBUS_PACKET_IN_BAND, wants_completion, 5, message, len, NULL, 0, &ignored),
			 RING_OK);
	guest_signal_host();
}

static u32 ask(const void *message, u32 len, void *reply, u32 max)
{
	request(message, len, true);
	return receive(reply, max, VMBUS_PACKET_COMPLETION);
}

static void start(void)
{
	memset(&seen, 0, sizeof(seen));
	guest_create(4);
	function = (struct pci_function){ .name = "test", .ops = &ops, .identity = { 0x1414, 0xb111, 0x1414, 2,
		PCI_CLASS_NVME, 3 },
					  .bar_size = { 0x4000, 0, 0x1000 }, .vector_count = 3, .msix_bar = 2 };
	pci_function_init(&function);
	struct vpci_config config = { instance, &function, 42, 4, on_interrupt, NULL };

	assert_int_equal(vpci_create(guest.vmbus, &config, &bus), 0);
	guest_connect();
	guest_open(1, RING_PAGES, RING_PAGES);
}

static void stop(void)
{
	guest_disconnect();
	vpci_destroy(bus);
	pci_function_fini(&function);
	guest_destroy();
}

static void enter_d0(void)
{
	struct vpci_d0_entry d0 = { VPCI_BUS_D0_ENTRY, 0, WINDOW };
	struct vpci_status reply = { 1, 1 };

	ask(&d0, sizeof(d0), &reply, sizeof(reply));
	assert_int_equal(reply.status, 0);
}

static void handshake(void **state)
{
	struct vpci_version version = { VPCI_QUERY_PROTOCOL_VERSION, VPCI_VERSION(1, 5) };
	struct vpci_version_reply answer;
	struct vpci_child child = { VPCI_QUERY_RESOURCE_REQUIREMENTS, 0 };
	struct vpci_requirements_reply bars;
	u32 query = VPCI_QUERY_BUS_RELATIONS, id = 0;
	struct {
		struct vpci_relations head;
		struct vpci_function2 f;
	} relations;

	start();
	ask(&version, sizeof(version), &answer, sizeof(answer));
	assert_int_equal(answer.status, VPCI_STATUS_REVISION_MISMATCH);
	assert_int_equal(answer.version, VPCI_VERSION_1_4);
	version.version = VPCI_VERSION_1_4;
	ask(&version, sizeof(version), &answer, sizeof(answer));
	assert_int_equal(answer.status, 0);
	request(&query, sizeof(query), false);
	assert_int_equal(receive(&relations, sizeof(relations), VMBUS_PACKET_IN_BAND), ALIGN_UP(sizeof(relations), 8));
	assert_int_equal(relations.head.type, VPCI_BUS_RELATIONS2);
	assert_int_equal(relations.head.count, 1);
	assert_int_equal(relations.f.function.device, 0xb111);
	assert_int_equal(relations.f.function.base_class, 1);
	assert_int_equal(relations.f.function.subsystem, 0x00021414);
	assert_int_equal(relations.f.function.serial, 42);
	ask(&child, sizeof(child), &bars, sizeof(bars));
	assert_int_equal(bars.bars[0], 0xffffc004);
	assert_int_equal(bars.bars[2], 0xfffff004);
	assert_false(vpci_mmio(bus, WINDOW + VPCI_WINDOW_CONFIG, &id, 4, false)); /* not before D0 */
	enter_d0();
	assert_true(vpci_mmio(bus, WINDOW + VPCI_WINDOW_CONFIG, &id, 4, false));
	assert_int_equal(id, 0xb1111414);
	u32 slot = 1;

	assert_true(vpci_mmio(bus, WINDOW, &slot, 4, true));
	assert_true(vpci_mmio(bus, WINDOW + VPCI_WINDOW_CONFIG, &id, 4, false));
	assert_int_equal(id, ~0u); /* nobody in slot 1 */
	assert_false(vpci_mmio(bus, WINDOW + VPCI_WINDOW_SIZE - 2, &id, 4, false));
	/* version 1.1 has the shorter description */
	version.version = VPCI_VERSION_1_1;
	ask(&version, sizeof(version), &answer, sizeof(answer));
	request(&query, sizeof(query), false);
	assert_int_equal(receive(&relations, sizeof(relations), VMBUS_PACKET_IN_BAND), 32);
	stop();
}

static struct vpci_retarget retarget_to(u32 data, u32 vector)
{
	return (struct vpci_retarget){ .partition_id = HV_PARTITION_ID_SELF, .device_id = VPCI_DEVICE_ID(instance, 0),
				       .source = VPCI_RETARGET_SOURCE_MSI, .address = 0xfee00000, .data = data,
				       .vector = vector };
}

static void interrupts_find_their_vp(void **state)
{
	struct {
		struct vpci_child child;
		struct vpci_msi3 msi;
	} create = { { VPCI_CREATE_INTERRUPT3, 0 }, { .vector = 0xef, .vector_count = 1, .processor_count = 1,
		.processors = { 2 } } };
	struct vpci_create_reply reply;
	struct {
		struct vpci_retarget r;
		u64 banks[2];
	} set;
	u32 word;

	start();
	enter_d0();
	assert_int_equal(ask(&create, sizeof(create), &reply, sizeof(reply)), sizeof(reply));
	assert_int_equal(reply.status, 0);
	assert_int_equal(reply.interrupt.vector_count, 1);
	word = (u32)reply.interrupt.address;
	pci_config_write(&function, PCI_BAR0 + 8, 4, 0x20000000);
	pci_config_write(&function, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	pci_config_write(&function, 0x42, 2, PCI_MSIX_CONTROL_ENABLE);
	assert_true(vpci_mmio(bus, 0x20000000, &word, 4, true));
	word = reply.interrupt.data;
	assert_true(vpci_mmio(bus, 0x20000008, &word, 4, true));
	word = 0;
	assert_true(vpci_mmio(bus, 0x2000000c, &word, 4, true));
	pci_interrupt(&function, 0);
	assert_int_equal(seen.vp, 2);
	assert_int_equal(seen.vector, 0xef);

	set.r = retarget_to(reply.interrupt.data, 0x31);
	set.r.format_or_mask = 8;
	assert_int_equal(vpci_retarget(bus, &set, sizeof(set.r)), HV_STATUS_SUCCESS);
	pci_interrupt(&function, 0);
	assert_int_equal(seen.vp, 3);
	assert_int_equal(seen.vector, 0x31);
	set.r.flags = VPCI_RETARGET_PROCESSOR_SET;
	set.r.format_or_mask = 0;
	set.r.bank_mask = 3;
	set.banks[0] = 2;
	set.banks[1] = 1;
	assert_int_equal(vpci_retarget(bus, &set, sizeof(set)), HV_STATUS_SUCCESS);
	pci_interrupt(&function, 0);
	assert_int_equal(seen.vp, 1);
	/* what a hostile caller may try */
	assert_int_equal(vpci_retarget(bus, &set, sizeof(set) - 8), HV_STATUS_INVALID_HYPERCALL_INPUT);
	set.banks[0] = 0;
	assert_int_equal(vpci_retarget(bus, &set, sizeof(set)), HV_STATUS_INVALID_PARAMETER); /* VP 64 */
	set.r.bank_mask = ~0ull;
	assert_int_equal(vpci_retarget(bus, &set, sizeof(set)), HV_STATUS_INVALID_HYPERCALL_INPUT);
	set.r = retarget_to(reply.interrupt.data + 1, 0x31);
	set.r.format_or_mask = 1;
	assert_int_equal(vpci_retarget(bus, &set, sizeof(set.r)), HV_STATUS_INVALID_PARAMETER);
	set.r = retarget_to(reply.interrupt.data, 0x31);
	set.r.format_or_mask = 1;
	set.r.device_id++;
	assert_int_equal(vpci_retarget(bus, &set, sizeof(set.r)), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(vpci_retarget(bus, &set, 8), HV_STATUS_INVALID_HYPERCALL_INPUT);

	struct vpci_delete_interrupt gone = { { VPCI_DELETE_INTERRUPT, 0 }, reply.interrupt };
	struct vpci_status status;

	ask(&gone, sizeof(gone), &status, sizeof(status));
	u32 before = seen.interrupts;

	pci_interrupt(&function, 0);
	assert_int_equal(seen.interrupts, before);
	create.msi.vector_count = 2; /* that would be MSI */
	ask(&create, sizeof(create), &reply, sizeof(reply));
	assert_int_equal(reply.status, VPCI_STATUS_INVALID_PARAMETER);
	ask(&create, 8, &reply, sizeof(reply));
	assert_int_equal(reply.status, VPCI_STATUS_INVALID_PARAMETER);
	stop();
}

static void fire(struct loop_timer *t)
{
	pthread_mutex_lock(&guest.lock);
	seen.worked++;
	pthread_mutex_unlock(&guest.lock);
}

static void work(struct loop_work *w)
{
	static struct loop_timer timer = { .fire = fire };

	list_init(&timer.link);
	loop_arm(guest.loop, &timer, 1000000);
	fire(NULL);
}

/* a ring that is never empty does not keep the loop from its other work, nor from its timers */
static void a_flood_leaves_others_a_turn(void **state)
{
	static struct loop_work other = { .run = work };
	u32 leave = VPCI_BUS_D0_EXIT;

	start();
	feeding = true;
	request(&leave, sizeof(leave), false);
	guest_until(&seen.resets, 3 * CHANNEL_PACKETS_PER_TURN);
	loop_post(guest.loop, &other);
	guest_until(&seen.worked, 2);
	assert_true(feeding);
	feeding = false;
	stop();
}

static void eject_and_plug(void **state)
{
	struct vpci_child eject;
	struct vpci_ejection_complete done = { { VPCI_EJECTION_COMPLETE, 0 }, 0 };
	u32 id;

	start();
	enter_d0();
	assert_int_equal(vpci_eject(bus), 0); /* the loop rests: nobody else is at the bus */
	receive(&eject, sizeof(eject), VMBUS_PACKET_IN_BAND);
	assert_int_equal(eject.type, VPCI_EJECT);
	request(&done, sizeof(done), false);
	guest_until(&guest.rescinds, 1);
	struct vmbus_relid let_go = { { VMBUS_RELID_RELEASED, 0 }, guest.relid };
	struct vpci_counters c = { .offered = true };

	guest_send(&let_go, sizeof(let_go));
	for (u32 i = 0; i < 5000 && c.offered; i++, usleep(1000))
		vpci_read_counters(bus, &c);
	assert_false(c.offered);
	assert_false(vpci_mmio(bus, WINDOW + VPCI_WINDOW_CONFIG, &id, 4, false));
	assert_int_equal(vpci_eject(bus), -114 /* EALREADY */);
	assert_int_equal(vpci_plug(bus), 0);
	assert_int_equal(vpci_plug(bus), -114);
	guest_open(2, RING_PAGES, RING_PAGES);
	enter_d0();
	assert_true(vpci_mmio(bus, WINDOW + VPCI_WINDOW_CONFIG, &id, 4, false));
	assert_int_equal(vpci_unplug(bus), 0);
	assert_false(vpci_mmio(bus, WINDOW + VPCI_WINDOW_CONFIG, &id, 4, false));
	assert_int_equal(vpci_unplug(bus), -114);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handshake), cmocka_unit_test(interrupts_find_their_vp),
		cmocka_unit_test(a_flood_leaves_others_a_turn), cmocka_unit_test(eject_and_plug),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
