/*
 * The bare guest poses as a Linux bzImage, which is what firmware loads: setup header of boot protocol 2.12, then at the load
 * address + 200h the 64-bit entry, with RSI = boot_params, identity mapped, interrupts off (Documentation/arch/x86/boot.rst).
 */
#define SETUP 0x400

	.section .header, "a"
	.globl image_start
image_start:
	.org	0x1f1
	.byte	1			/* setup_sects: the rest of the header's two sectors */
	.org	0x1f4
	.long	image_paragraphs
	.org	0x1fe
	.word	0xaa55
	.word	0x66eb			/* jump */
	.ascii	"HdrS"
	.word	0x020c
	.org	0x211
	.byte	1			/* loadflags: loaded high */
	.org	0x22c
	.long	0x7fffffff		/* initrd_addr_max */
	.long	0x200000		/* kernel_alignment */
	.byte	0, 21
	.word	1			/* xloadflags: 64-bit entry */
	.long	2047			/* cmdline_size */
	.org	0x258
	.quad	load_address		/* pref_address */
	.long	image_room		/* init_size */
	.org	SETUP
	/* the 32-bit entry, which nobody takes */
	ud2
	.org	SETUP + 0x200

	.code64
	.globl entry64
entry64:
	cli
	cld
	lea	stack_end(%rip), %rsp
	lea	image_end(%rip), %rdi
	lea	bss_end(%rip), %rcx
	sub	%rdi, %rcx
	xor	%eax, %eax
	rep stosb
	mov	%rsi, %rdi
	call	main
1:	hlt
	jmp	1b

	.section .bss
	.balign	16
	.skip	0x8000
	.globl	stack_end
stack_end:
	.section .note.GNU-stack, "", @progbits
