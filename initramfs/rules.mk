# The initramfs: one stripped binary, BusyBox with a link for each of its names, three device nodes. Include after the program rules.
$(O)/target/bin/paravane.stripped: $(O)/target/bin/paravane
	$(call say,STRIP,$@)
	$(Q)strip -o $@ $<
$(O)/initramfs.files: initramfs/files $(O)/deps/busybox
	$(Q){ cat initramfs/files; $(O)/deps/busybox --list | sed '/^busybox$$/d;s|^\(.*\)$$|link bin/\1 busybox|'; } >$@
$(O)/initramfs.cpio: $(O)/initramfs.files initramfs/mkcpio.py $(O)/target/bin/paravane.stripped
	$(call say,CPIO,$@)
	$(Q)python3 initramfs/mkcpio.py $(O)/initramfs.files $(O) >$@
# one thread: zstd's output depends on how the work is split
$(O)/initramfs.cpio.zst: $(O)/initramfs.cpio
	$(call say,ZSTD,$@)
	$(Q)zstd -q -19 --single-thread -f -o $@ $<
