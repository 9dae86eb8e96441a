/*
 * A guest of a hundred instructions, to be stepped: it runs at 3000000h, long mode, CPL 0, interrupts off; its data is at
 * 3010000h, its stack below 3020000h, a GDT with 10h (code) and 18h (data) wherever it is. It never ends. Flags that the SDM
 * leaves undefined are not read.
 */
	.code64
	.globl _start
_start:
	mov	$0x3010000, %rbx
	mov	$0x123456789abcdef, %rax
	mov	%rax, %r8
	xor	%ecx, %ecx
	cld
outer:
	inc	%rcx
	add	%rcx, %rax
	adc	%r8, %r9
	lea	7(%rax,%rcx,4), %r10
	sub	%r10, %r11
	sbb	%rax, %r12
	mov	%rax, (%rbx)
	xchg	%r12, 8(%rbx)
	xadd	%r9, 16(%rbx)
	mov	8(%rbx), %edx
	movzbl	3(%rbx), %esi
	movslq	%edx, %rdi
	bswap	%rdi
	not	%r13
	neg	%r14
	rol	$1, %r8
	cmp	%rax, %r11
	cmovc	%r11, %r15
	sete	%sil
	jc	1f
	dec	%r15
	jmp	2f
1:	inc	%r14
2:	pushfq
	pop	%rdx
	and	$0xcd5, %edx
	xor	%rdx, %r13
	push	%rdx
	orq	$0x400, (%rsp)
	popfq
	lea	64(%rbx), %rsi
	lea	128(%rbx), %rdi
	lodsq
	stosq
	movsb
	pushfq
	cld
	popfq
	cld
	lock cmpxchg %r10, 24(%rbx)
	movq	%rax, %xmm0
	movq	%r10, %xmm1
	paddq	%xmm0, %xmm1
	pxor	%xmm0, %xmm1
	movdqu	%xmm1, 96(%rbx)
	movq	%xmm1, %rax
	call	leaf
	/* the frame of an interrupt that returns here */
	mov	%rsp, %rdx
	pushq	$0x18
	push	%rdx
	pushfq
	pushq	$0x10
	lea	3f(%rip), %rdx
	push	%rdx
	iretq
3:	nop
	mov	$5, %edx
4:	add	%rdx, %r14
	dec	%edx
	jnz	4b
	push	%rcx
	mov	$3, %ecx
5:	add	%rax, %r15
	loop	5b
	pop	%rcx
	jmp	outer
leaf:
	push	%rbp
	mov	%rsp, %rbp
	add	$0x1111, %r8
	test	%r8, %r8
	jns	6f
	add	$1, %rax
6:	leave
	ret
