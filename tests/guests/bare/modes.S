/*
 * The same three things in 64-bit, 32-bit, 16-bit protected and real mode: a port (COM1), a read-modify-write of MMIO (the
 * IO-APIC's index register), and CPUID. Each mode leaves what it read in modes_seen[]; 0 says that it was not there.
 */
#define IOAPIC 0xfec00000
#define LOW 0x8000		/* where this code runs, below 64 KiB: real mode needs that */
#define AT(x) (LOW + (x) - modes_low)

	.section .text, "ax"
	.code64
	/* void modes_run(void): by way of a copy at LOW, whose tables it uses; CR3 must be below 4 GiB */
	.globl	modes_run
modes_run:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	pushfq
	cli
	sgdt	saved_gdt(%rip)
	sidt	saved_idt(%rip)
	mov	%rsp, saved_rsp(%rip)
	lea	modes_low(%rip), %rsi
	mov	$LOW, %edi
	mov	$modes_low_end - modes_low, %ecx
	rep movsb
	lgdt	AT(gdt_pointer)
	mov	$LOW, %esp
	push	$0x18
	push	$AT(mode32)
	lretq
	.globl	modes_back
modes_back:
	lgdt	saved_gdt(%rip)
	lidt	saved_idt(%rip)
	mov	saved_rsp(%rip), %rsp
	mov	$0x10, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	lea	seen32 - modes_low + LOW, %rsi
	lea	modes_seen(%rip), %rdi
	mov	$12, %ecx
	rep movsl
	popfq
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

modes_low:
	/* 32 bit: paging off, out of long mode */
	.code32
mode32:
	mov	$0x20, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	%cr0, %eax
	mov	%eax, AT(saved_cr0)
	mov	%cr3, %eax
	mov	%eax, AT(saved_cr3)
	mov	%cr4, %eax
	mov	%eax, AT(saved_cr4)
	mov	%cr0, %eax
	and	$0x7fffffff, %eax
	mov	%eax, %cr0
	mov	$0xc0000080, %ecx
	rdmsr
	mov	%eax, AT(saved_efer)
	and	$~0x500, %eax
	wrmsr
	mov	$'3', %al
	mov	$0x3f8, %edx
	out	%al, %dx
	movl	$1, IOAPIC
	orl	$0, IOAPIC
	mov	IOAPIC + 0x10, %eax
	mov	%eax, AT(seen32)
	mov	IOAPIC, %eax
	mov	%eax, AT(seen32 + 4)
	xor	%eax, %eax
	cpuid
	mov	%ebx, AT(seen32 + 8)
	mov	$AT(seen32 + 12), %edi
	ljmp	$0x28, $AT(mode16)

	/* 16 bit, protected: segments still reach 4 GiB */
	.code16
mode16:
	mov	$'1', %al
	mov	$0x3f8, %dx
	out	%al, %dx
	mov	$IOAPIC, %ebx
	movl	$1, (%ebx)
	addl	$0, (%ebx)
	mov	0x10(%ebx), %eax
	mov	%eax, (%edi)
	movzbl	(%ebx), %eax
	mov	%eax, 4(%edi)
	xor	%eax, %eax
	cpuid
	mov	%ebx, 8(%edi)
	/* real mode, data segments as large as they are ("unreal") */
	mov	%cr0, %eax
	and	$~1, %al
	mov	%eax, %cr0
	ljmp	$0, $AT(real)
real:
	lidt	AT(real_idt)
	mov	$'r', %al
	mov	$0x3f8, %dx
	out	%al, %dx
	mov	$IOAPIC, %ebx
	movl	$1, (%ebx)
	xorl	$0, (%ebx)
	mov	0x10(%ebx), %eax
	mov	%eax, 12(%edi)
	movzwl	(%ebx), %eax
	mov	%eax, 16(%edi)
	xor	%eax, %eax
	cpuid
	mov	%ebx, 20(%edi)
	/* an interrupt through the real-mode table: INT 60h adds one */
	movw	$AT(handler), 0x60 * 4
	movw	$0, 0x60 * 4 + 2
	xor	%ax, %ax
	mov	%ax, %ss
	mov	$0x7c00, %sp
	mov	$41, %ecx
	int	$0x60
	mov	%ecx, 24(%edi)
	/* and back */
	mov	%cr0, %eax
	or	$1, %al
	mov	%eax, %cr0
	ljmpl	$0x18, $AT(again32)
handler:
	inc	%ecx
	iretw
	.code32
again32:
	mov	$0x20, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	AT(saved_cr4), %eax
	mov	%eax, %cr4
	mov	AT(saved_cr3), %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx
	xor	%edx, %edx
	mov	AT(saved_efer), %eax
	and	$~0x400, %eax
	wrmsr
	mov	AT(saved_cr0), %eax
	mov	%eax, %cr0
	ljmp	$0x08, $AT(again64)
	.code64
again64:
	mov	$modes_back, %rax
	jmp	*%rax

	.balign	8
gdt:	.quad	0
	.quad	0x00af9b000000ffff	/* 08: 64-bit code */
	.quad	0x00cf93000000ffff	/* 10: data */
	.quad	0x00cf9b000000ffff	/* 18: 32-bit code */
	.quad	0x00cf93000000ffff	/* 20: data */
	.quad	0x00009b000000ffff	/* 28: 16-bit code */
gdt_pointer:
	.word	. - gdt - 1
	.quad	AT(gdt)
real_idt:
	.word	0x3ff
	.long	0
	.balign	4
saved_cr0: .long 0
saved_cr3: .long 0
saved_cr4: .long 0
saved_efer: .long 0
	/* 32-bit: IO-APIC version, index, CPUID; the same for 16-bit; for real mode; what INT 60h made */
seen32:	.skip	48
modes_low_end:

	.section .bss
	.balign	16
saved_gdt: .skip 16
saved_idt: .skip 16
saved_rsp: .skip 8
	.section .note.GNU-stack, "", @progbits
