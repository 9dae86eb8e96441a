# programs that run a part of the firmware in virtual time: many seeds long, or to be counted
DEPS := lib/core lib/log lib/inspect lib/task lib/vmbus vmm/hcl vmm/mem vmm/bus vmm/chipset vmm/apic vmm/vmbus vmm/disk vmm/nvme vmm/nvme_disk vmm/storvsp vmm/vp
PROG := sim_storage bench_storage bench_allocations bench_inspect bench_exits
PROG_sim_storage := storage.c device.c sector.c
PROGFLAVOUR_sim_storage := host
PROG_bench_storage := bench.c
PROGFLAVOUR_bench_storage := target
# the same with glibc, whose allocations valgrind sees
PROG_bench_allocations := bench.c
PROGFLAVOUR_bench_allocations := native
PROG_bench_inspect := bench_inspect.c
PROGFLAVOUR_bench_inspect := target
PROG_bench_exits := bench_exits.c
PROGFLAVOUR_bench_exits := target
