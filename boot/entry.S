/*
 * Entered in long mode, identity mapped, interrupts off, with no stack and RSI = offset of struct shim_params from
 * shim_base. Nothing here may depend on the address we were linked at (0).
 */
#include "spec/x86.h"

	.section .text.entry, "ax"
	.globl shim_start
shim_start:
	cli
	cld
	lea	shim_stack_end(%rip), %rsp
	xor	%ebp, %ebp

	/* PIE: every word in .rela.dyn is R_X86_64_RELATIVE, {offset, 8, addend} → base + addend at base + offset */
	lea	shim_base(%rip), %rdi
	lea	shim_relocations(%rip), %rax
	lea	shim_relocations_end(%rip), %rdx
1:	cmp	%rdx, %rax
	jae	2f
	mov	(%rax), %rbx
	mov	16(%rax), %rcx
	add	%rdi, %rcx
	mov	%rcx, (%rdi,%rbx)
	add	$24, %rax
	jmp	1b

2:	call	shim_main
	ud2

	.text
	/* void enter_kernel(u64 entry, u64 boot_params): RSI is where the boot protocol wants the latter */
	.globl enter_kernel
enter_kernel:
	mov	%rdi, %rax
	xor	%edi, %edi
	xor	%ebx, %ebx
	xor	%ebp, %ebp
	jmp	*%rax

	/* exceptions: 32 entries of 16 bytes, each leaving {vector, error code} on the stack */
	.balign 16
	.globl trap_entries
trap_entries:
	.set	vector, 0
	.rept	32
	.balign	16
	.if	!X86_VECTOR_HAS_ERROR(vector)
	pushq	$0
	.endif
	pushq	$vector
	jmp	trap_common
	.set	vector, vector + 1
	.endr

trap_common:
	/* struct trap_frame lies at RSP; it never returns, so nothing is saved */
	mov	%rsp, %rdi
	mov	%cr2, %rsi
	and	$-16, %rsp
	call	trap_report
	ud2

	.section .note.GNU-stack, "", @progbits
