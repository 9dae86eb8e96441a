#include "vmm/hcl/fake.h"

#include <errno.h>
#include <string.h>

static struct hcl_fake *of(struct hcl *hcl)
{
	return container_of(hcl, struct hcl_fake, hcl);
}

static int fake_vp_open(struct hcl *hcl, struct hcl_vp *vp)
{
	struct hcl_fake *f = of(hcl);

	vp->run = &f->run;
	vp->page = f->with_page ? &f->page : NULL;
	return 0;
}

static int fake_run(struct hcl_vp *vp)
{
	struct hcl_fake *f = of(vp->hcl);

	if (f->run.cancel)
		return -EINTR;
	return f->on_run ? f->on_run(f) : -EINTR;
}

static union hv_register_value *find(struct hcl_fake *f, u32 name, bool make)
{
	for (unsigned i = 0; i < f->register_count; i++)
		if (f->registers[i].name == name)
			return &f->registers[i].value;
	if (!make || f->register_count == FAKE_REGISTERS)
		return NULL;
	f->registers[f->register_count].name = name;
	return &f->registers[f->register_count++].value;
}

static int fake_get(struct hcl_vp *vp, u32 name, union hv_register_value *ret)
{
	union hv_register_value *value = find(of(vp->hcl), name, false);

	*ret = value ? *value : (union hv_register_value){ { 0, 0 } };
	return 0;
}

static int fake_set(struct hcl_vp *vp, u32 name, const union hv_register_value *value)
{
	if (of(vp->hcl)->refuse_register && name == of(vp->hcl)->refuse_register)
		return -EINVAL;
	union hv_register_value *slot = find(of(vp->hcl), name, true);

	if (!slot)
		return -ENOSPC;
	*slot = *value;
	return 0;
}

static int fake_call(struct hcl *hcl, u64 control, const void *in, size_t in_len, void *out, size_t out_len, u64 *result)
{
	struct hcl_fake *f = of(hcl);
	u64 reps = FIELD_GET(HV_HYPERCALL_REP_COUNT, control);

	if (f->call_count < FAKE_CALLS) {
		struct fake_call *c = &f->calls[f->call_count++];

		c->control = control;
		c->in_len = in_len;
		memcpy(c->in, in, MIN(in_len, sizeof(c->in)));
	}
	if (f->refuse_code && f->refuse_code == (control & HV_HYPERCALL_CODE))
		*result = HV_STATUS_INVALID_HYPERCALL_CODE;
	else
		*result = f->status | FIELD_PREP(HV_RESULT_REPS_DONE, reps);
	return 0;
}

static int fake_set_poll_file(struct hcl_vp *vp, int fd)
{
	return 0;
}

static void fake_destroy(struct hcl *hcl)
{
}

static const struct hcl_ops ops = {
	.vp_open = fake_vp_open, .run = fake_run, .get = fake_get, .set = fake_set, .call = fake_call,
	.set_poll_file = fake_set_poll_file, .destroy = fake_destroy,
};

void hcl_fake_init(struct hcl_fake *fake, bool with_page)
{
	memset(fake, 0, sizeof(*fake));
	fake->hcl.ops = &ops;
	fake->with_page = with_page;
	fake->page.valid = 1;
	fake->page.version = HV_REGISTER_PAGE_VERSION;
}

u64 hcl_fake_register(struct hcl_fake *fake, u32 name)
{
	union hv_register_value *value = find(fake, name, false);

	return value ? value->u64[0] : 0;
}

struct fake_call *hcl_fake_last(struct hcl_fake *fake, u32 code)
{
	for (unsigned i = fake->call_count; i-- > 0;)
		if ((fake->calls[i].control & HV_HYPERCALL_CODE) == code)
			return &fake->calls[i];
	return NULL;
}
