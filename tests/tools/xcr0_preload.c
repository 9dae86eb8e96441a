/*
 * Between pvhost and KVM in a bench machine whose emulated processor has XSAVE: QEMU does not intercept XSETBV under SVM, so a
 * guest's XCR0 changes without KVM's knowing, which puts back its own idea, x87 alone. With this it knows from the start what a
 * guest with SSE will set. Nothing else is other than without.
 *   gcc -shared -fPIC -o xcr0.so tests/tools/xcr0_preload.c; LD_PRELOAD=xcr0.so pvhost ...
 */
#include <linux/kvm.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

#define X87_AND_SSE 3

int ioctl(int fd, unsigned long request, ...)
{
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs[0] = { .xcr = 0, .value = X87_AND_SSE } };
	va_list list;

	va_start(list, request);
	void *arg = va_arg(list, void *);

	va_end(list);
	long r = syscall(SYS_ioctl, fd, request, arg);

	/* VTL2's processors have no XSAVE, and refuse it */
	if (request == KVM_SET_CPUID2 && !r)
		syscall(SYS_ioctl, fd, KVM_SET_XCRS, &xcrs);
	return (int)r;
}
