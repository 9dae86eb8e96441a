#include "igvmgen/elf.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int check_header(const char *what, const u8 *data, size_t len, Elf64_Ehdr *ret, char *err, size_t err_len)
{
	if (len < sizeof(*ret) || memcmp(data, ELFMAG, SELFMAG)) {
		snprintf(err, err_len, "%s is not an ELF file; give an uncompressed vmlinux or the shim", what);
		return -EINVAL;
	}
	memcpy(ret, data, sizeof(*ret));
	if (ret->e_ident[EI_CLASS] != ELFCLASS64 || ret->e_ident[EI_DATA] != ELFDATA2LSB ||
	    ret->e_machine != EM_X86_64) {
		snprintf(err, err_len, "%s is not a 64-bit x86 ELF file", what);
		return -EINVAL;
	}
	if (ret->e_phentsize != sizeof(Elf64_Phdr) ||
	    !range_within(ret->e_phoff, (u64)ret->e_phnum * sizeof(Elf64_Phdr), 0, len)) {
		snprintf(err, err_len, "%s: program headers lie outside the file; it is damaged", what);
		return -EINVAL;
	}
	return 0;
}

static int add_segment(const char *what, const Elf64_Phdr *ph, const u8 *data, size_t len, struct elf_image *image,
		       char *err, size_t err_len)
{
	u64 end;

	if (image->segment_count == ELF_SEGMENT_MAX || !range_within(ph->p_offset, ph->p_filesz, 0, len) ||
	    ph->p_filesz > ph->p_memsz || add_overflow(ph->p_paddr, ph->p_memsz, &end)) {
		snprintf(err, err_len, "%s: bad load segment of 0x%lx bytes at 0x%lx; the file is damaged", what,
			 ph->p_memsz, ph->p_paddr);
		return -EINVAL;
	}
	for (u32 i = 0; i < image->segment_count; i++) {
		const struct elf_segment *s = &image->segments[i];

		if (ranges_overlap(s->address, s->memory_size, ph->p_paddr, ph->p_memsz)) {
			snprintf(err, err_len, "%s: load segments at 0x%lx and 0x%lx overlap", what, s->address,
				 ph->p_paddr);
			return -EINVAL;
		}
	}
	image->low = image->segment_count ? MIN(image->low, ph->p_paddr) : ph->p_paddr;
	image->high = MAX(image->high, end);
	image->segments[image->segment_count++] = (struct elf_segment){
		.bytes = data + ph->p_offset,
		.file_size = ph->p_filesz,
		.memory_size = ph->p_memsz,
		.address = ph->p_paddr,
	};
	return 0;
}

int elf_read(const char *what, const u8 *data, size_t len, struct elf_image *ret, char *err, size_t err_len)
{
	struct elf_image image = { 0 };
	Elf64_Ehdr eh;
	int r = check_header(what, data, len, &eh, err, err_len);

	for (u32 i = 0; !r && i < eh.e_phnum; i++) {
		Elf64_Phdr ph;

		memcpy(&ph, data + eh.e_phoff + i * sizeof(ph), sizeof(ph));
		if (ph.p_type == PT_LOAD && ph.p_memsz)
			r = add_segment(what, &ph, data, len, &image, err, err_len);
	}
	if (r)
		return r;
	image.entry = eh.e_entry;
	for (u32 i = 0; i < image.segment_count; i++) {
		const struct elf_segment *s = &image.segments[i];

		if (range_within(image.entry, 1, s->address, s->file_size)) {
			*ret = image;
			return 0;
		}
	}
	snprintf(err, err_len, "%s: entry 0x%lx lies in no load segment; is it a position-independent or 32-bit file?",
		 what, image.entry);
	return -EINVAL;
}
