#include "vmm/emul/decode.h"

u64 size_mask(unsigned size)
{
	return size == 8 ? ~0ull : (1ull << size * 8) - 1;
}

static u8 next(struct insn *i)
{
	if (i->at >= i->len) {
		i->truncated = true;
		return 0;
	}
	return i->bytes[i->at++];
}

static s64 take_signed(struct insn *i, unsigned len)
{
	u64 value = 0;

	for (unsigned k = 0; k < len; k++)
		value |= (u64)next(i) << k * 8;
	unsigned shift = 64 - len * 8;

	return len ? (s64)(value << shift) >> shift : 0;
}

void decode_imm(struct insn *i, unsigned len)
{
	i->imm = take_signed(i, len);
}

void decode_moffs(struct insn *i)
{
	i->offset = (u64)take_signed(i, i->address) & size_mask(i->address);
}

static bool segment_prefix(struct insn *i, u8 byte)
{
	static const u8 segments[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65 };

	for (int k = 0; k < EMUL_SEGMENTS; k++)
		if (byte == segments[k]) {
			if (i->mode != 64 || k >= EMUL_FS) /* ES, CS, SS and DS are ignored there, SDM volume 1, 3.4.2.1 */
				i->segment = k;
			return true;
		}
	return false;
}

static bool legacy_prefix(struct insn *i, u8 byte)
{
	if (segment_prefix(i, byte))
		return true;
	switch (byte) {
	case 0x66:
		i->opsize = true;
		return true;
	case 0x67:
		i->address = i->mode == 32 ? 2 : 4;
		return true;
	case 0xf2:
	case 0xf3:
		i->rep = byte;
		return true;
	case 0xf0:
		i->lock = true;
		return true;
	}
	return false;
}

/* returns the first byte that is no prefix. A REX counts only right before the opcode (SDM volume 2, 2.2.1). */
static u8 prefixes(struct insn *i)
{
	for (;;) {
		u8 byte = next(i);

		if (i->mode == 64 && (byte & 0xf0) == 0x40) {
			i->rex = true;
			i->rex_bits = byte & 0xf;
		} else if (!i->truncated && legacy_prefix(i, byte)) {
			i->rex = false;
			i->rex_bits = 0;
		} else {
			return byte;
		}
	}
}

static void begin(struct insn *i, unsigned mode)
{
	i->mode = mode;
	i->segment = -1;
	i->address = mode / 8;
}

bool decode_head(struct insn *i, const struct emul_state *s)
{
	begin(i, s->mode);
	i->opcode = prefixes(i);
	if (i->mode == 16)
		i->operand = i->opsize ? 4 : 2;
	else
		i->operand = i->rex_bits & 8 ? 8 : i->opsize ? 2 : 4;
	if (i->opcode != 0x0f)
		return !i->truncated;
	i->opcode = 0x100 | next(i);
	if (i->opcode == 0x138)
		i->opcode = 0x200 | next(i);
	return !i->truncated;
}

u8 decode_peek_reg(const struct insn *i)
{
	return i->at < i->len ? i->bytes[i->at] >> 3 & 7 : 0;
}

/* 16-bit addressing, SDM table 2-1 */
static void modrm16(struct insn *i, const struct emul_state *s)
{
	static const s8 base[8] = { 3, 3, 5, 5, -1, -1, 5, 3 }, index[8] = { 6, 7, 6, 7, 6, 7, -1, -1 };
	u8 rm = i->rm & 7;
	u64 offset = 0;

	if (i->mod == 0 && rm == 6) {
		i->offset = (u64)take_signed(i, 2) & 0xffff;
		return;
	}
	if (base[rm] >= 0)
		offset += s->gpr[base[rm]];
	if (index[rm] >= 0)
		offset += s->gpr[index[rm]];
	i->stack_base = base[rm] == 5;
	if (i->mod)
		offset += (u64)take_signed(i, i->mod);
	i->offset = offset & 0xffff;
}

static u64 sib(struct insn *i, const struct emul_state *s, bool *ret_no_base)
{
	u8 byte = next(i), index = (u8)((byte >> 3 & 7) | (i->rex_bits & 2) << 2);
	u8 base = (u8)((byte & 7) | (i->rex_bits & 1) << 3);
	u64 offset = 0;

	*ret_no_base = i->mod == 0 && (byte & 7) == 5;
	if (!*ret_no_base) {
		offset = s->gpr[base];
		i->stack_base = base == 4 || base == 5;
		i->sp_base = base == 4;
	}
	if (index != 4)
		offset += s->gpr[index] << (byte >> 6);
	return offset;
}

void decode_modrm(struct insn *i, const struct emul_state *s, unsigned imm_len)
{
	u8 byte = next(i);
	u64 offset = 0;
	bool no_base = false, relative = false;

	i->mod = byte >> 6;
	i->reg = (u8)((byte >> 3 & 7) | (i->rex_bits & 4) << 1);
	i->rm = (u8)((byte & 7) | (i->rex_bits & 1) << 3);
	if (i->mod == 3)
		return;
	if (i->address == 2) {
		modrm16(i, s);
		return;
	}
	if ((byte & 7) == 4) {
		offset = sib(i, s, &no_base);
	} else if (i->mod == 0 && (byte & 7) == 5) {
		no_base = true;
		relative = i->mode == 64;
	} else {
		offset = s->gpr[i->rm];
		i->stack_base = i->rm == 5;
	}
	if (i->mod == 1)
		offset += (u64)take_signed(i, 1);
	else if (i->mod == 2 || no_base)
		offset += (u64)take_signed(i, 4);
	if (relative)
		offset += s->rip + i->at + imm_len;
	i->offset = offset & size_mask(i->address);
}

unsigned emul_address_size(unsigned mode, const u8 *bytes, size_t len)
{
	struct insn i = { .bytes = bytes, .len = len };

	begin(&i, mode);
	prefixes(&i);
	return i.address * 8;
}

enum emul_segment emul_segment_of(unsigned mode, const u8 *bytes, size_t len)
{
	struct insn i = { .bytes = bytes, .len = len };

	begin(&i, mode);
	prefixes(&i);
	return i.segment < 0 ? EMUL_DS : (enum emul_segment)i.segment;
}
