#include "boot/host_tree.h"
#include "boot/shim.h"
#include "boot/text.h"

struct idt_entry {
	u16 offset_low;
	u16 selector;
	u8 ist;
	u8 type;
	u16 offset_middle;
	u32 offset_high;
	u32 reserved;
};
_Static_assert(sizeof(struct idt_entry) == 16, "AMD64 APM volume 2, 4.8.4");

#define INTERRUPT_GATE 0x8Eu

static struct idt_entry idt[32];

void trap_init(void)
{
	struct {
		u16 limit;
		u64 base;
	} __packed idtr = { sizeof(idt) - 1, (u64)idt };
	u16 cs;

	__asm__("mov %%cs, %0" : "=r"(cs));
	for (u32 i = 0; i < ARRAY_SIZE(idt); i++) {
		u64 at = (u64)trap_entries[i];

		idt[i] = (struct idt_entry){
			.offset_low = (u16)at,
			.selector = cs,
			.type = INTERRUPT_GATE,
			.offset_middle = (u16)(at >> 16),
			.offset_high = (u32)(at >> 32),
		};
	}
	__asm__ volatile("lidt %0" : : "m"(idtr));
}

_Noreturn void trap_report(const struct trap_frame *frame, u64 cr2)
{
	char text[HOST_ERROR_MAX];

	text_format(text, sizeof(text), "exception %lu, error code 0x%lx, rip 0x%lx, rsp 0x%lx, cr2 0x%lx; this is a bug in "
		    "the shim", frame->vector, frame->error, frame->rip, frame->rsp, cr2);
	shim_fail(frame->rip, text);
}
