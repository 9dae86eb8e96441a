# The initramfs: one stripped binary and three device nodes. Include after the program rules.
$(O)/target/bin/paravane.stripped: $(O)/target/bin/paravane
	$(call say,STRIP,$@)
	$(Q)strip -o $@ $<
$(O)/initramfs.cpio: initramfs/files initramfs/mkcpio.py $(O)/target/bin/paravane.stripped
	$(call say,CPIO,$@)
	$(Q)python3 initramfs/mkcpio.py initramfs/files $(O) >$@
# one thread: zstd's output depends on how the work is split
$(O)/initramfs.cpio.zst: $(O)/initramfs.cpio
	$(call say,ZSTD,$@)
	$(Q)zstd -q -19 --single-thread -f -o $@ $<
