# The initramfs: one stripped binary, BusyBox with a link for each of its names, three device nodes. Include after the program rules.
$(O)/target/bin/paravane.stripped: $(O)/target/bin/paravane
	$(call say,STRIP,$@)
	$(Q)strip -o $@ $<
$(O)/native/bin/paravane-tpm.stripped: $(O)/native/bin/paravane-tpm
	$(call say,STRIP,$@)
	$(Q)strip -o $@ $<
$(O)/native/bin/paravane-tpm.gz: $(O)/native/bin/paravane-tpm.stripped
	$(Q)gzip -9nc $< >$@
$(O)/initramfs.files: initramfs/files $(O)/deps/busybox
	$(Q){ cat initramfs/files; $(O)/deps/busybox --list | sed '/^busybox$$/d;s|^\(.*\)$$|link bin/\1 busybox|'; } >$@
$(O)/initramfs.cpio: $(O)/initramfs.files initramfs/mkcpio.py $(O)/target/bin/paravane.stripped $(O)/native/bin/paravane-tpm.gz
	$(call say,CPIO,$@)
	$(Q)python3 initramfs/mkcpio.py $(O)/initramfs.files $(O) >$@
# one thread: zstd's output depends on how the work is split. A window of 128 KiB: by itself zstd takes all of the archive for it, and
# the kernel, which has that memory beside the archive and what it unpacks, does not boot with 32 MiB at times.
$(O)/initramfs.cpio.zst: $(O)/initramfs.cpio
	$(call say,ZSTD,$@)
	$(Q)zstd -q -19 --zstd=wlog=17 --single-thread -f -o $@.part $< && mv $@.part $@
