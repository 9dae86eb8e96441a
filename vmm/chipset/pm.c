/* ACPI 6.5, 4.8: PM1a event and control blocks, PM timer (24 bits), reset register */
#include <errno.h>

#include "vmm/chipset/chipset.h"

#define CONTROL_SCI_EN 1u
#define CONTROL_SLP_TYPE 0x1c00u
#define CONTROL_SLP_EN 0x2000u
#define STATUS_BITS 0x8731u
#define GPE_BITS 0x0f01u /* those that Hyper-V lets a guest enable */

static u32 timer_value(struct pm *pm)
{
	u64 ns = exec_now_ns(pm->dev.home) - pm->start_ns;

	return (u32)(ns / 1000000000u * PM_TIMER_HZ + ns % 1000000000u * PM_TIMER_HZ / 1000000000u) & 0xffffffu;
}

static void write_control(struct pm *pm, u16 value)
{
	pm->control = (u16)((value & ~CONTROL_SLP_EN) | CONTROL_SCI_EN); /* we never were in legacy mode */
	if ((value & CONTROL_SLP_EN) && FIELD_GET(CONTROL_SLP_TYPE, value) == PM_S5_TYPE)
		pm->power->event(pm->power, POWER_EVENT_OFF, "ACPI S5");
}

static void sci(struct pm *pm)
{
	isa_set(pm->isa, PM_SCI_LINE, (pm->status & pm->enable) || (pm->gpe_status & pm->gpe_enable));
}

void pm_gpe(struct pm *pm, unsigned number)
{
	device_lock(&pm->dev);
	pm->gpes++;
	pm->gpe_status |= (u16)(1u << number);
	sci(pm);
	device_unlock(&pm->dev);
}

/* ACPI 4.8.4.1: bytes or words; status bits are cleared by ones */
static void gpe_access(struct pm *pm, unsigned offset, struct io_access *io)
{
	unsigned len = MIN((unsigned)io->size, 4 - offset);
	u32 mask = len == 4 ? ~0u : (1u << 8 * len) - 1;
	u32 both = pm->gpe_status | (u32)pm->gpe_enable << 16;

	if (io->write) {
		u32 bits = ((u32)io->value & mask) << 8 * offset, reach = mask << 8 * offset;

		pm->gpe_status &= (u16)~bits;
		pm->gpe_enable = (u16)((pm->gpe_enable & ~(reach >> 16)) | (bits >> 16 & GPE_BITS));
	}
	io->value = both >> 8 * offset & mask;
}

static enum io_status pm_access(struct device *dev, unsigned region, struct io_access *io)
{
	struct pm *pm = container_of(dev, struct pm, dev);
	u64 port = PM_BASE + io->offset;

	if (port == PM_TIMER_PORT) {
		io->value = timer_value(pm);
		return IO_OK;
	}
	if (port == PM_RESET_PORT) {
		if (io->write && io->value == PM_RESET_VALUE)
			pm->power->event(pm->power, POWER_EVENT_RESET, "ACPI reset register");
		io->value = 0;
		return IO_OK;
	}
	if (port >= PM_GPE_PORT && port < PM_GPE_PORT + 4) {
		gpe_access(pm, (unsigned)(port - PM_GPE_PORT), io);
		sci(pm);
		return IO_OK;
	}
	if (io->size != 2)
		return IO_BAD_SIZE;
	if (port == PM_STATUS_PORT) {
		if (io->write)
			pm->status &= (u16)~(io->value & STATUS_BITS); /* write one to clear */
		io->value = pm->status;
	} else if (port == PM_STATUS_PORT + 2) {
		if (io->write)
			pm->enable = (u16)(io->value & STATUS_BITS);
		io->value = pm->enable;
	} else if (port == PM_CONTROL_PORT) {
		if (io->write)
			write_control(pm, (u16)io->value);
		io->value = pm->control;
	} else {
		return IO_NO_REGISTER;
	}
	if (io->write)
		sci(pm);
	return IO_OK;
}

static void pm_save(struct device *dev, struct saver *s)
{
	struct pm *pm = container_of(dev, struct pm, dev);

	saver_u16(s, pm->status);
	saver_u16(s, pm->enable);
	saver_u16(s, pm->control);
	saver_u32(s, timer_value(pm));
	saver_u16(s, pm->gpe_status);
	saver_u16(s, pm->gpe_enable);
}

static int pm_restore(struct device *dev, struct bytes b)
{
	struct pm *pm = container_of(dev, struct pm, dev);
	u32 value;

	if (!bytes_u16(&b, &pm->status) || !bytes_u16(&b, &pm->enable) ||
	    !bytes_u16(&b, &pm->control) || !bytes_u32(&b, &value) ||
	    !bytes_u16(&b, &pm->gpe_status) || !bytes_u16(&b, &pm->gpe_enable))
		return -EPROTO;
	/* rounded up, or the timer would go back by one */
	pm->start_ns = exec_now_ns(dev->home) - ((value & 0xffffffu) * 1000000000ull + PM_TIMER_HZ - 1) / PM_TIMER_HZ;
	return 0;
}

static void pm_inspect(struct device *dev, struct inspect *in)
{
	struct pm *pm = container_of(dev, struct pm, dev);

	inspect_hex(in, "status", pm->status);
	inspect_hex(in, "enable", pm->enable);
	inspect_hex(in, "control", pm->control);
	inspect_hex(in, "gpe_status", pm->gpe_status);
	inspect_hex(in, "gpe_enable", pm->gpe_enable);
	inspect_count(in, "gpes", pm->gpes);
	inspect_u64(in, "timer", timer_value(pm));
}

static const struct device_ops ops = {
	.access = pm_access, .save = pm_save, .restore = pm_restore, .inspect = pm_inspect,
};
static const struct region regions[] = { { "pm", SPACE_PIO, PM_BASE, PM_PORTS } };

void pm_init(struct pm *pm, struct exec *home, struct isa *isa, struct power *power)
{
	*pm = (struct pm){ .dev = { .name = "pm", .tag = STATE_TAG('P', 'M', ' ', ' '), .ops = &ops, .regions = regions,
				    .region_count = ARRAY_SIZE(regions), .home = home },
			   .power = power, .isa = isa, .control = CONTROL_SCI_EN, .start_ns = exec_now_ns(home) };
}
